//! Which addresses are in the Internet for everybody, and which are in somebody's network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is globally reachable by the special-purpose registries of IANA (RFC 6890, RFC 8190; read in
/// November 2026). In doubt it is not: exceptions inside the reserved blocks are refused with their block.
pub fn is_global(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => is_global_v6(address),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    let address = u128::from(address.to_bits());
    !NOT_GLOBAL_V4.iter().any(|(first, bits)| (address ^ u128::from(*first)) >> (32 - bits) == 0)
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    let below = |(first, length): &(u128, u32)| (bits ^ first) >> (128 - length) == 0;
    if below(&NAT64) {
        // The network puts the IPv4 address into these (RFC 6052): what counts is where they lead.
        return u32::try_from(bits & u128::from(u32::MAX)).is_ok_and(|low| is_global_v4(Ipv4Addr::from_bits(low)));
    }
    below(&UNICAST_V6) && !NOT_GLOBAL_V6.iter().any(below)
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> u32 {
    Ipv4Addr::new(a, b, c, d).to_bits()
}

const NOT_GLOBAL_V4: [(u32, u32); 16] = [
    (v4(0, 0, 0, 0), 8),        // this network
    (v4(10, 0, 0, 0), 8),       // private use
    (v4(100, 64, 0, 0), 10),    // shared behind the translators of providers, RFC 6598
    (v4(127, 0, 0, 0), 8),      // loopback
    (v4(168, 63, 129, 16), 32), // in no registry: every machine at Azure finds its host there
    (v4(169, 254, 0, 0), 16),   // link-local, and the metadata of most clouds
    (v4(172, 16, 0, 0), 12),    // private use
    (v4(192, 0, 0, 0), 24),     // protocol assignments
    (v4(192, 0, 2, 0), 24),     // documentation
    (v4(192, 88, 99, 0), 24),   // relays of 6to4, gone
    (v4(192, 168, 0, 0), 16),   // private use
    (v4(198, 18, 0, 0), 15),    // benchmarking
    (v4(198, 51, 100, 0), 24),  // documentation
    (v4(203, 0, 113, 0), 24),   // documentation
    (v4(224, 0, 0, 0), 4),      // multicast
    (v4(240, 0, 0, 0), 4),      // reserved, and broadcast
];

/// What IANA gives out at all; loopback, link-local, site-local, unique local, multicast, IPv4-compatible, the
/// translation prefix `64:ff9b:1::/48` and the segment identifiers `5f00::/16` are outside.
const UNICAST_V6: (u128, u32) = (0x2000 << 112, 3);
const NAT64: (u128, u32) = (0x0064_ff9b << 96, 96);

const NOT_GLOBAL_V6: [(u128, u32); 4] = [
    (0x2001 << 112, 23),     // protocol assignments: Teredo, benchmarking, ORCHID, drone identifiers
    (0x2001_0db8 << 96, 32), // documentation
    (0x2002 << 112, 16),     // 6to4, any IPv4 address inside
    (0x3fff << 112, 20),     // documentation
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_everybody_are_global() {
        for global in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:200::1",
            "2a00:1450:4001::1",
            "64:ff9b::8.8.8.8",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_global(global.parse().unwrap()), "{global}");
        }
        for local in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::8.8.8.8",
            "100::1",
            "100:0:0:1::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:30::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(!is_global(local.parse().unwrap()), "{local}");
        }
    }
}
