//! Components without any code for Certosa: the functions that they export, as tools.
//!
//! ```text
//! component ─ describe (child process: decode, schema) ─→ Description ─ names ─→ Typed
//! Typed + arguments ─ value ─→ Vals ─ call ─→ Vals ─ value ─→ result
//! ```

mod describe;
mod docs;
mod names;
mod schema;
pub(crate) mod value;
mod weight;

use std::collections::HashMap;

use certosa_model::{CellLimits, Limit};
use certosa_syscall::Cell;
use certosa_syscall::guest::{Content, Hints, Offer, Outcome, Refusal, Task, Tool, ToolResult};
use serde::{Deserialize, Serialize};
use wasmtime::component::types::{ComponentItem, ResultType};
use wasmtime::component::{ComponentExportIndex, Instance, InstancePre, Type, Val};
use wasmtime::{Engine, Store};

use self::value::Unread;
use crate::cell::{LIFT_SLACK_BYTES, Over};

pub(crate) use describe::{contained, of_component, of_world, world_text};
pub use describe::{describe, describe_in_child, wit, wit_in_child};

/// What a component exports, as far as it can be a tool; and what cannot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// In the order of the component.
    pub functions: Vec<Function>,
    pub skipped: Vec<Skipped>,
    /// How many more were skipped than are listed.
    pub skipped_besides: usize,
}

/// An exported function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// The exported interface; a function that stands alone has none.
    pub interface: Option<String>,
    pub name: String,
    /// The comment of its author, or else its signature.
    pub description: String,
    pub input_schema: String,
    pub output_schema: Option<String>,
}

/// An export that is no tool, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub export: String,
    pub reason: String,
}

/// A typed component that is linked.
pub(crate) struct Typed {
    instance: InstancePre<Cell>,
    tools: Vec<Tool>,
    exports: HashMap<String, Export>,
    skipped: Vec<Skipped>,
}

/// A function that is ready to be called.
struct Export {
    index: ComponentExportIndex,
    parameters: Vec<(String, Type)>,
    result: Option<Type>,
    /// Of the fuel that lifting a result may use.
    fuel_percent: usize,
}

/// A function, and what it is called with.
pub(crate) struct Arguments<'t> {
    export: &'t Export,
    values: Vec<Val>,
}

/// What a result may take in the host while it is lifted, for each byte of its JSON. Nothing is as much larger
/// than its JSON as a list of bytes: three of them are eight characters of base64 in the two texts of a result,
/// and three `Val`s.
const HOST_BYTES_EACH: usize = size_of::<Val>() * 3 / 8;

/// What arguments may take in the host for each byte of their JSON, whatever the memory of the cell: a number and a
/// comma become a [`Val`] in an option, which is another.
const HOST_BYTES_OF_JSON: usize = size_of::<Val>();

/// What a model reads where a function returns nothing.
const DONE: &str = "done";
const FAILED: &str = "failed, without saying why";

impl Function {
    /// Its full name, such as `docs:sums/calc@0.1.0#add`.
    pub fn export(&self) -> String {
        self.interface.as_ref().map_or_else(|| self.name.clone(), |interface| format!("{interface}#{}", self.name))
    }
}

impl Typed {
    /// Finds the described functions in a component. Names are at most `name_bytes_max` long.
    pub(crate) fn new(instance: InstancePre<Cell>, description: &Description, name_bytes_max: usize) -> Self {
        let (tools, exports, skipped) = (Vec::new(), HashMap::new(), description.skipped.clone());
        let mut typed = Self { instance, tools, exports, skipped };
        let names = names::assign(&description.functions, name_bytes_max);
        for (function, name) in description.functions.iter().zip(names) {
            let found = name.ok_or("its name is taken").and_then(|name| Ok((name, typed.find(function)?)));
            match found {
                Ok((name, export)) => {
                    typed.tools.push(function.tool(&name));
                    typed.exports.insert(name, export);
                }
                Err(why) => typed.skipped.push(Skipped { export: function.export(), reason: why.to_owned() }),
            }
        }
        if description.skipped_besides > 0 {
            let (export, reason) = (format!("{} others", description.skipped_besides), "too many to list".to_owned());
            typed.skipped.push(Skipped { export, reason });
        }
        typed
    }

