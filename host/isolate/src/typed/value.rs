//! Values on their way through the border: JSON to the values of a component, and back. What they look like
//! in JSON is what `typed/schema.rs` says.
//!
//! Both ways follow the type, whose depth wasmtime bounds, so they cannot be led deeper than that.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use certosa_model::parse_json;
use serde_json::{Map, Value};
use wasmtime::component::{Type, Val};

/// Why arguments cannot be passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unread {
    /// They are not what the function takes.
    Wrong(String),
    /// They become larger than they may.
    Large,
}

/// Why a value cannot be passed on, and where it stands.
#[derive(Debug)]
struct Misfit {
    place: String,
    why: Unread,
}

type Read<T> = Result<T, Misfit>;

/// Bytes that values may still take in the host.
struct Room(usize);

/// The arguments of a function, in its order. Their values take up to about `bytes_max` bytes in the host.
pub(crate) fn arguments(json: &str, parameters: &[(String, Type)], bytes_max: usize) -> Result<Vec<Val>, Unread> {
    let value = parse_json(json).map_err(|error| Unread::Wrong(format!("they are not JSON: {error}")))?;
    let parameters = parameters.iter().map(|(name, ty)| (name.as_str(), ty.clone()));
    let read = object(&value).and_then(|members| fields(members, parameters, &mut Room(bytes_max)));
    match read {
        Ok(fields) => Ok(fields.into_iter().map(|(_, value)| value).collect()),
        Err(Misfit { place, why: Unread::Wrong(why) }) if !place.is_empty() => {
            Err(Unread::Wrong(format!("at {place}: {why}")))
        }
        Err(misfit) => Err(misfit.why),
    }
}

impl Room {
    fn take(&mut self, bytes: usize) -> Read<()> {
        match self.0.checked_sub(bytes) {
            Some(left) => self.0 = left,
            None => return Err(Misfit { place: String::new(), why: Unread::Large }),
        }
        Ok(())
    }

    /// For a text in the host.
    fn text(&mut self, text: &str) -> Read<String> {
        self.take(size_of::<String>() + text.len())?;
        Ok(text.to_owned())
    }
}

fn misfit<T>(why: impl Into<String>) -> Read<T> {
    Err(Misfit { place: String::new(), why: Unread::Wrong(why.into()) })
}

/// Notes where a value stands, from the inside to the outside.
fn at<T>(place: &dyn std::fmt::Display, read: Read<T>) -> Read<T> {
    read.map_err(|inner| Misfit { place: format!("/{place}{}", inner.place), why: inner.why })
}

fn read(value: &Value, ty: &Type, room: &mut Room) -> Read<Val> {
    room.take(size_of::<Val>())?;
    Ok(match ty {
        Type::Bool => match value {
            Value::Bool(value) => Val::Bool(*value),
            _ => return misfit("a boolean is expected"),
        },
        Type::U8 => Val::U8(integer(value, u8::MIN, u8::MAX)?),
        Type::U16 => Val::U16(integer(value, u16::MIN, u16::MAX)?),
        Type::U32 => Val::U32(integer(value, u32::MIN, u32::MAX)?),
        Type::U64 => Val::U64(integer(value, u64::MIN, u64::MAX)?),
        Type::S8 => Val::S8(integer(value, i8::MIN, i8::MAX)?),
        Type::S16 => Val::S16(integer(value, i16::MIN, i16::MAX)?),
        Type::S32 => Val::S32(integer(value, i32::MIN, i32::MAX)?),
        Type::S64 => Val::S64(integer(value, i64::MIN, i64::MAX)?),
        Type::Float32 => Val::Float32(float32(value)?),
        Type::Float64 => Val::Float64(float(value)?),
        Type::Char => Val::Char(character(value)?),
        Type::String => Val::String(room.text(string(value)?)?),
        Type::List(list) => match list.ty() {
            Type::U8 => bytes(value, room)?,
            ty => Val::List(items(value, &ty, room)?),
        },
        Type::FixedLengthList(list) => {
            let items = items(value, &list.ty(), room)?;
            if items.len() != list.len() as usize {
                return misfit(format!("{} items are expected", list.len()));
            }
            Val::FixedLengthList(items)
        }
        Type::Tuple(tuple) => Val::Tuple(several(value, tuple.types(), room)?),
        Type::Map(map) => Val::Map(entries(value, &map.key(), &map.value(), room)?),
        Type::Record(record) => {
            let types = record.fields().map(|field| (field.name, field.ty));
            Val::Record(fields(object(value)?, types, room)?)
        }
        Type::Option(option) => Val::Option(optional(value, &option.ty(), room)?.map(Box::new)),
        Type::Variant(variant) => {
            let (name, payload) = case(value, variant.cases().map(|case| (case.name, case.ty)), room)?;
            Val::Variant(name, payload)
        }
        Type::Result(result) => {
            let (name, payload) = case(value, [("ok", result.ok()), ("err", result.err())].into_iter(), room)?;
            Val::Result(if name == "ok" { Ok(payload) } else { Err(payload) })
        }
        Type::Enum(cases) => Val::Enum(one_of(value, cases.names(), room)?),
        Type::Flags(flags) => Val::Flags(set(value, || flags.names(), room)?),
        Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext => {
            return misfit("nothing in JSON can stand for it");
        }
    })
}

