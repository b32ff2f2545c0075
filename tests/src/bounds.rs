//! The bounds that a client meets who asks for too much: each is reached, and not only gone past.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Events, House, LEGACY_HEADERS, Response, bundles, text};
use crate::wire::{self, END_HEADERS, END_STREAM, HEADERS, Http2, Next, SETTINGS, frame, modern};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn house(names: &[&str], cells: &str, limits: &str) -> House {
    House::start(&format!("{}, limits = ({limits})", bundles(names, cells)))
}

/// Sends a message in a session as it is.
fn post(house: &House, session: &str, body: &Value) -> Response {
    let headers = [&LEGACY_HEADERS[..], &[("Mcp-Session-Id", session)]].concat();
    house.http("POST", "/mcp", &headers, &body.to_string())
}

fn ping(house: &House, session: &str) -> u16 {
    house.legacy(session, "ping", &json!({})).status
}

fn sessions(house: &House) -> String {
    let metrics = house.http("GET", "/metrics", &[], "").body;
    metrics.lines().find(|line| line.starts_with("certosa_sessions ")).unwrap().to_owned()
}

/// A session that was idle for `sessionIdleSMax` is over. One that is used goes on, and so does one that listens or
/// has something running.
#[test]
fn an_idle_session_ends_and_a_used_one_goes_on() {
    let house = house(&["probe"], "", "sessionIdleSMax = 10");
    let [idle, used, listening, working] = [(); 4].map(|()| house.session("2025-11-25"));
    let one = json!({"uri": "probe://numbers/1"});
    assert_eq!(house.legacy(&listening, "resources/subscribe", &one).last()["result"], json!({}));
    let mut events = Events::of_session(&house, &listening);
    let call = json!({"name": "probe_sleep", "arguments": {"ms": 13_000}});
    let start = Instant::now();
    thread::scope(|scope| {
        let work = scope.spawn(|| house.legacy(&working, "tools/call", &call));
        for second in [3, 6, 9] {
            thread::sleep((start + seconds(second)).saturating_duration_since(Instant::now()));
            assert_eq!(ping(&house, &used), 200, "after {second} s");
        }
        assert_eq!(sessions(&house), "certosa_sessions 4");
        thread::sleep((start + Duration::from_millis(11_500)).saturating_duration_since(Instant::now()));
        assert_eq!(sessions(&house), "certosa_sessions 3");
        let late = house.legacy(&idle, "ping", &json!({}));
        assert_eq!(late.error(), (404, -32600));
        assert!(late.body.contains("it has ended: send `initialize` again"), "{late:?}");
        assert_eq!((ping(&house, &used), ping(&house, &listening)), (200, 200));
        assert_eq!(text(&work.join().unwrap().last()["result"]), "slept");
        assert_eq!(ping(&house, &working), 200, "work is no idling");
    });
    assert!(start.elapsed() >= seconds(13));
    house.call("probe_touch", one);
    assert_eq!(events.next().unwrap()["method"], "notifications/resources/updated");
    assert_eq!(ping(&house, &idle), 404);
}

/// Who is asked again and again and never says yes is not asked for ever: 16 rounds for each request.
#[test]
fn questions_of_one_request_have_an_end() {
    let house = house(&["probe"], "", "");
    let session = house.session_of("2025-11-25", json!({"elicitation": {}}));
    let mut events = Events::in_session(&house, &session, "prompts/get", &json!({"name": "probe_asking"}));
    let mut asked = 0;
    let last = loop {
        let message = events.next().unwrap();
        if message["method"] != "elicitation/create" {
            break message;
        }
        asked += 1;
        assert!(asked <= 20, "asked for ever");
        let no = json!({"jsonrpc": "2.0", "id": message["id"], "result": {"action": "decline"}});
        assert_eq!(post(&house, &session, &no).status, 202);
    };
    assert_eq!(asked, 16);
    assert!(last["error"]["message"].as_str().unwrap().contains("more was asked than 16 times"), "{last}");
    assert_eq!(last["error"]["data"]["certosa/refusal"]["fault"], "bundle");
    assert_eq!(house.records(16).len(), 16, "each round is a call");
}

