//! What is not granted: every gate, tried by a guest that wants to pass it.

use serde_json::{Value, json};

use super::github::FakeGitHub;
use super::{Said, TOKEN, credential, errand, fetch, open, set, to, told};
use crate::support::{Folder, House, certosa};

const DENIED: &str = "ErrorCode::HttpRequestDenied";

#[test]
fn a_bundle_reaches_what_the_manifest_says_and_nothing_else() {
    let server = FakeGitHub::start(TOKEN);
    let mut said = Said::new(&server);
    let port = server.port();
    said.to = format!("hosts = [\"localhost\"], ports = [{port}], methods = [\"GET\"], paths = [\"/status/*\"]");
    said.credentials = credential("github", "bundle/errand/**", &said.to, "bearer = void", "");
    let house = said.house(&server, &["github"]);
    assert_eq!(fetch(&house, &server, "/status/200", json!({}))["status"], 200);
    let tried = server.requests().len();
    for (rule, line, more) in [
        ("schemes", "schemes = [\"http\"]", json!({"scheme": "http"})),
        ("hosts", "hosts = [\"127.0.0.1\"]", json!({"authority": format!("127.0.0.1:{port}")})),
        (
            "hosts",
            "hosts = [\"localhost.evil.example\"]",
            json!({"authority": format!("localhost.evil.example:{port}")}),
        ),
        ("ports", "ports = [443]", json!({"authority": "localhost"})),
        ("methods", "methods = [\"POST\"]", json!({"method": "POST"})),
        ("paths", "paths = [\"/echo\"]", json!({"path": "/echo"})),
        ("paths", "paths = [\"/status/200/more\"]", json!({"path": "/status/200/more"})),
    ] {
        let before = house.log().len();
        let answer = fetch(&house, &server, "/status/200", more.clone());
        assert_eq!(answer["error"], DENIED, "{more}: {answer}");
        let told = house.log()[before..].to_owned();
        assert!(told.contains(&format!("rule=\"{rule}\"")) && told.contains(line), "{more}: {told}");
        assert!(told.contains("subject=bundle/errand/fetch"), "{told}");
    }
    assert_eq!(server.requests().len(), tried, "nothing arrived");
    let refused: u64 = house.records(8).iter().filter_map(|record| record["refused"].as_u64()).sum();
    assert_eq!(refused, 7);
}

/// The line that an operator is told has nothing in it that the guest wrote and that means more than it looks like.
#[test]
fn a_guest_does_not_write_what_would_allow_it() {
    let server = FakeGitHub::start(TOKEN);
    let mut said = Said::new(&server);
    said.to = to(&server, "paths = [\"/status/*\"]");
    said.credentials = credential("github", "bundle/errand/**", &said.to, "bearer = void", "");
    let house = said.house(&server, &["github"]);
    let hostile =
        ["/status/..%2fecho", "/status/..;/echo", "/status/%252e%252e/echo", "/**", "/a\"],hosts=[\"evil.example"];
    for path in hostile {
        let before = house.log().len();
        assert_eq!(fetch(&house, &server, "/status/200", json!({"path": path}))["error"], DENIED);
        let told = house.log()[before..].to_owned();
        assert!(told.contains("rule=\"paths\"") && !told.contains("to allow it"), "{path}: {told}");
    }
    assert_eq!(server.requests().len(), 0, "nothing arrived");
}

