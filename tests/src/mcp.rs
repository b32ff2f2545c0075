//! Both eras of the protocol, beyond what the official suite looks at.

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{House, LEGACY_HEADERS, MODERN, Response, bundles, text};

fn outcomes(house: &House, count: usize) -> Vec<String> {
    house.records(count).iter().map(|line| line["outcome"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn discover_says_what_the_house_speaks() {
    let house = House::of(&["hello"], "");
    let result = house.modern("server/discover", json!({})).last()["result"].clone();
    assert_eq!(result["supportedVersions"], json!([MODERN, "2025-11-25", "2025-06-18", "2025-03-26"]));
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "certosa");
    assert!(result["capabilities"]["tools"].is_object());
    assert_eq!((&result["resultType"], &result["cacheScope"]), (&json!("complete"), &json!("private")));
}

#[test]
fn the_handshake_of_the_older_era_negotiates() {
    let house = House::of(&["hello"], "");
    for (asked, given) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2024-11-05", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let params = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let response = house.http("POST", "/mcp", &LEGACY_HEADERS, &house.body("initialize", &params));
        assert_eq!(response.last()["result"]["protocolVersion"], given);
    }
    let session = house.session("2025-11-25");
    let result = house.legacy(&session, "tools/call", &json!({"name": "hello_greet", "arguments": {"name": "Ana"}}));
    assert_eq!(text(&result.last()["result"]), "Hello, Ana!");
    assert!(result.last()["result"].get("resultType").is_none(), "the older era does not know it");
    let headers =
        [&LEGACY_HEADERS[..], &[("Mcp-Session-Id", session.as_str()), ("MCP-Protocol-Version", "2025-06-18")]].concat();
    assert_eq!(house.http("POST", "/mcp", &headers, &house.body("ping", &json!({}))).status, 400, "another version");
}

#[test]
fn sessions_cannot_be_guessed_fixed_or_used_after_their_end() {
    let house = House::of(&["hello"], "");
    let (first, second) = (house.session("2025-11-25"), house.session("2025-11-25"));
    assert_ne!(first, second);
    let (host, random) = first.split_once('.').expect("the name of the host is in front");
    assert!(second.starts_with(&format!("{host}.")));
    assert!(random.len() == 32 && random.bytes().all(|b| b.is_ascii_hexdigit()));
    let other = format!("{host}.{}", "0".repeat(32));
    for forged in ["", "0", &other, &first[..first.len() - 1], random, &first.to_uppercase()] {
        let status = house.legacy(forged, "tools/list", &json!({})).status;
        assert!([400, 404].contains(&status) || forged == first, "{forged:?}: {status}");
    }
    let mine = [&LEGACY_HEADERS[..], &[("Mcp-Session-Id", "chosen-by-me")]].concat();
    let params =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let response = house.http("POST", "/mcp", &mine, &house.body("initialize", &params));
    assert_ne!(response.header("mcp-session-id"), Some("chosen-by-me"));
    assert_eq!(house.http("DELETE", "/mcp", &[("Mcp-Session-Id", &first)], "").status, 204);
    assert_eq!(house.legacy(&first, "ping", &json!({})).status, 404);
    assert_eq!(house.http("DELETE", "/mcp", &[("Mcp-Session-Id", &first)], "").status, 404);
    assert_eq!(house.legacy(&second, "ping", &json!({})).status, 200);
    assert_eq!(house.http("GET", "/mcp", &[("Accept", "text/event-stream")], "").status, 405, "no session, no stream");
}

#[test]
fn a_session_may_be_closed_by_the_bound_on_sessions() {
    let house = House::start(&format!("{}, limits = (sessionsMax = 2)", bundles(&["hello"], "")));
    let sessions: Vec<_> = (0..3).map(|_| house.session("2025-11-25")).collect();
    let status = |id: &str| house.legacy(id, "ping", &json!({})).status;
    assert_eq!((status(&sessions[0]), status(&sessions[1]), status(&sessions[2])), (404, 200, 200));
}

#[test]
fn headers_and_body_have_to_agree() {
    let house = House::of(&["hello"], "");
    let (headers, body) =
        house.modern_parts("tools/call", json!({"name": "hello_greet", "arguments": {"name": "Ana"}}));
    let send = |change: &dyn Fn(&mut Vec<(&'static str, String)>)| {
        let mut headers = headers.clone();
        change(&mut headers);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        house.http("POST", "/mcp", &headers, &body)
    };
    assert_eq!(send(&|_| {}).status, 200);
    for (name, value) in [("Mcp-Method", "tools/list"), ("Mcp-Name", "hello_echo"), ("Mcp-Name", "=?base64?!!?=")] {
        let changed = send(&|headers| {
            headers.iter_mut().filter(|header| header.0 == name).for_each(|header| header.1 = value.into())
        });
        assert_eq!(changed.error(), (400, -32020), "{name}: {value}");
    }
    for name in ["Mcp-Method", "Mcp-Name"] {
        assert_eq!(send(&|headers| headers.retain(|header| header.0 != name)).error(), (400, -32020), "no {name}");
        let doubled = send(&|headers| headers.push((name, "other".into())));
        assert_eq!(doubled.error(), (400, -32020), "two of {name}");
    }
    let without = send(&|headers| headers.retain(|header| header.0 != "MCP-Protocol-Version"));
    assert_eq!(without.error(), (400, -32020));
    let encoded = send(&|headers| headers[4].1 = "=?base64?aGVsbG9fZ3JlZXQ=?=".into());
    assert_eq!(encoded.status, 200);
}

/// A header of one era and a body of the other deceive whoever believes the header.
#[test]
fn an_era_cannot_be_claimed_in_the_header_alone() {
    let house = House::of(&["hello"], "");
    let session = house.session("2025-11-25");
    let (mut headers, body) =
        house.modern_parts("tools/call", json!({"name": "hello_greet", "arguments": {"name": "A"}}));
    headers[2].1 = "2025-11-25".into();
    headers[3].1 = "tools/list".into();
    headers.push(("Mcp-Session-Id", session));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(house.http("POST", "/mcp", &headers, &body).error(), (400, -32020));
}

#[test]
fn unsupported_versions_are_named() {
    let house = House::of(&["hello"], "");
    let params = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2031-01-01", "io.modelcontextprotocol/clientCapabilities": {}}});
    let (mut headers, body) = house.modern_parts("tools/list", params);
    headers[2].1 = "2031-01-01".into();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let response = house.http("POST", "/mcp", &headers, &body);
    assert_eq!(response.error(), (400, -32022));
    let data = response.last()["error"]["data"].clone();
    assert_eq!((&data["requested"], &data["supported"][0]), (&json!("2031-01-01"), &json!(MODERN)));
}

#[test]
fn progress_streams_before_the_result() {
    let house = House::of(&["probe"], "");
    let params =
        json!({"name": "probe_steps", "arguments": {"count": 3, "ms": 30}, "_meta": {"progressToken": "tok\"en"}});
    let response = house.modern("tools/call", params);
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    assert_eq!(response.header("x-accel-buffering"), Some("no"));
    let messages = response.messages();
    let progress: Vec<_> = messages.iter().filter(|message| message["method"] == "notifications/progress").collect();
    let seen: Vec<_> = progress.iter().map(|message| message["params"]["progress"].as_u64().unwrap()).collect();
    assert_eq!(seen, [0, 1, 2, 3]);
    assert!(
        progress
            .iter()
            .all(|message| message["params"]["progressToken"] == "tok\"en" && message["params"]["total"] == 3)
    );
    assert_eq!(text(&messages.last().unwrap()["result"]), "done");
    // Nobody asked: plain JSON.
    let quiet = house.modern("tools/call", json!({"name": "probe_steps", "arguments": {"count": 3, "ms": 1}}));
    assert_eq!(quiet.header("content-type"), Some("application/json"));
}

#[test]
fn log_messages_come_at_the_level_that_was_asked_for() {
    let house = House::of(&["probe"], "");
    let say = |meta: Value| {
        let params = json!({"name": "probe_chatter", "arguments": {"count": 3}, "_meta": meta});
        house.modern("tools/call", params).messages().len()
    };
    assert_eq!(say(json!({})), 1);
    assert_eq!(say(json!({"io.modelcontextprotocol/logLevel": "info"})), 4);
    assert_eq!(say(json!({"io.modelcontextprotocol/logLevel": "warning"})), 1);
    let session = house.session("2025-11-25");
    let call = || {
        house
            .legacy(&session, "tools/call", &json!({"name": "probe_chatter", "arguments": {"count": 3}}))
            .messages()
            .len()
    };
    assert_eq!(call(), 4);
    assert_eq!(house.legacy(&session, "logging/setLevel", &json!({"level": "error"})).last()["result"], json!({}));
    assert_eq!(call(), 1);
    assert_eq!(house.legacy(&session, "logging/setLevel", &json!({"level": "loud"})).error(), (200, -32602));
}

/// Sends a request and returns the connection it is on.
fn send(house: &House, headers: &[(&str, &str)], body: &str) -> std::net::TcpStream {
    let mut stream = house.connect();
    stream.write_all(house.request("POST", "/mcp", headers, body).as_bytes()).unwrap();
    stream
}

#[test]
fn going_away_cancels_in_the_modern_era() {
    let house = House::of(&["probe"], "concurrencyMax = 1, queueMax = 1");
    for arguments in [
        json!({"name": "probe_sleep", "arguments": {"ms": 20_000}}),
        json!({"name": "probe_steps", "arguments": {"count": 1000, "ms": 20}, "_meta": {"progressToken": 1}}),
    ] {
        let (headers, body) = house.modern_parts("tools/call", arguments);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let stream = send(&house, &headers, &body);
        thread::sleep(Duration::from_millis(200));
        drop(stream);
        // The only place is free again at once: the cell was dropped.
        assert_eq!(text(&house.call("probe_sleep", json!({"ms": 1}))), "slept");
    }
    assert_eq!(outcomes(&house, 4), ["cancelled", "done", "cancelled", "done"]);
}

#[test]
fn in_the_older_era_only_a_cancellation_cancels() {
    let house = House::of(&["probe"], "concurrencyMax = 2");
    let session = house.session("2025-11-25");
    let headers = [&LEGACY_HEADERS[..], &[("Mcp-Session-Id", session.as_str())]].concat();
    let call = |id: u32, ms: u32| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "probe_sleep", "arguments": {"ms": ms}}}).to_string()
    };
    let leaving = send(&house, &headers, &call(100, 400));
    thread::sleep(Duration::from_millis(100));
    drop(leaving);
    let mut stream = send(&house, &headers, &call(101, 20_000));
    thread::sleep(Duration::from_millis(200));
    assert_eq!(house.http("POST", "/mcp", &headers, &call(101, 1)).error(), (200, -32602), "the id is in use");
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 101}}).to_string();
    assert_eq!(house.http("POST", "/mcp", &headers, &cancel).status, 202);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(Response::parse(&answer).status, 204, "{answer}");
    let mut outcomes = outcomes(&house, 2);
    outcomes.sort();
    assert_eq!(outcomes, ["cancelled", "done"], "whoever went away without a word got his work done");
}

