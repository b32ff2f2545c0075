//! Types and values by chance, always the same ones for the same seed; and what a value is in JSON.

use std::collections::VecDeque;

use serde_json::{Map, Number, Value, json};

/// What decides by chance: SplitMix64, or the bytes of a fuzzer and then zeros.
pub enum Chance {
    Seed(u64),
    Bytes(VecDeque<u8>),
}

impl Chance {
    pub fn next(&mut self) -> u64 {
        match self {
            Self::Seed(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            }
            Self::Bytes(bytes) => (0..8).fold(0, |all, _| all << 8 | u64::from(bytes.pop_front().unwrap_or(0))),
        }
    }

    pub fn below(&mut self, bound: usize) -> usize {
        match self {
            // One byte is enough for most, and easier to change for a fuzzer.
            Self::Bytes(bytes) if bound <= 256 => usize::from(bytes.pop_front().unwrap_or(0)) % bound,
            _ => (self.next() % bound as u64) as usize,
        }
    }

    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A WIT type.
#[derive(Debug, Clone)]
pub enum Ty {
    Bool,
    /// Signed, and how many bits.
    Int(bool, u32),
    F32,
    F64,
    Char,
    Str,
    Bytes,
    List(Box<Ty>),
    Tuple(Vec<Ty>),
    Option(Box<Ty>),
    Result(Option<Box<Ty>>, Option<Box<Ty>>),
    /// By its place among the definitions.
    Named(usize),
}

#[derive(Debug, Clone)]
pub enum Definition {
    Record(Vec<(String, Ty)>),
    Variant(Vec<(String, Option<Ty>)>),
    Enum(Vec<String>),
    Flags(Vec<String>),
    Alias(Ty),
}

/// Definitions, each of which uses only those before it.
#[derive(Debug, Default)]
pub struct Types(pub Vec<Definition>);

impl Types {
    pub fn random(chance: &mut Chance, count: usize) -> Self {
        let mut types = Self::default();
        for _ in 0..count {
            let definition = types.definition(chance);
            types.0.push(definition);
        }
        types
    }

    fn definition(&self, chance: &mut Chance) -> Definition {
        let many = chance.one(&[1, 2, 3, 5, 9, 17, 33, 40]).to_owned();
        let few = 1 + chance.below(5);
        match chance.below(5) {
            0 => Definition::Record(names(few, "field").into_iter().map(|name| (name, self.ty(chance, 2))).collect()),
            1 => {
                let payload = |types: &Self, chance: &mut Chance| (chance.below(3) > 0).then(|| types.ty(chance, 2));
                Definition::Variant(names(few, "case").into_iter().map(|n| (n, payload(self, chance))).collect())
            }
            2 => Definition::Enum(names(many, "name")),
            // Not more than 32: the ABI of more is not stable.
            3 => Definition::Flags(names(many.min(32), "flag")),
            _ => Definition::Alias(self.ty(chance, 2)),
        }
    }

    /// A type that is nested at most so deep, names aside.
    pub fn ty(&self, chance: &mut Chance, depth: usize) -> Ty {
        let kinds = if depth == 0 { 8 } else { 14 };
        let inner = |chance: &mut Chance| Box::new(self.ty(chance, depth.saturating_sub(1)));
        match chance.below(kinds) {
            0 => Ty::Bool,
            1 => Ty::Int(chance.below(2) == 0, *chance.one(&[8, 16, 32, 64])),
            2 => Ty::F32,
            3 => Ty::F64,
            4 => Ty::Char,
            5 => Ty::Str,
            6 => Ty::Bytes,
            7 if !self.0.is_empty() => Ty::Named(chance.below(self.0.len())),
            7 => Ty::Str,
            8 | 9 => Ty::List(inner(chance)),
            10 => Ty::Tuple((0..1 + chance.below(4)).map(|_| self.ty(chance, depth - 1)).collect()),
            11 | 12 => Ty::Option(inner(chance)),
            _ => {
                let mut side = || (chance.below(3) > 0).then(|| inner(chance));
                Ty::Result(side(), side())
            }
        }
    }

