//! What is granted works: the bundle that knows nothing of credentials, and each way to send one.

use serde_json::json;

use super::github::FakeGitHub;
use super::{Said, TOKEN, credential, errand, fetch, issues, open, set, to, told, vault};
use crate::support::House;

#[test]
fn a_tool_uses_a_key_that_it_never_sees() {
    let (server, house) = open();
    let api = server.url();
    let issue =
        json!({"owner": "ana", "repo": "house", "title": "The hatch is stuck", "body": "Since yesterday.", "api": api});
    let opened = house.call("github_create_issue", issue);
    assert_eq!(opened["structuredContent"]["number"], 1, "{opened}");
    let issues = server.issues();
    assert_eq!((issues.len(), issues[0].title.as_str()), (1, "The hatch is stuck"));
    assert_eq!(server.requests()[0].header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));

    let said =
        house.call("github_comment", json!({"owner": "ana", "repo": "house", "number": 1, "body": "Oil?", "api": api}));
    assert_eq!(said["structuredContent"]["number"], 1, "{said}");
    let read = house.call("github_read_issue", json!({"owner": "ana", "repo": "house", "number": 1, "api": api}));
    assert_eq!(read["structuredContent"]["comments"][0]["body"]["text"], "Oil?", "{read}");
    let listed = house.call("github_list_issues", json!({"owner": "ana", "repo": "house", "api": api}));
    assert_eq!(listed["structuredContent"]["issues"][0]["title"], "The hatch is stuck", "{listed}");

    let records = house.records(4);
    assert!(records.iter().all(|record| record["credentials"] == json!(["github"])), "{records:?}");
    assert!(records.iter().all(|record| record.get("refused").is_none()));
    assert!(!house.log().contains("WARN"), "{}", house.log());
}

#[test]
fn a_value_that_is_sealed_while_the_house_runs_is_used_at_once() {
    let server = FakeGitHub::start(TOKEN);
    let house = House::in_folder(Said::new(&server).folder(&server));
    assert_eq!(issues(&house, &server)["error"], "ErrorCode::HttpRequestDenied");
    assert!(house.log().contains("certosa vault set github"), "{}", house.log());
    assert_eq!(server.requests().len(), 0, "without its credential it is not sent");

    set(&house.folder, "github", "another");
    assert_eq!(issues(&house, &server)["status"], 401);
    let rotated = vault(&house.folder, &["rotate", "github"], TOKEN);
    assert_eq!(rotated.code, 0, "{rotated:?}");
    assert_eq!(issues(&house, &server)["status"], 200);
}

#[test]
fn each_way_to_send_a_credential_arrives() {
    let server = FakeGitHub::start(TOKEN);
    let mut said = Said::new(&server);
    let all = to(&server, "");
    said.credentials = [
        credential("basic", "bundle/errand/**", &all, "basic = \"ana\"", ""),
        credential("header", "bundle/errand/**", &all, "header = (name = \"x-api-key\", prefix = \"token \")", ""),
        credential("query", "bundle/errand/**", &all, "query = \"key\"", ""),
        credential("json", "bundle/errand/**", &all, "json = \"key\"", ""),
        credential("form", "bundle/errand/**", &all, "form = \"key\"", ""),
    ]
    .concat();
    let house = said.house(&server, &["basic", "header", "query", "json", "form"]);
    let send = |name: &str, content_type: &str, body: serde_json::Value| {
        let headers = json!([["content-type", content_type]]);
        let more = json!({"use": name, "method": "POST", "headers": headers, "body": body});
        let answer = fetch(&house, &server, "/status/200?a=b", more);
        assert_eq!(answer["status"], 200, "{name}: {answer} {}", house.log());
        server.requests().pop().unwrap()
    };
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("ana:{TOKEN}"));
    assert_eq!(send("basic", "text/plain", json!("x")).header("authorization"), Some(format!("Basic {pair}").as_str()));
    assert_eq!(send("header", "text/plain", json!("x")).header("x-api-key"), Some(format!("token {TOKEN}").as_str()));
    let path = send("query", "text/plain", json!("x")).path;
    assert_eq!(path, "/status/200?a=b&key=ghp_Pl4nted%2FKey%2BWith%26Forms%3D16");
    let body = send("json", "application/json", json!("{\"a\": 1}")).body;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), json!({"a": 1, "key": TOKEN}));
    let body = send("form", "application/x-www-form-urlencoded", json!("a=b")).body;
    assert_eq!(body, "key=ghp_Pl4nted%2FKey%2BWith%26Forms%3D16&a=b");
}

