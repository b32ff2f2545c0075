//! JSON-RPC 2.0, as far as MCP uses it. Texts are passed on as they came; only the envelope is read.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::params::{Members, Params, present};

/// One message from a client.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    /// The text of the id; `None` for a notification.
    pub id: Option<&'a str>,
    pub method: Cow<'a, str>,
    /// No parameters are empty ones. The text says why they are none that any method takes.
    pub params: Result<Params<'a>, String>,
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

/// A message with parameters that are read as `P`.
#[derive(Deserialize)]
#[serde(bound(deserialize = "P: Deserialize<'de>"))]
struct Wire<'a, P> {
    #[serde(borrow)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "present")]
    params: Option<P>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Malformed> {
        // Left to itself serde would take a list for the members in their order.
        if text.trim_start().starts_with('[') {
            return Err(Malformed::NotRequest("a list where a message should be".to_owned(), None));
        }
        // Read once if all is well. What is wrong, and whose answer that deserves, shows when the parameters are read
        // on their own.
        match serde_json::from_str::<Wire<'a, Members<Params<'a>>>>(text) {
            Ok(wire) => wire.envelope(|Members(params)| Ok(Ok(params))),
            Err(_) => Self::parse_apart(text),
        }
    }

    /// The same in two goes: the envelope, and then the parameters.
    pub(crate) fn parse_apart(text: &'a str) -> Result<Self, Malformed> {
        let wire: Wire<'a, &'a RawValue> = serde_json::from_str(text).map_err(|error| match error.is_data() {
            true => Malformed::NotRequest(error.to_string(), None),
            false => Malformed::NotJson(error.to_string()),
        })?;
        wire.envelope(|params| match params.get().starts_with('{') {
            true => Ok(serde_json::from_str(params.get()).map_err(|error| error.to_string())),
            false => Err("\"params\" is not an object"),
        })
    }
}

impl<'a, P> Wire<'a, P> {
    /// What the message is. `read` tells what the parameters are, or why there can be none such.
    fn envelope(
        self,
        read: impl FnOnce(P) -> Result<Result<Params<'a>, String>, &'static str>,
    ) -> Result<Envelope<'a>, Malformed> {
        let id = self.id.map(RawValue::get);
        let refuse = |why: &str, id: Option<&str>| Err(Malformed::NotRequest(why.to_owned(), id.map(str::to_owned)));
        if id.is_some_and(|id| !is_id(id)) {
            return refuse("an id is a string or an integer of at most 256 bytes, and not null", None);
        }
        if self.jsonrpc.as_deref() != Some("2.0") {
            return refuse("\"jsonrpc\" is not \"2.0\"", id);
        }
        let Some(method) = self.method else {
            return match (id, self.result, self.error) {
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
        match self.params.map_or_else(|| Ok(Ok(Params::default())), read) {
            Ok(params) => Ok(Envelope { id, method, params }),
            Err(why) => refuse(why, id),
        }
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
        let body =
            r#" {"id": 7, "jsonrpc":"2.0","params":{"a": 1.50, "arguments": {"b": 1.50}},"method":"tools\/list"} "#;
        let envelope = Envelope::parse(body).unwrap();
        assert_eq!((envelope.id, &*envelope.method), (Some("7"), "tools/list"));
        assert_eq!(envelope.params.unwrap().arguments.unwrap().get(), r#"{"b": 1.50}"#);
        let envelope = Envelope::parse(r#"{"jsonrpc":"2.0","method":"x"}"#).unwrap();
        assert!(envelope.id.is_none() && envelope.params.unwrap().name.is_none());
    }

    #[test]
    fn parameters_that_no_method_takes_leave_the_rest_readable() {
        for params in [r#"{"name":3}"#, r#"{"name":"a","name":"b"}"#, r#"{"_meta":[]}"#, r#"{"cursor":[]}"#] {
            let body = format!(r#"{{"jsonrpc":"2.0","params":{params},"id":7,"method":"x"}}"#);
            let envelope = Envelope::parse(&body).unwrap();
            assert_eq!((envelope.id, &*envelope.method, envelope.params.is_err()), (Some("7"), "x", true), "{params}");
        }
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
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":["a"]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{},"params":{}}"#,
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
