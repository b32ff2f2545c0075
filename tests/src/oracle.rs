//! The oracle: the same requests to Certosa and to a server on the Rust SDK, with the same things on offer, get
//! the same answers, apart from the deviations that are listed here with their reasons.

#[expect(deprecated, reason = "an older client sets the level of log messages")]
mod fixture;
mod requests;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::requests::{OLDER, Request, modern, older};
use crate::support::{House, MODERN, Response, bundles};

const TIMEOUT: Duration = Duration::from_secs(30);
const NEW: &[&str] = &[MODERN];
const ALL: &[&str] = &["2025-03-26", "2025-06-18", "2025-11-25", MODERN];

/// In which versions, for which requests, what differs (Certosa's, not the fixture's), and why Certosa does so.
/// Sections without a version are of 2026-07-28.
#[rustfmt::skip]
const DEVIATIONS: &[(&[&str], &[&str], &str, &str)] = &[
    // Refusals before there is a request. "Words" are plain text; the specification allows an error without an id
    // as well (Streamable HTTP, Security & Endpoint; Sending Messages, 5), and Certosa sends nothing but messages.
    (ALL, &["malformed", "empty"], "400 error -32700, not 415 words",
        "JSON-RPC 2.0, section 5.1: invalid JSON is a parse error; the media type was right"),
    (ALL, &["number", "no jsonrpc", "jsonrpc 1.0", "id null", "id a fraction", "id an object", "params an array"],
        "400 error -32600, not 415 words",
        "JSON-RPC 2.0, section 5.1: no request; an id is text or an integer (Overview, Requests)"),
    (OLDER, &["params null"], "400 error -32600, not 200 result", "JSON-RPC 2.0, section 4.2: params are structured"),
    (NEW, &["params null"], "400 error -32600, not 400 error -32602", "the same; the fixture misses `_meta` in them"),
    (&["2025-03-26"], &["batch"], "200 result, not 415 words",
        "2025-03-26, Base Protocol, Batching: batches have to be received in this version"),
    (&["2025-06-18", "2025-11-25", MODERN], &["batch"], "400 error -32600, not 415 words",
        "later versions have no batches (2025-06-18, Key Changes, 1)"),
    (ALL, &["text as content", "no content type"], "415 error -32600, not 415 words", "a message all the same"),
    (ALL, &["accept text"], "406 error -32600, not 406 words", "a message all the same"),
    (ALL, &["accept nothing said", "accept anything", "accept JSON"], "200 result, not 406 words",
        "RFC 9110, section 12.5.1: what is accepted is sent; that both types be listed binds the client only"),
    (ALL, &["foreign host", "foreign origin"], "403 error -32600, not 403 words", "a message all the same"),
    (ALL, &["PUT"], "405 error -32600, not 405 words", "a message all the same"),
    (NEW, &["GET", "DELETE"], "405 error -32600, not 405 words", "a message all the same"),
    // Sessions and versions of the older era (sections of 2025-11-25, Transports).
    (OLDER, &["no session"], "400 error -32600, not 400 words", "a message all the same"),
    (OLDER, &["wrong session", "GET, wrong session", "use after DELETE"], "404 error -32600, not 404 words",
        "a message all the same"),
    (OLDER, &["GET, no session", "DELETE, no session"], "405 error -32600, not 400 words",
        "as in 2026-07-28 (Earlier Streamable HTTP Revisions); 405 is allowed (Listening, 3; Session Management, 5)"),
    (OLDER, &["DELETE"], "204 nothing, not 202 nothing", "RFC 9110, section 9.3.5: it is done, not only accepted"),
    (OLDER, &["DELETE, wrong session", "DELETE again"], "404 error -32600, not 202 nothing",
        "Session Management, 3: a session that is over is not found, whatever is asked"),
    (OLDER, &["another version"], "400 error -32600, not 200 result",
        "Protocol Version Header: the version is the one that was negotiated"),
    (OLDER, &["version of 2024"], "400 error -32022, not 200 result",
        "Protocol Version Header: 400 for a version that is not served"),
    (OLDER, &["unknown version"], "400 error -32022, not 400 words", "the same"),
    (NEW, &["older version in _meta"], "400 error -32600, not 200 result",
        "Versioning, Terminology: the older versions begin with a handshake, whatever `_meta` says"),
    (OLDER, &["response"], "400 error -32600, not 202 nothing",
        "Sending Messages, 4: an answer to a question that nobody asked is not accepted"),
    (OLDER, &["server/discover"], "200 error -32601, not 400 error -32602", "the older versions have no such method"),
    (NEW, &["initialize", "logging/setLevel"], "404 error -32601, not 200 result",
        "there are no such methods any more (Key Changes, 2 and 5), and who sends `_meta` is modern (Versioning)"),
    // Errors. What a request lacks is a wrong parameter; the fixture takes the method for an unknown one.
    (OLDER, &["tools/call, no name", "prompts/get, no name", "resources/read, no uri",
        "completion/complete, no argument", "logging/setLevel, wrong"],
        "200 error -32602, not 200 error -32601", "the method is there, its parameters are not"),
    (NEW, &["tools/call, no name", "prompts/get, no name", "resources/read, no uri",
        "completion/complete, no argument"], "400 error -32602, not 404 error -32601", "the same"),
    (OLDER, &["tools/list, cursor no text"], "200 error -32602, not 200 result", "a cursor is text (Pagination)"),
    (NEW, &["tools/list, cursor no text"], "400 error -32602, not 200 result", "the same"),
    (OLDER, &["tools/list, wrong cursor"], "200 error -32602, not 200 result",
        "Pagination, Error Handling: invalid cursors are invalid params"),
    (NEW, &["tools/list, wrong cursor"], "400 error -32602, not 200 result", "the same"),
    (NEW, &["tools/call, unknown", "prompts/get, refused", "prompts/get, unknown", "prompts/get, missing argument",
        "prompts/get, another argument", "prompts/get, argument no text", "resources/read, unknown",
        "completion/complete, unknown argument", "completion/complete, unknown prompt"],
        "400 error -32602, not 200 error -32602",
        "400 is the status of -32602 where the specification names one (Overview, `_meta`), so it is for all of them"),
    (ALL, &["prompts/get, unknown"], r#"/0/error/data: absent, not {"available_prompts":["welcome"]}"#,
        "prompts/list says that"),
    // Results.
    (ALL, &["tools/call", "tools/call, cannot ask", "tools/call, no arguments"], "/0/result/isError: absent, not false",
        "false is the default (Schema, CallToolResult)"),
    (NEW, &["an answer", "a refusal", "a session", "encoded name in the header"],
        "/0/result/isError: absent, not false", "the same"),
    (ALL, &["tools/call, missing argument", "tools/call, another argument", "tools/call, argument no text"],
        r#"/0/result/_meta: {"certosa/refusal":{"fault":"caller","kind":"arguments"}}, not absent"#,
        "programs learn whose fault it was (docs/request.md)"),
    (NEW, &["server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "charset",
        "no info in _meta"], "/0/result/ttlMs: 60000, not 0", "Caching: the server's choice; changes are announced"),
    (NEW, &["tools/list", "prompts/list"], r#"/0/result/cacheScope: "private", not "public""#,
        "Caching: what is listed depends on the caller"),
];