#[test]
fn where_several_may_go_the_guest_names_one() {
    let server = FakeGitHub::start(TOKEN);
    let mut said = Said::new(&server);
    let all = to(&server, "");
    said.credentials =
        ["one", "two"].map(|name| credential(name, "bundle/errand/**", &all, "bearer = void", "")).concat();
    let house = said.house(&server, &["one"]);
    set(&house.folder, "two", "the second");
    assert_eq!(fetch(&house, &server, "/status/200", json!({}))["error"], "ErrorCode::HttpRequestDenied");
    assert!(house.log().contains("several credentials may go with this request (one, two)"), "{}", house.log());
    for (name, value) in [("one", TOKEN), ("two", "the second")] {
        assert_eq!(fetch(&house, &server, "/status/200", json!({"use": name}))["status"], 200);
        assert_eq!(server.requests().pop().unwrap().header("authorization"), Some(format!("Bearer {value}").as_str()));
    }
    assert_eq!(told(&house.call("errand_available", json!({})))["available"], json!(["one", "two"]));
}

#[test]
fn signatures_and_codes_are_made_with_keys_that_stay() {
    use ed25519_dalek::{Signature, VerifyingKey};
    let server = FakeGitHub::start(TOKEN);
    let mut said = Said::new(&server);
    said.credentials = "(name = \"seal\", allowedSubs = [\"bundle/errand/**\"], sign = \"letters 1\"),\
                        (name = \"code\", allowedSubs = [\"bundle/errand/**\"], mac = \"letters 1\"),"
        .to_owned();
    let folder = said.folder(&server);
    let made = vault(&folder, &["set", "seal", "--generate", "-o", "json"], "");
    let made: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    set(&folder, "code", TOKEN);
    let house = House::in_folder(folder);

    let signed = told(&house.call("errand_sign", json!({"name": "seal", "message": "Dear Ana"})));
    let key: [u8; 32] = hex::decode(made["public_key"].as_str().unwrap()).unwrap().try_into().unwrap();
    let signature = Signature::from_slice(&hex::decode(signed["hex"].as_str().unwrap()).unwrap()).unwrap();
    let message = [&9_u32.to_be_bytes()[..], b"letters 1", b"Dear Ana"].concat();
    VerifyingKey::from_bytes(&key).unwrap().verify_strict(&message, &signature).unwrap();

    // HMAC-SHA256 of the same bytes, by another program.
    let code = told(&house.call("errand_mac", json!({"name": "code", "message": "Dear Ana"})));
    let script =
        "import hmac,sys;print(hmac.new(sys.argv[1].encode(),bytes.fromhex(sys.argv[2]),'sha256').hexdigest())";
    let python = std::process::Command::new("python3").args(["-c", script, TOKEN, &hex::encode(&message)]).output();
    assert_eq!(code["hex"].as_str().unwrap(), String::from_utf8(python.unwrap().stdout).unwrap().trim());

    // Each for its own purpose.
    for (tool, name) in [("sign", "code"), ("mac", "seal"), ("sign", "absent"), ("mac", "absent")] {
        let refused = told(&house.call(&format!("errand_{tool}"), json!({"name": name, "message": "Dear Ana"})));
        assert_eq!(refused["ok"], false, "{tool} {name}: {refused}");
    }
    let chosen = told(&house.call("errand_use_credential", json!({"name": "seal"})));
    assert_eq!(chosen["ok"], false, "what signs is never sent");
}

#[test]
fn redirects_are_the_guests_unless_the_manifest_lets_the_host_follow() {
    let (server, house) = open();
    let target = format!("/redirect?to={}/status/200", server.url());
    let seen = fetch(&house, &server, &target, json!({}));
    assert_eq!(seen["status"], 302, "{seen}");

    let other = FakeGitHub::start(TOKEN);
    let mut said = Said::new(&server);
    said.to = format!(
        "schemes = [\"https\"], hosts = [\"localhost\"], ports = [{}, {}], methods = [\"GET\"],",
        server.port(),
        other.port()
    );
    said.egress = "redirectsMax = 3".to_owned();
    let house = said.house(&server, &["github"]);
    let seen = fetch(&house, &server, &target, json!({}));
    assert_eq!(seen["status"], 200, "{seen} {}", house.log());
    assert_eq!(server.requests().pop().unwrap().header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    // To another origin it goes without the credential, and the other server is of another authority.
    let seen = errand(&house, &server, "fetch", &format!("/redirect?to={}/echo", other.url()), json!({}));
    assert_eq!(seen["error"], "ErrorCode::TlsProtocolError", "{seen}");
    assert!(other.requests().is_empty());
}