    /// As WIT writes the definitions.
    pub fn wit(&self) -> String {
        let mut text = String::new();
        for (index, definition) in self.0.iter().enumerate() {
            text += &match definition {
                Definition::Record(fields) => {
                    let fields: Vec<_> = fields.iter().map(|(name, ty)| format!("{name}: {}", ty.wit())).collect();
                    format!("record t{index} {{ {} }}\n", fields.join(", "))
                }
                Definition::Variant(cases) => {
                    let payload = |ty: &Option<Ty>| ty.as_ref().map(|ty| format!("({})", ty.wit())).unwrap_or_default();
                    let cases: Vec<_> = cases.iter().map(|(name, ty)| format!("{name}{}", payload(ty))).collect();
                    format!("variant t{index} {{ {} }}\n", cases.join(", "))
                }
                Definition::Enum(names) => format!("enum t{index} {{ {} }}\n", names.join(", ")),
                Definition::Flags(names) => format!("flags t{index} {{ {} }}\n", names.join(", ")),
                Definition::Alias(ty) => format!("type t{index} = {};\n", ty.wit()),
            };
        }
        text
    }

    fn is_option(&self, ty: &Ty) -> bool {
        match ty {
            Ty::Option(_) => true,
            Ty::Named(index) => matches!(&self.0[*index], Definition::Alias(ty) if self.is_option(ty)),
            _ => false,
        }
    }

    fn is_byte(&self, ty: &Ty) -> bool {
        match ty {
            Ty::Int(false, 8) => true,
            Ty::Named(index) => matches!(&self.0[*index], Definition::Alias(ty) if self.is_byte(ty)),
            _ => false,
        }
    }

    /// A value, as a caller may write it.
    pub fn value(&self, chance: &mut Chance, ty: &Ty, size: usize) -> Value {
        let less = size.saturating_sub(1);
        match ty {
            Ty::Bool => json!(chance.below(2) == 0),
            Ty::Int(signed, bits) => integer(chance, *signed, *bits),
            Ty::F32 => float(chance, |chance| f64::from(f32::from_bits(chance.next() as u32))),
            Ty::F64 => float(chance, |chance| f64::from_bits(chance.next())),
            Ty::Char => json!(character(chance).to_string()),
            Ty::Str => json!((0..chance.below(6)).map(|_| character(chance)).collect::<String>()),
            Ty::Bytes => bytes(chance),
            Ty::List(ty) if self.is_byte(ty) => bytes(chance),
            Ty::List(ty) => (0..chance.below(size + 1)).map(|_| self.value(chance, ty, less)).collect(),
            Ty::Tuple(types) => types.iter().map(|ty| self.value(chance, ty, less)).collect(),
            Ty::Option(_) if chance.below(3) == 0 => Value::Null,
            Ty::Option(ty) if self.is_option(ty) => json!({"some": self.value(chance, ty, less)}),
            Ty::Option(ty) => self.value(chance, ty, less),
            Ty::Result(ok, err) => {
                let (name, payload) = if chance.below(2) == 0 { ("ok", ok) } else { ("err", err) };
                self.case(chance, name, payload.as_deref(), less)
            }
            Ty::Named(index) => match &self.0[*index] {
                Definition::Record(fields) => {
                    let mut members = Map::new();
                    for (name, ty) in fields {
                        let value = self.value(chance, ty, less);
                        if !(value.is_null() && chance.below(2) == 0) {
                            members.insert(name.clone(), value);
                        }
                    }
                    members.into()
                }
                Definition::Variant(cases) => {
                    let (name, payload) = chance.one(cases);
                    self.case(chance, name, payload.as_ref(), less)
                }
                Definition::Enum(names) => json!(chance.one(names)),
                Definition::Flags(names) => {
                    let mut flags: Vec<_> = names.iter().filter(|_| chance.below(2) == 0).collect();
                    if chance.below(2) == 0 {
                        flags.reverse();
                    }
                    json!(flags)
                }
                Definition::Alias(ty) => self.value(chance, ty, size),
            },
        }
    }

