//! Where names lead.

use crate::world::*;
use certosa_egress::{EgressError, GuestError, Policy};
use certosa_model::{AddressRange, HostPattern};
use std::sync::atomic::Ordering;

fn refused(sent: Result<Got, EgressError>) -> String {
    let error = sent.unwrap_err();
    assert_eq!(error.code(), "addresses", "{error}");
    assert_eq!(error.guest(), GuestError::HttpRequestDenied);
    error.remedy().unwrap()
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_unless_the_range_is_granted() {
    let world = World::new();
    let server = world.serve(async |_| reply("in")).await;
    let mut ask = get(&server);
    ask.policy.addresses.clear();
    assert_eq!(refused(world.send(ask).await), "addresses = [\"127.0.0.1/32\"]");
    assert_eq!(server.connections(), 0);

    let mut ask = get(&server);
    ask.policy.addresses = vec![AddressRange::new("127.0.0.1/32").unwrap()];
    assert_eq!(world.send(ask).await.unwrap().text(), "in");
}

#[tokio::test]
async fn a_name_that_flips_is_refused_when_it_does() {
    let world = World::http1();
    let server = world.serve(async |_| reply("in")).await;
    // The first answer is where this test may go; then comes an address that is not granted.
    world.names.set("api.test", &[&["127.0.0.1"], &["169.254.169.254"]]);
    let ask = || get(&server).header("x", "y");
    assert_eq!(world.send(ask()).await.unwrap().status, 200);
    // The connection that is there goes where it went: nothing is looked up for it.
    assert_eq!(world.send(ask()).await.unwrap().status, 200);
    assert_eq!(world.names.asked.load(Ordering::SeqCst), 1);
    // A new connection is looked up and looked at.
    assert_eq!(refused(world.send(ask().bundle("another")).await), "addresses = [\"169.254.169.254/32\"]");
    assert_eq!(world.names.asked.load(Ordering::SeqCst), 2);
    // A grant that is gone is gone for connections that wait, too.
    let mut ask = ask();
    ask.policy.addresses.clear();
    refused(world.send(ask).await);
}

#[tokio::test]
async fn one_bad_address_spoils_the_answer() {
    let world = World::new();
    let server = world.serve(async |_| reply("in")).await;
    world.names.set("api.test", &[&["127.0.0.1", "10.0.0.1"]]);
    assert_eq!(refused(world.send(get(&server)).await), "addresses = [\"10.0.0.1/32\"]");
    assert_eq!(server.connections(), 0);
    // Two good ones, of which only the second answers.
    world.names.set("api.test", &[&["127.0.0.3", "127.0.0.1"]]);
    assert_eq!(world.send(get(&server)).await.unwrap().status, 200);
}

#[tokio::test]
async fn addresses_in_other_clothes_are_refused() {
    let world = World::new();
    let server = world.serve(async |_| reply("in")).await;
    for address in [
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1",
        "::",
        "::1",
        "fd00:ec2::254",
        "fe80::1",
        "0.0.0.0",
        "100.64.0.1",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        world.names.set("api.test", &[&[address]]);
        refused(world.send(get(&server)).await);
    }
    // A mapped one is what it stands for, and that is granted here.
    world.names.set("api.test", &[&["::ffff:127.0.0.1"]]);
    assert_eq!(world.send(get(&server)).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_address_as_a_host_is_judged_like_any_other() {
    let world = World::new();
    let server = world.serve(async |_| reply("in")).await;
    let ask = |granted: bool| {
        let mut ask = get(&server).at(&format!("127.0.0.1:{}", server.port()));
        ask.policy.reach.hosts.push(HostPattern::new("127.0.0.1").unwrap());
        if !granted {
            ask.policy.addresses.clear();
        }
        ask
    };
    refused(world.send(ask(false)).await);
    assert_eq!(world.send(ask(true)).await.unwrap().status, 200);
    assert_eq!(world.names.asked.load(Ordering::SeqCst), 0);

    let mut mapped = get(&server).at(&format!("[::ffff:169.254.169.254]:{}", server.port()));
    mapped.policy.reach.hosts.push(HostPattern::new("::ffff:169.254.169.254").unwrap());
    assert_eq!(refused(world.send(mapped).await), "addresses = [\"::ffff:169.254.169.254/128\"]");
}

#[tokio::test]
async fn a_name_without_an_answer_is_an_error_of_names() {
    let world = World::new();
    let server = world.serve(async |_| reply("in")).await;
    world.names.set("api.test", &[&[]]);
    let error = world.send(get(&server)).await.unwrap_err();
    assert_eq!((error.code(), error.guest()), ("lookup", GuestError::DnsError));
}

#[tokio::test]
async fn the_certificate_has_to_be_of_the_name() {
    let world = World::new();
    let server = world.serve_as_other(async |_| reply("in")).await;
    let error = world.send(get(&server)).await.unwrap_err();
    assert_eq!((error.code(), error.guest()), ("tls", GuestError::TlsProtocolError));
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn lookups_that_nobody_waits_for_are_bounded_and_in_the_way_of_nobody_else() {
    let world = World::new();
    let server = world.serve(async |_| reply("in")).await;
    let policy = policy(server.port());
    let ask = |host: &str, policy: &Policy| {
        let mut ask = get(&server).at(&format!("{host}:{}", server.port()));
        ask.policy = Policy { reach: ask.policy.reach, ..policy.clone() };
        ask.policy.reach.hosts = vec![HostPattern::new(host).unwrap()];
        ask.limits(|limits| limits.connect_ms_max = 20)
    };
    for _ in 0..40 {
        assert_eq!(world.send(ask("hangs.test", &policy)).await.unwrap_err().code(), "connectMsMax");
    }
    assert_eq!(world.names.hanging.load(Ordering::SeqCst), 16);
    assert_eq!(world.send(ask("api.test", &policy)).await.unwrap_err().guest(), GuestError::DnsTimeout);
    assert_eq!(world.send(get(&server)).await.unwrap().status, 200, "another bundle has its own");
}
