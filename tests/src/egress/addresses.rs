//! Addresses, where they matter: in a network of its own, in which every address of the world is this machine and
//! answers. What does not arrive there was refused by the house, and by nothing else.
//!
//! The test runs once more inside of such a network, which needs `unshare` and `ip` and the right to use them.

use std::fs;
use std::net::{IpAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::github::FakeGitHub;
use super::{Said, TOKEN, fetch, until};
use crate::support::House;

/// A network, a user who may change it, and a file of names that nobody else sees.
const INSIDE: &str = "ip link set lo up && ip route add local default dev lo && ip -6 route add local default dev lo \
                      && mount --bind \"$HOSTS\" /etc/hosts && exec \"$0\" --exact egress::addresses::inside \
                      --ignored --nocapture";

/// Names, what they stand for, and whether that is an address of the world.
const NAMES: &[(&str, &[&str], bool)] = &[
    ("world.example", &["8.8.8.8"], true),
    ("world6.example", &["2606:4700::1111"], true),
    ("loopback.example", &["127.0.0.1"], false),
    ("loopback6.example", &["::1"], false),
    ("far-loopback.example", &["127.255.255.254"], false),
    ("metadata.example", &["169.254.169.254"], false),
    ("link-local6.example", &["fe80::1"], false),
    ("private-a.example", &["10.255.255.255"], false),
    ("private-b.example", &["172.31.0.1"], false),
    ("private-c.example", &["192.168.1.1"], false),
    ("unique-local.example", &["fd00:ec2::254"], false),
    ("shared.example", &["100.64.0.1"], false),
    ("documentation.example", &["203.0.113.1"], false),
    ("benchmarks.example", &["198.18.0.1"], false),
    ("protocols.example", &["192.0.0.170"], false),
    ("reserved.example", &["240.0.0.1"], false),
    ("mapped.example", &["::ffff:169.254.169.254"], false),
    ("translated.example", &["64:ff9b::a9fe:a9fe"], false),
    ("six-to-four.example", &["2002:a9fe:a9fe::1"], false),
    ("teredo.example", &["2001:0:a9fe:a9fe::1"], false),
    // A name with one good address and a bad one is not good.
    ("both.example", &["8.8.4.4", "169.254.169.254"], false),
];

#[test]
fn names_lead_to_the_addresses_of_the_world_alone() {
    let hosts = tempfile::NamedTempFile::new().unwrap();
    let lines = NAMES.iter().flat_map(|(name, addresses, _)| addresses.iter().map(move |it| format!("{it} {name}\n")));
    fs::write(hosts.path(), lines.collect::<String>()).unwrap();
    let mut inside = Command::new("unshare");
    let program = std::env::current_exe().unwrap();
    inside.args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c", INSIDE]).arg(program);
    let ran = inside.env("HOSTS", hosts.path()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}

#[test]
#[ignore = "is run by the other one, in a network of its own"]
fn inside() {
    let server = FakeGitHub::start_anywhere(TOKEN);
    let port = server.port();
    let literals = NAMES.iter().flat_map(|(_, addresses, is_good)| addresses.iter().map(move |it| (*it, *is_good)));
    let literals = literals.filter(|(address, _)| *address != "8.8.4.4");
    let names = NAMES.iter().map(|(name, _, is_good)| (*name, *is_good)).chain(literals).collect::<Vec<_>>();
    let hosts: Vec<_> = names.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let mut said = Said::new(&server);
    said.to = format!("schemes = [\"http\"], hosts = [{}], ports = [{port}]", hosts.join(", "));
    // `errand` needs one, and this one is sent nowhere.
    said.credentials = "(name = \"code\", allowedSubs = [\"bundle/errand/**\"], mac = \"letters\")".to_owned();
    let folder = said.folder(&server);
    let manifest = fs::read_to_string(folder.path("manifest.capnp")).unwrap();
    let manifest = manifest.replace("roots = [\"root.pem\"],", "");
    folder.write("manifest.capnp", manifest.replace("addresses = [\"127.0.0.0/8\", \"::1/128\"],", ""));
    let house = House::in_folder(folder);
    // Each of them would answer. (Link-local addresses are not reached without the name of an interface.)
    let addresses = names.iter().filter(|(name, _)| !name.starts_with("fe80:"));
    let addresses: Vec<IpAddr> = addresses.filter_map(|(name, _)| name.parse().ok()).collect();
    for address in &addresses {
        TcpStream::connect_timeout(&(*address, port).into(), Duration::from_secs(5)).unwrap();
    }
    until("all of them came", || server.connections() == addresses.len());
    for (name, is_good) in names {
        let before = server.connections();
        let is_v6 = name.parse().is_ok_and(|address: IpAddr| address.is_ipv6());
        let authority = if is_v6 { format!("[{name}]:{port}") } else { format!("{name}:{port}") };
        let answer = fetch(&house, &server, "/status/200", json!({"authority": authority}));
        if is_good {
            assert_eq!(answer["status"], 200, "{name}: {answer}");
        } else {
            assert_eq!(answer["error"], "ErrorCode::HttpRequestDenied", "{name}: {answer}");
            assert_eq!(server.connections(), before, "{name} was reached");
        }
    }
    assert!(house.log().contains("rule=\"addresses\""), "{}", house.log());
}
