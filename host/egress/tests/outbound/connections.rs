//! Connections: shared with nobody, kept for a while, closed when nobody waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::world::*;
use certosa_egress::{Credential, PoolLimits};
use certosa_model::{CredentialName, Injection};

fn named(server: &Server, name: &str) -> Arc<Credential> {
    let name = CredentialName::new(name).unwrap();
    let secret = Box::new(Value(PLAIN.as_bytes().to_vec()));
    Arc::new(Credential { name, reach: Arc::new(reach(server.port())), injection: Injection::Bearer, secret })
}

#[tokio::test]
async fn a_connection_is_of_one_bundle_and_one_credential() {
    for world in [World::new(), World::http1()] {
        let server = world.serve(async |_| reply("in")).await;
        let port = server.port();
        for (count, ask) in [
            (1, get(&server)),
            (1, get(&server)),
            (2, get(&server).bundle("another")),
            (3, get(&server).with(named(&server, "one"))),
            (3, get(&server).with(named(&server, "one"))),
            (4, get(&server).with(named(&server, "two"))),
            (5, get(&server).with(named(&server, "one")).bundle("another")),
            (6, get(&server).at(&format!("other.test:{port}"))),
            (6, get(&server)),
        ] {
            world.send(ask).await.unwrap();
            assert_eq!(server.connections(), count);
        }
        assert_eq!(world.client.idle(), 6);
    }
}

#[tokio::test]
async fn connections_wait_in_bounds() {
    let pool = PoolLimits { idle_per_key_max: 2, idle_max: 3, idle_ms_max: 60_000 };
    let world = World::with(pool, false);
    let server = world
        .serve(async |_| {
            tokio::time::sleep(Duration::from_millis(50)).await;
            reply("in")
        })
        .await;
    futures_util::future::join_all((0..5).map(|_| world.send(get(&server)))).await;
    assert_eq!((server.connections(), world.client.idle()), (5, 2));
    futures_util::future::join_all((0..5).map(|_| world.send(get(&server).bundle("another")))).await;
    assert_eq!(world.client.idle(), 3);
    // The second one got room from the first, which has one left: nobody has to do without.
    world.send(get(&server)).await.unwrap();
    world.send(get(&server).bundle("another")).await.unwrap();
    assert_eq!((server.connections(), world.client.idle()), (10, 3));
}

#[tokio::test]
async fn connections_wait_for_some_time() {
    let pool = PoolLimits { idle_ms_max: 300, ..PoolLimits::default() };
    let world = World::with(pool, false);
    let server = world.serve(async |_| reply("in")).await;
    world.send(get(&server)).await.unwrap();
    assert_eq!((server.connections(), world.client.idle()), (1, 1));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(world.client.idle(), 0);
    world.send(get(&server)).await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let world = World::http1();
    let server = world
        .serve(async |_| {
            let mut reply = reply("in");
            reply.headers_mut().insert("connection", "close".parse().unwrap());
            reply
        })
        .await;
    for count in 1..4 {
        world.send(get(&server)).await.unwrap();
        assert_eq!((server.connections(), world.names.asked.load(Ordering::SeqCst)), (count, count));
    }
    // One that says nothing before it closes.
    let server = world.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nin").await;
    for _ in 0..10 {
        let got = world.send(get(&server).plain()).await.unwrap();
        assert_eq!(got.text(), "in");
    }
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_not_sent_twice() {
    let world = World::new();
    let server = world.raw(b"").await;
    let error = world.send(get(&server).plain().post("text/plain", "pay")).await.unwrap_err();
    assert_eq!(error.code(), "protocol");
    let raw = String::from_utf8(server.raw.lock().unwrap().clone()).unwrap();
    assert_eq!(raw.matches("POST").count(), 1, "{raw}");
}

#[tokio::test]
async fn a_body_that_is_dropped_takes_its_connection_along() {
    let world = World::http1();
    let server = world.serve(async |_| reply(vec![b'x'; 1 << 20])).await;
    drop(world.open(get(&server)).await.unwrap());
    assert_eq!(world.client.idle(), 0);
    world.send(get(&server)).await.unwrap();
    assert_eq!((server.connections(), world.client.idle()), (2, 1));
}
