//! Reading the exports of a component as WIT, with the comments that its authors wrote.
//!
//! A component carries no comments by itself. Tools of the Bytecode Alliance keep them in a custom section
//! `package-docs`: one byte of version (0 or 1) and a JSON object with the packages' interfaces and worlds.
//! `wit_component::decode` applies such a section only where it describes the decoded package itself, and
//! fails otherwise. So it is shown none here, and the comments are put in their places by name: wherever the
//! section stands in the component, and whatever it has besides.

use std::collections::BTreeMap;

use serde::Deserialize;
use wasmparser::{Parser, Payload};
use wit_component::DecodedWasm;
use wit_parser::{Docs, Function, InterfaceId, Resolve, TypeDefKind, TypeId, WorldId, WorldItem, WorldKey};

const SECTION: &str = "package-docs";
/// As long as the other name, so that nothing moves.
const HIDDEN: &[u8; SECTION.len()] = b"-not-read-!-";

/// What a component imports and exports, as WIT.
pub(super) fn decode(component: &[u8]) -> Result<DecodedWasm, String> {
    let (plain, notes) = without_docs(component);
    let mut decoded = wit_component::decode(&plain).map_err(|error| format!("{error:#}"))?;
    if let DecodedWasm::Component(resolve, world) = &mut decoded {
        notes.iter().for_each(|notes| notes.write(resolve, *world));
    }
    Ok(decoded)
}

/// The component with its sections of comments under another name, and what they say.
fn without_docs(component: &[u8]) -> (Vec<u8>, Vec<Notes>) {
    let mut plain = component.to_vec();
    let mut notes = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        let Ok(Payload::CustomSection(section)) = payload else { continue };
        if section.name() != SECTION {
            continue;
        }
        let start = section.data_offset().saturating_sub(SECTION.len());
        if let Some(name) = plain.get_mut(start..section.data_offset()) {
            name.copy_from_slice(HIDDEN);
        }
        // What cannot be read says nothing: comments are no reason to refuse a component.
        if let [0 | 1, json @ ..] = section.data() {
            notes.extend(serde_json::from_slice::<Notes>(json));
        }
    }
    (plain, notes)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Notes {
    worlds: BTreeMap<String, WorldNotes>,
    interfaces: BTreeMap<String, InterfaceNotes>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WorldNotes {
    types: BTreeMap<String, TypeNotes>,
    /// Imports, and in older sections also exports.
    interfaces: BTreeMap<String, InterfaceNotes>,
    funcs: BTreeMap<String, FunctionNotes>,
    interface_exports: BTreeMap<String, InterfaceNotes>,
    func_exports: BTreeMap<String, FunctionNotes>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InterfaceNotes {
    funcs: BTreeMap<String, FunctionNotes>,
    types: BTreeMap<String, TypeNotes>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TypeNotes {
    docs: Option<String>,
    /// Of fields, cases and flags.
    items: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum FunctionNotes {
    Docs(Option<String>),
    More { docs: Option<String> },
}

impl Notes {
    fn write(&self, resolve: &mut Resolve, world: WorldId) {
        let Some(exports) = resolve.worlds.get(world).map(|world| world.exports.clone()) else { return };
        for (key, item) in &exports {
            match (key, item) {
                (WorldKey::Name(name), WorldItem::Interface { id, .. }) => {
                    for notes in self.worlds.values() {
                        let found = notes.interface_exports.get(name).or_else(|| notes.interfaces.get(name));
                        found.into_iter().for_each(|notes| notes.write(resolve, *id));
                    }
                }
                (WorldKey::Name(name), WorldItem::Function(_)) => {
                    let found = self.worlds.values().find_map(|world| world.function(name));
                    let exports = resolve.worlds.get_mut(world).map(|world| &mut world.exports);
                    if let Some(WorldItem::Function(function)) = exports.and_then(|exports| exports.get_mut(key)) {
                        found.into_iter().for_each(|notes| notes.write(function));
                    }
                }
                _ => {}
            }
        }
        self.write_named(resolve, world);
    }

    /// Interfaces that have a name of their own, whether they export functions or only types for others; and
    /// the types of the world.
    fn write_named(&self, resolve: &mut Resolve, world: WorldId) {
        let named: Vec<(InterfaceId, String)> =
            resolve.interfaces.iter().filter_map(|(id, interface)| Some((id, interface.name.clone()?))).collect();
        for (id, name) in named {
            self.interfaces.get(&name).into_iter().for_each(|notes| notes.write(resolve, id));
        }
        let types: Vec<(TypeId, String)> = resolve
            .types
            .iter()
            .filter(|(_, ty)| ty.owner == wit_parser::TypeOwner::World(world))
            .filter_map(|(id, ty)| Some((id, ty.name.clone()?)))
            .collect();
        for (id, name) in types {
            let found = self.worlds.values().find_map(|world| world.types.get(&name));
            found.into_iter().for_each(|notes| notes.write(resolve, id));
        }
    }
}

impl WorldNotes {
    fn function(&self, name: &str) -> Option<&FunctionNotes> {
        self.func_exports.get(name).or_else(|| self.funcs.get(name))
    }
}

impl InterfaceNotes {
    fn write(&self, resolve: &mut Resolve, id: InterfaceId) {
        let Some(interface) = resolve.interfaces.get_mut(id) else { return };
        for (name, notes) in &self.funcs {
            interface.functions.get_mut(name.as_str()).into_iter().for_each(|function| notes.write(function));
        }
        let types: Vec<_> =
            self.types.iter().filter_map(|(name, notes)| Some((*interface.types.get(name)?, notes))).collect();
        types.into_iter().for_each(|(id, notes)| notes.write(resolve, id));
    }
}

impl FunctionNotes {
    fn write(&self, function: &mut Function) {
        let (Self::Docs(docs) | Self::More { docs }) = self;
        if docs.is_some() {
            function.docs.contents.clone_from(docs);
        }
    }
}

impl TypeNotes {
    fn write(&self, resolve: &mut Resolve, id: TypeId) {
        let Some(definition) = resolve.types.get_mut(id) else { return };
        if self.docs.is_some() {
            definition.docs.contents.clone_from(&self.docs);
        }
        let item = |name: &str, docs: &mut Docs| {
            if let Some(text) = self.items.get(name) {
                docs.contents = Some(text.clone());
            }
        };
        match &mut definition.kind {
            TypeDefKind::Record(record) => record.fields.iter_mut().for_each(|it| item(&it.name, &mut it.docs)),
            TypeDefKind::Variant(variant) => variant.cases.iter_mut().for_each(|it| item(&it.name, &mut it.docs)),
            TypeDefKind::Enum(cases) => cases.cases.iter_mut().for_each(|it| item(&it.name, &mut it.docs)),
            TypeDefKind::Flags(flags) => flags.flags.iter_mut().for_each(|it| item(&it.name, &mut it.docs)),
            _ => {}
        }
    }
}
