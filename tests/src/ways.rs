//! There is one gate: whatever way a call comes in, the same is allowed, refused and recorded.

use serde_json::{Value, json};

use crate::support::{House, bundles, text};

const BODY: &str = r#"
  listen = "127.0.0.1:0",
  bundles = [(name = "hello", file = "hello.wasm"), (name = "probe", file = "probe.wasm", limits = (cpuMsMax = 200))],
  routes = [
    (path = "/mcp", tools = ["bundle/hello/greet", "bundle/probe/spin"], callers = ["anonymous/loopback"]),
    (path = "/ana", tools = ["bundle/**"], callers = ["user/ana"]),
  ]"#;

#[test]
fn the_same_call_has_the_same_end_on_every_way() {
    let house = House::start(BODY);
    // Allowed.
    assert_eq!(text(&house.call("hello_greet", json!({"name": "Ana"}))), "Hello, Ana!");
    let (code, result) = house.folder.call("hello_greet", &json!({"name": "Ana"}));
    assert_eq!((code, text(&result)), (0, "Hello, Ana!"));

    // Denied by the route, and not there at all: neither way tells them apart.
    for tool in ["hello_echo", "probe_count", "nothing_here"] {
        let response = house.modern("tools/call", json!({"name": tool, "arguments": {}}));
        assert_eq!(response.error(), (400, -32602), "{tool}");
        assert_eq!(response.last()["error"]["message"], format!("unknown tool: {tool}"));
        let (code, result) = house.folder.call(tool, &json!({}));
        assert_eq!((code, text(&result)), (4, "there is no such tool here"), "{tool}");
    }

    // Wrong arguments.
    let over_http = house.call("hello_greet", json!({"nam": "Ana"}));
    let (code, in_process) = house.folder.call("hello_greet", &json!({"nam": "Ana"}));
    assert_eq!(code, 4);
    assert_eq!(text(&over_http), text(&in_process));
    assert!(text(&over_http).contains("('nam' was unexpected)"), "{over_http}");

    // A limit.
    let over_http = house.call("probe_spin", json!({}));
    let (code, in_process) = house.folder.call("probe_spin", &json!({}));
    assert_eq!(code, 5);
    assert_eq!(text(&over_http), text(&in_process));
}

#[test]
fn listing_and_calling_agree() {
    let house = House::start(BODY);
    let listed = house.modern("tools/list", json!({})).last();
    let names: Vec<_> = listed["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
    assert_eq!(names, ["hello_greet", "probe_spin"]);
    let ran = house.folder.run(&["tools", "-o", "json"]);
    let names: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].clone()).collect();
    assert_eq!(names, ["hello_greet", "probe_spin"]);
}

