//! The key that encrypts keys: 32 bytes that come from outside and are written nowhere.

mod exec;
mod file;
mod openbao;
mod passphrase;
mod source;

use std::fmt;

use aes_gcm::aead::generic_array::GenericArray;
use aes_gcm::aead::generic_array::typenum::U64;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::Hmac;
use hmac::digest::KeyInit as _;
use sha2::Sha256;
use zeroize::Zeroize as _;

pub use exec::{Helper, HelperError};
pub use openbao::{FETCHED_BYTES_MAX, KvError, KvField};
pub use passphrase::Derivation;
pub use source::{AbsolutePath, KekError, KekSource, KekSourceError, Made, Outside, Variable};

use crate::envelope::EnvelopeError;
use crate::secret::{Key, Secret};

pub(crate) type KekId = [u8; 16];

/// A KEK in memory, overwritten when it is dropped.
#[derive(Clone)]
pub struct Kek {
    key: Key,
    id: KekId,
    /// How it came from a passphrase, if it did: that is kept with the vault.
    derivation: Option<Derivation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KekShape {
    #[error(
        "{0} bytes are no KEK: it is 32 raw bytes, 64 hex digits or 43 or 44 characters of base64, with at most one \
         newline at the end"
    )]
    Length(usize),
    #[error(
        "32 characters of text are no KEK, which is 32 random bytes; for a passphrase there is the source `passphrase`"
    )]
    Text,
    #[error("one byte, 32 times, is no KEK")]
    Uniform,
    #[error("{0} characters that are neither hex digits nor base64 are no KEK")]
    Alphabet(usize),
}

impl Kek {
    /// A KEK from its 32 bytes.
    pub fn new(bytes: &[u8; 32]) -> Result<Self, KekShape> {
        let mut key = Key::zero();
        key.fill().copy_from_slice(bytes);
        Self::of(key)
    }

    /// Reads what a file or a program holds: raw bytes, hex or base64, and one newline.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, KekShape> {
        if let Ok(raw) = <&[u8; 32]>::try_from(bytes) {
            return Self::raw(raw);
        }
        if let Ok(raw) = <&[u8; 32]>::try_from(Secret::without_newline(bytes)) {
            return Self::raw(raw);
        }
        Self::parse_text(bytes)
    }

    /// Reads what can be written in a line: hex or base64.
    pub(crate) fn parse_text(text: &[u8]) -> Result<Self, KekShape> {
        let bytes = Secret::without_newline(text);
        let mut key = Key::zero();
        let decoded = match bytes.len() {
            64 => hex::decode_to_slice(bytes, key.fill()).is_ok(),
            // RFC 4648, sections 4 and 5. Bits that are left over have to be zero.
            43 => [STANDARD_NO_PAD, URL_SAFE_NO_PAD].iter().any(|engine| decode(engine, bytes, &mut key)),
            44 => [STANDARD, URL_SAFE].iter().any(|engine| decode(engine, bytes, &mut key)),
            _ => return Err(KekShape::Length(text.len())),
        };
        if decoded { Self::of(key) } else { Err(KekShape::Alphabet(bytes.len())) }
    }

    fn raw(bytes: &[u8; 32]) -> Result<Self, KekShape> {
        // Of 32 random bytes all are printable once in 10^13: it is a password, or a key of 16 bytes in hex.
        if bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
            return Err(KekShape::Text);
        }
        Self::new(bytes)
    }

    fn of(key: Key) -> Result<Self, KekShape> {
        let bytes = key.expose();
        if bytes.windows(2).all(|pair| pair.first() == pair.last()) {
            return Err(KekShape::Uniform);
        }
        let mut kek = Self { key, id: [0; 16], derivation: None };
        let name = kek.extract(&[]).expand(b"certosa vault 1 id").map_err(|_| KekShape::Uniform)?;
        for (to, from) in kek.id.iter_mut().zip(name.expose()) {
            *to = *from;
        }
        Ok(kek)
    }

    /// Recognises it, and gives nothing of it away.
    pub fn id(&self) -> &[u8; 16] {
        &self.id
    }

    pub(crate) fn derivation(&self) -> Option<&Derivation> {
        self.derivation.as_ref()
    }

    /// HKDF-Extract (RFC 5869, section 2.2).
    pub(crate) fn extract(&self, salt: &[u8]) -> Extracted {
        Extracted(Hkdf::new(Some(salt), self.key.expose()))
    }
}

/// A pseudorandom key, from which keys are expanded.
pub(crate) struct Extracted(Hkdf<Sha256>);

