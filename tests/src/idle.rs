//! Clients that open something and then do nothing, or very little: how long the house has patience.

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{House, bundles};
use crate::wire::{self, DATA, END_HEADERS, GO_AWAY, HEADERS, Http2, Next, frame, modern};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A connection on which everything is answered stays for a minute, and then the house says goodbye. One on which
/// nothing was ever said gets no longer.
#[test]
fn an_idle_connection_of_http_2_is_closed() {
    let (house, root) = wire::house(&["hello"], "", "");
    let greet = || modern(&house, "tools/call", json!({"name": "hello_greet", "arguments": {"name": "Ana"}}));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut silent = Http2::silent(&house, &root);
            assert!(silent.is_closed_by(Instant::now() + seconds(75)), "a connection without a preface stays open");
        });
        let mut http2 = Http2::open(&house, &root, &[]);
        http2.request(1, greet());
        assert!(http2.answer(1, seconds(10)).body.contains("Hello, Ana!"));
        let start = Instant::now();
        assert!(!http2.is_closed_by(start + seconds(50)), "closed after {:?}", start.elapsed());
        // The goodbye has no error in it (RFC 9113, section 6.8).
        let mut goodbye = None;
        loop {
            match http2.next(start + seconds(75)) {
                Next::Frame(frame) if frame.kind == GO_AWAY => goodbye = Some(frame.payload[4..8].to_vec()),
                Next::Frame(_) => {}
                Next::Quiet => panic!("still open after {:?}", start.elapsed()),
                Next::Closed => break,
            }
        }
        assert_eq!(goodbye.as_deref(), Some(&[0; 4][..]));
    });
}

#[test]
fn an_idle_connection_of_http_1_is_closed() {
    let house = House::start(&format!("{}, limits = (headerMsMax = 1000)", bundles(&["hello"], "")));
    let mut stream = house.connect();
    let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", house.address);
    let mut answer = [0; 4096];
    // Between two requests there is time, and each request begins it anew.
    for _ in 0..4 {
        stream.write_all(request.as_bytes()).unwrap();
        let count = stream.read(&mut answer).unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200 OK"));
        thread::sleep(Duration::from_millis(500));
    }
    let start = Instant::now();
    assert_eq!(stream.read(&mut answer).unwrap_or(0), 0, "nothing was asked");
    assert!(start.elapsed() < seconds(5), "{:?}", start.elapsed());
    // One on which nothing was ever said is not kept longer.
    let mut silent = house.connect();
    let start = Instant::now();
    assert_eq!(silent.read(&mut answer).unwrap_or(0), 0);
    assert!(start.elapsed() < seconds(5), "{:?}", start.elapsed());
}

/// A body that comes in drops is given up after `bodyMsMax`, however steady the drops are. The neighbours on the
/// connection do not notice.
#[test]
fn a_slow_body_of_http_2_is_given_up() {
    let (house, root) = wire::house(&["hello"], "", "bodyMsMax = 2000");
    let greet = || modern(&house, "tools/call", json!({"name": "hello_greet", "arguments": {"name": "Ana"}}));
    let mut http2 = Http2::open(&house, &root, &[]);
    let (head, body) = greet();
    http2.send(frame(HEADERS, END_HEADERS, 1, &head));
    let start = Instant::now();
    let (mut slow, mut neighbours, mut stream) = (None, 0, 3);
    for drop in body.chunks(1) {
        http2.send(frame(DATA, 0, 1, drop));
        http2.request(stream, greet());
        // Both streams in one go: what belongs to the slow one may come at any time.
        let end = Instant::now() + Duration::from_millis(200);
        while let Next::Frame(frame) = http2.next(end) {
            let text = String::from_utf8_lossy(&frame.payload).into_owned();
            match frame.kind {
                DATA if frame.stream == 1 => slow = Some((start.elapsed(), text)),
                DATA if text.contains("Hello, Ana!") => neighbours += 1,
                _ => {}
            }
        }
        stream += 2;
        if slow.is_some() || start.elapsed() > seconds(10) {
            break;
        }
    }
    let (time, why) = slow.expect("a slow body is waited for");
    assert!(why.contains("within 2000 ms (bodyMsMax)"), "{why}");
    assert!((seconds(2)..seconds(4)).contains(&time), "{time:?}");
    assert!(neighbours >= 5, "{neighbours} answers in {time:?}");
    http2.request(stream, greet());
    assert!(http2.answer(stream, seconds(10)).body.contains("Hello, Ana!"), "the connection goes on");
}

/// Headers that never end take the whole connection, because nothing else may be said meanwhile (RFC 9113, section
/// 6.10). Not even a ping can be answered, and that is what ends it: 20 s and `headerMsMax` later.
#[test]
fn slow_headers_of_http_2_are_given_up() {
    let (house, root) = wire::house(&["hello"], "", "headerMsMax = 1000");
    let head = wire::to(&house, "GET", "/health", &[]);
    thread::scope(|scope| {
        // Nothing more is said, and: a header now and then.
        for drips in [false, true] {
            let (house, root, head) = (&house, &root, &head);
            scope.spawn(move || {
                let mut http2 = Http2::open(house, root, &[]);
                assert!(!http2.is_closed_by(Instant::now() + Duration::from_millis(200)));
                http2.answers_pings = false;
                http2.send(frame(HEADERS, 0, 1, head));
                let start = Instant::now();
                while !http2.is_closed_by(Instant::now() + seconds(1)) {
                    assert!(start.elapsed() < seconds(30), "drips: {drips}");
                    if drips {
                        http2.send(frame(wire::CONTINUATION, 0, 1, &wire::block(&[("x", "y")])));
                    }
                }
            });
        }
    });
}
