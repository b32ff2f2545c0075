//! The state of a call that waits for its client ("multi round-trip requests", MCP 2026-07-28): the client
//! carries it, and can neither read nor change it, nor use it for anything else.

use std::time::{SystemTime, UNIX_EPOCH};

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certosa_model::{Digest, Kind, Subject};

/// Seals state under a random key of this process: AES-256-GCM, the nonce in front. The associated data are
/// the caller, the route, the bundle, what was asked for and the arguments; the time is inside.
pub(crate) struct Seal(Aes256Gcm);

/// What a state is bound to.
pub(crate) struct Bound<'a> {
    pub caller: &'a Subject,
    pub route: &'a str,
    /// The bundle that left it.
    pub bundle: &'a str,
    pub kind: Kind,
    /// The name or the address.
    pub name: &'a str,
    pub arguments: &'a str,
}

const NONCE_BYTES: usize = 12;
const TIME_BYTES: usize = 8;
const LIFE_S: u64 = 3600;

impl Seal {
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self(Aes256Gcm::new(&key.into())))
    }

    pub(crate) fn close(&self, state: &[u8], bound: &Bound<'_>) -> Option<String> {
        self.close_at(state, bound, now())
    }

    fn close_at(&self, state: &[u8], bound: &Bound<'_>, time_s: u64) -> Option<String> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).ok()?;
        let plain = [&time_s.to_be_bytes(), state].concat();
        let payload = Payload { msg: &plain, aad: &bound.bytes() };
        let sealed = self.0.encrypt(Nonce::from_slice(&nonce), payload).ok()?;
        Some(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// The state, if it was sealed here, for this very request, within the last hour.
    pub(crate) fn open(&self, text: &str, bound: &Bound<'_>) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES)?;
        let payload = Payload { msg: sealed, aad: &bound.bytes() };
        let plain = self.0.decrypt(Nonce::from_slice(nonce), payload).ok()?;
        let (time, state) = plain.split_first_chunk::<TIME_BYTES>()?;
        let age_s = now().checked_sub(u64::from_be_bytes(*time))?;
        (age_s <= LIFE_S).then(|| state.to_owned())
    }
}

impl Bound<'_> {
    fn bytes(&self) -> [u8; 71] {
        // A client may write the same arguments in another order or with other spaces in the next round.
        let parsed = certosa_model::parse_json(self.arguments);
        let arguments = parsed.map_or_else(|_| self.arguments.to_owned(), |arguments| arguments.to_string());
        let kind = self.kind.as_str();
        let (caller, route, bundle) = (self.caller.as_str(), self.route, self.bundle);
        let parts = ["certosa request state", caller, route, bundle, kind, self.name, &arguments];
        let digest = Digest::of_parts(parts.map(str::as_bytes)).to_string();
        let mut bytes = [0; 71];
        for (to, from) in bytes.iter_mut().zip(digest.bytes()) {
            *to = from;
        }
        bytes
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_opens_for_its_own_request_only() {
        let (ana, bob) = (Subject::new("user/ana").unwrap(), Subject::new("user/bob").unwrap());
        let (kind, arguments) = (Kind::Tool, r#"{"a":1,"b":2}"#);
        let bound = Bound { caller: &ana, route: "/mcp", bundle: "b", kind, name: "t", arguments };
        let seal = Seal::new().unwrap();
        let text = seal.close(b"round 1", &bound).unwrap();
        assert_eq!(seal.open(&text, &bound).as_deref(), Some(b"round 1".as_slice()));
        assert!(seal.open(&text, &Bound { arguments: r#"{ "b":2, "a":1 }"#, ..bound }).is_some());

        assert!(seal.open(&text, &Bound { caller: &bob, ..bound }).is_none());
        assert!(seal.open(&text, &Bound { route: "/other", ..bound }).is_none());
        assert!(seal.open(&text, &Bound { bundle: "c", ..bound }).is_none());
        assert!(seal.open(&text, &Bound { name: "u", ..bound }).is_none());
        assert!(seal.open(&text, &Bound { arguments: r#"{"a":1,"b":3}"#, ..bound }).is_none());
        assert!(Seal::new().unwrap().open(&text, &bound).is_none(), "another process");
        assert!(seal.open(&seal.close_at(b"", &bound, now() - LIFE_S - 1).unwrap(), &bound).is_none(), "old");
        assert!(seal.open(&seal.close_at(b"", &bound, now() + 60).unwrap(), &bound).is_none(), "from the future");
        for index in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed == text || seal.open(&changed, &bound).is_none(), "character {index}");
            assert!(seal.open(&text[..index], &bound).is_none(), "cut at {index}");
        }
    }
}
