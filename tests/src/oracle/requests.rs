//! The requests that are sent to both.

use serde_json::{Value, json};

use crate::support::MODERN;

pub const OLDER: &[&str] = &["2025-11-25", "2025-06-18", "2025-03-26"];

/// A request. `{session}` and `{address}` stand for those of the server that it goes to, `{id}` for the name.
pub struct Request {
    pub name: &'static str,
    pub verb: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Request {
    fn with(self, header: &'static str, value: &str) -> Self {
        let mut request = self.without(header);
        request.headers.push((header, value.to_owned()));
        request
    }

    fn without(mut self, header: &'static str) -> Self {
        self.headers.retain(|(found, _)| *found != header);
        self
    }

    fn saying(self, body: &str) -> Self {
        Self { body: body.to_owned(), ..self }
    }

    fn verb(self, verb: &'static str) -> Self {
        Self { verb, ..self }.saying("")
    }
}

fn post(name: &'static str, version: &str, method: &str, params: &Value) -> Request {
    let headers = vec![
        ("Host", "{address}".to_owned()),
        ("Content-Type", "application/json".to_owned()),
        ("Accept", "application/json, text/event-stream".to_owned()),
        ("MCP-Protocol-Version", version.to_owned()),
    ];
    let body = json!({"jsonrpc": "2.0", "id": "{id}", "method": method, "params": params}).to_string();
    Request { name, verb: "POST", headers, body }
}

fn initialize(version: &str) -> Value {
    json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}})
}

/// Requests in a session of an older version.
pub fn older(version: &'static str) -> Vec<Request> {
    let ask = |name: &'static str, method: &str, params: Value| {
        post(name, version, method, &params).with("Mcp-Session-Id", "{session}")
    };
    let ping = |name| ask(name, "ping", json!({}));
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let first = [
        post("initialize for 2026", version, "initialize", &initialize(MODERN)).without("MCP-Protocol-Version"),
        post("initialize", version, "initialize", &initialize(version)),
        ping("initialized").saying(initialized),
    ];
    let another = if version == OLDER[0] { OLDER[1] } else { OLDER[0] };
    let last = [
        ask("server/discover", "server/discover", json!({})),
        ping("no version").without("MCP-Protocol-Version"),
        ping("another version").with("MCP-Protocol-Version", another),
        ping("version of 2026").with("MCP-Protocol-Version", MODERN),
        ping("version of 2024").with("MCP-Protocol-Version", "2024-11-05"),
        ping("unknown version").with("MCP-Protocol-Version", "1999-01-01"),
        ping("no session").without("Mcp-Session-Id"),
        ping("wrong session").with("Mcp-Session-Id", "nobody"),
        ping("GET, no session").verb("GET").without("Mcp-Session-Id"),
        ping("GET, wrong session").verb("GET").with("Mcp-Session-Id", "nobody"),
        ping("DELETE, no session").verb("DELETE").without("Mcp-Session-Id"),
        ping("DELETE, wrong session").verb("DELETE").with("Mcp-Session-Id", "nobody"),
        ping("DELETE").verb("DELETE"),
        ping("use after DELETE"),
        ping("DELETE again").verb("DELETE"),
    ];
    first.into_iter().chain(common(&ask)).chain(last).collect()
}

