//! What requests may say.

use crate::world::*;
use certosa_egress::{EgressError, GuestError, Head, Request, headers};
use certosa_model::{HostPattern, Method, PathPattern, Scheme};
use http::HeaderMap;

fn parse(method: &str, scheme: Option<&str>, authority: &str, path: &str) -> Result<Request, EgressError> {
    let head = Head { method, scheme, authority, path_and_query: path, headers: HeaderMap::new() };
    Request::parse(head, body(""))
}

fn is_refused(parsed: Result<Request, EgressError>) -> bool {
    matches!(parsed.err().map(|error| error.code()), Some("malformed"))
}

#[test]
fn a_host_has_one_spelling() {
    for bad in [
        "",
        "user@evil.test",
        "user:pw@evil.test",
        "api.test@evil.test",
        "api.test\\evil.test",
        "api.test\\@evil.test",
        "api.test#@evil.test",
        "api.test/@evil.test",
        "api.test?@evil.test",
        "api.test.",
        "api.test.:443",
        ".api.test",
        "api..test",
        "api.test ",
        " api.test",
        "api test",
        "api.test\r\nhost: evil",
        "api.test\0",
        "api.test%2eevil",
        "%61pi.test",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "127.0.0.01",
        "1.2.3.4.5",
        "127.0.0.0x1",
        "[::1",
        "::1",
        "[::1]x",
        "[127.0.0.1]",
        "[::1%25eth0]",
        "[::01]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:7f00:1]",
        "аpi.test",
        "api。test",
        "ａpi.test",
        "\u{212a}.test",
        "api.test:",
        "api.test:0",
        "api.test:00443",
        "api.test:65536",
        "api.test:+443",
        "api.test:443:443",
        "api.test:https",
        "*",
        "*.test",
        "-api.test",
        "api,evil.test",
    ] {
        assert!(is_refused(parse("GET", None, bad, "/")), "{bad:?}");
    }
    for good in
        ["api.test", "API.Test", "api.test:443", "127.0.0.1", "[::1]:8443", "[2606:4700::1111]", "xn--pi-7kc.test"]
    {
        assert!(parse("GET", None, good, "/").is_ok(), "{good}");
    }
}

#[test]
fn a_path_is_a_path() {
    for bad in [
        "https://evil.test/",
        "http:/x",
        "api.test/",
        "*",
        "x",
        "/a b",
        "/a\r\nx: y",
        "/a\n",
        "/a\0",
        "/\\evil.test",
        "\\\\evil.test",
        "/a#b",
        "/ä",
        "/a\tb",
        "/\x7f",
    ] {
        assert!(is_refused(parse("GET", None, "api.test", bad)), "{bad:?}");
    }
    assert!(is_refused(parse("GET", None, "api.test", &format!("/{}", "a".repeat(8192)))));
    for good in
        ["", "/", "?a=b", "/a?b=c", "/%7Euser", "/a/../b", "//x", "/a?b=/c?d", &format!("/{}", "a".repeat(8191))]
    {
        assert!(parse("GET", None, "api.test", good).is_ok(), "{good}");
    }
}

#[test]
fn methods_and_schemes_are_known() {
    for bad in ["CONNECT", "TRACE", "get", "", "GET ", "GET / HTTP/1.1\r\nx:", "G\0T"] {
        assert!(is_refused(parse(bad, None, "api.test", "/")), "{bad:?}");
    }
    for bad in ["ftp", "file", "HTTPS", "ws", "", "https:"] {
        assert!(is_refused(parse("GET", Some(bad), "api.test", "/")), "{bad:?}");
    }
    assert!(parse("PATCH", Some("http"), "api.test", "/").is_ok());
}

#[test]
fn headers_cannot_end_early() {
    for (name, value) in [
        ("x", "a\r\nauthorization: b"),
        ("x", "a\nb"),
        ("x", "a\rb"),
        ("x", "a\0b"),
        ("x\r\ny", "a"),
        ("x y", "a"),
        ("x:", "a"),
        ("", "a"),
        (":authority", "evil.test"),
        ("xé", "a"),
    ] {
        let error = headers([(name, value.as_bytes())]).unwrap_err();
        assert_eq!(error.guest(), GuestError::HttpRequestDenied, "{name:?} {value:?}");
    }
    assert!(headers([("x", &b"a b\tc"[..])]).is_ok());
}

#[test]
fn an_upgrade_is_refused() {
    let upgrade = |name: &str| {
        let headers = headers([("connection", &b"upgrade"[..]), (name, b"websocket")]).unwrap();
        let head = Head { method: "GET", scheme: None, authority: "api.test", path_and_query: "/", headers };
        Request::parse(head, body(""))
    };
    assert!(is_refused(upgrade("upgrade")));
    assert!(upgrade("x-upgrade").is_ok());
}

