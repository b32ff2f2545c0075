//! Requests that are malformed, slow, large, or not meant for us.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{House, LEGACY_HEADERS, Response, bundles, text};

fn house() -> House {
    let limits = "limits = (headerMsMax = 1000, bodyMsMax = 1000, requestKibMax = 64)";
    House::start(&format!("{}, {limits}", bundles(&["hello", "probe"], "")))
}

/// A good call as it goes over the wire, but for the parts that a test replaces.
fn call(house: &House) -> (String, String) {
    let (headers, body) =
        house.modern_parts("tools/call", json!({"name": "hello_greet", "arguments": {"name": "Ana"}}));
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    (headers, body)
}

#[test]
fn one_request_is_never_two() {
    let house = house();
    let (headers, body) = call(&house);
    let host = format!("Host: {}\r\n", house.address);
    let smuggled = format!("POST /mcp HTTP/1.1\r\n{host}{headers}Content-Length: {}\r\n\r\n{body}", body.len());
    let length = body.len();
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    for (what, framing, payload) in [
        ("two lengths", format!("Content-Length: {length}\r\nContent-Length: 3\r\n"), &body),
        ("a list of lengths", format!("Content-Length: {length}, 3\r\n"), &body),
        ("a signed length", format!("Content-Length: +{length}\r\n"), &body),
        ("chunks that are none", "Transfer-Encoding: xchunked\r\n".to_owned(), &chunked),
        ("chunks under another coding", "Transfer-Encoding: chunked, identity\r\n".to_owned(), &chunked),
        ("a folded header", format!("X-A: b\r\n folded\r\nContent-Length: {length}\r\n"), &body),
        ("a space before the colon", format!("Content-Length : {length}\r\n"), &body),
        ("a bare CR", format!("X-A: b\rContent-Length: 3\r\nContent-Length: {length}\r\n"), &body),
        ("a NUL", format!("X-A: \0\r\nContent-Length: {length}\r\n"), &body),
        ("a bad chunk size", "Transfer-Encoding: chunked\r\n".to_owned(), &format!("-1\r\n{body}\r\n0\r\n\r\n")),
        (
            "a huge chunk size",
            "Transfer-Encoding: chunked\r\n".to_owned(),
            &format!("fffffffffffffffff\r\n{body}\r\n0\r\n\r\n"),
        ),
    ] {
        let answer = house.raw(format!("POST /mcp HTTP/1.1\r\n{host}{headers}{framing}\r\n{payload}{smuggled}"));
        assert!(answer.starts_with("HTTP/1.1 4"), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: what follows is not answered: {answer}");
        assert!(!answer.contains("Hello"), "{what}: {answer}");
    }
    // A length beside chunks: the chunks count, and the connection ends with the answer (RFC 9112, section
    // 6.1), so nothing that follows is taken for a request.
    for both in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n".to_owned(),
    ] {
        let answer = house.raw(format!("POST /mcp HTTP/1.1\r\n{host}{headers}{both}\r\n{chunked}{smuggled}"));
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    // Lines that end with a bare LF are read as RFC 9112, section 2.2 allows, and the next request is the
    // next request: nothing hides between two readings.
    let bare = smuggled.replace("\r\n", "\n").replace("HTTP/1.1\n", "HTTP/1.1\nConnection: close\n");
    let answer = house.raw(bare);
    assert!(answer.matches("HTTP/1.1 ").count() == 1, "{answer}");
    // Chunks alone are fine.
    let good = format!(
        "POST /mcp HTTP/1.1\r\nConnection: close\r\n{host}{headers}Transfer-Encoding: chunked\r\n\r\n{chunked}"
    );
    assert!(house.raw(good).contains("Hello, Ana!"));
}

#[test]
fn two_requests_on_one_connection_are_two() {
    let house = house();
    let (headers, body) = call(&house);
    let one = |close: &str| {
        format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\n{close}{headers}Content-Length: {}\r\n\r\n{body}",
            house.address,
            body.len()
        )
    };
    let answer = house.raw(one("") + &one("Connection: close\r\n"));
    assert_eq!(answer.matches("Hello, Ana!").count(), 2, "{answer}");
}

#[test]
fn slow_clients_are_cut_off() {
    let house = house();
    let started = Instant::now();
    let mut stream = house.connect();
    stream.write_all(b"POST /mcp HTTP/1.1\r\nHost: ").unwrap();
    let mut answer = String::new();
    let _reset = stream.read_to_string(&mut answer);
    assert!(started.elapsed() < Duration::from_secs(10), "slow headers: {:?}", started.elapsed());

    let started = Instant::now();
    let (headers, body) = call(&house);
    let mut stream = house.connect();
    let head =
        format!("POST /mcp HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {}\r\n\r\n", house.address, body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body.as_bytes()[..10]).unwrap();
    let mut answer = String::new();
    let _reset = stream.read_to_string(&mut answer);
    assert!(started.elapsed() < Duration::from_secs(10), "slow body: {:?}", started.elapsed());
    assert_eq!(Response::parse(&answer).status, 408, "{answer}");
}

#[test]
fn large_requests_are_refused() {
    let house = house();
    let body = " ".repeat(65 << 10);
    assert_eq!(house.http("POST", "/mcp", &LEGACY_HEADERS, &body).status, 413);
    let (headers, _) = call(&house);
    let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    let head = format!("POST /mcp HTTP/1.1\r\nHost: {}\r\n{headers}Transfer-Encoding: chunked\r\n\r\n", house.address);
    assert_eq!(Response::parse(&house.raw(format!("{head}{}", chunk.repeat(4)))).status, 413);

    let long = "x".repeat(100 << 10);
    let answer = house.http("GET", "/health", &[("X-Long", &long)], "");
    assert_eq!(answer.status, 431);
    let many: Vec<_> = (0..100).map(|index| (format!("X-{index}"), "y".to_owned())).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(house.http("GET", "/health", &many, "").status, 431);
    let target = format!("/{}", "x".repeat(70_000));
    assert!([400, 414, 431].contains(&house.http("GET", &target, &[], "").status));
}

