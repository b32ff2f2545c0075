//! Bundles whose lists change while the house is open: who is told, what is shown, and what stays as it was.

use std::fs;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::stdio::{Client, modern};
use crate::support::{Events, Folder, House, LEGACY_HEADERS, bundles, changing, component, text};

const QUIET: Duration = Duration::from_millis(700);
const ALL: &str = r#"{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}"#;

fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// This form of `shifty`, as one that becomes `role` at `from`.
pub fn scripted(mut bytes: Vec<u8>, role: &str, from: u64) -> Vec<u8> {
    let at = bytes.windows(14).position(|window| window == b"shifty-script:").unwrap();
    let script = format!("shifty-script:{role:.<6}:{from:013}");
    bytes[at..at + script.len()].copy_from_slice(script.as_bytes());
    bytes
}

/// A house of `body` that is open before the bundles called after these roles take them up, and when they do.
fn turning(roles: &[&str], body: &str) -> (House, u64) {
    for wait_ms in [2_000, 5_000, 15_000, 60_000] {
        let (folder, from) = (Folder::new(body), now_ms() + wait_ms);
        roles.iter().for_each(|role| {
            folder.write(&format!("{role}.wasm"), scripted(fs::read(component("shifty")).unwrap(), role, from))
        });
        let house = House::in_folder(folder);
        if now_ms() + 500 < from {
            return (house, from);
        }
    }
    panic!("the house takes too long to open")
}