#[test]
fn the_length_has_to_be_the_length() {
    let length = |values: &[&str]| {
        let headers = headers(values.iter().map(|value| ("content-length", value.as_bytes()))).unwrap();
        let head = Head { method: "POST", scheme: None, authority: "api.test", path_and_query: "/", headers };
        Request::parse(head, body("hello")).is_ok()
    };
    assert!(length(&["5"]) && length(&[]));
    for bad in [&["4"][..], &["6"], &["5", "5"], &["5, 5"], &["+5"], &["5 "], &["-5"], &["0x5"], &[""]] {
        // A space at the end is not part of a value.
        assert!(!length(bad) || bad == ["5 "], "{bad:?}");
    }
}

#[tokio::test]
async fn what_is_the_hosts_to_set_does_not_get_through() {
    for world in [World::new(), World::http1()] {
        let server = world.serve(async |_| reply("in")).await;
        let mut ask = get(&server);
        for (name, value) in [
            ("host", "evil.test"),
            ("transfer-encoding", "chunked"),
            ("connection", "x-mine, keep-alive"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic eA=="),
            ("proxy-connection", "close"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("expect", "100-continue"),
            ("forwarded", "for=1.2.3.4"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-host", "evil.test"),
            ("x_forwarded_host", "evil.test"),
            ("x_http-method_override", "DELETE"),
            ("x-real-ip", "1.2.3.4"),
            ("via", "1.1 x"),
            ("x-http-method-override", "DELETE"),
            ("x-original-url", "/admin"),
            ("content-length", "0"),
        ] {
            ask = ask.header(name, value);
        }
        let ask = ask
            .header("authorization", "Bearer own")
            .header("cookie", "a=b")
            .header("x-ok", "1")
            .header("range", "bytes=0-");
        assert_eq!(world.send(ask).await.unwrap().status, 200);
        let seen = server.last();
        let mut names: Vec<&str> =
            seen.headers.keys().map(|name| name.as_str()).filter(|name| *name != "host").collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "cookie", "range", "x-ok"], "without a credential these are the guest's");
        let authority = format!("api.test:{}", server.port());
        assert!(seen.header("host") == Some(&authority) || seen.uri.contains(&authority), "{}", seen.uri);
    }
}

#[tokio::test]
async fn each_field_of_the_policy_decides() {
    let world = World::new();
    let server = world.serve(async |_| reply("in")).await;
    let port = server.port();
    let only = |path: &str| {
        let mut ask = get(&server).path(path);
        ask.policy.reach.paths = vec![PathPattern::new("/repos/*/issues").unwrap()];
        ask
    };
    let mut other_method = get(&server);
    other_method.method = "DELETE".to_owned();
    let mut no_http = get(&server).plain();
    no_http.policy.reach.schemes = vec![Scheme::Https];
    for (ask, field, remedy) in [
        (get(&server).at(&format!("api.test.evil:{port}")), "hosts", Some("hosts = [\"api.test.evil\"]")),
        (get(&server).at(&format!("evilapi.test:{port}")), "hosts", None),
        (get(&server).at(&format!("x.api.test:{port}")), "hosts", None),
        (get(&server).at(&format!("xn--pi-7kc.test:{port}")), "hosts", None),
        (get(&server).at("api.test:1"), "ports", Some("ports = [1]")),
        (get(&server).at("api.test"), "ports", Some("ports = [443]")),
        (no_http, "schemes", Some("schemes = [\"http\"]")),
        (other_method, "methods", Some("methods = [\"DELETE\"]")),
        (only("/repos/x/pulls"), "paths", Some("paths = [\"/repos/x/pulls\"]")),
        (only("/repos/x/../x/issues"), "paths", None),
        (only("/repos/x%2f/issues"), "paths", None),
        (only("/repos/%78/issues"), "paths", None),
        (only("//repos/x/issues"), "paths", None),
        (only("/repos/x/issues/"), "paths", None),
    ] {
        let error = world.send(ask).await.unwrap_err();
        assert_eq!((error.code(), error.guest()), (field, GuestError::HttpRequestDenied), "{error}");
        assert!(remedy.is_none_or(|remedy| error.remedy().as_deref() == Some(remedy)), "{:?}", error.remedy());
    }
    assert_eq!(server.connections(), 0);
    assert_eq!(world.send(only("/repos/x/issues?q=%61..//")).await.unwrap().status, 200);
    assert_eq!(world.send(get(&server).at(&format!("API.TEST:{port}"))).await.unwrap().status, 200);
    assert_eq!(world.send(get(&server).path("/a/../b")).await.unwrap().status, 200, "no pattern rests on it");
}

#[tokio::test]
async fn an_empty_policy_allows_nothing() {
    let world = World::new();
    let server = world.serve(async |_| reply("in")).await;
    let mut ask = get(&server);
    ask.policy.reach = Default::default();
    assert!(world.send(ask).await.is_err());
    world.names.set("sub.api.test", &[&["127.0.0.1"]]);
    let mut ask = get(&server).at(&format!("sub.api.test:{}", server.port()));
    ask.policy.reach.hosts = vec![HostPattern::new("*.api.test").unwrap()];
    ask.policy.reach.methods = vec![Method::new("GET").unwrap()];
    assert_eq!(world.send(ask).await.unwrap().status, 200);
}
