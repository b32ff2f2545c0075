//! What is not granted looks as if it were not there: the two answers are the same byte for byte, but for the name
//! that was asked for and the date.

use serde_json::{Value, json};

use crate::support::{Events, House, LEGACY_HEADERS, MODERN};

const BODY: &str = r#"
  listen = "127.0.0.1:0",
  bundles = [
    (name = "hello", file = "hello.wasm"),
    (name = "probe", file = "probe.wasm"),
    (name = "conformance", file = "conformance.wasm"),
  ],
  routes = [
    (path = "/mcp", callers = ["anonymous/loopback"],
     tools = ["bundle/hello/greet"], prompts = ["bundle/probe/picky"], resources = ["bundle/probe/numbers"]),
    (path = "/all", callers = ["anonymous/loopback"],
     tools = ["bundle/**"], prompts = ["bundle/**"], resources = ["bundle/**"]),
    (path = "/ana", callers = ["user/ana"], tools = ["bundle/**"]),
  ]"#;

/// What stands for the name. The two names of a comparison are of the same length, so that lengths are compared, too.
const PLACEHOLDER: &str = "what-was-asked-for";

/// A request about something, in one version of the protocol.
struct Asking<'a> {
    house: &'a House,
    version: &'a str,
    session: Option<String>,
}

impl<'a> Asking<'a> {
    fn new(house: &'a House, version: &'a str) -> Self {
        let session = (version != MODERN).then(|| house.session(version));
        Self { house, version, session }
    }

    fn is_modern(&self) -> bool {
        self.session.is_none()
    }

    /// The request as it is sent. The id is the same in all of them, because answers repeat it.
    fn request(&self, path: &str, method: &str, params: &Value) -> String {
        let Some(session) = &self.session else {
            let (headers, body) = self.house.modern_parts(method, params.clone());
            let mut body: Value = serde_json::from_str(&body).unwrap();
            body["id"] = json!(1);
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            return self.house.request("POST", path, &headers, &body.to_string());
        };
        let version = ("MCP-Protocol-Version", self.version);
        let headers = [&LEGACY_HEADERS[..], &[("Mcp-Session-Id", session), version]].concat();
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.house.request("POST", path, &headers, &body.to_string())
    }

    /// Everything that comes back, but for the date and the name.
    fn answer(&self, method: &str, params: &Value, name: &str) -> String {
        let answer = anonymous(&self.house.raw(self.request("/mcp", method, params)), name);
        assert!(answer.contains("\"error\"") && answer.contains("content-length"), "{name} was answered: {answer}");
        answer
    }

    /// Asks for both and compares.
    fn same(&self, method: &str, (there, absent): (&str, &str), params: &dyn Fn(&str) -> Value) {
        assert_eq!(there.len(), absent.len(), "{there} and {absent}");
        let denied = self.answer(method, &params(there), there);
        let nothing = self.answer(method, &params(absent), absent);
        assert_eq!(denied, nothing, "{} {method} {there}", self.version);
    }
}

/// A response without its date, and with a placeholder for `name`.
fn anonymous(response: &str, name: &str) -> String {
    let is_date = |line: &&str| line.to_ascii_lowercase().starts_with("date: ");
    assert_eq!(response.split_inclusive("\r\n").filter(is_date).count(), 1, "{response:?}");
    let rest: String = response.split_inclusive("\r\n").filter(|line| !is_date(line)).collect();
    rest.replace(name, PLACEHOLDER)
}

/// Arguments that are right for what is denied, that are wrong, and that are no arguments.
fn arguments() -> [Value; 5] {
    [json!({}), json!({"text": "x"}), json!({"name": "Ana"}), json!({"name": 3}), json!([])]
}

fn in_all_versions(test: impl Fn(&Asking<'_>)) {
    let house = House::start(BODY);
    for version in [MODERN, "2025-11-25", "2025-06-18", "2025-03-26"] {
        let asking = Asking::new(&house, version);
        test(&asking);
    }
}

#[test]
fn denied_tools_look_absent() {
    in_all_versions(|asking| {
        let header = "conformance_test_x_mcp_header";
        let names = [
            ("hello_echo", "hello_ecco"),
            ("hello_introduce", "hello_introducf"),
            ("probe_ask", "probe_asl"),
            ("probe_panic", "probe_panid"),
            (header, &format!("{}s", &header[..header.len() - 1])),
        ];
        for names in names {
            for arguments in arguments() {
                let call = |name: &str| json!({"name": name, "arguments": arguments});
                asking.same("tools/call", names, &call);
            }
            asking.same("tools/call", names, &|name| json!({"name": name}));
            asking.same("tools/call", names, &|name| json!({"name": name, "_meta": {"progressToken": "p"}}));
            if asking.is_modern() {
                let answers = json!({"name": {"action": "accept", "content": {"name": "Ana"}}});
                let can = json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}});
                asking.same(
                    "tools/call",
                    names,
                    &|name| json!({"name": name, "inputResponses": answers, "_meta": can}),
                );
                asking.same("tools/call", names, &|name| json!({"name": name, "requestState": "AAAA"}));
            }
        }
    });
}

#[test]
fn denied_prompts_look_absent() {
    in_all_versions(|asking| {
        for names in [("hello_welcome", "hello_welcomf"), ("probe_asking", "probe_askinh")] {
            for arguments in arguments() {
                asking.same("prompts/get", names, &|name| json!({"name": name, "arguments": arguments}));
            }
            asking.same("prompts/get", names, &|name| json!({"name": name}));
        }
    });
}

