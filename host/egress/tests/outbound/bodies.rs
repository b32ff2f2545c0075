//! Bodies and times have bounds, in both directions.

use std::time::{Duration, Instant};

use crate::world::*;
use bytes::Bytes;
use certosa_egress::{EgressError, GuestBody, GuestError, Revoked};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A body without an end that counts what was taken of it.
fn endless(taken: &Arc<AtomicUsize>) -> Reply {
    let taken = Arc::clone(taken);
    let stream = futures_util::stream::unfold(taken, |taken| async move {
        taken.fetch_add(16384, Ordering::SeqCst);
        Some((Ok(Frame::data(Bytes::from_static(&[b'x'; 16384]))), taken))
    });
    http::Response::new(StreamBody::new(stream).boxed_unsync())
}

/// A guest that sends as long as somebody takes it, and counts.
fn sending(sent: &Arc<AtomicUsize>) -> GuestBody {
    let sent = Arc::clone(sent);
    let stream = futures_util::stream::unfold(sent, |sent| async move {
        tokio::time::sleep(Duration::from_millis(2)).await;
        sent.fetch_add(1, Ordering::SeqCst);
        Some((Ok(Frame::data(Bytes::from_static(b"more"))), sent))
    });
    StreamBody::new(stream).boxed_unsync()
}

/// Whether it goes on for some time, or has ended after it.
async fn goes_on(count: &AtomicUsize) -> bool {
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = count.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(100)).await;
    count.load(Ordering::SeqCst) > before
}

#[tokio::test]
async fn an_endless_body_ends() {
    for world in [World::new(), World::http1()] {
        let taken = Arc::new(AtomicUsize::new(0));
        let ours = Arc::clone(&taken);
        let server = world
            .serve(move |_| {
                let taken = Arc::clone(&ours);
                async move { endless(&taken) }
            })
            .await;
        let ask = get(&server).limits(|limits| limits.response_bytes_max = 1 << 20);
        let error = world.send(ask).await.unwrap_err();
        assert_eq!((error.code(), error.guest()), ("responseBytesMax", GuestError::HttpResponseBodySize));
        assert!(taken.load(Ordering::SeqCst) < 32 << 20);
    }
}

#[tokio::test]
async fn a_length_that_is_too_large_is_refused_before_it_is_read() {
    let world = World::new();
    let server = world.serve(async |_| reply(vec![b'x'; 5000])).await;
    let ask = |max| get(&server).limits(|limits| limits.response_bytes_max = max);
    assert_eq!(world.open(ask(4999)).await.err().unwrap().code(), "responseBytesMax");
    assert_eq!(world.send(ask(5000)).await.unwrap().body.len(), 5000);
}