#[test]
fn what_can_be_read_in_two_ways_is_not_sent() {
    let (server, house) = open();
    let port = server.port();
    for more in [
        json!({"authority": format!("user@localhost:{port}")}),
        json!({"authority": format!("localhost.:{port}")}),
        json!({"authority": format!("2130706433:{port}")}),
        json!({"authority": format!("0x7f.1:{port}")}),
        json!({"authority": format!("localhost:0{port}")}),
        json!({"path": format!("https://localhost:{port}/status/200")}),
        json!({"path": "/a\\b"}),
        json!({"path": "/a b"}),
        json!({"path": "/a\r\nx: y"}),
        json!({"method": "CONNECT"}),
        json!({"method": "TRACE"}),
        json!({"method": "get"}),
        json!({"scheme": "ftp"}),
        json!({"headers": [["host", "evil.example"]]}),
        json!({"headers": [["connection", "upgrade"]]}),
        json!({"headers": [["upgrade", "websocket"]]}),
        json!({"headers": [["transfer-encoding", "chunked"]]}),
        json!({"headers": [["x-a", "b\r\nx-c: d"]]}),
        json!({"headers": [["content-length", "5"], ["content-length", "6"]]}),
        json!({"headers": [["proxy-authorization", "x"]]}),
    ] {
        let answer = fetch(&house, &server, "/status/200", more.clone());
        assert!(answer["error"].is_string() && answer["status"].is_null(), "{more}: {answer}");
    }
    assert!(server.requests().is_empty(), "{:?}", server.requests());
}