/// Requests of 2026-07-28.
pub fn modern() -> Vec<Request> {
    let meta = |capabilities: Value| {
        json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": capabilities,
        })
    };
    let ask = |name: &'static str, method: &str, mut params: Value| {
        let members = params.as_object_mut().unwrap();
        members.entry("_meta").or_insert_with(|| meta(json!({})));
        let request = post(name, MODERN, method, &params).with("Mcp-Method", method);
        match params["name"].as_str().or(params["uri"].as_str()) {
            Some(subject) => request.with("Mcp-Name", subject),
            None => request,
        }
    };
    let list = |name, meta: Value| ask(name, "resources/templates/list", json!({ "_meta": meta }));
    let lacking = |member: &str| {
        let mut meta = meta(json!({}));
        meta.as_object_mut().unwrap().remove(&format!("io.modelcontextprotocol/{member}"));
        meta
    };
    let mut future = meta(json!({}));
    future["io.modelcontextprotocol/protocolVersion"] = json!("2031-01-01");
    let mut older_meta = meta(json!({}));
    older_meta["io.modelcontextprotocol/protocolVersion"] = json!(OLDER[0]);
    let greet = |name| ask(name, "tools/call", json!({"name": "greet", "arguments": {"name": "Ana"}}));
    let introduce = |name, answers: Value| {
        let meta = meta(json!({"elicitation": {"form": {}}}));
        let params = json!({"name": "introduce", "arguments": {}, "inputResponses": answers, "_meta": meta});
        ask(name, "tools/call", params)
    };
    let last = [
        ask("server/discover", "server/discover", json!({})),
        ask("server/discover, no _meta", "server/discover", json!({"_meta": {}})),
        ask("initialize", "initialize", initialize(MODERN)),
        ask("resources/subscribe", "resources/subscribe", json!({"uri": "hello://about"})),
        introduce("a question", json!({})),
        introduce("an answer", json!({"name": {"action": "accept", "content": {"name": "Ana"}}})),
        introduce("a refusal", json!({"name": {"action": "decline"}})),
        list("no _meta", json!({})),
        list("no version in _meta", lacking("protocolVersion")),
        list("no capabilities in _meta", lacking("clientCapabilities")),
        list("no info in _meta", lacking("clientInfo")),
        list("unsupported version", future.clone()).with("MCP-Protocol-Version", "2031-01-01"),
        list("another version in _meta", future),
        list("older version in _meta", older_meta).with("MCP-Protocol-Version", OLDER[0]),
        greet("another method in the header").with("Mcp-Method", "tools/list"),
        greet("another name in the header").with("Mcp-Name", "echo"),
        greet("encoded name in the header").with("Mcp-Name", "=?base64?Z3JlZXQ=?="),
        greet("badly encoded name in the header").with("Mcp-Name", "=?base64?!!?="),
        greet("no method in the header").without("Mcp-Method"),
        greet("no name in the header").without("Mcp-Name"),
        greet("no version in the header").without("MCP-Protocol-Version"),
        greet("a session").with("Mcp-Session-Id", "nobody"),
        greet("GET").verb("GET"),
        greet("DELETE").verb("DELETE"),
    ];
    common(&ask).into_iter().chain(last).collect()
}