/// One of the two, and its latest session.
struct Server {
    address: String,
    session: String,
}

impl Server {
    fn send(&mut self, request: &Request) -> Response {
        let mut message = format!("{} /mcp HTTP/1.1\r\nConnection: close\r\n", request.verb);
        for (name, value) in &request.headers {
            let value = value.replace("{session}", &self.session).replace("{address}", &self.address);
            message += &format!("{name}: {value}\r\n");
        }
        let body = request.body.replace("{id}", request.name);
        message += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(message.as_bytes()).unwrap();
        let (mut answer, mut part, started) = (Vec::new(), [0; 4096], Instant::now());
        while let Ok(length @ 1..) = stream.read(&mut part) {
            answer.extend(&part[..length]);
            assert!(started.elapsed() < TIMEOUT, "{}: no end", request.name);
        }
        let response = Response::parse(&String::from_utf8(answer).unwrap());
        if let Some(session) = response.header("mcp-session-id") {
            session.clone_into(&mut self.session);
        }
        response
    }
}

/// What is compared of an answer: its status with the kind of its body, and its messages. Whether they come as a
/// stream or as one body is not compared, nor what a body without messages says.
fn essence(response: &Response) -> (String, Vec<Value>) {
    let kind = response.header("content-type").and_then(|kind| kind.split(';').next());
    let messages = match kind {
        Some("application/json") => match serde_json::from_str(&response.body).unwrap() {
            Value::Array(batch) => batch,
            message => vec![message],
        },
        Some("text/event-stream") => {
            let events = response.body.lines().filter_map(|line| line.strip_prefix("data: "));
            events.filter(|data| !data.is_empty()).map(|data| serde_json::from_str(data).unwrap()).collect()
        }
        _ => Vec::new(),
    };
    let kind = match messages.last() {
        Some(message) if message["result"].is_object() => "result".to_owned(),
        Some(message) => format!("error {}", message["error"]["code"]),
        None if response.body.is_empty() => "nothing".to_owned(),
        None => "words".to_owned(),
    };
    (format!("{} {kind}", response.status), messages.into_iter().map(normal).collect())
}

