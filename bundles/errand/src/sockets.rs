//! The way around wasi:http, which has to be closed.

use std::net::SocketAddr;

use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::{Deserialize, Serialize};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, Network,
};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Places {
    /// An address with a port, to connect to.
    address: String,
    /// A name, to look up.
    host: String,
}

/// What each of the two came to: `ok` with what was found, or the error.
#[derive(Serialize)]
#[serde(crate = "certosa_sdk::serde")]
pub struct Found {
    connect: String,
    lookup: String,
}

pub fn sockets(places: Places) -> Found {
    let network = instance_network();
    let connect = match places.address.parse() {
        Ok(address) => connect(&network, address).map(|()| "ok".to_owned()),
        Err(_) => return Found { connect: "this is no address".to_owned(), lookup: String::new() },
    };
    let told = |found: Result<String, ErrorCode>| found.unwrap_or_else(|code| code.name().to_owned());
    Found { connect: told(connect), lookup: told(lookup(&network, &places.host)) }
}

fn connect(network: &Network, address: SocketAddr) -> Result<(), ErrorCode> {
    let family = if address.is_ipv4() { IpAddressFamily::Ipv4 } else { IpAddressFamily::Ipv6 };
    let socket = create_tcp_socket(family)?;
    socket.start_connect(network, raw(address))?;
    loop {
        socket.subscribe().block();
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) => {}
            done => return done.map(|_streams| ()),
        }
    }
}

fn lookup(network: &Network, host: &str) -> Result<String, ErrorCode> {
    let addresses = resolve_addresses(network, host)?;
    loop {
        addresses.subscribe().block();
        match addresses.resolve_next_address() {
            Err(ErrorCode::WouldBlock) => {}
            first => return first.map(|first| format!("ok {first:?}")),
        }
    }
}

fn raw(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(address) => {
            let [a, b, c, d] = address.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) })
        }
        SocketAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.ip().segments();
            IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port: address.port(),
                flow_info: address.flowinfo(),
                address: (a, b, c, d, e, f, g, h),
                scope_id: address.scope_id(),
            })
        }
    }
}
