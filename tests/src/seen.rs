//! What the operator sees: metrics, `certosa tail`, the log, traces.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Folder, House, bundles, certosa};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn value(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next().unwrap().parse().ok()
}

#[test]
fn metrics_count_calls_and_nothing_that_callers_made_up() {
    let house = House::of(&["hello", "probe"], "cpuMsMax = 100");
    for _ in 0..3 {
        house.call("hello_greet", json!({"name": "Ana"}));
    }
    house.call("hello_greet", json!({}));
    house.call("probe_spin", json!({}));
    house.modern("prompts/get", json!({"name": "hello_welcome", "arguments": {"name": "Ana"}}));
    house.modern("tools/call", json!({"name": "made_up_name", "arguments": {}}));
    house.http("GET", "/nowhere", &[], "");
    let session = house.session("2025-11-25");
    let response = house.http("GET", "/metrics", &[], "");
    assert!(response.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let metrics = &response.body;
    for (series, expected) in [
        (r#"certosa_calls_total{bundle="hello",kind="tool",name="greet",outcome="done"}"#, 3.0),
        (r#"certosa_calls_total{bundle="hello",kind="tool",name="greet",outcome="refused"}"#, 1.0),
        (r#"certosa_calls_total{bundle="hello",kind="prompt",name="welcome",outcome="done"}"#, 1.0),
        (r#"certosa_calls_total{bundle="probe",kind="tool",name="spin",outcome="limit"}"#, 1.0),
        (r#"certosa_calls_total{bundle="",kind="",name="",outcome="refused"}"#, 1.0),
        (r#"certosa_call_seconds_count{bundle="hello"}"#, 5.0),
        (r#"certosa_calls_running{bundle="hello"}"#, 0.0),
        (r#"certosa_http_responses_total{status="404"}"#, 1.0),
        ("certosa_sessions", 1.0),
    ] {
        assert_eq!(value(metrics, series), Some(expected), "{series}\n{metrics}");
    }
    let cpu_s = value(metrics, r#"certosa_cpu_seconds_total{bundle="probe"}"#).unwrap();
    assert!((0.1..0.5).contains(&cpu_s), "{cpu_s}");
    assert!(value(metrics, "certosa_connections").unwrap() >= 1.0);
    assert!(metrics.ends_with("# EOF\n") && !metrics.contains("made_up") && !metrics.contains("Ana"), "{metrics}");
    assert_eq!(house.http("POST", "/metrics", &[], "").status, 405);
    assert_eq!(house.http("GET", "/metrics", &[("Origin", "http://evil.example")], "").status, 403);
    drop(session);
}

/// A header's value that is no plain text (MCP 2026-07-28).
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * index)) as usize & 63];
            encoded.push(if index <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    format!("=?base64?{encoded}?=")
}

#[test]
fn tail_shows_calls_as_they_come() {
    let house = House::of(&["hello", "probe"], "");
    house.call("hello_greet", json!({"name": "secret-argument"}));
    house.call("hello_greet", json!({}));
    house.records(2);
    let run = |args: &[&str]| house.folder.run(&[&["tail", "--no-follow"], args].concat());
    let all = run(&[]);
    assert_eq!(all.code, 0, "{all:?}");
    let lines: Vec<_> = all.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{all:?}");
    assert!(lines[0].contains("done") && lines[0].contains("hello_greet") && lines[0].contains("anonymous/loopback"));
    assert!(lines[1].contains("refused") && lines[1].contains("do not fit"), "{all:?}");
    assert!(!all.stdout.contains("secret-argument"));
    assert_eq!(run(&["--failed"]).stdout.lines().count(), 1);
    assert_eq!(run(&["-n", "1"]).stdout.lines().count(), 1);
    assert_eq!(run(&["--bundle", "probe"]).stdout, "");
    let forged = "x\n12:00:00.000  done  admin_everything\u{1b}[31m";
    let call = json!({"name": forged, "arguments": {}});
    let (mut headers, body) = house.modern_parts("tools/call", call);
    let name = base64(forged);
    headers.iter_mut().filter(|header| header.0 == "Mcp-Name").for_each(|header| header.1 = name.clone());
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(house.http("POST", "/mcp", &headers, &body).error(), (400, -32602));
    house.records(3);
    let last = run(&["-n", "1"]).stdout;
    assert!(last.lines().count() == 1 && last.contains("\\n12:00") && !last.contains('\u{1b}'), "{last:?}");
    house.call("hello_greet", json!({}));
    house.records(4);
    let json = run(&["-o", "json", "-n", "1"]).stdout;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["outcome"], "refused");

    let mut command = certosa(&["tail", "-n", "0", "--bundle", "hello"]);
    let mut child = command.current_dir(house.folder.dir.path()).stdout(Stdio::piped()).spawn().unwrap();
    let (sender, lines) = mpsc::channel();
    let output = child.stdout.take().unwrap();
    thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    thread::sleep(Duration::from_millis(300));
    house.call("probe_count", json!({}));
    house.call("hello_echo", json!({"text": "x"}));
    let line = lines.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(line.contains("hello_echo"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
    // Whoever stops reading ends it.
    let mut child = certosa(&["tail"]).current_dir(house.folder.dir.path()).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    house.call("hello_echo", json!({"text": "x"}));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let nowhere = Folder::new("").run(&["tail", "--no-follow"]);
    assert_eq!(nowhere.code, 6);
    assert!(nowhere.stderr.contains("has a house been opened"), "{nowhere:?}");
}

/// A collector that takes what is sent to it.
pub fn collector() -> (String, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (sender, requests) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            // A connection may be opened in advance and not be needed.
            if head.is_empty() {
                continue;
            }
            let length = head
                .to_ascii_lowercase()
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.lines().next().unwrap().trim().parse().unwrap());
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            if sender.send((head, body)).is_err() {
                return;
            }
        }
    });
    (url, requests)
}

/// Spans carry the caller's trace, and say what records say.
#[test]
fn calls_become_spans_of_the_callers_trace() {
    let (url, requests) = collector();
    let body = format!("{}, telemetry = (otlp = \"{url}\")", bundles(&["hello"], ""));
    let mut house = House::start(&body);
    let call = |traceparent: &str| {
        let params = json!({"name": "hello_greet", "arguments": {"name": "secret-argument"}, "_meta": {"traceparent": traceparent}});
        assert_eq!(house.modern("tools/call", params).status, 200);
    };
    call(&format!("00-{TRACE}-00f067aa0ba902b7-01"));
    call("nonsense");
    let records = house.records(2);
    assert_eq!(records[0]["trace"], TRACE);
    assert!(records[1].get("trace").is_none());
    house.signal("-TERM");
    assert_eq!(house.child.wait().unwrap().code(), Some(0));
    let (head, body) = requests.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(head.starts_with("POST /v1/traces ") && head.contains("application/x-protobuf"), "{head}");
    let has = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
    let bytes: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&TRACE[2 * at..2 * at + 2], 16).unwrap()).collect();
    assert!(has(&bytes) && has(&[0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]), "the caller's trace and span");
    for word in ["tool hello_greet", "certosa.outcome", "anonymous/loopback"] {
        assert!(has(word.as_bytes()), "{word}");
    }
    assert!(!has(b"secret-argument"));
}

#[test]
fn a_collector_that_is_away_harms_nobody() {
    let body = format!("{}, telemetry = (otlp = \"http://127.0.0.1:9/v1/traces\")", bundles(&["hello"], ""));
    let mut house = House::start(&body);
    house.call("hello_greet", json!({"name": "Ana"}));
    house.signal("-TERM");
    assert_eq!(house.child.wait().unwrap().code(), Some(0));
    let bad = Folder::new(&format!("{}, telemetry = (otlp = \"localhost:4318\")", bundles(&["hello"], "")));
    assert!(bad.run(&["check"]).stderr.contains("not the address of a collector"));
}

#[test]
fn the_log_is_for_people_or_for_programs() {
    let folder = Folder::new(&bundles(&["hello"], ""));
    let arguments = r#"{"name":"secret-argument"}"#;
    let ran = folder.run(&["call", "-v", "--log", "json", "hello_greet", arguments]);
    let lines: Vec<Value> = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let call = lines.iter().find(|line| line["message"] == "call").unwrap_or_else(|| panic!("{ran:?}"));
    assert_eq!((&call["name"], &call["outcome"]), (&json!("hello_greet"), &json!("done")));
    let ran = folder.run(&["call", "-v", "hello_greet", arguments]);
    assert!(ran.stderr.contains("outcome=\"done\""), "{ran:?}");
    assert!(!ran.stderr.contains("secret-argument"));
}