/// A message without what may differ: who the server is, the words of errors, and the order of lists.
fn normal(mut message: Value) -> Value {
    let mut covered = vec!["/result/serverInfo", "/result/_meta/io.modelcontextprotocol~1serverInfo", "/error/message"];
    if message["result"]["isError"] == true {
        covered.push("/result/content/0/text");
    }
    for path in covered {
        if let Some(value) = message.pointer_mut(path) {
            *value = json!("…");
        }
    }
    for list in ["tools", "prompts", "resources", "resourceTemplates"] {
        let items = message["result"].get_mut(list).and_then(Value::as_array_mut);
        for item in items.into_iter().flatten() {
            if let Some(arguments) = item.get_mut("arguments").and_then(Value::as_array_mut) {
                arguments.sort_by_key(|argument| argument["name"].to_string());
            }
        }
        if let Some(items) = message["result"].get_mut(list).and_then(Value::as_array_mut) {
            items.sort_by_key(|item| item["name"].to_string());
        }
    }
    message
}

/// Every difference between two answers, as `Certosa's, not the fixture's`. Messages are compared when both
/// answers have a result, or both have an error.
fn differences(ours: &Response, theirs: &Response) -> Vec<String> {
    let ((ours, messages), (theirs, messages_of_theirs)) = (essence(ours), essence(theirs));
    let mut found = Vec::new();
    if ours != theirs {
        found.push(format!("{ours}, not {theirs}"));
    }
    if ours.split_once(' ').map(|(_, kind)| kind) == theirs.split_once(' ').map(|(_, kind)| kind) {
        compare("", Some(&json!(messages)), Some(&json!(messages_of_theirs)), &mut found);
    }
    found
}

fn compare(path: &str, ours: Option<&Value>, theirs: Option<&Value>, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                compare(&format!("{path}/{key}"), a.get(key), b.get(key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for index in 0..a.len().max(b.len()) {
                compare(&format!("{path}/{index}"), a.get(index), b.get(index), found);
            }
        }
        _ if ours == theirs => {}
        _ => {
            let say = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), Value::to_string);
            found.push(format!("{path}: {}, not {}", say(ours), say(theirs)));
        }
    }
}

#[test]
fn certosa_answers_as_the_rust_sdk_does() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fixture = runtime.block_on(fixture::serve()).to_string();
    let house = House::start(&bundles(&["hello"], "").replace("callers", "toolNames = bare, callers"));
    let mut found = BTreeSet::new();
    for version in ALL {
        let mut certosa = Server { address: house.address.clone(), session: String::new() };
        let mut sdk = Server { address: fixture.clone(), session: String::new() };
        for request in if *version == MODERN { modern() } else { older(version) } {
            let what = differences(&certosa.send(&request), &sdk.send(&request));
            found.extend(what.into_iter().map(|what| (*version, request.name, what)));
        }
    }
    let mut listed = BTreeSet::new();
    for (versions, names, what, _) in DEVIATIONS {
        for version in *versions {
            listed.extend(names.iter().map(|name| (*version, *name, (*what).to_owned())));
        }
    }
    let new: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(new.is_empty() && gone.is_empty(), "not listed: {new:#?}\nlisted, but not found: {gone:#?}");
}
