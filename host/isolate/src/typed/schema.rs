//! JSON Schema 2020-12 of WIT types, such that nothing is lost on the way; `docs/bundles.md` has the table.
//!
//! The text is written directly: the members stay in the order of the WIT, and its size is checked at every
//! step, so that types that share parts cannot make it grow without end. `typed/value.rs` reads and writes the
//! values that these schemas describe.

use std::collections::{HashMap, HashSet};

use wit_parser::{Function, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, TypeId, TypeOwner};

/// The longest schema; the house takes no longer ones from anybody.
const BYTES_MAX: usize = 256 << 10;

/// Types with names in one schema; the house takes no more from anybody.
const TYPES_MAX: usize = 500;

/// Schemas are read by parsers that stop at 127 levels.
const LEVELS_MAX: usize = 100;

/// Cases of a variant or an enum, and flags: a value is compared with one name after the other.
const NAMES_MAX: usize = 1_000;

/// Base64 with padding, and zeros in the bits that stand for nothing (RFC 4648, sections 3.5 and 4).
const BASE64: &str = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";

/// The schemas of functions. An error is the reason why a function cannot be a tool.
pub(super) struct Schemas<'r> {
    resolve: &'r Resolve,
    /// What interfaces are called, for those that have no name of their own.
    interfaces: HashMap<InterfaceId, String>,
}

impl<'r> Schemas<'r> {
    pub(super) fn new(resolve: &'r Resolve, interfaces: HashMap<InterfaceId, String>) -> Self {
        Self { resolve, interfaces }
    }

    /// The schema of the arguments: an object with one member for each parameter.
    pub(super) fn input(&self, function: &Function) -> Result<String, String> {
        let mut writer = Writer::new(self);
        let parameters = function.params.iter().map(|param| Member { name: &param.name, ty: &param.ty, docs: None });
        writer.put("{")?;
        writer.object(parameters)?;
        writer.finish()
    }

    /// The schema of the result: an object with the member `result`. A function that returns nothing has none.
    /// Of `result<T, E>` only `T` is described, because an error is no result.
    pub(super) fn output(&self, function: &Function) -> Result<Option<String>, String> {
        let Some(result) = function.result else { return Ok(None) };
        let result = match self.kind(&result) {
            Some(TypeDefKind::Result(result)) => {
                if let Some(err) = &result.err {
                    self.wrapped(err)?;
                }
                result.ok
            }
            _ => Some(result),
        };
        result.map(|ty| self.wrapped(&ty)).transpose()
    }

    fn wrapped(&self, ty: &Type) -> Result<String, String> {
        let mut writer = Writer::new(self);
        writer.put("{")?;
        writer.object([Member { name: "result", ty, docs: None }].into_iter())?;
        writer.finish()
    }

    /// The type behind its aliases.
    fn resolved(&self, ty: &Type) -> Type {
        let mut ty = *ty;
        while let Type::Id(id) = ty {
            match self.definition(id).map(|definition| &definition.kind) {
                Some(TypeDefKind::Type(next)) => ty = *next,
                _ => break,
            }
        }
        ty
    }

    fn kind(&self, ty: &Type) -> Option<&'r TypeDefKind> {
        match self.resolved(ty) {
            Type::Id(id) => self.definition(id).map(|definition| &definition.kind),
            _ => None,
        }
    }

    fn definition(&self, id: TypeId) -> Option<&'r TypeDef> {
        self.resolve.types.get(id)
    }

    fn is_option(&self, ty: &Type) -> bool {
        matches!(self.kind(ty), Some(TypeDefKind::Option(_)))
    }

    /// What a named type is called in `$defs`.
    fn definition_name(&self, definition: &TypeDef, name: &str) -> String {
        let interface = match definition.owner {
            TypeOwner::Interface(id) => {
                let own = self.resolve.interfaces.get(id).and_then(|interface| interface.name.as_ref());
                own.or_else(|| self.interfaces.get(&id))
            }
            _ => None,
        };
        interface.map_or_else(|| name.to_owned(), |interface| format!("{interface}-{name}"))
    }
}