#[test]
fn headers_that_are_the_hosts_are_the_hosts() {
    let (server, house) = open();
    let headers = json!([
        ["authorization", "Bearer stolen"],
        ["cookie", "a=b"],
        ["x-forwarded-for", "1.2.3.4"],
        ["forwarded", "for=1.2.3.4"],
        ["via", "1.1 me"],
        ["x-http-method-override", "DELETE"],
        ["accept-encoding", "br"],
        ["x-mine", "kept"],
    ]);
    assert_eq!(fetch(&house, &server, "/status/200", json!({"headers": headers}))["status"], 200);
    let seen = server.requests().pop().unwrap();
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(seen.headers.get_all("authorization").iter().count(), 1);
    assert_eq!((seen.header("accept-encoding"), seen.header("x-mine")), (Some("identity"), Some("kept")));
    for gone in ["cookie", "x-forwarded-for", "forwarded", "via", "x-http-method-override"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
}

#[test]
fn addresses_of_this_machine_and_its_network_are_not_reached() {
    let server = FakeGitHub::start(TOKEN);
    let port = server.port();
    let hosts = [
        "localhost",
        "127.0.0.1",
        "169.254.169.254",
        "10.0.0.1",
        "::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
    ];
    let mut said = Said::new(&server);
    said.to = format!("schemes = [\"https\", \"http\"], hosts = [\"{}\"], ports = [{port}, 80],", hosts.join("\", \""));
    let folder = said.folder(&server);
    let manifest = std::fs::read_to_string(folder.path("manifest.capnp")).unwrap();
    folder.write("manifest.capnp", manifest.replace("addresses = [\"127.0.0.0/8\", \"::1/128\"],", ""));
    set(&folder, "github", TOKEN);
    let house = House::in_folder(folder);
    for host in hosts {
        let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let answer = fetch(&house, &server, "/status/200", json!({"authority": authority}));
        assert_eq!(answer["error"], DENIED, "{host}: {answer}");
    }
    assert_eq!(server.connections(), 0);
    assert!(house.log().contains("addresses = [\"127.0.0.1/32\"] in `egress` of the bundle"), "{}", house.log());
}

#[test]
fn a_credential_is_for_those_that_it_names() {
    let server = FakeGitHub::start(TOKEN);
    let mut said = Said::new(&server);
    let all = to(&server, "");
    said.callers = "\"anonymous/loopback\", \"user/ana\", \"user/bob\"".to_owned();
    said.credentials = [
        credential("github", "bundle/github/**", &all, "bearer = void", ""),
        credential("tool", "bundle/errand/download", &all, "bearer = void", ""),
        credential("anas", "bundle/errand/fetch", &all, "bearer = void", "allowedCallers = [\"user/ana\"]"),
        credential("nobodys", "bundle/errand/**", &all, "bearer = void", "allowedCallers = []"),
        credential("unset", "bundle/errand/**", &to(&server, "paths = [\"/elsewhere\"]"), "bearer = void", ""),
    ]
    .concat();
    let house = said.house(&server, &["github", "tool", "anas", "nobodys"]);
    let authorization = || server.requests().pop().unwrap().header("authorization").map(str::to_owned);
    // Another's, another tool's, another caller's, nobody's: the request goes without.
    assert_eq!(fetch(&house, &server, "/status/200", json!({}))["status"], 200);
    assert_eq!(authorization(), None);
    let mut refusals = Vec::new();
    for name in ["github", "tool", "anas", "nobodys", "unset", "absent", "../github", "GITHUB", ""] {
        let answer = fetch(&house, &server, "/status/200", json!({"use": name}));
        assert_eq!(answer["error"], "use: refused", "{name}: {answer}");
        refusals.push(answer.to_string());
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "what is not granted and what is not there look the same");
    assert_eq!(told(&house.call("errand_available", json!({})))["available"], json!([]));

    assert_eq!(errand(&house, &server, "download", "/status/200", json!({}))["status"], 200);
    assert_eq!(authorization(), Some(format!("Bearer {TOKEN}")));

    let by = |caller: &str| {
        let arguments =
            json!({"scheme": "https", "authority": format!("localhost:{}", server.port()), "path": "/status/200"});
        let arguments = arguments.to_string();
        let ran = house.folder.run(&["call", "errand_fetch", &arguments, "--as", caller]);
        assert_eq!(ran.code, 0, "{ran:?}");
        authorization()
    };
    assert_eq!(by("user/bob"), None);
    assert_eq!(by("user/ana"), Some(format!("Bearer {TOKEN}")));
}

#[test]
fn a_credential_goes_where_both_rules_let_it_go() {
    let server = FakeGitHub::start(TOKEN);
    let mut said = Said::new(&server);
    let narrow = to(&server, "paths = [\"/status/*\"]");
    said.credentials = credential("github", "bundle/errand/**", &narrow, "bearer = void", "");
    let folder = said.folder(&server);
    set(&folder, "github", TOKEN);
    // The manifest is widened after the value was sealed.
    said.credentials = credential("github", "bundle/errand/**", &to(&server, ""), "bearer = void", "");
    said.rewrite(&folder);
    let house = House::in_folder(folder);
    assert_eq!(fetch(&house, &server, "/status/200", json!({}))["status"], 200);
    assert_eq!(fetch(&house, &server, "/echo", json!({}))["error"], DENIED);
    assert!(house.log().contains("certosa vault allow github"), "{}", house.log());
    assert!(server.requests().iter().all(|seen| seen.path == "/status/200"));

    let allowed = super::vault(&house.folder, &["allow", "github"], "");
    assert_eq!(allowed.code, 0, "{allowed:?}");
    assert_eq!(fetch(&house, &server, "/echo", json!({}))["status"], 200);

    // So was how often.
    said.credentials =
        credential("github", "bundle/errand/**", &to(&server, ""), "bearer = void", "perMinuteMax = 700");
    said.rewrite(&house.folder);
    let faster = House::in_folder(Folder { dir: clone(&house.folder) });
    assert_eq!(fetch(&faster, &server, "/echo", json!({}))["error"], DENIED);
    assert!(faster.log().contains("perMinuteMax"), "{}", faster.log());
    drop(faster);

    // How it is sent was sealed, too: the manifest alone does not move it to where an echo would show it.
    said.credentials = credential("github", "bundle/errand/**", &to(&server, ""), "query = \"q\"", "");
    said.rewrite(&house.folder);
    let moved = House::in_folder(Folder { dir: clone(&house.folder) });
    assert_eq!(fetch(&moved, &server, "/echo", json!({}))["error"], DENIED);
}

/// The same folder once more.
fn clone(folder: &Folder) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let (from, to) = (folder.dir.path().join("."), copy.path());
    assert!(std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    copy
}

#[test]
fn a_credential_is_used_so_often_in_a_minute() {
    let server = FakeGitHub::start(TOKEN);
    let mut said = Said::new(&server);
    said.credentials = credential("github", "bundle/errand/**", &to(&server, ""), "bearer = void", "perMinuteMax = 3");
    let house = said.house(&server, &["github"]);
    let answers: Vec<_> = (0..5).map(|_| fetch(&house, &server, "/status/200", json!({}))).collect();
    assert!(answers[..3].iter().all(|answer| answer["status"] == 200), "{answers:?}");
    assert!(answers[3..].iter().all(|answer| answer["error"] == DENIED), "{answers:?}");
    assert!(house.log().contains("a higher perMinuteMax of the credential github"), "{}", house.log());

    // A redirect that the host follows is another use: the third one of a chain goes nowhere.
    said.egress = "redirectsMax = 3".to_owned();
    said.credentials = credential("github", "bundle/errand/**", &to(&server, ""), "bearer = void", "perMinuteMax = 2");
    let house = said.house(&server, &["github"]);
    let before = server.requests().len();
    let chain = "/redirect?to=/redirect?to=/status/200";
    assert_eq!(fetch(&house, &server, chain, json!({}))["error"], DENIED);
    assert_eq!(server.requests().len() - before, 2);
    assert!(house.log().contains("each redirect that is followed is a use"), "{}", house.log());
}

#[test]
fn imports_need_a_grant() {
    let folder = Folder::new(&crate::support::bundles(&["errand", "github"], ""));
    let ran = folder.run(&["check"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    for wanted in [
        "wasi:http/outgoing-handler@0.2",
        "`egress` of the bundle",
        "certosa:tools/vault@0.1.0",
        "\"bundle/errand/**\"",
    ] {
        assert!(ran.stderr.contains(wanted), "{wanted}: {}", ran.stderr);
    }
}

#[test]
fn there_is_no_other_way_out() {
    let server = FakeGitHub::start_plain(TOKEN);
    let (_, house) = open();
    let arguments = json!({"address": server.address().to_string(), "host": "localhost"});
    let answer = told(&house.call("errand_sockets", arguments));
    assert_eq!(answer["connect"], "access-denied", "{answer}");
    assert!(!answer["lookup"].as_str().unwrap().starts_with("ok"), "{answer}");
    assert_eq!(server.connections(), 0);
}

#[test]
fn proxies_in_the_environment_are_not_asked() {
    let proxy = FakeGitHub::start_plain("");
    let server = FakeGitHub::start(TOKEN);
    let folder = Said::new(&server).folder(&server);
    set(&folder, "github", TOKEN);
    let arguments =
        json!({"scheme": "https", "authority": format!("localhost:{}", server.port()), "path": "/status/200"});
    let mut command = certosa(&["call", "errand_fetch", &arguments.to_string()]);
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, proxy.url());
    }
    let ran = crate::support::Ran::of(command.current_dir(folder.dir.path()).output().unwrap());
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(answer["status"], 200, "{answer}");
    assert_eq!((proxy.connections(), server.requests().len()), (0, 1));
}

#[test]
fn a_refused_call_tells_a_library_that_it_was_refused() {
    let server = FakeGitHub::start(TOKEN);
    let mut said = Said::new(&server);
    said.to = to(&server, "").replace(", \"POST\"", "");
    let house = said.house(&server, &["github"]);
    let issue = json!({"owner": "a", "repo": "b", "title": "t", "body": "long ".repeat(40_000), "api": server.url()});
    let answer = house.call("github_create_issue", issue);
    assert_eq!(answer["isError"], true);
    let text = answer["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("with this request; the operator's log says"), "{text}");
    assert!(house.log().contains("methods = [\"POST\"] in `egress.to` of the bundle"), "{}", house.log());
}
