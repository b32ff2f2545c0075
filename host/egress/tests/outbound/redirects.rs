//! Redirects, followed and not.

use crate::world::*;
use certosa_model::{HostPattern, Injection};

/// `/to?LOCATION` redirects there; everything else answers.
async fn moved(seen: Seen) -> Reply {
    match seen.uri.split_once("/to?") {
        None => reply("arrived"),
        Some((_, rest)) => {
            let (status, location) = rest.split_once('=').unwrap();
            let location = location.replace("%23", "#").replace("%5C", "\\");
            let mut reply = reply("moved");
            *reply.status_mut() = status.parse().unwrap();
            reply.headers_mut().insert("location", location.parse().unwrap());
            reply
        }
    }
}

fn to(server: &Server, status: u16, location: &str, most: u8) -> Ask {
    // What no query may have is escaped on the way there.
    let location = location.replace('#', "%23").replace('\\', "%5C");
    get(server).path(&format!("/to?{status}={location}")).limits(|limits| limits.redirects_max = most)
}

#[tokio::test]
async fn a_redirect_is_for_the_guest_to_see() {
    let world = World::new();
    let server = world.serve(moved).await;
    // The first one would be allowed.
    for (count, location) in [(1, "/there"), (2, "https://169.254.169.254/latest")] {
        let got = world.send(to(&server, 302, location, 0).with(bearer(&server))).await.unwrap();
        assert_eq!((got.status, got.header("location")), (302, Some(location)));
        assert_eq!(server.count(), count);
    }
}

#[tokio::test]
async fn a_redirect_out_of_the_policy_is_not_followed() {
    let world = World::new();
    let server = world.serve(moved).await;
    for location in [
        "http://169.254.169.254/latest/meta-data",
        "https://evil.test/",
        "//evil.test/",
        "https://api.test/",
        "https://user@api.test/",
        "https://api.test\\@evil.test/",
        "ftp://api.test/",
        "javascript:alert(1)",
        "relative",
        "?x",
        "https://api.test:1/",
        "https://[::1]/",
        "https://2130706433/",
    ] {
        let got = world.send(to(&server, 302, location, 3)).await.unwrap();
        assert_eq!((got.status, got.header("location")), (302, Some(location)));
    }
    assert_eq!(server.count(), 13);

    // The host is allowed, and leads inside.
    let mut inside = to(&server, 302, &format!("https://inside.test:{}/", server.port()), 3);
    inside.policy.reach.hosts.push(HostPattern::new("inside.test").unwrap());
    world.names.set("inside.test", &[&["169.254.169.254"]]);
    assert_eq!(world.send(inside).await.unwrap_err().code(), "addresses");
}

#[tokio::test]
async fn a_redirect_inside_the_policy_is_followed_so_many_times() {
    let world = World::new();
    let server = world.serve(moved).await;
    let port = server.port();
    for location in [
        "/there".to_owned(),
        "/there#part".to_owned(),
        format!("https://api.test:{port}/there"),
        format!("//api.test:{port}/there"),
        format!("https://other.test:{port}"),
    ] {
        assert_eq!(world.send(to(&server, 302, &location, 1)).await.unwrap().text(), "arrived", "{location}");
    }
    let twice = "/to?302=/to?302=/there";
    assert_eq!(world.send(get(&server).path(twice).limits(|l| l.redirects_max = 2)).await.unwrap().text(), "arrived");
    assert_eq!(world.send(get(&server).path(twice).limits(|l| l.redirects_max = 1)).await.unwrap().status, 302);
}

#[tokio::test]
async fn a_credential_does_not_cross_an_origin() {
    let world = World::new();
    let server = world.serve(moved).await;
    let port = server.port();
    let ask = to(&server, 302, &format!("https://other.test:{port}/there"), 3).with(bearer(&server));
    assert_eq!(world.send(ask).await.unwrap().text(), "arrived");
    assert_eq!((server.last().header("authorization"), server.count()), (None, 2));
    // Nor does what the guest said by itself.
    let ask = to(&server, 302, &format!("https://other.test:{port}/there"), 3)
        .header("authorization", "Bearer own")
        .header("cookie", "a=b");
    world.send(ask).await.unwrap();
    assert_eq!((server.last().header("authorization"), server.last().header("cookie")), (None, None));
    // Back again, it does not come back.
    let back = format!("https://other.test:{port}/to?302=https://api.test:{port}/there");
    world.send(to(&server, 302, &back, 3).with(bearer(&server))).await.unwrap();
    assert_eq!((server.last().header("authorization"), server.count()), (None, 7));
    // Inside its origin it stays.
    world.send(to(&server, 302, "/there", 3).with(bearer(&server))).await.unwrap();
    assert_eq!(server.last().header("authorization"), Some(format!("Bearer {PLAIN}").as_str()));
}

#[tokio::test]
async fn a_body_is_not_sent_to_another_place() {
    let world = World::new();
    let server = world.serve(moved).await;
    for status in [301, 302, 307, 308] {
        let got = world.send(to(&server, status, "/there", 3).post("text/plain", "pay")).await.unwrap();
        assert_eq!(got.status, status);
    }
    let got = world.send(to(&server, 303, "/there", 3).post("text/plain", "pay")).await.unwrap();
    assert_eq!(got.text(), "arrived");
    let seen = server.last();
    assert_eq!((seen.method.as_str(), seen.body.len(), seen.header("content-type")), ("GET", 0, None));

    // A credential that goes into a body has no place in what would follow.
    let json = credential(&server, Injection::JsonField { name: "key".to_owned() }, PLAIN);
    let got = world.send(to(&server, 303, "/there", 3).post("application/json", "{}").with(json)).await.unwrap();
    assert_eq!((got.status, got.header("location")), (303, Some("/there")));
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let world = World::new();
    let server =
        world.raw(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nanything").await;
    let error = world.send(get(&server).plain()).await.unwrap_err();
    assert_eq!(error.code(), "upgrade");
}
