//! What clients are told without having asked: changes of lists and resources, in both eras.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Events, House, LEGACY_HEADERS, bundles, changing};

const QUIET: Duration = Duration::from_millis(300);

fn listen(house: &House, filter: Value) -> (Events, Value) {
    let mut events = Events::of_request(house, "subscriptions/listen", json!({"notifications": filter}));
    let acknowledged = events.next().unwrap();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    let id = acknowledged["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].clone();
    assert!(id.is_u64(), "{acknowledged}");
    (events, acknowledged)
}

#[test]
fn who_listens_is_told_of_what_was_asked_for() {
    let house = House::start(&changing(&bundles(&["probe", "hello", "shifty"], "")));
    let filter = json!({"toolsListChanged": true, "resourceSubscriptions": ["probe://numbers/1", "probe://nothing"]});
    let (mut events, acknowledged) = listen(&house, filter);
    let told = &acknowledged["params"]["notifications"];
    assert_eq!(told, &json!({"toolsListChanged": true, "resourceSubscriptions": ["probe://numbers/1"]}));
    let (mut other, _) = listen(&house, json!({"promptsListChanged": true}));
    let many: Vec<_> = (0..1025).map(|number| format!("probe://numbers/{number}")).collect();
    let params = json!({"notifications": {"resourceSubscriptions": many}});
    assert_eq!(house.modern("subscriptions/listen", params).error(), (400, -32602));
    assert_eq!(house.modern("subscriptions/listen", json!({})).error(), (400, -32602));

    house.call("probe_touch", json!({"uri": "probe://numbers/2"}));
    house.call("probe_touch", json!({"uri": "probe://numbers/1"}));
    let updated = events.next().unwrap();
    assert_eq!(updated["method"], "notifications/resources/updated");
    assert_eq!(updated["params"]["uri"], "probe://numbers/1");
    assert_eq!(updated["params"]["_meta"], acknowledged["params"]["_meta"]);
    house.call("shifty_announce", json!({}));
    assert_eq!(events.next().unwrap()["method"], "notifications/tools/list_changed");
    assert!(events.is_quiet(QUIET), "nothing but what was asked for");
    assert_eq!(other.next().unwrap()["method"], "notifications/prompts/list_changed");
    assert!(other.is_quiet(QUIET));
}

/// A bundle cannot speak for another one, nor flood those who listen.
#[test]
fn a_bundle_announces_only_what_is_its_own() {
    let house = House::of(&["probe", "hello"], "");
    let uris: Vec<_> = (0..200).map(|number| format!("probe://numbers/{number}")).collect();
    let uris = [vec!["hello://about".to_owned()], uris].concat();
    let (mut events, _) = listen(&house, json!({"resourceSubscriptions": uris}));
    house.call("probe_touch", json!({"uri": "hello://about"}));
    assert!(events.is_quiet(QUIET), "that resource is not the probe's");
    house.call("probe_touch_many", json!({"count": 200}));
    let mut told = 0;
    while !events.is_quiet(QUIET) {
        told += 1;
    }
    assert_eq!(told, 64);
    assert_eq!(house.records(2)[1]["events_dropped"], 136);
}

/// What a cell said that broke off has come to nothing, and only the bundle that is shown speaks for an address.
#[test]
fn nobody_announces_by_breaking_off_or_from_behind() {
    let house = House::of(&["probe"], "");
    let (mut events, _) = listen(&house, json!({"resourceSubscriptions": ["probe://numbers/1"]}));
    house.call("probe_touch_and_panic", json!({"uri": "probe://numbers/1"}));
    assert!(events.is_quiet(QUIET));

    let two = r#"(name = "first", file = "probe.wasm"), (name = "second", file = "probe.wasm")"#;
    let route =
        r#"(path = "/mcp", tools = ["bundle/**"], resources = ["bundle/**"], callers = ["anonymous/loopback"])"#;
    let house = House::start(&format!(r#"listen = "127.0.0.1:0", bundles = [{two}], routes = [{route}]"#));
    let (mut events, _) = listen(&house, json!({"resourceSubscriptions": ["probe://numbers/1"]}));
    house.call("second_touch", json!({"uri": "probe://numbers/1"}));
    assert!(events.is_quiet(QUIET), "the second one's address is hidden by the first one's");
    house.call("first_touch", json!({"uri": "probe://numbers/1"}));
    assert_eq!(events.next().unwrap()["params"]["uri"], "probe://numbers/1");
}

/// What a caller may not see does not reach them as news either.
#[test]
fn who_may_not_see_is_not_told() {
    let body = r#"listen = "127.0.0.1:0",
        bundles = [(name = "probe", file = "probe.wasm"), (name = "shifty", file = "shifty.wasm")],
        routes = [
            (path = "/all", callers = ["anonymous/loopback"], tools = ["bundle/**"], resources = ["bundle/**"]),
            (path = "/mcp", callers = ["anonymous/loopback"], tools = ["bundle/probe/touch", "bundle/shifty/announce"]),
        ]"#;
    let house = House::start(&changing(body));
    let filter = json!({"toolsListChanged": true, "resourcesListChanged": true, "promptsListChanged": true,
        "resourceSubscriptions": ["probe://numbers/1"]});
    let (mut events, acknowledged) = listen(&house, filter);
    assert!(acknowledged["params"]["notifications"].get("resourceSubscriptions").is_none(), "{acknowledged}");
    let call = |tool: &str, arguments: Value| {
        let (headers, body) = house.modern_parts("tools/call", json!({"name": tool, "arguments": arguments}));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(house.http("POST", "/all", &headers, &body).status, 200);
    };
    call("probe_touch", json!({"uri": "probe://numbers/1"}));
    call("shifty_announce", json!({}));
    assert!(events.is_quiet(QUIET), "of the tools that change none is shown here");
}

#[test]
fn a_session_is_told_on_its_stream() {
    let house = House::start(&changing(&bundles(&["probe", "shifty"], "")));
    let session = house.session("2025-11-25");
    let uri = json!({"uri": "probe://numbers/1"});
    assert_eq!(house.legacy(&session, "resources/subscribe", &uri).last()["result"], json!({}));
    assert_eq!(house.legacy(&session, "resources/subscribe", &json!({"uri": "probe://no"})).error(), (200, -32002));
    let mut events = Events::of_session(&house, &session);
    std::thread::sleep(Duration::from_millis(50));
    house.legacy(&session, "tools/call", &json!({"name": "probe_touch", "arguments": uri}));
    assert_eq!(events.next().unwrap()["params"], uri);
    house.call("shifty_announce", json!({}));
    let methods: Vec<_> = (0..3).map(|_| events.next().unwrap()["method"].as_str().unwrap().to_owned()).collect();
    let all = ["tools", "prompts", "resources"].map(|list| format!("notifications/{list}/list_changed"));
    assert_eq!(methods, all, "lists change for every session");
    assert_eq!(house.legacy(&session, "resources/unsubscribe", &uri).last()["result"], json!({}));
    house.call("probe_touch", uri);
    assert!(events.is_quiet(QUIET));

    // Of two streams only the newer one is told anything, and the older one ends.
    let mut newer = Events::of_session(&house, &session);
    assert_eq!(events.next(), None);
    house.call("shifty_announce", json!({}));
    assert!(newer.next().is_some());
    assert_eq!(house.http("DELETE", "/mcp", &[("Mcp-Session-Id", &session)], "").status, 204);
    assert!(std::iter::from_fn(|| newer.next()).count() <= 2, "the stream ends with its session");
}

#[test]
fn streams_end_with_a_word_when_the_house_closes() {
    let mut house = House::of(&["hello"], "");
    let (mut events, acknowledged) = listen(&house, json!({}));
    let session = house.session("2025-11-25");
    let mut stream = Events::of_session(&house, &session);
    house.signal("-TERM");
    let last = events.next().unwrap();
    assert_eq!(last["result"]["resultType"], "complete");
    assert_eq!(last["result"]["_meta"], acknowledged["params"]["_meta"]);
    assert_eq!((events.next(), stream.next()), (None, None));
    assert_eq!(house.child.wait().unwrap().code(), Some(0), "nothing had to be broken off");
}

#[test]
fn batches_belong_to_one_version() {
    let house = House::of(&["hello"], "");
    let send = |session: &str, body: &Value| {
        let headers = [&LEGACY_HEADERS[..], &[("Mcp-Session-Id", session)]].concat();
        house.http("POST", "/mcp", &headers, &body.to_string())
    };
    let ping = |id: u32| json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
    let call = json!({"jsonrpc": "2.0", "id": "c", "method": "tools/call",
        "params": {"name": "hello_greet", "arguments": {"name": "Ana"}}});
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let old = house.session("2025-03-26");
    let response = send(&old, &json!([ping(1), note, call, 3, {"jsonrpc": "2.0", "id": 9, "method": "nothing"}]));
    assert_eq!(response.status, 200);
    let answers = response.last();
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 4, "{answers:?}");
    assert_eq!((&answers[0]["result"], &answers[0]["id"]), (&json!({}), &json!(1)));
    assert_eq!(answers[1]["result"]["content"][0]["text"], "Hello, Ana!");
    assert_eq!((&answers[2]["error"]["code"], &answers[3]["error"]["code"]), (&json!(-32600), &json!(-32601)));
    assert_eq!(send(&old, &json!([note, note])).status, 202);
    let opening =
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-03-26"}});
    let listed = json!(["2.0", 7, "ping"]);
    for answer in send(&old, &json!([opening, listed])).last().as_array().unwrap() {
        assert_eq!(answer["error"]["code"], -32600, "{answer}");
    }
    let many = |count: u32| Value::from((0..count).map(ping).collect::<Vec<_>>());
    assert_eq!(send(&old, &many(32)).last().as_array().unwrap().len(), 32);
    for bad in [many(33), many(0)] {
        assert_eq!(send(&old, &bad).error(), (400, -32600));
    }
    let newer = house.session("2025-06-18");
    assert_eq!(send(&newer, &many(1)).error(), (400, -32600));
    assert_eq!(house.http("POST", "/mcp", &LEGACY_HEADERS, &many(1).to_string()).error(), (400, -32600));
}