#[test]
fn long_lists_come_in_pages() {
    let bundle = |index: usize| format!("(name = \"probe{index}\", bytes = .probe)");
    let many: Vec<_> = (0..20).map(bundle).collect();
    let folder = crate::support::Folder::new("");
    folder.write(
        "manifest.capnp",
        format!(
            "@0xa1b2c3d4e5f60718;\nusing C = import \"/certosa.capnp\";\nconst probe :Data = embed \"probe.wasm\";\nconst house :C.Manifest = (\
             listen = \"127.0.0.1:0\", bundles = [{}], routes = [(tools = [\"bundle/**\"], callers = [\"anonymous/loopback\"])]);\n",
            many.join(", ")
        ),
    );
    let house = House::in_folder(folder);
    let (mut names, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let params = cursor.as_ref().map_or(json!({}), |cursor| json!({"cursor": cursor}));
        let result = house.modern("tools/list", params).last()["result"].clone();
        let page = result["tools"].as_array().unwrap().clone();
        assert!(page.len() <= 250);
        names.extend(page.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()));
        cursor = result["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(names.len(), 20 * 22);
    assert!(names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(house.modern("tools/list", json!({"cursor": "???"})).error(), (400, -32602));
}

#[test]
fn a_tool_asks_and_gets_its_state_back() {
    let house = House::of(&["probe"], "");
    let can = json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}});
    let ask = |arguments: Value, extra: Value| {
        let mut params = json!({"name": "probe_ask", "arguments": arguments, "_meta": can.clone()});
        params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        house.modern("tools/call", params)
    };
    let first = ask(json!({}), json!({})).last()["result"].clone();
    assert_eq!(first["resultType"], "input_required");
    assert_eq!(first["inputRequests"]["name"]["method"], "elicitation/create");
    let state = first["requestState"].as_str().unwrap();
    assert!(!state.contains("asked"), "the client cannot read it");
    let answers = json!({"name": {"action": "accept", "content": {"name": "Ana"}}});
    let second = ask(json!({}), json!({"inputResponses": answers, "requestState": state}));
    assert_eq!(text(&second.last()["result"]), "Hello, Ana!");

    let mut tampered = state.to_owned();
    tampered.replace_range(5..6, if &state[5..6] == "A" { "B" } else { "A" });
    assert_eq!(ask(json!({}), json!({"inputResponses": answers, "requestState": tampered})).error(), (400, -32602));
    // A state is good for its own tool only.
    let params = json!({"name": "probe_count", "arguments": {}, "requestState": state});
    assert_eq!(house.modern("tools/call", params).error(), (400, -32602));
    // A client that cannot be asked is not asked.
    let response = house.modern("tools/call", json!({"name": "probe_ask", "arguments": {}}));
    assert_eq!(response.error(), (400, -32021));
    assert_eq!(response.last()["error"]["data"]["requiredCapabilities"], json!({"elicitation": {"form": {}}}));
}

