//! JSON as the house takes it: RFC 8259 with the holes closed that let two readers see two things.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text is not JSON that the house takes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(serde_json::Error);

/// Parses one JSON value. Refused besides bad syntax: duplicate keys, lone surrogates, numbers that no
/// double can hold, and nesting deeper than 127.
pub fn parse(text: &str) -> Result<Value, JsonError> {
    serde_json::from_str::<Strict>(text).map(|strict| strict.0).map_err(JsonError)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let Strict(value) = entries.next_value()?;
            if map.contains_key(&key) {
                return Err(de::Error::custom(format_args!("duplicate key {key:?}")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_what_serde_json_takes() {
        let text = r#"{"a":[1,-2,3.5,18446744073709551615,"é\u00e9\n",true,null],"b":{}}"#;
        assert_eq!(parse(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn two_readers_never_see_two_things() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for (text, why) in [
            (r#"{"a":1,"a":2}"#, "duplicate key"),
            (r#"{"b":{"a":1,"\u0061":2}}"#, "duplicate key"),
            (r#""\ud800""#, "surrogate"),
            ("1e400", "out of range"),
            (deep.as_str(), "recursion limit"),
            ("{} {}", "trailing characters"),
            ("{'a':1}", "key must be a string"),
            ("NaN", "expected value"),
        ] {
            let said = parse(text).unwrap_err().to_string();
            let known = said.contains(why) || (why == "surrogate" && said.contains("hex escape"));
            assert!(known, "{text}: {said}");
        }
    }
}
