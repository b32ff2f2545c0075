//! Ranges of addresses, in the one spelling in which they are compared.

use std::fmt;
use std::net::IpAddr;

/// Addresses with the same first bits (RFC 4632, section 3.1; RFC 4291, section 2.3): `10.0.0.0/8`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    bits: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a range is an address and the number of its first bits that count, all others zero: `10.0.0.0/8`, `fd00::/8`")]
pub struct AddressRangeError;

impl AddressRange {
    pub fn new(text: &str) -> Result<Self, AddressRangeError> {
        let (first, bits) = text.split_once('/').ok_or(AddressRangeError)?;
        let first: IpAddr = first.parse().map_err(|_| AddressRangeError)?;
        let bits: u32 = bits.parse().map_err(|_| AddressRangeError)?;
        let range = Self { first, bits };
        let width = if first.is_ipv4() { 32 } else { 128 };
        // A range of mapped addresses would never match: they are compared as what they stand for.
        let is_one = bits <= width && range.masked(first) == number(first) && first.to_canonical() == first;
        if is_one && range.to_string() == text { Ok(range) } else { Err(AddressRangeError) }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        // An IPv4 address in the clothes of IPv6 (`::ffff:0:0/96`) is that IPv4 address: the kernel connects to it.
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && self.masked(address) == number(self.first)
    }

    fn masked(&self, address: IpAddr) -> u128 {
        let width = if address.is_ipv4() { 32 } else { 128 };
        let rest = width - self.bits.min(width);
        number(address).checked_shr(rest).and_then(|high| high.checked_shl(rest)).unwrap_or(0)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

impl fmt::Debug for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_one_spelling_and_contains_its_own() {
        let contains =
            |range: &str, address: &str| AddressRange::new(range).unwrap().contains(address.parse().unwrap());
        assert!(contains("127.0.0.0/8", "127.0.0.1"));
        assert!(contains("127.0.0.0/8", "::ffff:127.0.0.1"));
        assert!(contains("127.0.0.1/32", "127.0.0.1"));
        assert!(contains("0.0.0.0/0", "8.8.8.8"));
        assert!(contains("::/0", "fd00::1"));
        assert!(contains("fd00::/8", "fdff::1"));
        assert!(!contains("127.0.0.1/32", "127.0.0.2"));
        assert!(!contains("::/0", "127.0.0.1"));
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(!contains("fd00::/8", "fc00::1"));
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "::/129",
            "010.0.0.0/8",
            "FD00::/8",
            "::ffff:10.0.0.0/104",
            "10.0.0.0/8 ",
        ] {
            assert!(AddressRange::new(bad).is_err(), "{bad}");
        }
    }
}
