//! The value of a credential comes out nowhere: not in what upstreams echo, and not in anything that Certosa writes.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::{TOKEN, errand, fetch, log, open, told, vault};

#[test]
fn echoes_come_back_without_it() {
    let (server, house) = open();
    for path in ["/echo", "/echo/header", "/echo/gzip", "/echo/base64", "/echo/split", "/echo/trailer"] {
        let answer = fetch(&house, &server, path, json!({"method": "POST", "body": "what I sent"}));
        assert_eq!(answer["status"], 200, "{path}: {answer} {}", log(&house));
        is_quiet(path, &answer.to_string());
        assert_eq!(server.requests().pop().unwrap().header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
        if path != "/echo/header" && path != "/echo/trailer" {
            assert!(answer["body"].as_str().unwrap().contains("[redacted]"), "{path}: {answer}");
        }
    }
    let header = fetch(&house, &server, "/echo/header", json!({}));
    assert!(header["headers"].to_string().contains("[redacted]"), "{header}");
}

#[test]
fn nothing_that_is_written_has_it() {
    let (server, house) = open();
    for path in ["/echo", "/echo/header", "/status/500", "/redirect?to=http://localhost:1/", "/hang"] {
        errand(&house, &server, "fetch", path, json!({"path": if path == "/hang" { "/status/404" } else { path }}));
    }
    // Where things go wrong, too: the server is not there, the value cannot be sent, the guest breaks off.
    told(&house.call("errand_begin_and_leave", json!({"scheme": "https", "authority": format!("localhost:{}", server.port()), "path": "/echo", "method": "POST"})));
    vault(&house.folder, &["rotate", "github"], &format!("{TOKEN}\nsecond line"));
    let broken = fetch(&house, &server, "/echo", json!({}));
    assert_eq!(broken["error"], "ErrorCode::HttpRequestDenied", "{broken}");
    drop(server);
    vault(&house.folder, &["rotate", "github"], TOKEN);
    house.call("errand_fetch", json!({"scheme": "https", "authority": "localhost:1", "path": "/"}));
    let mut told = vec![("log", log(&house))];
    let metrics = house.http("GET", "/metrics", &[], "").body;
    told.push(("metrics", metrics));
    for args in [&["vault", "list"][..], &["vault", "list", "-o", "json"], &["vault", "check"], &["doctor"], &["check"]]
    {
        let ran = house.folder.run(args);
        told.push(("command", ran.stdout + &ran.stderr));
    }
    let call = house.folder.run(&["-vv", "call", "errand_available"]);
    told.push(("debugging", call.stdout + &call.stderr));
    house.signal("-TERM");
    let files = Command::new("find").arg(house.folder.path(".certosa")).args(["-type", "f"]).output().unwrap();
    for file in String::from_utf8(files.stdout).unwrap().lines() {
        told.push(("file", String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned()));
    }
    assert!(told.len() > 10);
    for (what, text) in told {
        is_quiet(what, &text);
    }
}

/// Looks for the value in each form that a program may write it in.
fn is_quiet(what: &str, text: &str) {
    let percent: String = TOKEN.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut forms = vec![
        TOKEN.to_owned(),
        hex::encode(TOKEN),
        hex::encode_upper(TOKEN),
        percent,
        "ghp_Pl4nted%2FKey%2BWith%26Forms%3D16".to_owned(),
        "ghp_Pl4nted\\/Key+With\\u0026Forms=16".to_owned(),
        "ghp_Pl4nted/Key+With&amp;Forms=16".to_owned(),
        format!("{:?}", TOKEN.as_bytes()),
        TOKEN.chars().rev().take(12).collect::<String>().chars().rev().collect(),
    ];
    for front in 0..3 {
        // In base64 what stands before shifts it; what the neighbours decide is left out.
        let shifted = [&vec![0; front][..], TOKEN.as_bytes()].concat();
        for encoded in [STANDARD.encode(&shifted), STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            let end = shifted.len() / 3 * 4;
            forms.push(encoded[front.div_ceil(1) * 4 / 3 + usize::from(front > 0)..end].to_owned());
        }
    }
    for form in forms {
        assert!(!text.contains(&form), "{what} has {form}: {text}");
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