impl Extracted {
    /// HKDF-Expand (RFC 5869, section 2.3) to 32 bytes.
    pub(crate) fn expand(&self, info: &[u8]) -> Result<Key, EnvelopeError> {
        let mut key = Key::zero();
        self.0.expand(info, key.fill()).map_err(|_| EnvelopeError::Library)?;
        Ok(key)
    }
}

/// HMAC-SHA256 (RFC 2104), which pads a short key with zeros to the size of a block.
pub(crate) fn hmac(key: &Key) -> Hmac<Sha256> {
    let mut block = GenericArray::<u8, U64>::default();
    for (to, from) in block.iter_mut().zip(key.expose()) {
        *to = *from;
    }
    let mac = Hmac::new(&block);
    block.as_mut_slice().zeroize();
    mac
}

fn decode(engine: &impl base64::Engine, text: &[u8], key: &mut Key) -> bool {
    // One more than 32, because the decoder counts in groups of four characters.
    let mut bytes = zeroize::Zeroizing::new([0; 33]);
    let decoded = engine.decode_slice(text, bytes.as_mut_slice());
    let Some(found) = bytes.get(..32).filter(|_| decoded == Ok(32)) else { return false };
    key.fill().copy_from_slice(found);
    true
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kek({})", hex::encode(self.id))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    #[test]
    fn a_kek_has_32_bytes_in_a_few_spellings() {
        let bytes: [u8; 32] = std::array::from_fn(|index| (index * 37 + 5) as u8);
        let kek = Kek::new(&bytes).unwrap();
        let hex = hex::encode(bytes);
        let mut good = vec![
            bytes.to_vec(),
            hex.clone().into_bytes(),
            hex.to_uppercase().into_bytes(),
            STANDARD.encode(bytes).into_bytes(),
            STANDARD_NO_PAD.encode(bytes).into_bytes(),
            URL_SAFE.encode(bytes).into_bytes(),
            URL_SAFE_NO_PAD.encode(bytes).into_bytes(),
        ];
        for end in ["\n", "\r\n"] {
            let ended: Vec<_> = good.iter().take(7).map(|text| [text, end.as_bytes()].concat()).collect();
            good.extend(ended);
        }
        for text in good {
            assert!(Kek::parse(&text).unwrap().key == kek.key, "{}", text.len());
        }
        for (bad, why) in [
            (Vec::new(), KekShape::Length(0)),
            (b"\n".to_vec(), KekShape::Length(1)),
            (bytes[1..].to_vec(), KekShape::Length(31)),
            ([bytes.as_slice(), b"\n\n"].concat(), KekShape::Length(34)),
            ([bytes.as_slice(), b" "].concat(), KekShape::Length(33)),
            (format!(" {hex}").into_bytes(), KekShape::Length(65)),
            (format!("{hex}\n\n").into_bytes(), KekShape::Length(66)),
            (hex.replace('0', "g").into_bytes(), KekShape::Alphabet(64)),
            (b"correct horse battery staple, 32".to_vec(), KekShape::Text),
            (hex.as_bytes()[..32].to_vec(), KekShape::Text),
            (hex[..32].to_owned().into_bytes().into_iter().chain(*b"\n").collect(), KekShape::Text),
            (vec![7; 32], KekShape::Uniform),
            ("00".repeat(32).into_bytes(), KekShape::Uniform),
            (format!("{}B", "A".repeat(42)).into_bytes(), KekShape::Alphabet(43)),
        ] {
            assert_eq!(Kek::parse(&bad).unwrap_err(), why);
        }
    }

    #[test]
    fn nothing_of_a_kek_is_printed() {
        let bytes: [u8; 32] = std::array::from_fn(|index| index as u8);
        let kek = Kek::new(&bytes).unwrap();
        let shown = format!("{kek:?}");
        assert!(!shown.contains(&hex::encode(&bytes[..4])) && !shown.contains("[0, 1, 2"), "{shown}");
    }

    #[test]
    fn keys_are_expanded_as_rfc_5869_says() {
        // Appendix A.1 has 22 bytes of 0x0b for a key; A.3 the same without salt and info. Ours has 32 bytes, so the
        // vectors that others run are in tests/vectors/vault.json; this pins the construction.
        let salt: Vec<u8> = (0..=0x0c).collect();
        let hkdf = Hkdf::<Sha256>::new(Some(&salt), &[0x0b; 22]);
        let mut key = [0; 42];
        hkdf.expand(&(0xf0..=0xf9).collect::<Vec<u8>>(), &mut key).unwrap();
        assert_eq!(
            hex::encode(key),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
    }
}
