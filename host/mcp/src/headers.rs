//! The request headers of MCP 2026-07-28 ("Streamable HTTP", server validation): they repeat parts of the
//! body for the intermediaries on the way, and a server refuses what does not agree.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

pub(crate) static VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
static METHOD: HeaderName = HeaderName::from_static("mcp-method");
static NAME: HeaderName = HeaderName::from_static("mcp-name");
const PREFIX: &str = "=?base64?";
const SUFFIX: &str = "?=";

/// A parameter that a tool's schema wants repeated in a header (`x-mcp-header`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParamHeader {
    /// The way to the parameter, through nested objects.
    pub path: Vec<String>,
    /// `mcp-param-…`.
    pub header: HeaderName,
}

/// The text of a header. `None` where there is none; an error where it is not one readable line.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, String> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    match (first, second) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(format!("{name} is there more than once")),
        (Some(value), None) => match str::from_utf8(value.as_bytes()) {
            Ok(text) => Ok(Some(text.trim_matches([' ', '\t']))),
            Err(_) => Err(format!("{name} is not UTF-8")),
        },
    }
}

/// Checks `Mcp-Method` against the method of the body.
pub(crate) fn check_method(headers: &HeaderMap, method: &str) -> Result<(), String> {
    agree(headers, &METHOD, Some(method))
}

/// Checks `Mcp-Name` against the name or the URI in the body.
pub(crate) fn check_name(headers: &HeaderMap, name: &str) -> Result<(), String> {
    agree(headers, &NAME, Some(name))
}

/// Checks the `Mcp-Param-…` headers of a tool against its arguments.
pub(crate) fn check_params(headers: &HeaderMap, params: &[ParamHeader], arguments: &Value) -> Result<(), String> {
    for param in params {
        let value = param.path.iter().try_fold(arguments, |value, key| value.get(key));
        let expected = match value {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(Cow::Borrowed(text.as_str())),
            Some(value) => Some(Cow::Owned(value.to_string())),
        };
        agree(headers, &param.header, expected.as_deref())?;
    }
    Ok(())
}

fn agree(headers: &HeaderMap, name: &HeaderName, expected: Option<&str>) -> Result<(), String> {
    let found = text(headers, name)?.map(decode).transpose().map_err(|why| format!("{name}: {why}"))?;
    match (found.as_deref(), expected) {
        (found, expected) if found == expected => Ok(()),
        (None, _) => Err(format!("{name} is missing, and the body has the value")),
        (Some(_), None) => Err(format!("{name} has a value, and the body has none")),
        (Some(_), Some(_)) => Err(format!("{name} and the body disagree")),
    }
}

/// The headers that repeat the arguments of a tool with this schema, as a client sends them.
pub fn param_headers(schema: &Value, arguments: &Value) -> Vec<(HeaderName, HeaderValue)> {
    let repeated = |param: ParamHeader| {
        let value = param.path.iter().try_fold(arguments, |value, key| value.get(key))?;
        let text = match value {
            Value::Null => return None,
            Value::String(text) => Cow::Borrowed(text.as_str()),
            value => Cow::Owned(value.to_string()),
        };
        Some((param.header, header_value(&text)))
    };
    params_of(schema).into_iter().filter_map(repeated).collect()
}

/// A text as a header's value: as it is where that is possible, and `=?base64?…?=` where it is not.
pub fn header_value(text: &str) -> HeaderValue {
    let is_plain = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        && text.trim_ascii().len() == text.len()
        && !(text.starts_with(PREFIX) && text.ends_with(SUFFIX));
    let encoded = || format!("{PREFIX}{}{SUFFIX}", STANDARD.encode(text));
    let value = if is_plain { HeaderValue::from_str(text) } else { HeaderValue::from_str(&encoded()) };
    value.unwrap_or(HeaderValue::from_static(""))
}

/// Decodes `=?base64?…?=`; everything else stands for itself.
fn decode(text: &str) -> Result<Cow<'_, str>, &'static str> {
    let Some(encoded) = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)) else {
        return Ok(Cow::Borrowed(text));
    };
    let bytes = STANDARD.decode(encoded).map_err(|_| "not standard base64 with padding (RFC 4648, section 4)")?;
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| "the base64 does not hold UTF-8")
}

/// The parameters that `schema` wants in headers, through nested `properties`.
pub(crate) fn params_of(schema: &Value) -> Vec<ParamHeader> {
    let mut found = Vec::new();
    collect(schema, &mut Vec::new(), &mut found);
    found
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<ParamHeader>) {
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        path.push(name.clone());
        if let Some(header) = property.get("x-mcp-header").and_then(Value::as_str) {
            // A name that no header can have would make the tool impossible to call.
            if let Ok(header) = HeaderName::try_from(format!("mcp-param-{header}")) {
                found.push(ParamHeader { path: path.clone(), header });
            }
        }
        collect(property, path, found);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_header_agrees_with_the_body_or_not() {
        assert!(check_method(&headers(&[("mcp-method", " tools/list\t")]), "tools/list").is_ok());
        assert!(check_method(&headers(&[("mcp-method", "TOOLS/LIST")]), "tools/list").is_err());
        assert!(check_method(&headers(&[]), "tools/list").is_err());
        assert!(check_method(&headers(&[("mcp-method", "a"), ("mcp-method", "a")]), "a").is_err());
        assert!(check_name(&headers(&[("mcp-name", "=?base64?Z3LDvMOf?=")]), "grüß").is_ok());
        assert!(check_name(&headers(&[("mcp-name", "=?base64?SGVsbG8?=")]), "Hello").is_err(), "no padding");
        assert!(check_name(&headers(&[("mcp-name", "=?base64?SGVsbG8=")]), "=?base64?SGVsbG8=").is_ok(), "no suffix");
    }

    #[test]
    fn values_are_written_as_they_are_read() {
        for text in ["plain", "two words", " padded", "grüß", "a\nb", "", "=?base64?x?=", "=?base64?x"] {
            let value = header_value(text);
            assert_eq!(decode(value.to_str().unwrap()).unwrap(), text);
        }
        let schema =
            json!({"properties": {"a": {"x-mcp-header": "A"}, "n": {"x-mcp-header": "N"}, "z": {"x-mcp-header": "Z"}}});
        let arguments = json!({"a": "ü", "n": 3, "z": null});
        let written = param_headers(&schema, &arguments);
        let headers: HeaderMap = written.into_iter().collect();
        assert_eq!(check_params(&headers, &params_of(&schema), &arguments), Ok(()));
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn parameters_are_found_and_compared() {
        let schema = json!({"properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
        }});
        let params = params_of(&schema);
        assert_eq!(params.len(), 2);
        let arguments = json!({"region": "eu", "deep": {"n": 3}});
        let good = [("mcp-param-region", "eu"), ("mcp-param-n", "3")];
        assert_eq!(check_params(&headers(&good), &params, &arguments), Ok(()));
        assert!(check_params(&headers(&good[..1]), &params, &arguments).is_err());
        assert!(check_params(&headers(&good), &params, &json!({"region": "eu"})).is_err());
        assert!(check_params(&headers(&[]), &params, &json!({"region": null})).is_ok());
    }
}