#[tokio::test]
async fn a_guest_that_does_not_read_holds_the_upstream() {
    for world in [World::new(), World::http1()] {
        let taken = Arc::new(AtomicUsize::new(0));
        let ours = Arc::clone(&taken);
        let server = world
            .serve(move |_| {
                let taken = Arc::clone(&ours);
                async move { endless(&taken) }
            })
            .await;
        let mut response = world.open(get(&server).with(bearer(&server))).await.unwrap();
        response.body_mut().frame().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = taken.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(taken.load(Ordering::SeqCst), before, "nothing moves while nobody reads");
        assert!(before < 24 << 20, "{before}");
        for _ in 0..(before / 16384) {
            response.body_mut().frame().await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_bomb_does_not_go_off() {
    let world = World::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..256 {
        gzip.write_all(&[0; 1 << 20]).unwrap();
    }
    let packed = Bytes::from(gzip.finish().unwrap());
    let server = world
        .serve(move |_| {
            let packed = packed.clone();
            async move {
                let mut reply = reply(packed);
                reply.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
                reply
            }
        })
        .await;
    let mut response = world.open(get(&server).with(bearer(&server))).await.unwrap();
    let mut taken = 0;
    let error = loop {
        match response.body_mut().frame().await.unwrap() {
            Ok(frame) => taken += frame.into_data().unwrap().len(),
            Err(error) => break error,
        }
    };
    assert_eq!((error.code(), error.guest()), ("coding", GuestError::HttpResponseBodySize));
    assert!(taken <= 4 << 20, "{taken}");
    // Without a credential it is the guest's to unpack.
    assert_eq!(world.send(get(&server)).await.unwrap().header("content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn a_request_has_a_bound_and_its_length() {
    for world in [World::new(), World::http1()] {
        let server = world.serve(async |seen: Seen| reply(seen.body)).await;
        let streamed = |sizes: &[usize]| {
            let frames: Vec<_> = sizes.iter().map(|size| Ok(Frame::data(Bytes::from(vec![b'x'; *size])))).collect();
            StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
        };
        let ask = |sizes: &[usize], length: Option<&str>| {
            let mut ask = get(&server).limits(|limits| limits.request_bytes_max = 1000);
            ask.method = "POST".to_owned();
            ask.body = streamed(sizes);
            if let Some(length) = length { ask.header("content-length", length) } else { ask }
        };
        assert_eq!(world.send(ask(&[400, 600], None)).await.unwrap().body.len(), 1000);
        assert_eq!(world.send(ask(&[400, 600], Some("1000"))).await.unwrap().body.len(), 1000);
        assert_eq!(server.last().header("content-length"), Some("1000"));
        let code = async |ask| world.send(ask).await.unwrap_err().code();
        assert_eq!(code(ask(&[400, 601], None)).await, "requestBytesMax");
        assert_eq!(code(ask(&[400], Some("500"))).await, "requestBody");
        assert_eq!(code(ask(&[400, 200], Some("500"))).await, "requestBody");
    }
}

#[tokio::test]
async fn a_silent_upstream_is_given_up() {
    let world = World::http1();
    let server = world
        .serve(async |seen: Seen| {
            if seen.uri == "/never" {
                std::future::pending::<()>().await;
            }
            let frames = futures_util::stream::once(async { Ok(Frame::data(Bytes::from_static(b"one"))) });
            let frames = futures_util::StreamExt::chain(frames, futures_util::stream::pending());
            http::Response::new(StreamBody::new(frames).boxed_unsync())
        })
        .await;
    let short = |ask: Ask| ask.limits(|limits| (limits.first_byte_ms_max, limits.between_bytes_ms_max) = (200, 200));
    let begin = Instant::now();
    let error = world.send(short(get(&server).path("/never"))).await.unwrap_err();
    assert_eq!((error.code(), error.guest()), ("firstByteMsMax", GuestError::HttpResponseTimeout));
    let error = world.send(short(get(&server))).await.unwrap_err();
    assert_eq!((error.code(), error.guest()), ("betweenBytesMsMax", GuestError::ConnectionReadTimeout));
    assert!(begin.elapsed() < Duration::from_secs(3));
    assert_eq!(world.client.idle(), 0);
}

#[tokio::test]
async fn connecting_has_a_time() {
    let world = World::new();
    // A socket that is never accepted on, and whose other side never says anything in TLS.
    let listener = tokio::net::TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let server = world.serve(async |_| reply("in")).await;
    let mut ask = get(&server).at(&format!("api.test:{}", listener.local_addr().unwrap().port()));
    ask.policy.reach.ports.push(listener.local_addr().unwrap().port());
    let error = world.send(ask.limits(|limits| limits.connect_ms_max = 200)).await.unwrap_err();
    assert_eq!((error.code(), error.guest()), ("connectMsMax", GuestError::ConnectionTimeout));
    drop(listener);

    let mut ask = get(&server).at("api.test:1");
    ask.policy.reach.ports.push(1);
    let error = world.send(ask).await.unwrap_err();
    assert_eq!((error.code(), error.guest()), ("connect", GuestError::ConnectionRefused));
}

#[tokio::test]
async fn a_revoked_grant_ends_what_goes_on() {
    for world in [World::new(), World::http1()] {
        let taken = Arc::new(AtomicUsize::new(0));
        let ours = Arc::clone(&taken);
        let server = world
            .serve(move |seen: Seen| {
                let taken = Arc::clone(&ours);
                async move {
                    if seen.uri.ends_with("/never") {
                        std::future::pending::<()>().await;
                    }
                    endless(&taken)
                }
            })
            .await;
        let revocable = |path: &str| {
            let (sender, mut receiver) = tokio::sync::watch::channel(false);
            let mut ask = get(&server).path(path).with(bearer(&server));
            ask.revoked = Revoked::when(async move {
                let _ = receiver.wait_for(|is_revoked| *is_revoked).await;
            });
            (sender, ask)
        };
        let (sender, ask) = revocable("/never");
        let waiting = world.send(ask);
        let revoke = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            sender.send(true).unwrap();
        };
        let (sent, ()) = tokio::join!(waiting, revoke);
        assert!(matches!(sent, Err(EgressError::Revoked)));

        let (sender, ask) = revocable("/");
        let mut response = world.open(ask).await.unwrap();
        response.body_mut().frame().await.unwrap().unwrap();
        sender.send(true).unwrap();
        let error = response.body_mut().frame().await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.guest()), ("revoked", GuestError::HttpRequestDenied));
        assert!(response.body_mut().frame().await.is_none());
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = taken.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(taken.load(Ordering::SeqCst), before);
    }
}

#[tokio::test]
async fn a_revoked_grant_ends_an_upload_that_was_answered() {
    for world in [World::new(), World::http1()] {
        let (taken, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let server = world.serve(move |_| std::future::ready(endless(&taken))).await;
        let (revoke, mut revoked) = tokio::sync::watch::channel(false);
        let mut ask = get(&server).path("/early").post("text/plain", "").with(bearer(&server));
        ask.body = sending(&sent);
        ask.revoked = Revoked::when(async move {
            let _ = revoked.wait_for(|is_revoked| *is_revoked).await;
        });
        let answered = world.open(ask).await.unwrap();
        assert!(goes_on(&sent).await, "nobody reads the answer, and the guest sends on");
        revoke.send(true).unwrap();
        assert!(!goes_on(&sent).await);
        drop(answered);
    }
}

#[tokio::test]
async fn an_upload_ends_when_all_of_the_answer_was_read() {
    for world in [World::new(), World::http1()] {
        let sent = Arc::new(AtomicUsize::new(0));
        let server = world.serve(async |_| reply("no need for more")).await;
        let mut ask = get(&server).path("/early").post("text/plain", "").with(bearer(&server));
        ask.body = sending(&sent);
        assert_eq!(world.send(ask).await.unwrap().text(), "no need for more");
        assert!(!goes_on(&sent).await);
        assert_eq!(world.send(get(&server).with(bearer(&server))).await.unwrap().status, 200);
    }
}