fn string(value: &Value) -> Read<&str> {
    value.as_str().map_or_else(|| misfit("a string is expected"), Ok)
}

fn array(value: &Value) -> Read<&[Value]> {
    value.as_array().map_or_else(|| misfit("an array is expected"), |items| Ok(items.as_slice()))
}

fn object(value: &Value) -> Read<&Map<String, Value>> {
    value.as_object().map_or_else(|| misfit("an object is expected"), Ok)
}

/// An integer, also where it is written as `1.0` or `1e3`, which is the same number in JSON Schema. Written so a number
/// is a double (RFC 8259, section 6), and stands for the integer that the double is; with digits alone every one is exact.
fn integer<T: TryFrom<i128> + std::fmt::Display>(value: &Value, least: T, most: T) -> Read<T> {
    let exact = match value {
        Value::Number(number) => number.as_i128().or_else(|| {
            let float = number.as_f64().filter(|float| float.fract() == 0.0);
            // What is beyond all integers is taken for the largest, which is out of any range here.
            float.map(|float| float as i128)
        }),
        _ => None,
    };
    match exact.map(T::try_from) {
        Some(Ok(integer)) => Ok(integer),
        _ => misfit(format!("an integer from {least} to {most} is expected")),
    }
}

fn float(value: &Value) -> Read<f64> {
    match value {
        Value::Number(number) => number.as_f64().map_or_else(|| misfit("a number is expected"), Ok),
        Value::String(name) => match name.as_str() {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => misfit(r#"a number is expected, or "NaN", "Infinity" or "-Infinity""#),
        },
        _ => misfit("a number is expected"),
    }
}

fn float32(value: &Value) -> Read<f32> {
    let wide = float(value)?;
    let narrow = wide as f32;
    if narrow.is_infinite() && wide.is_finite() { misfit("the number is out of range") } else { Ok(narrow) }
}

fn character(value: &Value) -> Read<char> {
    let mut characters = string(value)?.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) => Ok(character),
        _ => misfit("one character is expected"),
    }
}

fn bytes(value: &Value, room: &mut Room) -> Read<Val> {
    let text = string(value)?;
    room.take((text.len() / 4 * 3).saturating_mul(size_of::<Val>()))?;
    match BASE64.decode(text) {
        Ok(bytes) => Ok(Val::List(bytes.into_iter().map(Val::U8).collect())),
        Err(error) => misfit(format!("base64 with padding is expected: {error}")),
    }
}

fn items(value: &Value, ty: &Type, room: &mut Room) -> Read<Vec<Val>> {
    array(value)?.iter().enumerate().map(|(index, item)| at(&index, read(item, ty, room))).collect()
}

fn several(value: &Value, types: impl ExactSizeIterator<Item = Type>, room: &mut Room) -> Read<Vec<Val>> {
    let items = array(value)?;
    if items.len() != types.len() {
        return misfit(format!("{} items are expected", types.len()));
    }
    items.iter().zip(types).enumerate().map(|(index, (item, ty))| at(&index, read(item, &ty, room))).collect()
}

fn entries(value: &Value, key: &Type, of: &Type, room: &mut Room) -> Read<Vec<(Val, Val)>> {
    let mut entry = |entry: &Value| match array(entry)? {
        [first, second] => Ok((at(&0, read(first, key, room))?, at(&1, read(second, of, room))?)),
        _ => misfit("a key and a value are expected"),
    };
    array(value)?.iter().enumerate().map(|(index, item)| at(&index, entry(item))).collect()
}