/// A field or a parameter.
#[derive(Clone, Copy)]
struct Member<'a> {
    name: &'a str,
    ty: &'a Type,
    docs: Option<&'a str>,
}

type Written = Result<(), String>;

struct Writer<'s, 'r> {
    schemas: &'s Schemas<'r>,
    text: String,
    level: usize,
    /// The named types that were mentioned, in the order of their first mention.
    mentioned: Vec<(TypeId, String)>,
    places: HashMap<TypeId, usize>,
    names: HashSet<String>,
}

impl<'s, 'r> Writer<'s, 'r> {
    fn new(schemas: &'s Schemas<'r>) -> Self {
        let (text, mentioned, places, names) = Default::default();
        Self { schemas, text, level: 0, mentioned, places, names }
    }

    /// Adds the types that were mentioned and closes the schema.
    fn finish(mut self) -> Result<String, String> {
        let mut next = 0;
        while let Some((id, name)) = self.mentioned.get(next).cloned() {
            self.put(if next == 0 { r#","$defs":{"# } else { "," })?;
            self.string(&name)?;
            self.put(":{")?;
            if let Some(definition) = self.schemas.definition(id) {
                self.docs(definition.docs.contents.as_deref())?;
                self.defined(&definition.kind)?;
            }
            self.put("}")?;
            next += 1;
        }
        self.put(if next == 0 { "}" } else { "}}" })?;
        Ok(self.text)
    }

    /// Writes structure: what has brackets only where they open or close a level.
    fn put(&mut self, text: &str) -> Written {
        for byte in text.bytes() {
            match byte {
                b'{' | b'[' => self.level += 1,
                b'}' | b']' => self.level = self.level.saturating_sub(1),
                _ => {}
            }
        }
        if self.level > LEVELS_MAX {
            return Err(format!(
                "its types are nested too deeply: the schema would have more than {LEVELS_MAX} levels"
            ));
        }
        self.append(text)
    }

    fn string(&mut self, text: &str) -> Written {
        let quoted = serde_json::to_string(text).map_err(|error| error.to_string())?;
        self.append(&quoted)
    }

    fn append(&mut self, text: &str) -> Written {
        self.text.push_str(text);
        match self.text.len() {
            0..=BYTES_MAX => Ok(()),
            _ => Err(format!("its types are too large: the schema would be longer than {} KiB", BYTES_MAX >> 10)),
        }
    }

    fn strings<'n>(&mut self, names: impl ExactSizeIterator<Item = &'n str>) -> Written {
        self.count(names.len())?;
        self.put("[")?;
        for (index, name) in names.enumerate() {
            self.put(if index == 0 { "" } else { "," })?;
            self.string(name)?;
        }
        self.put("]")
    }

    fn count(&self, names: usize) -> Written {
        match names {
            0..=NAMES_MAX => Ok(()),
            _ => Err(format!("one of its types has {names} cases or flags, and at most {NAMES_MAX} can be used")),
        }
    }

    fn docs(&mut self, docs: Option<&str>) -> Written {
        let Some(docs) = docs else { return Ok(()) };
        self.put(r#""description":"#)?;
        self.string(docs.trim())?;
        self.put(",")
    }

    /// The schema of one type.
    fn schema(&mut self, ty: &Type, docs: Option<&str>) -> Written {
        self.put("{")?;
        self.docs(docs)?;
        self.members(ty)?;
        self.put("}")
    }

    /// The members of the schema of a type, without the brackets around them.
    fn members(&mut self, ty: &Type) -> Written {
        match self.schemas.resolved(ty) {
            Type::Bool => self.put(r#""type":"boolean""#),
            Type::U8 => self.integer(u8::MIN, u8::MAX),
            Type::U16 => self.integer(u16::MIN, u16::MAX),
            Type::U32 => self.integer(u32::MIN, u32::MAX),
            Type::U64 => self.integer(u64::MIN, u64::MAX),
            Type::S8 => self.integer(i8::MIN, i8::MAX),
            Type::S16 => self.integer(i16::MIN, i16::MAX),
            Type::S32 => self.integer(i32::MIN, i32::MAX),
            Type::S64 => self.integer(i64::MIN, i64::MAX),
            Type::F32 => self.float(r#","minimum":-3.4028235e38,"maximum":3.4028235e38"#),
            Type::F64 => self.float(""),
            Type::Char => self.put(r#""type":"string","minLength":1,"maxLength":1"#),
            Type::String => self.put(r#""type":"string""#),
            Type::ErrorContext => Err(unusable("an error-context")),
            Type::Id(id) => match self.schemas.definition(id) {
                Some(TypeDef { name: Some(name), .. }) => self.reference(id, name),
                Some(definition) => self.defined(&definition.kind),
                None => Err(unusable("a type that is not there")),
            },
        }
    }

    fn integer(&mut self, minimum: impl ToString, maximum: impl ToString) -> Written {
        let (minimum, maximum) = (minimum.to_string(), maximum.to_string());
        self.put(&format!(r#""type":"integer","minimum":{minimum},"maximum":{maximum}"#))
    }

    fn float(&mut self, bounds: &str) -> Written {
        self.put(&format!(r#""anyOf":[{{"type":"number"{bounds}}},{{"enum":["NaN","Infinity","-Infinity"]}}]"#))
    }

    fn reference(&mut self, id: TypeId, name: &str) -> Written {
        let schemas = self.schemas;
        let Some(definition) = schemas.definition(id) else { return Err(unusable("a type that is not there")) };
        if let TypeDefKind::Resource = definition.kind {
            return Err(unusable(&format!("the resource `{name}`")));
        }
        let place = match self.places.get(&id) {
            Some(place) => *place,
            None if self.mentioned.len() >= TYPES_MAX => {
                return Err(format!("it takes or returns more than {TYPES_MAX} types with names"));
            }
            None => {
                let plain = schemas.definition_name(definition, name);
                let mut free = plain.clone();
                let mut number = 2;
                while !self.names.insert(free.clone()) {
                    free = format!("{plain}-{number}");
                    number += 1;
                }
                self.places.insert(id, self.mentioned.len());
                self.mentioned.push((id, free));
                self.mentioned.len() - 1
            }
        };
        let name = self.mentioned.get(place).map(|(_, name)| format!("#/$defs/{name}")).unwrap_or_default();
        self.put(r#""$ref":"#)?;
        self.string(&name)
    }

    /// The members of the schema of a definition.
    fn defined(&mut self, kind: &TypeDefKind) -> Written {
        match kind {
            TypeDefKind::Record(record) => self.object(record.fields.iter().map(|field| Member {
                name: &field.name,
                ty: &field.ty,
                docs: field.docs.contents.as_deref(),
            })),
            TypeDefKind::Flags(flags) => {
                let count = flags.flags.len();
                self.put(r#""type":"array","items":{"#)?;
                self.one_of(flags.flags.iter().map(|flag| (flag.name.as_str(), flag.docs.contents.as_deref())))?;
                self.put(&format!(r#"}},"uniqueItems":true,"maxItems":{count}"#))
            }
            TypeDefKind::Enum(cases) => {
                self.one_of(cases.cases.iter().map(|case| (case.name.as_str(), case.docs.contents.as_deref())))
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter();
                self.cases(cases.map(|case| (case.name.as_str(), case.ty.as_ref(), case.docs.contents.as_deref())))
            }
            TypeDefKind::Result(result) => {
                self.cases([("ok", result.ok.as_ref(), None), ("err", result.err.as_ref(), None)].into_iter())
            }
            TypeDefKind::Option(ty) => self.option(ty),
            TypeDefKind::Tuple(tuple) => self.tuple(&tuple.types),
            TypeDefKind::List(ty) if self.schemas.resolved(ty) == Type::U8 => {
                self.put(r#""type":"string","contentEncoding":"base64","pattern":"#)?;
                self.string(BASE64)
            }
            TypeDefKind::List(ty) => {
                self.put(r#""type":"array","items":"#)?;
                self.schema(ty, None)
            }
            TypeDefKind::FixedLengthList(ty, length) => {
                self.put(&format!(r#""type":"array","minItems":{length},"maxItems":{length},"items":"#))?;
                self.schema(ty, None)
            }
            TypeDefKind::Map(key, value) => {
                self.put(r#""type":"array","items":{"#)?;
                self.tuple(&[*key, *value])?;
                self.put("}")
            }
            TypeDefKind::Type(ty) => self.members(ty),
            TypeDefKind::Resource | TypeDefKind::Handle(_) => Err(unusable("a resource")),
            TypeDefKind::Future(_) => Err(unusable("a future")),
            TypeDefKind::Stream(_) => Err(unusable("a stream")),
            TypeDefKind::Unknown => Err(unusable("a type that is not known")),
        }
    }

    /// Members of an object whose members are these and no others.
    fn object<'m>(&mut self, members: impl Iterator<Item = Member<'m>> + Clone) -> Written {
        self.put(r#""type":"object","properties":{"#)?;
        for (index, member) in members.clone().enumerate() {
            self.put(if index == 0 { "" } else { "," })?;
            self.string(member.name)?;
            self.put(":")?;
            self.schema(member.ty, member.docs)?;
        }
        self.put(r#"},"required":["#)?;
        let schemas = self.schemas;
        for (index, member) in members.filter(|member| !schemas.is_option(member.ty)).enumerate() {
            self.put(if index == 0 { "" } else { "," })?;
            self.string(member.name)?;
        }
        self.put(r#"],"additionalProperties":false"#)
    }

    /// One of several texts. With comments each is a schema of its own.
    fn one_of<'n>(&mut self, texts: impl ExactSizeIterator<Item = (&'n str, Option<&'n str>)> + Clone) -> Written {
        self.put(r#""type":"string","#)?;
        if texts.clone().any(|(_, docs)| docs.is_some()) {
            return self.cases(texts.map(|(name, docs)| (name, None, docs)));
        }
        self.put(r#""enum":"#)?;
        self.strings(texts.map(|(name, _)| name))
    }

    fn cases<'n>(
        &mut self,
        cases: impl ExactSizeIterator<Item = (&'n str, Option<&'n Type>, Option<&'n str>)>,
    ) -> Written {
        self.count(cases.len())?;
        self.put(r#""oneOf":["#)?;
        for (index, (name, payload, docs)) in cases.enumerate() {
            self.put(if index == 0 { "{" } else { ",{" })?;
            self.docs(docs)?;
            match payload {
                None => {
                    self.put(r#""const":"#)?;
                    self.string(name)?;
                }
                Some(ty) => self.only(name, ty)?,
            }
            self.put("}")?;
        }
        self.put("]")
    }

    /// Members of an object with exactly this one member.
    fn only(&mut self, name: &str, ty: &Type) -> Written {
        self.put(r#""type":"object","properties":{"#)?;
        self.string(name)?;
        self.put(":")?;
        self.schema(ty, None)?;
        self.put(r#"},"required":["#)?;
        self.string(name)?;
        self.put(r#"],"additionalProperties":false"#)
    }

    fn option(&mut self, ty: &Type) -> Written {
        self.put(r#""anyOf":["#)?;
        if self.schemas.is_option(ty) {
            // Two ways to be nothing have to be told apart.
            self.put("{")?;
            self.only("some", ty)?;
            self.put("}")?;
        } else {
            self.schema(ty, None)?;
        }
        self.put(r#",{"type":"null"}]"#)
    }

    fn tuple(&mut self, types: &[Type]) -> Written {
        let count = types.len();
        self.put(r#""type":"array","prefixItems":["#)?;
        for (index, ty) in types.iter().enumerate() {
            self.put(if index == 0 { "" } else { "," })?;
            self.schema(ty, None)?;
        }
        self.put(&format!(r#"],"items":false,"minItems":{count},"maxItems":{count}"#))
    }
}

fn unusable(what: &str) -> String {
    format!("it takes or returns {what}, which has no form in JSON")
}