#[test]
fn bodies_that_are_no_requests_are_refused() {
    let house = house();
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let deep_params = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"a":{}}}}}"#, &deep[..]);
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("\u{0}", -32700),
        ("[]", -32600),
        (r#"["2.0",1,"tools/list"]"#, -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, -32600),
        (deep.as_str(), -32600),
        (deep_params.as_str(), -32602),
    ] {
        let response = house.http("POST", "/mcp", &LEGACY_HEADERS, body);
        assert_eq!(response.error(), (400, code), "{}", &body[..body.len().min(80)]);
    }
    let arguments = [
        (r#"{"name":"a","name":"b"}"#.to_owned(), "duplicate key"),
        (r#"{"name":"\ud800"}"#.to_owned(), "not JSON"),
        (r#"{"name":1e999}"#.to_owned(), "out of range"),
        (format!(r#"{{"name":{}{}}}"#, "[".repeat(500), "]".repeat(500)), "recursion limit"),
    ];
    for (arguments, why) in arguments {
        let (headers, body) = house.modern_parts("tools/call", json!({"name": "hello_greet", "arguments": {}}));
        let body = body.replace("\"arguments\":{}", &format!("\"arguments\":{arguments}"));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let response = house.http("POST", "/mcp", &headers, &body);
        let answer: Value = response.last();
        let said = answer["error"]["message"].as_str().unwrap_or_else(|| text(&answer["result"]));
        assert!(said.contains(why) || said.contains("hex escape") || said.contains("surrogate"), "{why}: {answer}");
        assert!(!answer.to_string().contains("Hello"));
    }
}

#[test]
fn web_pages_of_others_are_kept_out() {
    let house = house();
    let (headers, body) = call(&house);
    let send = |host: &str, extra: &str| {
        let length = body.len();
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{extra}{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        Response::parse(&house.raw(request)).status
    };
    let port = house.address.rsplit(':').next().unwrap();
    assert_eq!(send(&house.address, ""), 200);
    assert_eq!(send(&format!("localhost:{port}"), "Origin: http://localhost:3000\r\n"), 200);
    for host in
        ["evil.example", &format!("evil.example:{port}"), &format!("127.0.0.1.evil.example:{port}"), "127.0.0.1:1", ""]
    {
        assert_eq!(send(host, ""), 403, "{host}");
    }
    for origin in ["null", "http://evil.example", "http://localhost.evil.example", "https://127.0.0.1@evil.example"] {
        assert_eq!(send(&house.address, &format!("Origin: {origin}\r\n")), 403, "{origin}");
    }
    assert_eq!(send(&house.address, "Host: evil.example\r\n"), 400, "a second Host");
    assert_eq!(send(&house.address, "Origin: http://localhost\r\nOrigin: http://evil.example\r\n"), 403);
    let absolute =
        format!("GET http://evil.example/health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", house.address);
    assert_eq!(Response::parse(&house.raw(absolute)).status, 400);
    let without = "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n";
    assert_eq!(Response::parse(&house.raw(without)).status, 400);
    // What a page may send without asking the browser first is not JSON.
    for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        assert_eq!(house.http("POST", "/mcp", &[("Content-Type", media)], &body).status, 415);
    }
}

#[test]
fn a_route_has_one_spelling() {
    let house = house();
    let (headers, body) = call(&house);
    let headers: Vec<_> = headers.lines().filter_map(|line| line.split_once(": ")).collect();
    for path in ["/MCP", "/mcp/", "//mcp", "/%6dcp", "/mcp%2f", "/x/../mcp", "/./mcp", "/mcp;a", "/", "/mcp%00"] {
        let response = house.http("POST", path, &headers, &body);
        assert_eq!(response.status, 404, "{path}");
    }
    assert_eq!(house.http("POST", "/mcp?x=/other", &headers, &body).status, 200, "a query names no route");
    for method in ["PUT", "PATCH", "OPTIONS", "TRACE", "HEAD", "BREW"] {
        let response = house.http(method, "/mcp", &headers, "");
        assert_eq!((response.status, response.header("allow")), (405, Some("POST, GET, DELETE")), "{method}");
    }
    for request in ["CONNECT 127.0.0.1:80 HTTP/1.1", "GET / HTTP/9.9", "GET /", "\u{16}\u{3}\u{1}"] {
        let answer = house.raw(format!("{request}\r\nHost: {}\r\nConnection: close\r\n\r\n", house.address));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{request}: {answer}");
    }
    assert_eq!(house.http("GET", "/health", &[], "").status, 200);
}

#[test]
fn running_calls_finish_when_the_house_closes() {
    let mut house = House::of(&["probe"], "");
    let (headers, body) = house.modern_parts("tools/call", json!({"name": "probe_sleep", "arguments": {"ms": 700}}));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut stream = house.connect();
    stream.write_all(house.request("POST", "/mcp", &headers, &body).as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    house.signal("-TERM");
    std::thread::sleep(Duration::from_millis(100));
    assert!(std::net::TcpStream::connect(&house.address).is_err(), "nobody new comes in");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(text(&Response::parse(&answer).last()["result"]), "slept");
    assert_eq!(house.child.wait().unwrap().code(), Some(0));
}
