//! What the fuzz targets in `fuzz/` reach of this crate; nothing else uses it.

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Type};
use wit_parser::{Resolve, WorldId};

use crate::pool::code_config;
use crate::typed::{self, Description, value};

/// Describes a component in this process, as the child does.
pub fn describe(component: &[u8]) -> Result<Description, String> {
    typed::contained(typed::of_component, component)
}

/// The world of a component as WIT text, as the child writes it.
pub fn wit(component: &[u8]) -> Result<String, String> {
    typed::contained(typed::world_text, component)
}

/// Describes what a world exports.
pub fn describe_world(resolve: &Resolve, world: WorldId) -> Option<Description> {
    resolve.worlds.get(world).map(|world| typed::of_world(resolve, world))
}

/// Where types are made.
pub struct Types(Engine);

/// The parameters of a function, as the machine knows them.
pub struct Parameters(Vec<(String, Type)>);

impl Types {
    pub fn new() -> Result<Self, String> {
        Engine::new(&code_config()).map(Self).map_err(|error| format!("{error:#}"))
    }

    /// Of a function in an interface that the component imports, so that there is no code to compile.
    pub fn of_import(&self, component: &[u8], interface: &str, function: &str) -> Result<Parameters, String> {
        let component = Component::new(&self.0, component).map_err(|error| format!("{error:#}"))?;
        let ty = component.component_type();
        let Some(ComponentItem::ComponentInstance(instance)) = ty.get_import(&self.0, interface).map(|item| item.ty)
        else {
            return Err("there is no such interface".to_owned());
        };
        match instance.get_export(&self.0, function).map(|item| item.ty) {
            Some(ComponentItem::ComponentFunc(function)) => {
                Ok(Parameters(function.params().map(|(name, ty)| (name.to_owned(), ty)).collect()))
            }
            _ => Err("there is no such function".to_owned()),
        }
    }
}

impl Parameters {
    /// Reads arguments and writes each of them again, as results are.
    pub fn there_and_back(&self, arguments: &str, bytes_max: usize) -> Result<Vec<String>, String> {
        let values = value::arguments(arguments, &self.0, usize::MAX).map_err(|why| format!("{why:?}"))?;
        Ok(values.iter().zip(&self.0).map(|(value, (_, ty))| value::json(value, ty, bytes_max)).collect())
    }
}
