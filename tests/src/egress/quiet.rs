//! The value of a credential comes out nowhere: not in what upstreams echo, and not in anything that Certosa writes.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::{TOKEN, errand, fetch, open, open_with, told, vault};
use crate::planted::is_quiet;
use crate::seen::collector;

#[test]
fn echoes_come_back_without_it() {
    let (server, house) = open();
    for path in ["/echo", "/echo/header", "/echo/gzip", "/echo/base64", "/echo/split", "/echo/trailer"] {
        let answer = fetch(&house, &server, path, json!({"method": "POST", "body": "what I sent"}));
        assert_eq!(answer["status"], 200, "{path}: {answer} {}", house.log());
        is_quiet(path, answer.to_string().as_bytes());
        assert_eq!(server.requests().pop().unwrap().header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
        if path != "/echo/header" && path != "/echo/trailer" {
            assert!(answer["body"].as_str().unwrap().contains("[redacted]"), "{path}: {answer}");
        }
    }
    let header = fetch(&house, &server, "/echo/header", json!({}));
    assert!(header["headers"].to_string().contains("[redacted]"), "{header}");
}

/// Every output, every response and every log is looked through in every test; this one provokes as many as it can.
#[test]
fn nothing_that_is_written_has_it() {
    let (url, spans) = collector();
    let (server, mut house) = open_with(|said| said.more = format!("telemetry = (otlp = \"{url}\"),"));
    for path in ["/echo", "/echo/header", "/status/500", "/redirect?to=http://localhost:1/", "/hang"] {
        errand(&house, &server, "fetch", path, json!({"path": if path == "/hang" { "/status/404" } else { path }}));
    }
    // Where things go wrong, too: the server is not there, the value cannot be sent, the guest breaks off.
    told(&house.call("errand_begin_and_leave", json!({"scheme": "https", "authority": format!("localhost:{}", server.port()), "path": "/echo", "method": "POST"})));
    // And where everything is told, of exchanges with it.
    let place = json!({"scheme": "https", "authority": format!("localhost:{}", server.port()), "path": "/echo"});
    let loud = house.folder.run(&["-vv", "call", "errand_fetch", &place.to_string()]);
    assert!(loud.stdout.contains("[redacted]") && !loud.stderr.is_empty(), "{loud:?}");
    vault(&house.folder, &["rotate", "github"], &format!("{TOKEN}\nsecond line"));
    let broken = fetch(&house, &server, "/echo", json!({}));
    assert_eq!(broken["error"], "ErrorCode::HttpRequestDenied", "{broken}");
    drop(server);
    vault(&house.folder, &["rotate", "github"], TOKEN);
    house.call("errand_fetch", json!({"scheme": "https", "authority": "localhost:1", "path": "/"}));
    assert_eq!(house.http("GET", "/metrics", &[], "").status, 200);
    for args in [&["vault", "list"][..], &["vault", "list", "-o", "json"], &["vault", "check"], &["doctor"], &["check"]]
    {
        house.folder.run(args);
    }
    house.signal("-TERM");
    house.child.wait().unwrap();
    let first = spans.recv_timeout(Duration::from_secs(20)).unwrap();
    for (head, span) in std::iter::once(first).chain(spans.try_iter()) {
        is_quiet("a span", &[head.as_bytes(), &span].concat());
    }
    let files = Command::new("find").arg(house.folder.path(".certosa")).args(["-type", "f"]).output().unwrap();
    let files = String::from_utf8(files.stdout).unwrap();
    assert!(files.lines().count() > 3, "{files}");
    for file in files.lines() {
        is_quiet(file, &std::fs::read(file).unwrap());
    }
}

#[test]
fn a_house_leaves_no_image_of_its_memory() {
    let (_server, house) = open();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", house.child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let most: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(most, ["0", "0"], "the bound, and up to where it could be raised");
}
