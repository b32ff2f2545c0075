use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

/// A JSON Schema 2020-12, compiled once. It refers to nothing outside of itself, and its regular expressions
/// take time linear in the text: a schema comes from a bundle and is run in the host.
pub struct Schema(Validator);

const ERRORS_MAX: usize = 5;
const ERROR_CHARS_MAX: usize = 300;

impl Schema {
    /// Compiles the schema of arguments or of a result: its root must describe an object.
    pub fn of_object(text: &str) -> Result<Self, String> {
        let schema = crate::json::parse(text).map_err(|error| format!("is not JSON: {error}"))?;
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err("has no \"type\": \"object\" at its root".to_owned());
        }
        let options = jsonschema::options().with_draft(Draft::Draft202012);
        let built = options.with_pattern_options(PatternOptions::regex()).build(&schema);
        built.map(Self).map_err(|error| format!("is not a usable JSON Schema: {}", shorten(&error.to_string())))
    }

    /// What is wrong with `value`; nothing, mostly.
    pub fn check(&self, value: &Value) -> Result<(), Vec<String>> {
        if self.0.is_valid(value) {
            return Ok(());
        }
        let describe = |error: jsonschema::ValidationError<'_>| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { String::new() } else { format!("at {place}: ") };
            format!("{place}{}", shorten(&error.to_string()))
        };
        Err(self.0.iter_errors(value).take(ERRORS_MAX).map(describe).collect())
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(ERROR_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_name_the_place() {
        let text = r#"{"type":"object","properties":{"a":{"type":"integer","maximum":3}},"required":["b"]}"#;
        let schema = Schema::of_object(text).unwrap();
        assert_eq!(schema.check(&json!({"a": 3, "b": 0})), Ok(()));
        let errors = schema.check(&json!({"a": 4})).unwrap_err();
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors.iter().any(|error| error.starts_with("at /a: 4")), "{errors:?}");
        assert!(errors.iter().any(|error| error.contains("\"b\"")), "{errors:?}");
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
}
