//! JSON-RPC 2.0, as far as MCP uses it. Texts are passed on as they came; only the envelope is read.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One message from a client.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    /// The text of the id; `None` for a notification.
    pub id: Option<&'a str>,
    pub method: Cow<'a, str>,
    /// The text of the parameters: an object.
    pub params: Option<&'a str>,
}

/// A body: one message, or several where a version has batches.
#[derive(Debug)]
pub(crate) enum Body<'a> {
    One(&'a str),
    Batch(Vec<&'a RawValue>),
}

/// What a message was instead of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    NotJson(String),
    /// The id, where there is a usable one.
    NotRequest(String, Option<String>),
    /// An answer of the client to a question of ours.
    Response(Response),
}

/// An answer of the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// The text of the id.
    pub id: String,
    /// The text of the result, or the message of the error.
    pub result: Result<String, String>,
}

#[derive(Deserialize)]
struct WireError<'a> {
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
}

/// Takes a body apart.
pub(crate) fn read(body: &[u8]) -> Result<Body<'_>, Malformed> {
    let text = str::from_utf8(body).map_err(|error| Malformed::NotJson(error.to_string()))?;
    if !text.trim_start().starts_with('[') {
        return Ok(Body::One(text));
    }
    serde_json::from_str(text).map(Body::Batch).map_err(|error| Malformed::NotJson(error.to_string()))
}

/// Error codes of JSON-RPC and of MCP 2026-07-28.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Parse = -32700,
    InvalidRequest = -32600,
    /// MCP 2025-11-25 and before.
    ResourceNotFound = -32002,
    MethodNotFound = -32601,
    InvalidParams = -32602,
    Internal = -32603,
    HeaderMismatch = -32020,
    MissingCapability = -32021,
    UnsupportedVersion = -32022,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Keeps a `null` apart from nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Envelope<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Malformed> {
        // Left to itself serde would take a list for the members in their order.
        if text.trim_start().starts_with('[') {
            return Err(Malformed::NotRequest("a list where a message should be".to_owned(), None));
        }
        let wire: Wire<'a> = serde_json::from_str(text).map_err(|error| match error.is_data() {
            true => Malformed::NotRequest(error.to_string(), None),
            false => Malformed::NotJson(error.to_string()),
        })?;
        let id = wire.id.map(RawValue::get);
        let refuse = |why: &str, id: Option<&str>| Err(Malformed::NotRequest(why.to_owned(), id.map(str::to_owned)));
        if id.is_some_and(|id| !is_id(id)) {
            return refuse("an id is a string or an integer of at most 256 bytes, and not null", None);
        }
        if wire.jsonrpc.as_deref() != Some("2.0") {
            return refuse("\"jsonrpc\" is not \"2.0\"", id);
        }
        let Some(method) = wire.method else {
            return match (id, wire.result, wire.error) {
                (Some(id), Some(result), None) => {
                    Err(Malformed::Response(Response { id: id.to_owned(), result: Ok(result.get().to_owned()) }))
                }
                (Some(id), None, Some(error)) => {
                    let error = serde_json::from_str::<WireError<'_>>(error.get()).ok().and_then(|error| error.message);
                    let message = error.map_or_else(|| "it gave no reason".to_owned(), Cow::into_owned);
                    Err(Malformed::Response(Response { id: id.to_owned(), result: Err(message) }))
                }
                _ => refuse("there is no \"method\"", id),
            };
        };
        let params = wire.params.map(RawValue::get);
        if params.is_some_and(|params| !params.starts_with('{')) {
            return refuse("\"params\" is not an object", id);
        }
        Ok(Self { id, method, params })
    }

    /// The parameters as `T`, which may borrow from them. No parameters are empty ones.
    pub(crate) fn params<T: Deserialize<'a>>(&self) -> Result<T, String> {
        serde_json::from_str(self.params.unwrap_or("{}")).map_err(|error| error.to_string())
    }
}