/// The members of a record or the arguments of a function; options may be left out.
fn fields<'t>(
    members: &Map<String, Value>,
    types: impl Iterator<Item = (&'t str, Type)>,
    room: &mut Room,
) -> Read<Vec<(String, Val)>> {
    let mut known = 0;
    let mut fields = Vec::new();
    for (name, ty) in types {
        let value = match (members.get(name), &ty) {
            (Some(value), ty) => {
                known += 1;
                at(&name, read(value, ty, room))?
            }
            (None, Type::Option(_)) => {
                room.take(size_of::<Val>())?;
                Val::Option(None)
            }
            (None, _) => return misfit(format!("{name:?} is missing")),
        };
        fields.push((room.text(name)?, value));
    }
    if known < members.len() {
        let stranger = members.keys().find(|member| !fields.iter().any(|(name, _)| name == *member));
        return misfit(format!("there is no {:?}", stranger.map_or("", |name| name)));
    }
    Ok(fields)
}

fn optional(value: &Value, ty: &Type, room: &mut Room) -> Read<Option<Val>> {
    match (value, ty) {
        (Value::Null, _) => Ok(None),
        (value, Type::Option(_)) => match only(value)? {
            ("some", value) => Ok(Some(at(&"some", read(value, ty, room))?)),
            _ => misfit(r#"null is expected, or an object with the one member "some""#),
        },
        (value, ty) => Ok(Some(read(value, ty, room)?)),
    }
}

/// The only member of an object.
fn only(value: &Value) -> Read<(&str, &Value)> {
    let members = object(value)?;
    match members.iter().next() {
        Some((name, value)) if members.len() == 1 => Ok((name, value)),
        _ => misfit("an object with exactly one member is expected"),
    }
}

fn case<'t>(
    value: &Value,
    mut cases: impl Iterator<Item = (&'t str, Option<Type>)>,
    room: &mut Room,
) -> Read<(String, Option<Box<Val>>)> {
    let (name, payload) = match value {
        Value::String(name) => (name.as_str(), None),
        value => only(value).map(|(name, value)| (name, Some(value)))?,
    };
    match (cases.find(|(case, _)| *case == name), payload) {
        (Some((_, None)), None) => Ok((room.text(name)?, None)),
        (Some((_, Some(ty))), Some(value)) => {
            let value = at(&name, read(value, &ty, room))?;
            Ok((room.text(name)?, Some(Box::new(value))))
        }
        (Some((_, None)), Some(_)) => misfit(format!("the case {name:?} has no value and is written as a string")),
        (Some((_, Some(_))), None) => misfit(format!("the case {name:?} has a value and is written as an object")),
        (None, _) => misfit(format!("there is no case {name:?}")),
    }
}

fn one_of<'t>(value: &Value, mut names: impl Iterator<Item = &'t str>, room: &mut Room) -> Read<String> {
    let name = string(value)?;
    if names.any(|known| known == name) { room.text(name) } else { misfit(format!("there is no {name:?}")) }
}

fn set<'t, N: ExactSizeIterator<Item = &'t str>>(
    value: &Value,
    names: impl Fn() -> N,
    room: &mut Room,
) -> Read<Vec<String>> {
    let items = array(value)?;
    if items.len() > names().len() {
        return misfit(format!("at most {} flags are expected", names().len()));
    }
    let mut flags = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let flag = at(&index, one_of(item, names(), room))?;
        if flags.contains(&flag) {
            return misfit(format!("the flag {flag:?} is there twice"));
        }
        flags.push(flag);
    }
    Ok(flags)
}

/// The JSON of a value. The text ends soon after `bytes_max` bytes, wherever it is then: what is longer than
/// that is only measured.
pub(crate) fn json(value: &Val, ty: &Type, bytes_max: usize) -> String {
    let mut writer = Writer { text: String::new(), bytes_max };
    writer.value(value, ty);
    writer.text
}

struct Writer {
    text: String,
    bytes_max: usize,
}

impl Writer {
    fn is_full(&self) -> bool {
        self.text.len() > self.bytes_max
    }

