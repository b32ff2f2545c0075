//! The call that every server is asked: an echo of a text that is another one each time.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::Done;
use crate::http::{Answer, Client};

/// Numbers of calls have as many digits from the first to the last, so that a request can be written once and the
/// number put in.
pub(crate) const FIRST_ID: u64 = 1_000_000_000;
const DIGITS: usize = 10;

const MODERN: &str = "2026-07-28";
const OLDER: &str = "2025-11-25";

/// How a server wants to be asked.
#[derive(Clone)]
pub(crate) struct Call {
    pub path: &'static str,
    pub tool: String,
    era: Era,
}

#[derive(Clone)]
enum Era {
    Modern,
    Session(String),
}

impl Call {
    /// MCP 2026-07-28, in which each request stands for itself.
    pub(crate) fn modern(tool: &str) -> Self {
        Self { path: "/mcp", tool: tool.to_owned(), era: Era::Modern }
    }

    /// MCP 2025-11-25: opens a session, in which all calls are then made.
    pub(crate) fn session(address: &str, path: &'static str, tool: &str) -> Done<Self> {
        let mut client = Client::connect(address)?;
        let id = initialize(&mut client, path)?;
        let headers = format!("MCP-Protocol-Version: {OLDER}\r\nMcp-Session-Id: {id}\r\n");
        let initialized = client.post(path, &headers, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)?;
        drop(initialized);
        Ok(Self { path, tool: tool.to_owned(), era: Era::Session(id) })
    }

    /// The request with number `id`, head and all.
    pub(crate) fn request(&self, address: &str, id: u64) -> Vec<u8> {
        let Self { path, tool, era } = self;
        let (headers, meta) = match era {
            Era::Modern => (
                format!("MCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n"),
                format!(",{}", meta()),
            ),
            Era::Session(session) => {
                (format!("MCP-Protocol-Version: {OLDER}\r\nMcp-Session-Id: {session}\r\n"), String::new())
            }
        };
        let text = text(id);
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"text":"{text}"}}{meta}}}}}"#
        );
        format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// One call on a connection of its own.
    pub(crate) fn once(&self, address: &str) -> Done<()> {
        let answer = Client::connect(address)?.send(&self.request(address, FIRST_ID))?;
        check(&answer, FIRST_ID)
    }
}

/// What every request of MCP 2026-07-28 carries.
pub(crate) fn meta() -> String {
    format!(
        r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"{MODERN}","io.modelcontextprotocol/clientInfo":{{"name":"bench","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}"#
    )
}

/// Headers and body of a call of any tool, the same one each time.
pub(crate) fn of_tool(tool: &str, arguments: Value) -> Done<(String, String)> {
    let mut params: Value = serde_json::from_str(&format!("{{{}}}", meta()))?;
    let members = params.as_object_mut().ok_or("no object")?;
    members.extend([("name".to_owned(), tool.into()), ("arguments".to_owned(), arguments)]);
    let body = json!({"jsonrpc": "2.0", "id": FIRST_ID - 1, "method": "tools/call", "params": params}).to_string();
    let headers = format!("MCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n");
    Ok((headers, body))
}

/// Opens a session of MCP 2025-11-25 and returns its id.
pub(crate) fn initialize(client: &mut Client, path: &str) -> Done<String> {
    let params = format!(
        r#"{{"protocolVersion":"{OLDER}","capabilities":{{"elicitation":{{}}}},"clientInfo":{{"name":"bench","version":"1"}}}}"#
    );
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{params}}}"#);
    let answer = client.post(path, "", &body)?;
    Ok(answer.header("mcp-session-id").ok_or("no session")?.to_owned())
}

/// Whether this is the right answer to call number `id`.
pub(crate) fn check(answer: &Answer, id: u64) -> Done<()> {
    #[derive(Deserialize)]
    struct Message<'a> {
        id: u64,
        #[serde(borrow)]
        result: Outcome<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Outcome<'a> {
        #[serde(borrow)]
        content: Vec<Content<'a>>,
        is_error: Option<bool>,
        structured_content: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Content<'a> {
        #[serde(borrow)]
        text: Cow<'a, str>,
    }
    let wrong = || format!("a wrong answer to call {id}: {}", answer.text());
    let message: Message<'_> = serde_json::from_slice(&answer.body).map_err(|_| wrong())?;
    let Outcome { content, is_error, structured_content } = message.result;
    let is_right = answer.is_success()
        && message.id == id
        && is_error != Some(true)
        && structured_content.is_none()
        && matches!(content.as_slice(), [only] if only.text == text(id));
    if is_right { Ok(()) } else { Err(wrong().into()) }
}

fn text(id: u64) -> String {
    format!("the text of call {id}")
}

/// Bytes in which the number of a call stands at some places.
pub(crate) struct Template {
    pub bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Template {
    /// `bytes` have the number `id` in them.
    pub(crate) fn new(bytes: &[u8], id: u64) -> Self {
        let digits = digits(id);
        let at = |(place, bytes): (usize, &[u8])| (bytes == digits).then_some(place);
        let places = bytes.windows(DIGITS).enumerate().filter_map(at).collect();
        Self { bytes: bytes.to_vec(), places }
    }

    pub(crate) fn set(&mut self, id: u64) {
        let digits = digits(id);
        for place in &self.places {
            if let Some(bytes) = self.bytes.get_mut(*place..place + DIGITS) {
                bytes.copy_from_slice(&digits);
            }
        }
    }
}

fn digits(mut id: u64) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(id % 10).unwrap_or(0);
        id /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::{Call, FIRST_ID, Template};

    #[test]
    fn a_number_is_put_where_the_other_one_was() {
        let call = Call::modern("echo");
        let mut template = Template::new(&call.request("127.0.0.1:1", FIRST_ID), FIRST_ID);
        template.set(1_234_567_890);
        assert_eq!(template.bytes, call.request("127.0.0.1:1", 1_234_567_890));
    }
}