/// Ids and progress tokens are repeated in what we send, so they are short.
pub(crate) const ID_BYTES_MAX: usize = 256;

/// A string or an integer, of at most 256 bytes as it is written.
pub(crate) fn is_id(id: &str) -> bool {
    let digits = id.strip_prefix('-').unwrap_or(id);
    id.len() <= ID_BYTES_MAX
        && ((id.starts_with('"') && serde_json::from_str::<String>(id).is_ok())
            || (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())))
}

/// A response with the result `write` writes.
pub(crate) fn response(id: &str, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut body = Vec::with_capacity(512);
    body.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    body.extend_from_slice(id.as_bytes());
    body.extend_from_slice(br#","result":"#);
    write(&mut body);
    body.push(b'}');
    body.into()
}

/// An error response. `data` is JSON text. Without an id the member is left out, as the MCP schema has it.
pub fn error(id: Option<&str>, code: Code, message: &str, data: Option<&str>) -> Bytes {
    let id = id.map(|id| format!(r#""id":{id},"#)).unwrap_or_default();
    let data = data.map(|data| format!(r#","data":{data}"#)).unwrap_or_default();
    let (code, message) = (code as i32, quoted(message));
    format!(r#"{{"jsonrpc":"2.0",{id}"error":{{"code":{code},"message":{message}{data}}}}}"#).into()
}

/// A notification with the parameters `params`, which are JSON text.
pub(crate) fn notification(method: &str, params: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#).into()
}

/// A request of ours with the parameters `params`, which are JSON text.
pub(crate) fn request(id: &str, method: &str, params: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#).into()
}

/// `text` as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_notifications_are_read() {
        let body = r#" {"id": 7, "jsonrpc":"2.0","params":{"a": 1.50},"method":"tools\/list"} "#;
        let envelope = Envelope::parse(body).unwrap();
        assert_eq!((envelope.id, &*envelope.method, envelope.params), (Some("7"), "tools/list", Some("{\"a\": 1.50}")));
        assert!(Envelope::parse(r#"{"jsonrpc":"2.0","method":"x"}"#).unwrap().id.is_none());
    }

    #[test]
    fn everything_else_is_refused() {
        for body in ["", "{", "nul", "\u{0}", "{\"jsonrpc\":\"2.0\"", "{}{}"] {
            assert!(matches!(Envelope::parse(body), Err(Malformed::NotJson(_))), "{body}");
        }
        assert!(matches!(read(b"\"\xff\""), Err(Malformed::NotJson(_))));
        assert!(matches!(read(b" [1,"), Err(Malformed::NotJson(_))));
        assert!(matches!(read(b" [1, {}]"), Ok(Body::Batch(parts)) if parts.len() == 2));
        for body in [
            "3",
            r#"["2.0",7,"ping"]"#,
            "{}",
            r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":"\ud800","method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":[1],"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":3}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
        ] {
            assert!(matches!(Envelope::parse(body), Err(Malformed::NotRequest(..))), "{body}");
        }
    }

    #[test]
    fn answers_of_the_client_are_read() {
        let response = |text| match Envelope::parse(text) {
            Err(Malformed::Response(response)) => response,
            other => panic!("{other:?}"),
        };
        let answer = response(r#"{"jsonrpc":"2.0","id":"q1","result":{"a": 1}}"#);
        assert_eq!(answer, Response { id: "\"q1\"".to_owned(), result: Ok("{\"a\": 1}".to_owned()) });
        let answer = response(r#"{"jsonrpc":"2.0","id":2,"error":{"code":-1,"message":"no"}}"#);
        assert_eq!(answer, Response { id: "2".to_owned(), result: Err("no".to_owned()) });
        for bad in [r#"{"jsonrpc":"2.0","result":{}}"#, r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#] {
            assert!(matches!(Envelope::parse(bad), Err(Malformed::NotRequest(..))), "{bad}");
        }
    }
}