    fn find(&self, function: &Function) -> Result<Export, &'static str> {
        let component = self.instance.component();
        let interface = match &function.interface {
            Some(name) => Some(component.get_export_index(None, name.as_str()).ok_or("its interface is not exported")?),
            None => None,
        };
        match component.get_export(interface.as_ref(), function.name.as_str()) {
            Some((ComponentItem::ComponentFunc(ty), index)) if !ty.async_() => {
                let result = ty.results().next();
                Ok(Export {
                    index,
                    parameters: ty.params().map(|(name, ty)| (name.to_owned(), ty)).collect(),
                    fuel_percent: result.as_ref().map_or(100, weight::fuel_percent),
                    result,
                })
            }
            Some((ComponentItem::ComponentFunc(_), _)) => Err("it is async"),
            _ => Err("it is not exported under this name"),
        }
    }

    pub(crate) fn offer(&self) -> Offer {
        Offer { tools: self.tools.clone(), ..Offer::default() }
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.instance.engine()
    }

    /// Makes an instance in a store. It may run code of the guest.
    pub(crate) async fn instantiate(&self, store: &mut Store<Cell>) -> wasmtime::Result<Instance> {
        self.instance.instantiate_async(store).await
    }

    pub(crate) fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Reads the arguments of a task. What is not a call of one of the tools is [`Refusal::Unknown`].
    pub(crate) fn arguments(
        &self,
        task: &Task,
        limits: &CellLimits,
    ) -> wasmtime::Result<Result<Arguments<'_>, Refusal>> {
        let Task::Call(call) = task else { return Ok(Err(Refusal::Unknown)) };
        let Some(export) = self.exports.get(&call.name) else { return Ok(Err(Refusal::Unknown)) };
        // What was left out is nothing in JSON, and a value here.
        let bytes_max = limits.memory_bytes_max.saturating_add(call.arguments.len().saturating_mul(HOST_BYTES_OF_JSON));
        match value::arguments(&call.arguments, &export.parameters, bytes_max) {
            Ok(values) => Ok(Ok(Arguments { export, values })),
            Err(Unread::Wrong(why)) => Ok(Err(Refusal::InvalidArguments(why))),
            Err(Unread::Large) => Err(wasmtime::Error::new(Over(Limit::Memory))),
        }
    }

    /// Calls a function.
    pub(crate) async fn run(
        &self,
        store: &mut Store<Cell>,
        instance: &Instance,
        Arguments { export, values }: Arguments<'_>,
    ) -> wasmtime::Result<Outcome> {
        let output_bytes_max = store.data().meter.limits().output_bytes_max;
        // The fuel counts what values take in the host.
        let fuel = output_bytes_max.saturating_mul(HOST_BYTES_EACH) / 100 * export.fuel_percent;
        store.set_hostcall_fuel(fuel.saturating_add(LIFT_SLACK_BYTES));
        let missing = || wasmtime::Error::msg("the function is not there");
        let function = instance.get_func(&mut *store, export.index).ok_or_else(missing)?;
        let mut results = vec![Val::Bool(false); usize::from(export.result.is_some())];
        function.call_async(&mut *store, &values, &mut results).await?;
        let result = results.first().zip(export.result.as_ref());
        Ok(Outcome::Tool(tool_result(result, output_bytes_max)))
    }
}

impl Function {
    fn tool(&self, name: &str) -> Tool {
        Tool {
            name: name.to_owned(),
            title: None,
            description: self.description.clone(),
            input_schema: self.input_schema.clone(),
            output_schema: self.output_schema.clone(),
            // Nobody has promised anything, and these are what MCP assumes then.
            hints: Hints::DESTRUCTIVE | Hints::OPEN_WORLD,
        }
    }
}

fn tool_result(result: Option<(&Val, &Type)>, bytes_max: usize) -> ToolResult {
    match result {
        None => plain(DONE.to_owned(), false),
        Some((Val::Result(result), Type::Result(ty))) => of_result(result, ty, bytes_max),
        Some((value, ty)) => good(value, ty, bytes_max),
    }
}

fn of_result(result: &Result<Option<Box<Val>>, Option<Box<Val>>>, ty: &ResultType, bytes_max: usize) -> ToolResult {
    match result {
        Ok(value) => match value.as_deref().zip(ty.ok()) {
            Some((value, ty)) => good(value, &ty, bytes_max),
            None => plain(DONE.to_owned(), false),
        },
        Err(value) => match value.as_deref().zip(ty.err()) {
            Some((Val::String(text), _)) => plain(text.clone(), true),
            Some((value, ty)) => plain(value::json(value, &ty, bytes_max), true),
            None => plain(FAILED.to_owned(), true),
        },
    }
}

/// A text for models and the same for programs.
fn good(value: &Val, ty: &Type, bytes_max: usize) -> ToolResult {
    let json = value::json(value, ty, bytes_max);
    let structured = Some(format!(r#"{{"result":{json}}}"#));
    let text = if let Val::String(text) = value { text.clone() } else { json };
    ToolResult { content: vec![Content::Text(text)], structured, is_error: false }
}

fn plain(text: String, is_error: bool) -> ToolResult {
    ToolResult { content: vec![Content::Text(text)], structured: None, is_error }
}