    fn case(&self, chance: &mut Chance, name: &str, payload: Option<&Ty>, size: usize) -> Value {
        match payload {
            None => json!(name),
            Some(ty) => json!({ name: self.value(chance, ty, size) }),
        }
    }

    /// The one form of a value, for comparing: what may be left out is there, flags are in their order, and
    /// numbers are in the bits of their type.
    pub fn plain(&self, ty: &Ty, value: &Value) -> Value {
        match ty {
            Ty::Int(..) => {
                let digits = value.as_number().unwrap();
                let integer = digits.as_i128().unwrap_or_else(|| digits.as_f64().unwrap() as i128);
                json!(integer.to_string())
            }
            Ty::F32 if value.is_number() => json!((value.as_f64().unwrap() as f32).to_bits()),
            Ty::F64 if value.is_number() => json!(value.as_f64().unwrap().to_bits()),
            Ty::List(ty) if self.is_byte(ty) => value.clone(),
            Ty::List(ty) => value.as_array().unwrap().iter().map(|item| self.plain(ty, item)).collect(),
            Ty::Tuple(types) => {
                let items = value.as_array().unwrap();
                assert_eq!(items.len(), types.len());
                types.iter().zip(items).map(|(ty, item)| self.plain(ty, item)).collect()
            }
            Ty::Option(_) if value.is_null() => Value::Null,
            Ty::Option(ty) if self.is_option(ty) => json!({"some": self.plain(ty, &value["some"])}),
            Ty::Option(ty) => json!({"is": self.plain(ty, value)}),
            Ty::Result(ok, err) => {
                self.plain_case(value, |name| if name == "ok" { ok.as_deref() } else { err.as_deref() })
            }
            Ty::Named(index) => match &self.0[*index] {
                Definition::Record(fields) => {
                    let members = value.as_object().unwrap();
                    assert!(members.keys().all(|member| fields.iter().any(|(name, _)| name == member)));
                    let plain = |(name, ty): &(String, Ty)| (name.clone(), self.plain(ty, &value[name]));
                    Value::Object(fields.iter().map(plain).collect())
                }
                Definition::Variant(cases) => self.plain_case(value, |name| {
                    cases.iter().find(|(case, _)| case == name).and_then(|(_, payload)| payload.as_ref())
                }),
                Definition::Flags(names) => {
                    let flags = value.as_array().unwrap();
                    json!(names.iter().filter(|name| flags.contains(&json!(name))).collect::<Vec<_>>())
                }
                Definition::Alias(ty) => self.plain(ty, value),
                Definition::Enum(_) => value.clone(),
            },
            _ => value.clone(),
        }
    }

    fn plain_case<'t>(&self, value: &Value, payload: impl Fn(&str) -> Option<&'t Ty>) -> Value {
        match value.as_object() {
            None => value.clone(),
            Some(members) => {
                let (name, value) = members.iter().next().unwrap();
                json!({ name: self.plain(payload(name).unwrap(), value) })
            }
        }
    }
}

impl Ty {
    pub fn wit(&self) -> String {
        let side = |side: &Option<Box<Self>>| side.as_ref().map_or_else(|| "_".to_owned(), |ty| ty.wit());
        match self {
            Self::Bool => "bool".to_owned(),
            Self::Int(signed, bits) => format!("{}{bits}", if *signed { 's' } else { 'u' }),
            Self::F32 => "f32".to_owned(),
            Self::F64 => "f64".to_owned(),
            Self::Char => "char".to_owned(),
            Self::Str => "string".to_owned(),
            Self::Bytes => "list<u8>".to_owned(),
            Self::List(ty) => format!("list<{}>", ty.wit()),
            Self::Tuple(types) => format!("tuple<{}>", types.iter().map(Self::wit).collect::<Vec<_>>().join(", ")),
            Self::Option(ty) => format!("option<{}>", ty.wit()),
            Self::Result(None, None) => "result".to_owned(),
            Self::Result(Some(ok), None) => format!("result<{}>", ok.wit()),
            Self::Result(ok, err) => format!("result<{}, {}>", side(ok), side(err)),
            Self::Named(index) => format!("t{index}"),
        }
    }
}