/// A person who does not answer within `answerSMax` is not waited for: the call ends, and the client hears that it
/// need not ask any more.
#[test]
fn an_answer_is_waited_for_up_to_a_limit() {
    let house = house(&["probe"], "", "answerSMax = 1");
    let session = house.session_of("2025-11-25", json!({"elicitation": {}}));
    let call = json!({"name": "probe_ask", "arguments": {}});
    let mut events = Events::in_session(&house, &session, "tools/call", &call);
    let question = events.next().unwrap();
    let start = Instant::now();
    let cancelled = events.next().unwrap();
    assert!(
        (seconds(1)..seconds(10)).contains(&(start.elapsed() + Duration::from_millis(100))),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], question["id"]);
    let result = events.next().unwrap()["result"].clone();
    assert_eq!(result["_meta"]["certosa/refusal"]["kind"], "unanswered");
    assert!(text(&result).contains("did not answer within 1 s (answerSMax)"), "{result}");
    let late = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}});
    assert_eq!(post(&house, &session, &late).error(), (400, -32600));
    // Who is quick enough is heard: the limit is for each round.
    let mut events = Events::in_session(&house, &session, "tools/call", &call);
    let question = events.next().unwrap();
    let yes = json!({"action": "accept", "content": {"name": "Ana"}});
    assert_eq!(post(&house, &session, &json!({"jsonrpc": "2.0", "id": question["id"], "result": yes})).status, 202);
    assert_eq!(text(&events.next().unwrap()["result"]), "Hello, Ana!");
}

/// Subscribes in batches, which 2025-03-26 has; whether each was taken.
fn subscribe(house: &House, session: &str, uris: &[String]) -> Vec<bool> {
    let mut taken = Vec::new();
    for some in uris.chunks(32) {
        let request = |(id, uri): (usize, &String)| json!({"jsonrpc": "2.0", "id": id, "method": "resources/subscribe", "params": {"uri": uri}});
        let answers = post(house, session, &some.iter().enumerate().map(request).collect()).last();
        taken.extend(answers.as_array().unwrap().iter().map(|answer| answer["result"].is_object()));
    }
    taken
}

/// A session subscribes to at most 1,024 addresses, and to at most 64 KiB of them. What it has it may ask for again.
#[test]
fn subscriptions_of_a_session_are_bounded() {
    let house = house(&["probe"], "", "");
    let session = house.session("2025-03-26");
    let many: Vec<_> = (0..1024).map(|number| format!("probe://numbers/{number}")).collect();
    assert!(subscribe(&house, &session, &many).iter().all(|taken| *taken));
    let more = "probe://numbers/more".to_owned();
    assert_eq!(subscribe(&house, &session, &[more.clone(), many[7].clone()]), [false, true]);
    let why = house.legacy(&session, "resources/subscribe", &json!({"uri": more}));
    assert!(why.last()["error"]["message"].as_str().unwrap().contains("as many resources as it may"), "{why:?}");
    house.legacy(&session, "resources/unsubscribe", &json!({"uri": many[7]}));
    assert_eq!(subscribe(&house, &session, &[more, many[7].clone()]), [true, false], "one place was free");

    // Addresses of templates have at most 2,048 bytes.
    let long = |number: usize| format!("{:x<2048}", format!("probe://tree/{number:02}?q="));
    let other = house.session("2025-03-26");
    let uris: Vec<_> = (0..32).map(long).collect();
    assert!(subscribe(&house, &other, &uris).iter().all(|taken| *taken));
    assert_eq!(subscribe(&house, &other, &["probe://numbers/1".to_owned(), uris[0].clone()]), [false, true]);
    assert_eq!(subscribe(&house, &session, &["probe://numbers/1".to_owned()]), [true], "each session has its own");
}

/// What a request listens for is kept for as long as it does, so it is small: 64 KiB with everything that is in it.
#[test]
fn a_request_that_listens_is_small() {
    let house = house(&["probe"], "", "");
    let long = |number: usize| format!("{:x<2000}", format!("probe://tree/{number:02}?q="));
    let listen = |count: usize, padding: usize| {
        let uris: Vec<_> = (0..count).map(long).collect();
        json!({"notifications": {"resourceSubscriptions": uris}, "_meta": {"padding": "x".repeat(padding)}})
    };
    let size = |params: &Value| house.modern_parts("subscriptions/listen", params.clone()).1.len();
    // Up to the last byte, and one more. The ids are of one digit meanwhile.
    let padding = (64 << 10) - size(&listen(32, 0));
    let fits = listen(32, padding);
    assert_eq!(size(&fits), 64 << 10);
    let mut events = Events::of_request(&house, "subscriptions/listen", fits);
    let told = events.next().unwrap()["params"]["notifications"]["resourceSubscriptions"].clone();
    assert_eq!(told.as_array().unwrap().len(), 32);
    // Only the head is read, because a stream would have no end.
    let refused = Events::of_request(&house, "subscriptions/listen", listen(32, padding + 1));
    assert!(refused.head.starts_with("HTTP/1.1 400 "), "{}", refused.head);
}