#[test]
fn what_is_repeated_to_a_client_is_short() {
    let house = House::of(&["probe"], "");
    let long = "x".repeat(300);
    for token in [json!(long), json!(1.5), json!({"a": 1}), json!([1])] {
        let params =
            json!({"name": "probe_steps", "arguments": {"count": 1, "ms": 1}, "_meta": {"progressToken": token}});
        assert_eq!(house.modern("tools/call", params).error(), (400, -32602), "{token}");
    }
    let body = json!({"jsonrpc": "2.0", "id": long, "method": "ping"}).to_string();
    assert_eq!(house.http("POST", "/mcp", &LEGACY_HEADERS, &body).error(), (400, -32600));
}

#[test]
fn work_for_a_client_that_left_is_finished_before_the_house_closes() {
    let mut house = House::of(&["probe"], "");
    let session = house.session("2025-11-25");
    let headers = [&LEGACY_HEADERS[..], &[("Mcp-Session-Id", session.as_str())]].concat();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "probe_sleep", "arguments": {"ms": 1000}}});
    let stream = send(&house, &headers, &call.to_string());
    thread::sleep(Duration::from_millis(200));
    drop(stream);
    house.signal("-TERM");
    assert_eq!(house.child.wait().unwrap().code(), Some(0));
    assert_eq!(outcomes(&house, 1), ["done"]);
}

#[test]
fn a_stream_of_an_older_client_does_not_hold_up_the_end() {
    let mut house = House::of(&["hello"], "");
    let session = house.session("2025-11-25");
    let mut stream = house.connect();
    let headers = [("Accept", "text/event-stream"), ("Mcp-Session-Id", session.as_str())];
    stream.write_all(house.request("GET", "/mcp", &headers, "").as_bytes()).unwrap();
    let mut first = [0; 15];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    let started = std::time::Instant::now();
    house.signal("-TERM");
    assert_eq!(house.child.wait().unwrap().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