/// Bundles of these names, those after a role with lists that may change, on one route.
fn body(names: &[&str], tool_names: &str) -> String {
    let each = |name: &&str| match *name {
        "hello" | "probe" => format!(r#"(name = "{name}", file = "{name}.wasm")"#),
        role => format!(r#"(name = "{role}", file = "{role}.wasm", listsChange = true, limits = (cpuMsMax = 300))"#),
    };
    let (bundles, all) = (names.iter().map(each).collect::<Vec<_>>().join(", "), r#"["bundle/**"]"#);
    format!(
        r#"listen = "127.0.0.1:0", bundles = [{bundles}], routes = [(path = "/mcp", toolNames = {tool_names},
            tools = {all}, prompts = {all}, resources = {all}, callers = ["anonymous/loopback"])]"#
    )
}

fn wait_for(from: u64) {
    thread::sleep(Duration::from_millis(from.saturating_sub(now_ms()) + 20));
}

fn listen(house: &House, filter: &str) -> Events {
    let filter: Value = serde_json::from_str(filter).unwrap();
    let mut events = Events::of_request(house, "subscriptions/listen", json!({"notifications": filter}));
    assert_eq!(events.next().unwrap()["method"], "notifications/subscriptions/acknowledged");
    events
}

fn told(events: &mut Events, lists: &[&str]) {
    for list in lists {
        assert_eq!(events.next().unwrap()["method"], format!("notifications/{list}/list_changed"));
    }
}

fn names(listed: &Value, member: &str, key: &str) -> Vec<String> {
    listed["result"][member].as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

fn tools(house: &House) -> Vec<String> {
    names(&house.modern("tools/list", json!({})).last(), "tools", "name")
}

/// The tool of `shifty` that is another one each time.
fn clock(house: &House) -> String {
    tools(house).into_iter().find(|name| name.starts_with("shifty_at_")).unwrap()
}

#[test]
fn who_listens_is_told_and_fetches_another_list() {
    let house = House::start(&changing(&bundles(&["hello", "shifty"], "")));
    let session = house.session("2025-11-25");
    let (mut events, mut stream) = (listen(&house, ALL), Events::of_session(&house, &session));
    thread::sleep(Duration::from_millis(50));
    let before = clock(&house);
    assert_eq!(clock(&house), before, "nobody said that it has changed");
    house.call("shifty_announce", json!({}));
    told(&mut events, &["tools", "prompts", "resources"]);
    told(&mut stream, &["tools", "prompts", "resources"]);
    let after = clock(&house);
    assert_ne!(before, after);
    let call = |name: &str| json!({"name": name, "arguments": {}});
    assert_eq!(
        house.legacy(&session, "tools/list", &json!({})).last()["result"]["tools"].to_string().matches(&after).count(),
        1
    );
    assert_eq!(format!("shifty_{}", text(&house.call(&after, json!({})))), after);
    assert_eq!(house.modern("tools/call", call(&before)).error(), (400, -32602));
    assert!(text(&house.legacy(&session, "tools/call", &call(&after)).last()["result"]).starts_with("at_"));
    assert_eq!(house.legacy(&session, "tools/call", &call(&before)).error(), (200, -32602));
    // What stays keeps its counts.
    let metrics = house.http("GET", "/metrics", &[], "").body;
    assert!(metrics.contains(r#"name="announce",outcome="done"} 1"#), "{metrics}");
    house.call("shifty_announce", json!({}));
    told(&mut events, &["tools", "prompts", "resources"]);
    let metrics = house.http("GET", "/metrics", &[], "").body;
    assert!(metrics.contains(r#"name="announce",outcome="done"} 2"#), "{metrics}");
    assert_ne!(clock(&house), after);
}

/// What a bundle offers is fixed when the house opens, unless the manifest says otherwise.
#[test]
fn without_leave_no_list_changes() {
    let house = House::of(&["shifty"], "");
    let (mut events, before) = (listen(&house, ALL), clock(&house));
    house.call("shifty_announce", json!({}));
    assert!(events.is_quiet(QUIET));
    assert_eq!(clock(&house), before);
    assert_eq!(house.records(1)[0]["events_dropped"], 1);
}

#[test]
fn only_lists_that_differ_are_told() {
    let (house, from) = turning(&["turn"], &body(&["turn", "hello"], "prefixed"));
    let mut events = listen(&house, ALL);
    house.call("turn_announce", json!({}));
    assert!(events.is_quiet(QUIET), "nothing is different yet");
    let known = tools(&house);
    assert!(known.contains(&"turn_before".to_owned()) && known.contains(&"hello_greet".to_owned()), "{known:?}");
    wait_for(from);
    house.call("turn_announce", json!({}));
    told(&mut events, &["tools", "resources"]);
    assert!(events.is_quiet(QUIET), "the prompts are the same");
    assert_eq!(
        tools(&house),
        ["hello_echo", "hello_greet", "hello_introduce", "turn_after", "turn_announce", "turn_region"]
    );
    house.call("turn_announce", json!({}));
    assert!(events.is_quiet(QUIET * 3), "nothing is different any more");
}

#[test]
fn a_flood_of_announcements_is_one_listing_a_second() {
    let house = House::start(&changing(&bundles(&["shifty"], "")));
    let mut events = listen(&house, r#"{"toolsListChanged": true}"#);
    let (started, mut calls) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_millis(2_500) {
        house.call("shifty_announce", json!({}));
        calls += 1;
    }
    let mut listings = 0;
    while !events.is_quiet(Duration::from_millis(1_500)) {
        listings += 1;
    }
    assert!(calls > 20 && (2..=4).contains(&listings), "{listings} listings after {calls} announcements");
}

#[test]
fn a_bad_listing_changes_nothing() {
    let roles = ["schema", "long", "spin", "trap"];
    let (house, from) = turning(&roles, &body(&roles, "prefixed"));
    let (mut events, before) = (listen(&house, ALL), house.modern("tools/list", json!({})).last()["result"].clone());
    wait_for(from);
    roles.iter().for_each(|role| drop(house.call(&format!("{role}_announce"), json!({}))));
    assert!(events.is_quiet(Duration::from_millis(1_500)));
    assert_eq!(house.modern("tools/list", json!({})).last()["result"], before);
    for role in roles {
        assert_eq!(text(&house.call(&format!("{role}_before"), json!({}))), "before");
    }
    let log = house.log();
    for why in ["input schema", "longer than", "cpuMsMax = 300", "unreachable"] {
        assert!(log.contains(why), "{why}: {log}");
    }
    assert_eq!(log.matches("lists stay as they were").count(), 4, "{log}");
}

/// Names belong to the bundle that is declared first, whenever it was that they were listed.
#[test]
fn a_name_is_taken_from_those_only_that_are_declared_later() {
    let (house, from) = turning(&["steal"], &body(&["hello", "steal"], "bare"));
    let mut events = listen(&house, ALL);
    wait_for(from);
    house.call("announce", json!({}));
    told(&mut events, &["tools", "resources"]);
    assert_eq!(text(&house.call("greet", json!({"name": "Ana"}))), "Hello, Ana!");
    let about = house.modern("resources/read", json!({"uri": "hello://about"})).last()["result"].clone();
    assert_ne!(about["contents"][0]["text"], "shifty");
    let log = house.log();
    assert!(log.contains("bundle/hello/greet hides bundle/steal/greet on the route /mcp"), "{log}");

    let (house, from) = turning(&["steal"], &body(&["steal", "hello"], "bare"));
    let mut events = listen(&house, ALL);
    assert_eq!(text(&house.call("greet", json!({"name": "Ana"}))), "Hello, Ana!");
    wait_for(from);
    house.call("announce", json!({}));
    told(&mut events, &["tools", "resources"]);
    assert_eq!(text(&house.call("greet", json!({}))), "greet");
    let log = house.log();
    assert!(log.contains("bundle/steal/greet hides bundle/hello/greet on the route /mcp"), "{log}");
    let ready: Value = serde_json::from_str(&house.http("GET", "/ready", &[], "").body).unwrap();
    assert_eq!(ready["house"]["warnings"], 2, "a tool and a resource");
}

/// A call that asks, in both eras: the state that the new one carries, and the stream and the question of the older.
fn asked(house: &House, tool: &str) -> (Value, String, Events, Value) {
    let can = json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}});
    let call = json!({"name": tool, "arguments": {}, "_meta": can});
    let mut again = call.clone();
    again["requestState"] = house.modern("tools/call", call.clone()).last()["result"]["requestState"].clone();
    again["inputResponses"] = json!({"name": {"action": "accept", "content": {"name": "Ana"}}});
    assert!(again["requestState"].is_string(), "{again}");
    let session = house.session_of("2025-11-25", json!({"elicitation": {}}));
    let mut stream = Events::in_session(house, &session, "tools/call", &call);
    let question = stream.next().unwrap();
    assert_eq!(question["method"], "elicitation/create");
    (again, session, stream, question)
}

fn reply(house: &House, session: &str, question: &Value) {
    let result = json!({"action": "accept", "content": {"name": "Ana"}});
    let headers = [&LEGACY_HEADERS[..], &[("Mcp-Session-Id", session)]].concat();
    let body = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
    assert_eq!(house.http("POST", "/mcp", &headers, &body.to_string()).status, 202);
}

/// States, questions that are open and subscriptions do not keep anything alive.
#[test]
fn what_is_gone_is_refused_as_if_it_had_never_been() {
    let (house, from) = turning(&["turn"], &body(&["turn"], "prefixed"));
    let mut events = listen(&house, r#"{"resourcesListChanged":true,"resourceSubscriptions":["shifty://at-first"]}"#);
    let (again, session, mut stream, question) = asked(&house, "turn_inquire");
    assert_eq!(house.modern("tools/call", again.clone()).status, 200);
    let uri = json!({"uri": "shifty://at-first"});
    assert_eq!(house.legacy(&session, "resources/subscribe", &uri).last()["result"], json!({}));
    wait_for(from);
    house.call("turn_announce", json!({}));
    assert_eq!(events.next().unwrap()["method"], "notifications/resources/updated", "the house does not know yet");
    told(&mut events, &["resources"]);

    let never = house.modern("tools/call", json!({"name": "turn_never", "arguments": {}})).last()["error"].clone();
    let gone = house.modern("tools/call", again);
    assert_eq!(gone.error(), (400, -32602));
    assert_eq!(gone.last()["error"].to_string().replace("inquire", "never"), never.to_string());
    reply(&house, &session, &question);
    assert_eq!(stream.next().unwrap()["error"]["message"], "unknown tool: turn_inquire");
    assert_eq!(house.legacy(&session, "resources/subscribe", &uri).error(), (200, -32002));
    assert_eq!(house.modern("resources/read", uri).error(), (400, -32602));
    house.call("turn_announce", json!({}));
    assert!(events.is_quiet(QUIET), "there is no such resource to be told of");
}

/// One name may stand for another bundle later. What the first one left behind is not for the second one.
#[test]
fn a_state_goes_to_no_other_bundle() {
    let (house, from) = turning(&["steal"], &body(&["steal", "probe"], "bare"));
    let mut events = listen(&house, r#"{"toolsListChanged": true}"#);
    let (mut again, session, mut stream, question) = asked(&house, "ask");
    assert_eq!(text(&house.modern("tools/call", again.clone()).last()["result"]), "Hello, Ana!");
    wait_for(from);
    house.call("announce", json!({}));
    told(&mut events, &["tools"]);
    let refused = house.modern("tools/call", again.clone());
    assert_eq!(refused.error(), (400, -32602));
    assert!(refused.body.contains("requestState was not given"), "{refused:?}");
    reply(&house, &session, &question);
    assert_eq!(stream.next().unwrap()["error"]["message"], "unknown tool: ask");
    again.as_object_mut().unwrap().remove("requestState");
    assert_eq!(text(&house.modern("tools/call", again).last()["result"]), "shifty got None");
}

/// The next page begins behind the last name of the page before, whatever has come and gone.
#[test]
fn a_cursor_outlives_a_change() {
    let (house, from) = turning(&["many"], &body(&["many"], "bare"));
    let mut events = listen(&house, r#"{"toolsListChanged": true}"#);
    let first = house.modern("tools/list", json!({})).last();
    wait_for(from);
    house.call("announce", json!({}));
    told(&mut events, &["tools"]);
    let mut seen = names(&first, "tools", "name");
    let mut cursor = first["result"]["nextCursor"].clone();
    while cursor.is_string() {
        let page = house.modern("tools/list", json!({"cursor": cursor})).last();
        seen.extend(names(&page, "tools", "name"));
        cursor = page["result"]["nextCursor"].clone();
    }
    assert!(seen.is_sorted() && seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
    let stays = (0..600).filter(|n| n % 2 == 0 && n % 3 != 0).map(|n| format!("n{n:03}"));
    assert!(stays.into_iter().all(|name| seen.contains(&name)), "{seen:?}");
}

/// The bridge makes headers of a schema that it fetched once, and the schema may be another one later.
#[test]
fn the_bridge_learns_of_another_schema() {
    let (house, from) = turning(&["turn"], &body(&["turn"], "prefixed"));
    let mut events = listen(&house, r#"{"toolsListChanged": true}"#);
    let mut client = Client::start(Folder::new(""), &["--url", &house.url()]);
    let call = json!({"name": "turn_region", "arguments": {"region": "north"}});
    assert_eq!(text(&client.ask(&modern(1, "tools/call", call.clone()))["result"]), "region");
    wait_for(from);
    house.call("turn_announce", json!({}));
    told(&mut events, &["tools"]);
    assert_eq!(house.modern("tools/call", call.clone()).error(), (400, -32020), "the header is wanted now");
    assert_eq!(text(&client.ask(&modern(2, "tools/call", call))["result"]), "region");
}

/// What a route may show can be said before there is any.
#[test]
fn a_pattern_may_wait_for_what_is_listed_later() {
    let body = |leave: &str| {
        format!(
            r#"listen = "127.0.0.1:0", bundles = [(name = "turn", file = "shifty.wasm"{leave})],
            routes = [(path = "/mcp", tools = ["bundle/turn/after"], callers = ["anonymous/loopback"])]"#
        )
    };
    let refused = Folder::new(&body("")).run(&["check"]);
    assert!(refused.stderr.contains("a pattern that fits no tool"), "{refused:?}");
    assert_eq!(Folder::new(&body(", listsChange = true")).run(&["check"]).code, 0);
}
