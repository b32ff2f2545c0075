//! Describing what a component exports, out of process: the parent's half and the child's. Types can be built
//! so that looking at them takes long, or much memory; that is the component's fault and stays in the child.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;

use certosa_model::CompileLimits;
use wit_component::{DecodedWasm, WitPrinter};
use wit_parser::{Function as WitFunction, FunctionKind, InterfaceId, Resolve, Type, World, WorldItem, WorldKey};

use super::schema::Schemas;
use super::{Description, Function, Skipped, docs};
use crate::compile::{self, CodeError, Reader};
use crate::inspect::is_ours_or_wasi;

/// Unless the bundle's own are tighter: to look at types takes less than to compile.
const LIMITS: CompileLimits = CompileLimits { wall_ms_max: 30_000, memory_bytes_max: 1 << 30 };
const OUTPUT_BYTES_MAX: u64 = 32 << 20;

/// As many tools as the house takes from any bundle.
const FUNCTIONS_MAX: usize = 1_000;
/// Texts of all functions together.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// Of one description.
const DOCS_BYTES_MAX: usize = 16 << 10;
const SKIPPED_MAX: usize = 100;
const SKIPPED_CHARS_MAX: usize = 300;

/// Describes `component` in a child of `program` (our own binary), which runs [`describe_in_child`] when its
/// first argument is `task`.
pub fn describe(component: &[u8], program: &Path, task: &str, limits: CompileLimits) -> Result<Description, CodeError> {
    serde_json::from_slice(&ask(component, program, task, limits)?)
        .map_err(|error| CodeError::Exports(format!("their reader said something else: {error}")))
}

/// The world of `component` as WIT text, written in a child of `program` (our own binary), which runs
/// [`wit_in_child`] when its first argument is `task`.
pub fn wit(component: &[u8], program: &Path, task: &str) -> Result<String, CodeError> {
    String::from_utf8(ask(component, program, task, CompileLimits::default())?)
        .map_err(|error| CodeError::Exports(format!("their reader said something else: {error}")))
}

fn ask(component: &[u8], program: &Path, task: &str, limits: CompileLimits) -> Result<Vec<u8>, CodeError> {
    let (what, house) = ("looking at its types", LIMITS);
    let reader = Reader { program, task, what, limits, house, output_bytes_max: OUTPUT_BYTES_MAX };
    reader.run(component)?.map_err(CodeError::Exports)
}

/// The child's half of [`describe`]: a component on standard input, its description on standard output.
pub fn describe_in_child(bounds: impl Iterator<Item = OsString>) -> io::Result<()> {
    answer(bounds, |component| serde_json::to_vec(&of_component(component)?).map_err(|error| error.to_string()))
}

/// The child's half of [`wit`]: a component on standard input, its world on standard output.
pub fn wit_in_child(bounds: impl Iterator<Item = OsString>) -> io::Result<()> {
    answer(bounds, |component| world_text(component).map(String::into_bytes))
}

fn answer(bounds: impl Iterator<Item = OsString>, read: fn(&[u8]) -> Result<Vec<u8>, String>) -> io::Result<()> {
    let component = compile::component(bounds)?;
    // A panic is said in one line, as every other reason is.
    std::panic::set_hook(Box::new(|_| {}));
    io::stdout().write_all(&contained(read, &component).map_err(io::Error::other)?)
}

/// Libraries that read types break off at some that no compiler writes.
pub(crate) fn contained<T>(read: fn(&[u8]) -> Result<T, String>, component: &[u8]) -> Result<T, String> {
    std::panic::catch_unwind(|| read(component)).unwrap_or_else(|_| Err("their reader broke off".to_owned()))
}

pub(crate) fn world_text(component: &[u8]) -> Result<String, String> {
    let decoded = docs::decode(component)?;
    let mut printer = WitPrinter::default();
    let others: Vec<_> =
        decoded.resolve().packages.iter().map(|(id, _)| id).filter(|id| *id != decoded.package()).collect();
    printer.print(decoded.resolve(), decoded.package(), &others).map_err(|error| format!("{error:#}"))?;
    Ok(printer.output.to_string())
}

pub(crate) fn of_component(component: &[u8]) -> Result<Description, String> {
    match docs::decode(component)? {
        DecodedWasm::WitPackage(..) => Err("it holds types alone, no code".to_owned()),
        DecodedWasm::Component(resolve, world) => match resolve.worlds.get(world) {
            Some(world) => Ok(of_world(&resolve, world)),
            None => Err("it has no world".to_owned()),
        },
    }
}