/// Requests that are the same in both eras; `ask` makes one of a name, a method and parameters.
fn common(ask: &dyn Fn(&'static str, &str, Value) -> Request) -> Vec<Request> {
    let call = |name, params: Value| ask(name, "tools/call", params);
    let get = |name, params: Value| ask(name, "prompts/get", params);
    let complete = |name, params: Value| ask(name, "completion/complete", params);
    let list = |name| ask(name, "resources/templates/list", json!({}));
    let welcome = json!({"type": "ref/prompt", "name": "welcome"});
    let greeting = json!({"type": "ref/resource", "uri": "hello://greeting/{language}"});
    let typing = json!({"name": "language", "value": "g"});
    vec![
        ask("ping", "ping", json!({})),
        ask("unknown method", "nothing/here", json!({})),
        ask("logging/setLevel", "logging/setLevel", json!({"level": "error"})),
        ask("logging/setLevel, wrong", "logging/setLevel", json!({"level": "loud"})),
        ask("tools/list", "tools/list", json!({})),
        ask("tools/list, wrong cursor", "tools/list", json!({"cursor": "???"})),
        ask("tools/list, cursor no text", "tools/list", json!({"cursor": 1})),
        call("tools/call", json!({"name": "greet", "arguments": {"name": "Ana"}})),
        call("tools/call, cannot ask", json!({"name": "introduce", "arguments": {}})),
        call("tools/call, no arguments", json!({"name": "introduce"})),
        call("tools/call, unknown", json!({"name": "nothing", "arguments": {}})),
        call("tools/call, no name", json!({"arguments": {}})),
        call("tools/call, missing argument", json!({"name": "greet", "arguments": {}})),
        call("tools/call, another argument", json!({"name": "greet", "arguments": {"name": "A", "b": 1}})),
        call("tools/call, argument no text", json!({"name": "greet", "arguments": {"name": 1}})),
        ask("prompts/list", "prompts/list", json!({})),
        get("prompts/get", json!({"name": "welcome", "arguments": {"name": "A", "language": "german"}})),
        get("prompts/get, refused", json!({"name": "welcome", "arguments": {"name": "A", "language": "x"}})),
        get("prompts/get, unknown", json!({"name": "nothing"})),
        get("prompts/get, no name", json!({})),
        get("prompts/get, missing argument", json!({"name": "welcome", "arguments": {}})),
        get("prompts/get, another argument", json!({"name": "welcome", "arguments": {"name": "A", "b": "c"}})),
        get("prompts/get, argument no text", json!({"name": "welcome", "arguments": {"name": 1}})),
        ask("resources/list", "resources/list", json!({})),
        list("resources/templates/list"),
        ask("resources/read", "resources/read", json!({"uri": "hello://about"})),
        ask("resources/read, template", "resources/read", json!({"uri": "hello://greeting/french"})),
        ask("resources/read, unknown", "resources/read", json!({"uri": "hello://nothing"})),
        ask("resources/read, no uri", "resources/read", json!({})),
        complete("completion/complete, prompt", json!({"ref": welcome, "argument": typing})),
        complete("completion/complete, template", json!({"ref": greeting, "argument": typing})),
        complete("completion/complete, nothing", json!({"ref": welcome, "argument": {"name": "name", "value": "A"}})),
        complete(
            "completion/complete, unknown argument",
            json!({"ref": welcome, "argument": {"name": "b", "value": ""}}),
        ),
        complete(
            "completion/complete, unknown prompt",
            json!({"ref": {"type": "ref/prompt", "name": "x"}, "argument": typing}),
        ),
        complete("completion/complete, no argument", json!({"ref": welcome})),
        ask("notification", "notifications/nothing", json!({}))
            .saying(r#"{"jsonrpc":"2.0","method":"notifications/nothing"}"#),
        list("response").saying(r#"{"jsonrpc":"2.0","id":77,"result":{}}"#),
        list("malformed").saying("{"),
        list("empty").saying(""),
        list("number").saying("3"),
        list("batch").saying(r#"[{"jsonrpc":"2.0","id":1,"method":"resources/templates/list"}]"#),
        list("no jsonrpc").saying(r#"{"id":1,"method":"resources/templates/list"}"#),
        list("jsonrpc 1.0").saying(r#"{"jsonrpc":"1.0","id":1,"method":"resources/templates/list"}"#),
        list("id null").saying(r#"{"jsonrpc":"2.0","id":null,"method":"resources/templates/list"}"#),
        list("id a fraction").saying(r#"{"jsonrpc":"2.0","id":1.5,"method":"resources/templates/list"}"#),
        list("id an object").saying(r#"{"jsonrpc":"2.0","id":{},"method":"resources/templates/list"}"#),
        list("no params").saying(r#"{"jsonrpc":"2.0","id":1,"method":"resources/templates/list"}"#),
        list("params null").saying(r#"{"jsonrpc":"2.0","id":1,"method":"resources/templates/list","params":null}"#),
        list("params an array").saying(r#"{"jsonrpc":"2.0","id":1,"method":"resources/templates/list","params":[]}"#),
        list("text as content").with("Content-Type", "text/plain"),
        list("no content type").without("Content-Type"),
        list("charset").with("Content-Type", "application/json; charset=utf-8"),
        list("accept nothing said").without("Accept"),
        list("accept anything").with("Accept", "*/*"),
        list("accept JSON").with("Accept", "application/json"),
        list("accept text").with("Accept", "text/plain"),
        list("foreign host").with("Host", "example.com"),
        list("foreign origin").with("Origin", "https://example.com"),
        list("PUT").verb("PUT"),
    ]
}