#[test]
fn denied_resources_look_absent() {
    in_all_versions(|asking| {
        let addresses = [
            ("hello://about", "hello://abouf"),
            ("probe://asking", "probe://askinh"),
            // Of templates.
            ("hello://greeting/french", "hello://greetinh/french"),
            ("probe://tree/a/b?q=c", "probe://trea/a/b?q=c"),
        ];
        for addresses in addresses {
            asking.same("resources/read", addresses, &|uri| json!({"uri": uri}));
            if !asking.is_modern() {
                asking.same("resources/subscribe", addresses, &|uri| json!({"uri": uri}));
            }
        }
    });
}

#[test]
fn what_is_denied_is_completed_as_what_is_absent() {
    in_all_versions(|asking| {
        // An argument that is there, one that is none, and one in the context of others.
        for argument in ["language", "nothing"] {
            let typing = json!({"name": argument, "value": "g"});
            let context = json!({"arguments": {"name": "Ana"}});
            let of = |reference: Value| json!({"ref": reference, "argument": typing, "context": context});
            asking.same("completion/complete", ("hello_welcome", "hello_welcomf"), &|name| {
                of(json!({"type": "ref/prompt", "name": name}))
            });
            let templates = ("hello://greeting/{language}", "hello://greetinh/{language}");
            asking.same("completion/complete", templates, &|uri| of(json!({"type": "ref/resource", "uri": uri})));
            let resources = ("hello://about", "hello://abouf");
            asking.same("completion/complete", resources, &|uri| of(json!({"type": "ref/resource", "uri": uri})));
        }
    });
}

/// The same names on a route that grants them, so that the tests above are known to compare something with nothing.
#[test]
fn what_is_compared_is_there() {
    let house = House::start(BODY);
    let asking = Asking::new(&house, MODERN);
    let typing = json!({"name": "language", "value": "g"});
    for (method, params) in [
        ("tools/call", json!({"name": "hello_echo", "arguments": {"text": "x"}})),
        ("prompts/get", json!({"name": "hello_welcome", "arguments": {"name": "Ana"}})),
        ("resources/read", json!({"uri": "hello://about"})),
        ("resources/read", json!({"uri": "hello://greeting/french"})),
        ("resources/read", json!({"uri": "probe://tree/a/b?q=c"})),
        ("completion/complete", json!({"ref": {"type": "ref/prompt", "name": "hello_welcome"}, "argument": typing})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/resource", "uri": "hello://greeting/{language}"}, "argument": typing}),
        ),
    ] {
        let granted = house.raw(asking.request("/all", method, &params));
        assert!(granted.contains("\"result\""), "{method} {params}: {granted}");
    }
    let tools = house.raw(asking.request("/all", "tools/list", &json!({})));
    assert!(tools.contains("\"conformance_test_x_mcp_header\"") && tools.contains("x-mcp-header"), "{tools}");
}

/// Who listens for what they may not read gets the same words, and hears as little, as for what is not there.
#[test]
fn listening_tells_nothing_of_what_is_denied() {
    let house = House::start(BODY);
    let first = |uri: &str| {
        let params = json!({"notifications": {"resourceSubscriptions": [uri], "toolsListChanged": true}});
        let mut events = Events::of_request(&house, "subscriptions/listen", params);
        let mut told = events.next().unwrap();
        told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] = json!(1);
        (anonymous(&events.head, uri), told.to_string().replace(uri, PLACEHOLDER))
    };
    assert_eq!(first("probe://asking"), first("probe://askinh"));
    assert_eq!(first("hello://greeting/french"), first("hello://greetinh/french"));
    assert!(first("probe://numbers/1").1.contains(PLACEHOLDER), "what is granted is acknowledged");
}

/// No list, on any page, has the name of anything that is denied; and a cursor that is such a name is as good as any.
#[test]
fn lists_have_no_trace_of_what_is_denied() {
    in_all_versions(|asking| {
        for method in ["tools/list", "prompts/list", "resources/list", "resources/templates/list"] {
            let list = |params: Value| anonymous(&asking.house.raw(asking.request("/mcp", method, &params)), "no name");
            let whole = list(json!({}));
            for denied in ["hello_echo", "probe_a", "hello_welcome", "hello://", "probe://asking", "probe://tree"] {
                assert!(!whole.contains(denied), "{method}: {whole}");
            }
            assert_eq!(list(json!({"cursor": "hello_echo"})), list(json!({"cursor": "hello_ecco"})));
        }
    });
}

/// A route for others is no route at all, whatever is sent to it.
#[test]
fn a_route_for_others_looks_absent() {
    let house = House::start(BODY);
    let asking = Asking::new(&house, MODERN);
    let list = asking.request("/ana", "tools/list", &json!({}));
    let with = |method: &str, headers: &[(&str, &str)]| house.request(method, "/ana", headers, "{}");
    let session = house.session("2025-11-25");
    for request in [
        list,
        with("POST", &[]),
        with("POST", &[("Content-Type", "text/plain")]),
        with("POST", &[("Mcp-Session-Id", &session)]),
        with("GET", &[("Accept", "text/event-stream"), ("Mcp-Session-Id", &session)]),
        with("DELETE", &[("Mcp-Session-Id", &session)]),
        with("PUT", &[]),
        with("OPTIONS", &[]),
    ] {
        let there = anonymous(&house.raw(&request), "/ana");
        let nothing = anonymous(&house.raw(request.replace(" /ana ", " /bob ")), "/bob");
        assert!(there.starts_with("HTTP/1.1 404 "), "{there}");
        assert_eq!(there, nothing);
    }
}