#[test]
fn callers_are_told_apart() {
    let house = House::start(BODY);
    let as_ana = ["tools", "--route", "/ana", "--as", "user/ana"];
    assert!(house.folder.run(&as_ana).stdout.contains("hello_echo"));
    assert_eq!(house.folder.run(&["tools", "--route", "/ana", "--as", "user/bob"]).stdout, "");
    assert_eq!(house.folder.run(&["tools", "--as", "user/ana"]).stdout, "");
    let call = |caller: &str| {
        house.folder.run(&["call", "--route", "/ana", "--as", caller, "hello_echo", r#"{"text":"x"}"#]).code
    };
    assert_eq!((call("user/ana"), call("user/bob"), call("anonymous/loopback")), (0, 4, 4));

    // Over HTTP everybody is anonymous: the other route shows nothing and calls nothing.
    let (headers, body) = house.modern_parts("tools/list", json!({}));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (ana, nowhere) = (house.http("POST", "/ana", &headers, &body), house.http("POST", "/nobody", &headers, &body));
    assert_eq!((ana.status, &ana.body), (404, &nowhere.body), "a route for others looks as if it were not there");
    let session = house.session("2025-11-25");
    for method in ["GET", "DELETE", "PUT"] {
        let headers = [("Mcp-Session-Id", session.as_str())];
        assert_eq!(house.http(method, "/ana", &headers, "").status, 404, "{method}");
    }
}

#[test]
fn a_file_of_records_may_be_emptied_in_place() {
    let house = House::start(BODY);
    let greet = || house.call("hello_greet", json!({"name": "Ana"}));
    greet();
    greet();
    house.records(2);
    std::fs::File::create(house.folder.path(".certosa/records.jsonl")).unwrap();
    greet();
    // Each line that can be read as JSON begins where the one before it ends.
    assert_eq!(house.records(1).len(), 1);
}

#[test]
fn every_call_leaves_a_record() {
    let house = House::start(BODY);
    house.call("hello_greet", json!({"name": "Ana"}));
    house.call("hello_greet", json!({}));
    house.call("probe_spin", json!({}));
    house.modern("tools/call", json!({"name": "hello_echo", "arguments": {"text": "x"}}));
    house.folder.call("hello_greet", &json!({"name": "Ana"}));
    let mut records = house.records(5);
    records.sort_by_key(|record| record["way"] == "cli");
    let seen: Vec<_> = records
        .iter()
        .map(|line| (line["way"].as_str().unwrap(), line["name"].as_str().unwrap(), line["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            ("http", "hello_greet", "done"),
            ("http", "hello_greet", "refused"),
            ("http", "probe_spin", "limit"),
            ("http", "hello_echo", "refused"),
            ("cli", "hello_greet", "done"),
        ]
    );
    let done = &records[0];
    assert_eq!(done["signed"], false);
    assert_eq!(done["caller"], "anonymous/loopback");
    assert_eq!((&done["route"], &done["bundle"]), (&json!("/mcp"), &json!("hello")));
    for digest in ["component", "plan"] {
        assert!(done[digest].as_str().unwrap().starts_with("sha256:"), "{done}");
    }
    assert!(done["wall_us"].as_u64().unwrap() > 0 && done["memory_bytes"].as_u64().unwrap() > 65_536, "{done}");
    assert_eq!(done["output_bytes"], "Hello, Ana!".len());
    let cpu_us = records[2]["cpu_us"].as_u64().unwrap();
    assert!(records[2]["reason"] == "cpu" && (200_000..400_000).contains(&cpu_us), "{}", records[2]);
    assert!(records[3]["reason"].as_str().unwrap().contains("`tools`"), "the operator learns why: {}", records[3]);
    assert!(!records.iter().any(|line| line.to_string().contains("Ana")), "arguments and results are not recorded");
}

/// A call that the house had to end when it closed is on record, too.
#[test]
fn calls_that_are_cut_off_are_recorded() {
    let mut house = House::start(&format!("{}, limits = (drainMsMax = 100)", bundles(&["probe"], "")));
    let (headers, body) = house.modern_parts("tools/call", json!({"name": "probe_sleep", "arguments": {"ms": 20_000}}));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut stream = house.connect();
    std::io::Write::write_all(&mut stream, house.request("POST", "/mcp", &headers, &body).as_bytes()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    house.signal("-TERM");
    assert_eq!(house.child.wait().unwrap().code(), Some(5));
    let records = house.folder.records();
    assert_eq!((records.len(), &records[0]["outcome"]), (1, &json!("cancelled")), "{records:?}");
}

#[test]
fn no_record_no_call() {
    // /dev/full takes no byte, as a full disk does.
    let folder = crate::support::Folder::new(&bundles(&["hello"], ""));
    assert_eq!(folder.run(&["check"]).code, 0);
    let records = folder.path(".certosa/records.jsonl");
    let _none_before = std::fs::remove_file(&records);
    std::os::unix::fs::symlink("/dev/full", &records).unwrap();
    let house = House::in_folder(folder);
    house.modern("tools/call", json!({"name": "hello_greet", "arguments": {"name": "Ana"}}));
    std::thread::sleep(std::time::Duration::from_millis(200));
    let response = house.modern("tools/call", json!({"name": "hello_greet", "arguments": {"name": "Ana"}}));
    assert_eq!(response.error(), (503, -32603), "{response:?}");
    let ready = house.http("GET", "/ready", &[], "");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("record log"), "{ready:?}");
    assert_eq!(house.http("GET", "/health", &[], "").status, 200);
}
