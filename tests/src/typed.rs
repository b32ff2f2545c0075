//! Components without any code for Certosa: their functions are tools.

mod cells;
mod edges;
mod round_trip;
pub mod types;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use certosa_house::Schema;
use certosa_isolate::{CellError, Code, Description, Image, Machine, Pace, Terms, Work, compile, describe};
use certosa_manifest::{Plan, Sources};
use certosa_model::{CompileLimits, Kind, Subject, ToolName};
use certosa_policy::{Caller, Target, decide};
use certosa_syscall::Hearing;
use certosa_syscall::guest::{Askable, Call, Content, Outcome, Refusal, Task, ToolResult};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve};

use crate::support::{bundles, manifest, target};

/// A component of this WIT, whose world is `w`, and of this core module.
pub fn component(wit: &str, wat: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap_or_else(|error| panic!("{error:#}\n{wit}"));
    encoded(&resolve, package, wat)
}

/// A component of the world `w` in this package, and of this core module.
pub fn encoded(resolve: &Resolve, package: PackageId, wat: &str) -> Vec<u8> {
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    let mut module = wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}\n{wat}"));
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).unwrap();
    encoder.encode().unwrap_or_else(|error| panic!("{error:#}\n{wat}"))
}

pub fn module(fields: &str) -> String {
    format!("(module {})", core(fields))
}

/// The fields of a core module: a memory, an allocator that never frees, and these.
pub fn core(fields: &str) -> String {
    format!(
        r#"
            (memory (export "memory") 4)
            (global $next (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32)
                (result i32)
                (local $at i32)
                (local.set $at (i32.and
                    (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
                    (i32.xor (i32.sub (local.get $align) (i32.const 1)) (i32.const -1))))
                (global.set $next (i32.add (local.get $at) (local.get $new)))
                (block $fits (loop $more
                    (br_if $fits (i32.le_u (global.get $next) (i32.shl (memory.size) (i32.const 16))))
                    (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))
                    unreachable))
                (memory.copy (local.get $at) (local.get $old) (local.get $size))
                (local.get $at))
            {fields}"#
    )
}

/// A component whose functions return what they are given: each type crosses the border both ways, in memory,
/// because with the padding it takes more values than a function may have parameters.
pub fn echoes(types: &str, values: &[String]) -> Vec<u8> {
    let (mut wit, mut wat) = (format!("package t:t;\ninterface i {{\n{types}\n"), String::new());
    for (index, ty) in values.iter().enumerate() {
        let pad = ["u64"; 17].join(", ");
        wit += &format!("record box{index} {{ value: {ty}, pad: tuple<{pad}> }}\n");
        wit += &format!("echo{index}: func(x: box{index}) -> box{index};\n");
        wat += &format!("(func (export \"t:t/i#echo{index}\") (param i32) (result i32) local.get 0)\n");
    }
    component(&format!("{wit}}}\nworld w {{ export i; }}"), &module(&wat))
}

/// A machine, and what it takes to be allowed to call something in it.
pub struct Bench {
    pub machine: Machine,
    plan: Plan,
    runtime: Runtime,
    _folder: TempDir,
}

/// A typed component on the bench, with the schemas of its tools as the house reads them.
pub struct Loaded<'b> {
    bench: &'b Bench,
    image: Arc<Image>,
    pub described: Description,
}

/// For a check by a schema.
pub const TIME: Duration = Duration::from_secs(5);

pub fn program() -> PathBuf {
    target().join("release/certosa")
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t.wasm"), "").unwrap();
        let text = manifest(&bundles(&["t"], "memoryMibMax = 64, outputKibMax = 16384"));
        std::fs::write(folder.path().join("manifest.capnp"), text).unwrap();
        let sources = Sources::read(&folder.path().join("manifest.capnp")).unwrap();
        let plan = Plan::of(&sources.compile(&program(), "internal-compile-manifest").unwrap()).unwrap();
        let machine = Machine::new(16, [&plan.bundles[0].limits]).unwrap();
        Self { machine, plan, runtime: Builder::new_current_thread().enable_all().build().unwrap(), _folder: folder }
    }

    pub fn load(&self, component: &[u8]) -> Loaded<'_> {
        let code = compile(component, &program(), "internal-compile-component", CompileLimits::default()).unwrap();
        let described =
            describe(component, &program(), "internal-describe-component", CompileLimits::default()).unwrap();
        let image = self
            .machine
            .typed_image(Code::Bytes(&code), self.plan.bundles[0].limits.stack_bytes_max, &described, 60)
            .unwrap();
        Loaded { bench: self, image: Arc::new(image), described }
    }

    /// A component that speaks our world.
    pub fn linked(&self, component: &[u8]) -> Arc<Image> {
        let code = compile(component, &program(), "internal-compile-component", CompileLimits::default()).unwrap();
        let image = self.machine.image(Code::Bytes(&code), self.plan.bundles[0].limits.stack_bytes_max);
        Arc::new(image.unwrap())
    }

    /// Calls a tool of this image.
    pub fn call(
        &self,
        image: &Arc<Image>,
        tool: &str,
        arguments: &str,
        terms: Option<Arc<dyn Terms>>,
    ) -> Result<ToolResult, CellError> {
        let Self { machine, plan, runtime, .. } = self;
        let (bundle, route) = (&plan.bundles[0], &plan.routes[0]);
        let caller = Caller::anonymous_loopback();
        let subject = Subject::of_item(&bundle.name, &ToolName::new(tool).unwrap());
        let permit = decide(plan, &caller, &Target { route, kind: Kind::Tool, subject: &subject }).unwrap();
        let (name, arguments) = (tool.to_owned(), arguments.to_owned());
        let task = Task::Call(Call { name, arguments, answers: Vec::new(), state: None, askable: Askable::empty() });
        let work = Work {
            task,
            limits: bundle.limits,
            terms,
            hearing: Hearing::default(),
            errand: None,
            pace: &Pace::default(),
        };
        let end = runtime.block_on(machine.call(image, &permit, work, ()));
        match end.result? {
            Outcome::Tool(result) => Ok(result),
            other => panic!("{other:?}"),
        }
    }
}

impl Loaded<'_> {
    pub fn input(&self, index: usize) -> Schema {
        Schema::of_object(&self.described.functions[index].input_schema).unwrap()
    }

    pub fn output(&self, index: usize) -> Schema {
        Schema::of_object(self.described.functions[index].output_schema.as_deref().unwrap()).unwrap()
    }

    /// Calls a function with arguments that nobody has checked.
    pub fn call(&self, function: &str, arguments: &str) -> Result<ToolResult, CellError> {
        self.bench.call(&self.image, function, arguments, None)
    }

    /// What an echo makes of a value.
    pub fn echo(&self, index: usize, value: &Value) -> Result<Value, CellError> {
        let arguments = boxed(value);
        let result = self.call(&format!("echo{index}"), &arguments.to_string())?;
        let structured: Value = serde_json::from_str(result.structured.as_deref().unwrap()).unwrap();
        assert_eq!(self.output(index).check(&structured, TIME), Ok(()), "{structured}");
        let Content::Text(text) = &result.content[0] else { panic!("{result:?}") };
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), structured["result"]);
        Ok(structured["result"]["value"].clone())
    }
}

/// The arguments of an echo.
pub fn boxed(value: &Value) -> Value {
    serde_json::json!({"x": {"value": value, "pad": vec![0; 17]}})
}

/// Whether a call was refused because of its arguments, without any harm.
pub fn is_refusal(error: &CellError) -> bool {
    matches!(error, CellError::Refused(Refusal::InvalidArguments(_)))
}
