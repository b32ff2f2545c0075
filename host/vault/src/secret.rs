use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

/// The most bytes that a credential has.
pub const SECRET_BYTES_MAX: usize = 64 << 10;

/// The value of a credential, 1 byte to 64 KiB. It is overwritten when it is dropped, and nothing prints it.
pub struct Secret(Zeroizing<Vec<u8>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a value of {found} bytes cannot be sealed; it has 1 to {SECRET_BYTES_MAX}")]
pub struct SecretLength {
    pub found: usize,
}

impl Secret {
    /// Takes the bytes over. Where they came from there may be copies; those are the caller's to overwrite.
    pub fn new(bytes: Vec<u8>) -> Result<Self, SecretLength> {
        let bytes = Zeroizing::new(bytes);
        match bytes.len() {
            1..=SECRET_BYTES_MAX => Ok(Self(bytes)),
            found => Err(SecretLength { found }),
        }
    }

    /// 32 bytes from the system.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = vec![0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// The plaintext. Every place that calls this is one that has to be looked at.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Ends lines as input has them: one line feed at the end goes, with a carriage return before it.
    pub(crate) fn without_newline(bytes: &[u8]) -> &[u8] {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        bytes.strip_suffix(b"\r").unwrap_or(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// 32 secret bytes. On the heap, so that moving it leaves no copy behind.
pub(crate) struct Key(Box<[u8; 32]>);

impl Key {
    pub(crate) fn zero() -> Self {
        Self(Box::new([0; 32]))
    }

    /// The bytes, to be written. Each key begins as zeros and is filled in place.
    pub(crate) fn fill(&mut self) -> &mut [u8; 32] {
        &mut self.0
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.as_ref()).into()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_bounds_and_is_not_printed() {
        assert_eq!(Secret::new(Vec::new()).unwrap_err().found, 0);
        assert_eq!(Secret::new(vec![0; SECRET_BYTES_MAX + 1]).unwrap_err().found, SECRET_BYTES_MAX + 1);
        assert!(Secret::new(vec![0; SECRET_BYTES_MAX]).is_ok());
        let secret = Secret::new(b"planted".to_vec()).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(secret.expose(), b"planted");
    }

    #[test]
    fn one_newline_goes() {
        for (from, to) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("\n", ""), ("a\r", "a")] {
            assert_eq!(Secret::without_newline(from.as_bytes()), to.as_bytes());
        }
    }
}
