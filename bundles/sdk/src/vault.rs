//! Using credentials that no bundle can read. A request that one credential may go with needs nothing of this: any
//! client of wasi:http sends it, and the host puts the credential in on its way out.
//!
//! ```ignore
//! use certosa_sdk::vault;
//!
//! // Several credentials may go with what follows; this one shall.
//! vault::use_credential("github-bot").map_err(|refused| refused.to_string())?;
//! ```

use std::error::Error;
use std::fmt;

use crate::bindings::certosa::tools::vault;

/// Why is for the operator to know: the credential may be absent, not for this call, or used too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the credential may not be used here; the operator's log says why")
    }
}

impl Error for Refused {}

/// The names of the credentials that this call may use, in alphabetical order.
pub fn available() -> Vec<String> {
    vault::available()
}

/// From now on until the call ends, requests carry the credential of this name where several may go with them.
pub fn use_credential(name: &str) -> Result<(), Refused> {
    vault::use_(name).map_err(|()| Refused)
}

/// Signs a message with Ed25519 (RFC 8032): 64 bytes, over the context of the credential behind its length (4 bytes,
/// the highest first), and the message.
pub fn sign(name: &str, message: &[u8]) -> Result<Vec<u8>, Refused> {
    vault::sign(name, message).map_err(|()| Refused)
}

/// Authenticates a message with HMAC-SHA256 (RFC 2104): 32 bytes, over the same.
pub fn mac(name: &str, message: &[u8]) -> Result<Vec<u8>, Refused> {
    vault::mac(name, message).map_err(|()| Refused)
}
