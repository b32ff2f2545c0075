//! What is on its way: revocations, calls that end, cells that outlive them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{errand, fetch, issues, open, open_with, until, vault};

#[test]
fn a_revocation_ends_what_is_on_its_way() {
    let (server, house) = open();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| errand(&house, &server, "download", "/endless", json!({"pause_ms": 5})));
        let waiting = scope.spawn(|| fetch(&house, &server, "/hang", json!({})));
        until("both are on their way", || server.open() == 2);
        let revoked = vault(&house.folder, &["revoke", "github"], "");
        assert_eq!(revoked.code, 0, "{revoked:?}");
        let reading = reading.join().unwrap();
        assert!(reading["error"].as_str().unwrap().contains("denied"), "{reading}");
        assert_eq!(waiting.join().unwrap()["error"], "ErrorCode::HttpRequestDenied");
    });
    assert!(started.elapsed() < Duration::from_secs(20), "they would have gone on for 30 s");
    until("the connections are closed", || server.open() == 0);
    assert_eq!(fetch(&house, &server, "/status/200", json!({}))["error"], "ErrorCode::HttpRequestDenied");
    assert!(house.log().contains("rule=\"revoked\"") && house.log().contains("rule=\"absent\""), "{}", house.log());
}

#[test]
fn what_happens_to_other_credentials_ends_nothing() {
    let other = "(name = \"other\", allowedSubs = [\"bundle/errand/**\"], mac = \"letters\"),";
    let (server, house) = open_with(|said| said.credentials += other);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(vault(&house.folder, &["set", "other"], "its value").code, 0);
                assert_eq!(vault(&house.folder, &["rm", "other"], "").code, 0);
            }
        });
        let slow = scope.spawn(|| fetch(&house, &server, "/slow?ms=1500", json!({})));
        let quick: Vec<_> = (0..500).map(|_| issues(&house, &server)["status"].clone()).collect();
        let slow = slow.join().unwrap();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(slow["status"], 200, "{slow}");
        assert!(quick.iter().all(|status| *status == 200), "{quick:?}\n{}", house.log());
    });
}

#[test]
fn the_version_before_goes_on_for_as_long_as_the_operator_said() {
    let (server, house) = open();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| fetch(&house, &server, "/slow?ms=1500", json!({})));
        until("it is on its way", || server.open() == 1);
        assert_eq!(vault(&house.folder, &["rotate", "github", "--overlap", "60"], "the new one").code, 0);
        assert_eq!(slow.join().unwrap()["status"], 200);
    });
    assert_eq!(issues(&house, &server)["status"], 401, "the new one is used");
}

#[test]
fn the_version_before_ends_when_it_retires() {
    let (server, house) = open();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| errand(&house, &server, "download", "/endless", json!({"pause_ms": 5})));
        until("it is on its way", || server.open() == 1);
        assert_eq!(vault(&house.folder, &["rotate", "github", "--overlap", "2"], "the new one").code, 0);
        let reading = reading.join().unwrap();
        assert!(reading["error"].as_str().unwrap().contains("denied"), "{reading}");
    });
    assert!((2..20).contains(&started.elapsed().as_secs()), "it would have gone on for 30 s");
    assert!(house.log().contains("rule=\"revoked\""), "{}", house.log());
}

#[test]
fn what_a_call_began_ends_with_it() {
    let (server, house) = open_with(|said| said.bundle = "reuse = serial".to_owned());
    let kept = errand(&house, &server, "keep", "/endless", json!({}));
    assert_eq!(kept["status"], 200, "{kept}");
    until("the exchange has ended", || server.open() == 0);
    let taken = house.call("errand_take", json!({}));
    assert!(!taken.to_string().contains("\"bytes\":1"), "{taken}");
    let text = taken["content"][0]["text"].as_str().unwrap_or_default();
    assert!(!text.contains("\"status\":200"), "the next call reads nothing of it: {taken}");

    let seen = server.requests();
    assert!(seen.iter().all(|seen| seen.whole), "{seen:?}");
    let left = errand(&house, &server, "begin_and_leave", "/echo", json!({"method": "POST"}));
    assert_eq!(left["begun"], true, "{left}");
    until("what was left is gone", || server.open() == 0);
}

#[test]
fn a_call_that_is_given_up_takes_its_exchanges_along() {
    let (server, house) = open();
    let arguments = json!({"scheme": "https", "authority": format!("localhost:{}", server.port()), "path": "/hang"});
    let (headers, body) = house.modern_parts("tools/call", json!({"name": "errand_fetch", "arguments": arguments}));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    {
        use std::io::Write as _;
        let mut stream = house.connect();
        stream.write_all(house.request("POST", "/mcp", &headers, &body).as_bytes()).unwrap();
        until("it is on its way", || server.open() == 1);
    }
    until("the connection is closed", || server.open() == 0);
    assert_eq!(house.records(1)[0]["outcome"], "cancelled");
    assert_eq!(house.records(1)[0]["credentials"], json!(["github"]), "what it used is known all the same");
}