/// A session has at most 1,024 requests running, and each that ends makes room.
#[test]
fn running_requests_of_a_session_are_bounded() {
    let house = house(&["probe"], "concurrencyMax = 1, queueMax = 2000, wallMsMax = 60000", "drainMsMax = 1");
    let session = house.session("2025-03-26");
    let headers = [&LEGACY_HEADERS[..], &[("Mcp-Session-Id", session.as_str())]].concat();
    // Ids of their own: those of other requests are numbers.
    let call = |number: usize| {
        let id = format!("call {number}");
        let params = json!({"name": "probe_sleep", "arguments": {"ms": 50_000}});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
    };
    let mut open = Vec::new();
    for batch in 0..32 {
        let calls: Value = (batch * 32..(batch + 1) * 32).map(call).collect();
        let mut stream = house.connect();
        let request = house.request("POST", "/mcp", &headers, &calls.to_string());
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        open.push(stream);
    }
    let list = || house.legacy(&session, "tools/list", &json!({}));
    let is_full = || list().last()["error"]["message"].as_str().is_some_and(|why| why.contains("too many are"));
    let soon = |holds: &dyn Fn() -> bool| {
        (0..100).any(|_| {
            thread::sleep(Duration::from_millis(50));
            holds()
        })
    };
    assert!(soon(&is_full), "one more than 1,024: {:?}", list());
    let other = house.session("2025-11-25");
    assert_eq!(house.legacy(&other, "tools/list", &json!({})).status, 200);
    assert!(house.legacy(&other, "tools/list", &json!({})).last()["result"].is_object(), "each session has its own");
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "call 1000"}});
    assert_eq!(post(&house, &session, &cancel).status, 202);
    assert!(soon(&|| !is_full()), "there is room again");
    drop(open);
}

/// One connection of HTTP/2 has at most 64 requests at the same time. The next is refused, not the connection.
#[test]
fn streams_of_a_connection_are_bounded() {
    let (house, root) = wire::house(&["probe"], "concurrencyMax = 100", "");
    let mut http2 = Http2::open(&house, &root, &[]);
    let settings = match http2.next(Instant::now() + seconds(10)) {
        Next::Frame(frame) if frame.kind == SETTINGS => frame.payload,
        other => panic!("{other:?}"),
    };
    // SETTINGS_MAX_CONCURRENT_STREAMS.
    assert!(settings.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 64]), "{settings:?}");
    let sleep = |ms: u32| modern(&house, "tools/call", json!({"name": "probe_sleep", "arguments": {"ms": ms}}));
    for stream in 0..64 {
        http2.request(2 * stream + 1, sleep(3000));
    }
    http2.request(129, sleep(1));
    let refused = http2.answer(129, seconds(2));
    assert_eq!(refused.reset, Some(7), "REFUSED_STREAM, which says that it may be tried again: {refused:?}");
    let mut slept = 0;
    while slept < 64 {
        match http2.next(Instant::now() + seconds(10)) {
            Next::Frame(frame) if String::from_utf8_lossy(&frame.payload).contains("slept") => slept += 1,
            Next::Frame(_) => {}
            other => panic!("{slept} answers, and {other:?}"),
        }
    }
    http2.request(131, sleep(1));
    assert!(http2.answer(131, seconds(10)).body.contains("slept"));
}

/// No more connections than `connectionsMax`: the next one waits, and is served when one ends.
#[test]
fn connections_are_bounded() {
    let house = house(&["hello"], "", "connectionsMax = 2, headerMsMax = 30000");
    let [first, second] = [(); 2].map(|()| house.connect());
    thread::scope(|scope| {
        thread::sleep(Duration::from_millis(200));
        let third = scope.spawn(|| house.http("GET", "/health", &[], ""));
        thread::sleep(seconds(2));
        assert!(!third.is_finished(), "served beside two others");
        drop(first);
        assert_eq!(third.join().unwrap().status, 200);
    });
    drop(second);
    let (house, root) = wire::house(&["hello"], "", "connectionsMax = 1");
    let mut http2 = Http2::open(&house, &root, &[]);
    http2.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &wire::to(&house, "GET", "/health", &[])));
    assert!(http2.answer(1, seconds(10)).is_ok);
    thread::scope(|scope| {
        let second = scope.spawn(|| wire::metrics(&house, &root));
        thread::sleep(seconds(1));
        assert!(!second.is_finished(), "served beside another one");
        drop(http2);
        assert!(second.join().unwrap().contains("certosa_connections 1\n"));
    });
}

/// A guest that says more than anybody can hear is not waited for: it goes on, what there is no room for is dropped,
/// and the record has how much.
#[test]
fn progress_that_nobody_can_follow_is_dropped() {
    let house = house(&["probe"], "cpuMsMax = 20000", "");
    let steps = json!({"count": 100_000, "ms": 0});
    let params = json!({"name": "probe_steps", "arguments": steps, "_meta": {"progressToken": "p"}});
    let messages = house.modern("tools/call", params).messages();
    assert_eq!(text(&messages.last().unwrap()["result"]), "done");
    let dropped = house.records(1)[0]["events_dropped"].as_u64().unwrap();
    let heard = messages.len() as u64 - 1;
    assert!(heard >= 512 && dropped > 0 && heard + dropped <= 100_001, "{heard} were heard and {dropped} dropped");
}