pub(crate) fn of_world(resolve: &Resolve, world: &World) -> Description {
    let names = interface_names(resolve, world);
    let mut describer =
        Describer { resolve, schemas: Schemas::new(resolve, names), bytes: 0, description: Description::default() };
    for (key, item) in &world.exports {
        let name = resolve.name_world_key(key);
        match item {
            WorldItem::Function(function) => describer.function(None, function),
            WorldItem::Interface { .. } if is_ours_or_wasi(&name) => {
                describer.skip(name, "it is an interface of the system, not of a tool".to_owned());
            }
            WorldItem::Interface { id, .. } => {
                let functions = resolve.interfaces.get(*id).map(|interface| &interface.functions);
                functions.into_iter().flatten().for_each(|(_, function)| describer.function(Some(&name), function));
            }
            WorldItem::Type { .. } => {}
        }
    }
    describer.description
}

/// Interfaces that are written inside of the world are called as their exports are.
fn interface_names(resolve: &Resolve, world: &World) -> HashMap<InterfaceId, String> {
    let exports = world.imports.iter().chain(&world.exports);
    let name = |(key, item): (&WorldKey, &WorldItem)| match item {
        WorldItem::Interface { id, .. } => Some((*id, resolve.name_world_key(key))),
        _ => None,
    };
    exports.filter_map(name).collect()
}

struct Describer<'r> {
    resolve: &'r Resolve,
    schemas: Schemas<'r>,
    /// All texts so far.
    bytes: usize,
    description: Description,
}

impl Describer<'_> {
    fn function(&mut self, interface: Option<&str>, function: &WitFunction) {
        match self.described(interface, function) {
            Ok(described) => self.description.functions.push(described),
            Err(reason) => {
                let export = interface.map(|interface| format!("{interface}#{}", function.name));
                self.skip(export.unwrap_or_else(|| function.name.clone()), reason);
            }
        }
    }

    fn skip(&mut self, export: String, reason: String) {
        let skipped = &mut self.description.skipped;
        if skipped.len() < SKIPPED_MAX {
            let cut = |text: String| text.chars().take(SKIPPED_CHARS_MAX).collect();
            skipped.push(Skipped { export: cut(export), reason: cut(reason) });
        } else {
            self.description.skipped_besides += 1;
        }
    }

    /// What there is to say about a function, or why it cannot be a tool.
    fn described(&mut self, interface: Option<&str>, function: &WitFunction) -> Result<Function, String> {
        match function.kind {
            FunctionKind::Freestanding => {}
            FunctionKind::AsyncFreestanding => return Err("it is async".to_owned()),
            _ => return Err("it belongs to a resource, which has no form in JSON".to_owned()),
        }
        if self.description.functions.len() >= FUNCTIONS_MAX {
            return Err(format!("there are more than {FUNCTIONS_MAX} functions"));
        }
        let input_schema = self.schemas.input(function)?;
        let output_schema = self.schemas.output(function)?;
        let docs = function.docs.contents.as_deref().map(str::trim).filter(|docs| !docs.is_empty());
        let description = match docs {
            Some(docs) => docs.to_owned(),
            // After the schemas, whose size bounds this text as well.
            None => self.signature(function)?,
        };
        let description = shorten(description);
        let texts = [input_schema.as_str(), output_schema.as_deref().unwrap_or_default(), &description];
        let names = [interface.unwrap_or_default(), &function.name];
        let bytes = texts.into_iter().chain(names).map(str::len).sum::<usize>();
        if self.bytes + bytes > TEXT_BYTES_MAX {
            return Err(format!("the schemas of all functions are longer than {} MiB", TEXT_BYTES_MAX >> 20));
        }
        self.bytes += bytes;
        let (interface, name) = (interface.map(str::to_owned), function.name.clone());
        Ok(Function { interface, name, description, input_schema, output_schema })
    }

    /// A function as WIT writes it: `add: func(a: u32, b: u32) -> u32`.
    fn signature(&self, function: &WitFunction) -> Result<String, String> {
        let parameter = |param: &wit_parser::Param| self.type_name(&param.ty).map(|ty| format!("{}: {ty}", param.name));
        let parameters = function.params.iter().map(parameter).collect::<Result<Vec<_>, _>>()?.join(", ");
        let result = function.result.as_ref().map(|ty| self.type_name(ty)).transpose()?;
        let result = result.map(|ty| format!(" -> {ty}")).unwrap_or_default();
        Ok(format!("{}: func({parameters}){result}", function.name))
    }

    fn type_name(&self, ty: &Type) -> Result<String, String> {
        let mut printer = WitPrinter::default();
        printer.print_type_name(self.resolve, ty).map_err(|error| format!("{error:#}"))?;
        Ok(printer.output.to_string())
    }
}

fn shorten(mut text: String) -> String {
    if text.len() > DOCS_BYTES_MAX {
        let end = text.floor_char_boundary(DOCS_BYTES_MAX - '…'.len_utf8());
        text.truncate(end);
        text.push('…');
    }
    text
}