fn names(count: usize, stem: &str) -> Vec<String> {
    (0..count).map(|index| format!("{stem}-x{index}")).collect()
}

fn integer(chance: &mut Chance, signed: bool, bits: u32) -> Value {
    let (low, high) = match signed {
        true => (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1),
        false => (0, (1i128 << bits) - 1),
    };
    let any = low + i128::from(chance.next()) % (high - low + 1);
    let value = *chance.one(&[low, high, 0, 1, low + 1, high - 1, any, any, any]);
    // The same number, written with a fraction.
    if value.abs() < 1 << 53 && chance.below(4) == 0 {
        return json!(value as f64);
    }
    u64::try_from(value).map_or_else(|_| json!(value as i64), |value| json!(value))
}

fn float(chance: &mut Chance, any: impl Fn(&mut Chance) -> f64) -> Value {
    let plain = [0.0, -0.0, 1.0, -1.5, 0.1, f64::from(f32::MAX), f64::from(f32::MIN_POSITIVE), 1e-45];
    match chance.below(6) {
        0 => json!(*chance.one(&["NaN", "Infinity", "-Infinity"])),
        1 | 2 => json!(*chance.one(&plain)),
        _ => Number::from_f64(any(chance)).map_or_else(|| json!("NaN"), Value::Number),
    }
}

fn character(chance: &mut Chance) -> char {
    let any = char::from_u32((chance.next() % 0x11_0000) as u32);
    *chance.one(&['a', '"', '\\', '\0', '\n', 'é', '中', '🦀', '\u{10ffff}', any.unwrap_or('x'), any.unwrap_or('y')])
}

fn bytes(chance: &mut Chance) -> Value {
    json!(base64(&(0..chance.below(7)).map(|_| chance.next() as u8).collect::<Vec<_>>()))
}

pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for index in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * index) & 63) as usize];
            text.push(if index <= group.len() { letter as char } else { '=' });
        }
    }
    text
}

/// The value with something else in one place; it may still be of its type.
pub fn broken(chance: &mut Chance, value: &Value) -> Value {
    let mut broken = value.clone();
    let place = somewhere(&mut broken, chance);
    *place = junk(chance, place);
    broken
}

fn somewhere<'v>(value: &'v mut Value, chance: &mut Chance) -> &'v mut Value {
    let width = match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        _ => 0,
    };
    if width == 0 || chance.below(4) == 0 {
        return value;
    }
    let inner = match value {
        Value::Object(members) => members.values_mut().nth(chance.below(width)),
        value => value.get_mut(chance.below(width)),
    };
    somewhere(inner.unwrap(), chance)
}

fn junk(chance: &mut Chance, old: &Value) -> Value {
    let mut whole = old.clone();
    match &mut whole {
        Value::Object(members) if chance.below(2) == 0 => {
            members.insert("stranger".to_owned(), json!(1));
            return whole;
        }
        Value::Array(items) if chance.below(2) == 0 => {
            items.push(items.first().cloned().unwrap_or(json!(null)));
            return whole;
        }
        _ => {}
    }
    let some = [
        json!(null),
        json!(true),
        json!(-1),
        json!(256),
        json!(1.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e300),
        json!(""),
        json!("ab"),
        json!("AB=="),
        json!("AA="),
        json!("nan"),
        json!("ok"),
        json!([]),
        json!([null]),
        json!({}),
        json!({"some": null}),
        json!({"ok": 1}),
        json!({"ok": 1, "err": 2}),
    ];
    chance.one(&some).clone()
}
