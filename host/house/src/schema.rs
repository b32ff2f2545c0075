use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

/// A JSON Schema 2020-12, compiled once. It refers to nothing outside of itself, and its regular expressions
/// take time linear in the text: a schema comes from a bundle and is run in the host.
pub struct Schema(Validator);

const ERROR_CHARS_MAX: usize = 300;

/// Regular expressions in one schema.
const PATTERNS_MAX: usize = 100;
/// The text of one, which is read again for each escape in it that ECMAScript has and Rust has not.
const PATTERN_BYTES_MAX: usize = 1 << 10;
/// One that is compiled: `\p{L}{1000}` has twelve letters and takes 10 MiB. To match takes time that grows with
/// this and with the text.
const PATTERN_SIZE_MAX: usize = 1 << 20;

impl Schema {
    /// Compiles the schema of arguments or of a result: its root must describe an object.
    pub fn of_object(text: &str) -> Result<Self, String> {
        let schema = crate::json::parse(text).map_err(|error| format!("is not JSON: {error}"))?;
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err("has no \"type\": \"object\" at its root".to_owned());
        }
        let patterns = patterns(&schema);
        if patterns.len() > PATTERNS_MAX {
            return Err(format!("has {} regular expressions, and at most {PATTERNS_MAX} are allowed", patterns.len()));
        }
        if let Some(long) = patterns.iter().find(|pattern| pattern.len() > PATTERN_BYTES_MAX) {
            return Err(format!("has a regular expression of {} bytes, past {PATTERN_BYTES_MAX}", long.len()));
        }
        let expressions = PatternOptions::regex().size_limit(PATTERN_SIZE_MAX).dfa_size_limit(PATTERN_SIZE_MAX);
        let options = jsonschema::options().with_draft(Draft::Draft202012);
        let built = options.with_pattern_options(expressions).build(&schema);
        built.map(Self).map_err(|error| format!("is not a usable JSON Schema: {}", shorten(&error.to_string())))
    }

    /// What is wrong with `value`; nothing, mostly. Only the first thing is looked for: to collect all of them
    /// can take time and memory that double with every level of the value.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        self.0.validate(value).map_err(|error| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { String::new() } else { format!("at {place}: ") };
            format!("{}{}", shorten(&place), shorten(&error.masked_with("the value").to_string()))
        })
    }
}

/// What stands in a schema as a regular expression, or looks like it.
fn patterns(schema: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = vec![schema];
    while let Some(value) = rest.pop() {
        match value {
            Value::Object(members) => {
                found.extend(members.get("pattern").and_then(Value::as_str));
                let named = members.get("patternProperties").and_then(Value::as_object);
                found.extend(named.into_iter().flat_map(|named| named.keys().map(String::as_str)));
                rest.extend(members.values());
            }
            Value::Array(items) => rest.extend(items),
            _ => {}
        }
    }
    found
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(ERROR_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use serde_json::json;

    #[test]
    fn errors_name_the_place() {
        let text = r#"{"type":"object","properties":{"a":{"type":"integer","maximum":3}},"required":["b"]}"#;
        let schema = Schema::of_object(text).unwrap();
        assert_eq!(schema.check(&json!({"a": 3, "b": 0})), Ok(()));
        let error = schema.check(&json!({"a": 4, "b": 0})).unwrap_err();
        assert!(error.starts_with("at /a: ") && error.contains("maximum of 3"), "{error}");
        assert!(schema.check(&json!({})).unwrap_err().contains("\"b\""));
    }

    #[test]
    fn unusable_schemas_are_refused() {
        for text in [
            "{",
            "true",
            r#"{"type":"string"}"#,
            r#"{"type":"object","properties":{"a":{"type":"nothing"}}}"#,
            r#"{"type":"object","$ref":"https://example.com/schema"}"#,
            r#"{"type":"object","$ref":"file:///etc/passwd"}"#,
            r#"{"type":"object","properties":{"a":{"pattern":"("}}}"#,
        ] {
            assert!(Schema::of_object(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_cannot_take_for_ever() {
        let text = r#"{"type":"object","properties":{"a":{"pattern":"^(a+)+$"}}}"#;
        let schema = Schema::of_object(text).unwrap();
        assert!(schema.check(&json!({"a": format!("{}!", "a".repeat(50_000))})).is_err());
    }

    #[test]
    fn a_pattern_cannot_be_large() {
        let schema = |pattern: &str| json!({"type": "object", "properties": {"a": {"pattern": pattern}}}).to_string();
        for good in ["^[a-z0-9-]{1,253}$", r"^\p{L}{1,10}$", r"^[\w.+-]{1,64}@[\w-]+(\.[\w-]+){1,8}$", r"^\d{4}-\d\d$"]
        {
            assert!(Schema::of_object(&schema(good)).is_ok(), "{good}");
        }
        for bad in [r"\p{L}{99}{9}", "(a{1000}){1000}", &r"\cA".repeat(400), &"(?i:\\p{L})".repeat(90)] {
            let started = Instant::now();
            assert!(Schema::of_object(&schema(bad)).is_err(), "{bad}");
            assert!(started.elapsed() < Duration::from_secs(5), "{bad}: {:?}", started.elapsed());
        }
        let many =
            format!("{{{}}}", (0..=PATTERNS_MAX).map(|n| format!(r#""a{n}":{{}}"#)).collect::<Vec<_>>().join(","));
        assert!(Schema::of_object(&format!(r#"{{"type":"object","patternProperties":{many}}}"#)).is_err());
    }

    #[test]
    fn a_recursive_schema_cannot_take_for_ever() {
        let twice = r##"{"additionalProperties":{"$ref":"#"}}"##;
        let schema = Schema::of_object(&format!(r#"{{"type":"object","allOf":[{twice},{twice}]}}"#)).unwrap();
        let depth = 100;
        let deep = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert!(schema.check(&crate::json::parse(&deep).unwrap()).is_err());

        let schema = Schema::of_object(r#"{"type":"object","properties":{"a":{"items":{"type":"string"}}}}"#).unwrap();
        let many = json!({"a": vec![0; 1_000_000]});
        assert!(schema.check(&many).unwrap_err().len() < 1000);
    }
}