    fn value(&mut self, value: &Val, ty: &Type) {
        match (value, ty) {
            (Val::Bool(value), _) => self.plain(value),
            (Val::U8(value), _) => self.plain(value),
            (Val::U16(value), _) => self.plain(value),
            (Val::U32(value), _) => self.plain(value),
            (Val::U64(value), _) => self.plain(value),
            (Val::S8(value), _) => self.plain(value),
            (Val::S16(value), _) => self.plain(value),
            (Val::S32(value), _) => self.plain(value),
            (Val::S64(value), _) => self.plain(value),
            (Val::Float32(value), _) => self.float(f64::from(*value), serde_json::to_string(value)),
            (Val::Float64(value), _) => self.float(*value, serde_json::to_string(value)),
            (Val::Char(value), _) => self.string(value.encode_utf8(&mut [0; 4])),
            (Val::String(value) | Val::Enum(value), _) => self.string(value),
            (Val::List(items), Type::List(list)) => match list.ty() {
                Type::U8 => self.bytes(items),
                ty => self.items(items.iter().map(|item| (item, ty.clone()))),
            },
            (Val::FixedLengthList(items), Type::FixedLengthList(list)) => {
                let ty = list.ty();
                self.items(items.iter().map(|item| (item, ty.clone())));
            }
            (Val::Tuple(items), Type::Tuple(tuple)) => self.items(items.iter().zip(tuple.types())),
            (Val::Map(entries), Type::Map(map)) => self.entries(entries, &map.key(), &map.value()),
            (Val::Record(fields), Type::Record(record)) => {
                let types = record.fields().map(|field| field.ty);
                self.members(fields.iter().zip(types).map(|((name, value), ty)| (name.as_str(), value, ty)));
            }
            (Val::Flags(names), _) => self.list(names.iter(), |writer, name| writer.string(name)),
            (Val::Option(None), _) => self.text.push_str("null"),
            (Val::Option(Some(value)), Type::Option(option)) => match option.ty() {
                ty @ Type::Option(_) => self.case("some", Some((value, ty))),
                ty => self.value(value, &ty),
            },
            (Val::Variant(name, payload), Type::Variant(variant)) => {
                let ty = variant.cases().find(|case| case.name == name).and_then(|case| case.ty);
                self.case(name, payload.as_deref().zip(ty));
            }
            (Val::Result(Ok(payload)), Type::Result(result)) => self.case("ok", payload.as_deref().zip(result.ok())),
            (Val::Result(Err(payload)), Type::Result(result)) => self.case("err", payload.as_deref().zip(result.err())),
            // wasmtime lifts values by the same type, so nothing else comes here.
            _ => self.text.push_str("null"),
        }
    }

    fn plain(&mut self, value: &dyn std::fmt::Display) {
        let _never_fails = write!(self.text, "{value}");
    }

    /// `shortest` are the fewest digits that give the same value in its own width.
    fn float(&mut self, value: f64, shortest: serde_json::Result<String>) {
        match shortest {
            _ if value.is_nan() => self.text.push_str("\"NaN\""),
            _ if value == f64::INFINITY => self.text.push_str("\"Infinity\""),
            _ if value == f64::NEG_INFINITY => self.text.push_str("\"-Infinity\""),
            Ok(digits) => self.text.push_str(&digits),
            Err(_) => self.text.push_str("null"),
        }
    }

    fn string(&mut self, text: &str) {
        if self.text.len().saturating_add(text.len()) > self.bytes_max {
            self.text.push_str(text);
        } else {
            self.text.push_str(&serde_json::to_string(text).unwrap_or_default());
        }
    }

    fn bytes(&mut self, items: &[Val]) {
        let byte = |item: &Val| if let Val::U8(byte) = item { *byte } else { 0 };
        let bytes: Vec<u8> = items.iter().map(byte).collect();
        self.text.push('"');
        BASE64.encode_string(bytes, &mut self.text);
        self.text.push('"');
    }

    fn list<T>(&mut self, items: impl Iterator<Item = T>, write: impl Fn(&mut Self, T)) {
        self.text.push('[');
        for (index, item) in items.enumerate() {
            if self.is_full() {
                return;
            }
            if index > 0 {
                self.text.push(',');
            }
            write(self, item);
        }
        self.text.push(']');
    }

    fn items<'v>(&mut self, items: impl Iterator<Item = (&'v Val, Type)>) {
        self.list(items, |writer, (item, ty)| writer.value(item, &ty));
    }

    fn entries(&mut self, entries: &[(Val, Val)], key: &Type, value: &Type) {
        self.list(entries.iter(), |writer, (first, second)| {
            writer.items([(first, key.clone()), (second, value.clone())].into_iter());
        });
    }

    fn members<'v>(&mut self, members: impl Iterator<Item = (&'v str, &'v Val, Type)>) {
        self.text.push('{');
        for (index, (name, value, ty)) in members.enumerate() {
            if self.is_full() {
                return;
            }
            if index > 0 {
                self.text.push(',');
            }
            self.string(name);
            self.text.push(':');
            self.value(value, &ty);
        }
        self.text.push('}');
    }

    fn case(&mut self, name: &str, payload: Option<(&Val, Type)>) {
        match payload {
            None => self.string(name),
            Some((value, ty)) => self.members([(name, value, ty)].into_iter()),
        }
    }
}
