//! Clients that ask and do not read the answers: what is kept for them, and for how long.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{House, LEGACY_HEADERS, bundles, text};
use crate::wire::{self, DATA, END_HEADERS, END_STREAM, HEADERS, Http2, Next, WINDOW, WINDOW_UPDATE, frame, modern};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A connection is ended whose client takes nothing of its answers for 30 s, and its place goes to the next one.
/// `window` is what the client takes of each answer before it stops; with some of it left, the first sign of life of
/// the open stream, after 15 s, is still taken.
fn ends_a_connection_of_http_2(window: u32) {
    // One connection, one cell: whoever comes second waits for the place of the first. Pings have no say in it.
    let (house, root) = wire::house(&["probe"], "concurrencyMax = 1", "connectionsMax = 1, headerMsMax = 100000");
    let mut first = Http2::open(&house, &root, &[(WINDOW, window)]);
    let listen = json!({"notifications": {"toolsListChanged": true}});
    first.request(1, modern(&house, "subscriptions/listen", listen));
    first.request(3, modern(&house, "tools/call", json!({"name": "probe_flood", "arguments": {"kib": 512}})));
    let start = Instant::now();
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            assert!(!first.is_closed_by(start + seconds(25)), "closed after {:?}", start.elapsed());
            assert!(first.is_closed_by(start + seconds(55)), "still open");
        });
        let metrics = wire::metrics(&house, &root);
        let time = start.elapsed();
        assert!((seconds(25)..seconds(55)).contains(&time), "{time:?}");
        assert!(metrics.contains("certosa_calls_running{bundle=\"probe\"} 0\n"), "{metrics}");
        assert!(metrics.contains("\ncertosa_connections 1\n"), "{metrics}");
        reader.join().unwrap();
    });
    assert_eq!(text(&wire::call(&house, &root, "probe_sleep", json!({"ms": 1}))), "slept");
}

/// A window that is never opened, and the one that every client has if it says nothing, which is not opened again.
#[test]
fn a_connection_of_http_2_ends_that_is_not_read() {
    thread::scope(|scope| {
        for window in [0, 65_535] {
            scope.spawn(move || ends_a_connection_of_http_2(window));
        }
    });
}

/// A connection that hardly buffers what comes in.
fn narrow(house: &House) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(house.address.parse().unwrap()).await.unwrap()
    });
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Over HTTP/1.1 it is the kernel that sees that nothing is read (TCP_USER_TIMEOUT, RFC 5482): also when many small
/// answers were asked for in advance, and when the answer is a stream.
#[test]
fn a_connection_of_http_1_ends_that_is_not_read() {
    thread::scope(|scope| {
        scope.spawn(|| ends_a_connection_of_http_1(1, json!({"name": "probe_flood", "arguments": {"kib": 16_384}})));
        scope.spawn(|| ends_a_connection_of_http_1(500, json!({"name": "probe_flood", "arguments": {"kib": 32}})));
        let steps = json!({"count": 200_000, "ms": 0});
        let steps = json!({"name": "probe_steps", "arguments": steps, "_meta": {"progressToken": "p".repeat(250)}});
        scope.spawn(|| ends_a_connection_of_http_1(100, steps));
    });
}

fn ends_a_connection_of_http_1(requests: usize, call: Value) {
    let cells = "concurrencyMax = 1, memoryMibMax = 128, outputKibMax = 20000, cpuMsMax = 20000";
    let house = House::start(&format!("{}, limits = (connectionsMax = 1)", bundles(&["probe"], cells)));
    let (headers, body) = house.modern_parts("tools/call", call);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let request = house.request("POST", "/mcp", &headers, &body).replace("Connection: close\r\n", "");
    let mut first = narrow(&house);
    first.set_write_timeout(Some(seconds(1))).unwrap();
    let _not_taken = first.write_all(request.repeat(requests).as_bytes());
    let start = Instant::now();
    // This one waits for the place.
    let metrics = house.http("GET", "/metrics", &[], "").body;
    let time = start.elapsed();
    assert!((seconds(20)..seconds(60)).contains(&time), "{time:?}");
    assert!(metrics.contains("certosa_calls_running{bundle=\"probe\"} 0\n"), "{metrics}");
    assert_eq!(text(&house.call("probe_sleep", json!({"ms": 1}))), "slept");
    drop(first);
}

/// Waits until the house has answered on each of these streams: until it has opened them.
fn wait_for_heads(http2: &mut Http2, mut streams: Vec<u32>) {
    while !streams.is_empty() {
        match http2.next(Instant::now() + seconds(30)) {
            Next::Frame(frame) => streams.retain(|stream| frame.kind != HEADERS || frame.stream != *stream),
            other => panic!("{streams:?} are not open: {other:?}"),
        }
    }
}

/// How many events come on a stream when its window is opened at last: so many, and what comes soon after them.
fn read_at_last(http2: &mut Http2, stream: u32, expected: usize) -> usize {
    http2.send(frame(WINDOW_UPDATE, 0, stream, &1_000_000u32.to_be_bytes()));
    http2.send(frame(WINDOW_UPDATE, 0, 0, &1_000_000u32.to_be_bytes()));
    let mut text = String::new();
    loop {
        let count = text.matches("data: ").count();
        match http2.next(Instant::now() + seconds(if count < expected { 30 } else { 1 })) {
            Next::Frame(frame) if frame.kind == DATA && frame.stream == stream => {
                text += &String::from_utf8_lossy(&frame.payload);
            }
            Next::Frame(_) => {}
            Next::Quiet => return count,
            Next::Closed => panic!("closed"),
        }
    }
}

/// What comes up on a stream that nobody reads is kept up to a bound, and the rest is dropped: 512 events for a
/// request, 16 for the stream of a session.
#[test]
fn notices_that_are_not_read_are_dropped() {
    let (house, root) = wire::house(&["probe"], "", "");
    let mut http2 = Http2::open(&house, &root, &[(WINDOW, 0)]);
    let uris: Vec<_> = (0..64).map(|number| format!("probe://numbers/{number}")).collect();
    http2.request(1, modern(&house, "subscriptions/listen", json!({"notifications": {"resourceSubscriptions": uris}})));

    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
    let opened = wire::https(&house, &root, ("POST", "/mcp"), &LEGACY_HEADERS, &house.body("initialize", &params));
    let session = opened.header("mcp-session-id").unwrap();
    for uri in uris.iter().take(36) {
        let body = house.body("resources/subscribe", &json!({"uri": uri}));
        let headers = [&LEGACY_HEADERS[..], &[("mcp-session-id", session)]].concat();
        assert_eq!(wire::https(&house, &root, ("POST", "/mcp"), &headers, &body).status, 200);
    }
    let headers = [("accept", "text/event-stream"), ("mcp-session-id", session)];
    let get = wire::to(&house, "GET", "/mcp", &headers);
    http2.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, &get));
    wait_for_heads(&mut http2, vec![1, 3]);
    for _ in 0..12 {
        wire::call(&house, &root, "probe_touch_many", json!({"count": 64}));
    }
    let told = read_at_last(&mut http2, 1, 500);
    // 512 for the stream, one with the connection, and what was on its way to the stream: 64 at most.
    assert!((500..=577).contains(&told), "{told} of 768");
    let told = read_at_last(&mut http2, 3, 10);
    assert!((10..=17).contains(&told), "{told} of 432");
    // The stream is as good as before: what comes up now is told.
    wire::call(&house, &root, "probe_touch_many", json!({"count": 1}));
    assert_eq!(read_at_last(&mut http2, 1, 1), 1);
}
