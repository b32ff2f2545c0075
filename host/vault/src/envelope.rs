//! One sealed value. `docs/vault.md` gives it byte by byte.
//!
//! ```text
//! KEK, salt ── HKDF ──┬─ wrap key ── AES-256-GCM ── data key ── AES-256-GCM ── value
//!                     └─ commitment, compared before anything is decrypted
//! ```

use aes_gcm::aead::{AeadInPlace as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::kek::{Kek, KekId};
use crate::secret::{Key, Secret};

pub(crate) const FORMAT: u64 = 1;
const FORMAT_NAME: &[u8] = b"certosa vault 1";
const TAG_BYTES: usize = 16;

/// Where a value belongs. All of it is bound to the value.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub vault: &'a [u8; 16],
    pub name: &'a str,
    pub version: u64,
    pub rule: &'a [u8],
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub kek_id: KekId,
    pub salt: [u8; 32],
    pub wrap_nonce: [u8; 12],
    pub wrapped_key: [u8; 48],
    pub commitment: [u8; 32],
    pub nonce: [u8; 12],
    pub ciphertext: Vec<u8>,
}

/// What has to be random, and is used once.
pub(crate) struct Fresh {
    pub salt: [u8; 32],
    pub wrap_nonce: [u8; 12],
    pub nonce: [u8; 12],
    pub data_key: Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("it was sealed with another KEK")]
    Kek,
    #[error("its key commitment does not fit")]
    Commitment,
    #[error("its data key does not open: the key, or what is bound to it, was changed")]
    DataKey,
    #[error("its value does not open: the value, or what is bound to it, was changed")]
    Value,
    #[error("the system has no random numbers")]
    Random,
    #[error("the cryptographic library refused")]
    Library,
}

type Result<T> = std::result::Result<T, EnvelopeError>;

impl Place<'_> {
    fn value_data(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(80 + self.name.len() + self.rule.len());
        for part in [FORMAT_NAME, self.vault, self.name.as_bytes(), &self.version.to_be_bytes(), self.rule] {
            push_part(&mut data, part);
        }
        data
    }

    fn wrap_data(&self, kek: &KekId) -> Vec<u8> {
        let mut data = self.value_data();
        push_part(&mut data, kek);
        data
    }
}

impl Fresh {
    pub(crate) fn random() -> Result<Self> {
        let mut fresh = Self { salt: [0; 32], wrap_nonce: [0; 12], nonce: [0; 12], data_key: Key::zero() };
        for room in [&mut fresh.salt[..], &mut fresh.wrap_nonce, &mut fresh.nonce, fresh.data_key.fill()] {
            getrandom::fill(room).map_err(|_| EnvelopeError::Random)?;
        }
        Ok(fresh)
    }
}

pub(crate) fn seal(kek: &Kek, place: &Place<'_>, value: &Secret, fresh: Fresh) -> Result<Sealed> {
    let mut ciphertext = Vec::with_capacity(value.expose().len() + TAG_BYTES);
    ciphertext.extend_from_slice(value.expose());
    let tag = encrypt(&fresh.data_key, &fresh.nonce, &place.value_data(), &mut ciphertext)?;
    ciphertext.extend_from_slice(&tag);
    let sealed = Sealed {
        kek_id: *kek.id(),
        salt: fresh.salt,
        wrap_nonce: fresh.wrap_nonce,
        wrapped_key: [0; 48],
        commitment: [0; 32],
        nonce: fresh.nonce,
        ciphertext,
    };
    wrap(kek, place, &fresh.data_key, sealed)
}

pub(crate) fn open(kek: &Kek, place: &Place<'_>, sealed: &Sealed) -> Result<Secret> {
    let data_key = unwrap_key(kek, place, sealed)?;
    let length = sealed.ciphertext.len().checked_sub(TAG_BYTES).ok_or(EnvelopeError::Value)?;
    let (ciphertext, tag) = sealed.ciphertext.split_at_checked(length).ok_or(EnvelopeError::Value)?;
    let mut value = Zeroizing::new(ciphertext.to_vec());
    decrypt(&data_key, &sealed.nonce, &place.value_data(), &mut value, tag).map_err(|()| EnvelopeError::Value)?;
    Secret::new(std::mem::take(&mut *value)).map_err(|_| EnvelopeError::Value)
}

/// The same value under the same data key, which is wrapped with another KEK. The value is not opened.
pub(crate) fn rewrap(old: &Kek, new: &Kek, place: &Place<'_>, sealed: &Sealed) -> Result<Sealed> {
    rewrap_with(old, new, place, sealed, Fresh::random()?)
}

pub(crate) fn rewrap_with(old: &Kek, new: &Kek, place: &Place<'_>, sealed: &Sealed, fresh: Fresh) -> Result<Sealed> {
    let data_key = unwrap_key(old, place, sealed)?;
    let sealed = Sealed { kek_id: *new.id(), salt: fresh.salt, wrap_nonce: fresh.wrap_nonce, ..sealed.clone() };
    wrap(new, place, &data_key, sealed)
}

/// Fills in what depends on the KEK.
fn wrap(kek: &Kek, place: &Place<'_>, data_key: &Key, mut sealed: Sealed) -> Result<Sealed> {
    let (wrap_key, commitment) = derive(kek, &sealed.salt)?;
    let (key, room) = sealed.wrapped_key.split_at_mut(32);
    key.copy_from_slice(data_key.expose());
    // Where the plaintext key stood the encrypted one stands afterwards.
    let tag = encrypt(&wrap_key, &sealed.wrap_nonce, &place.wrap_data(kek.id()), key)?;
    room.copy_from_slice(&tag);
    sealed.commitment = *commitment.expose();
    Ok(sealed)
}

fn unwrap_key(kek: &Kek, place: &Place<'_>, sealed: &Sealed) -> Result<Key> {
    if sealed.kek_id != *kek.id() {
        return Err(EnvelopeError::Kek);
    }
    let (wrap_key, commitment) = derive(kek, &sealed.salt)?;
    // Without it a ciphertext could be made that opens under two keys: AES-GCM does not commit to its key.
    if !bool::from(commitment.expose().ct_eq(&sealed.commitment)) {
        return Err(EnvelopeError::Commitment);
    }
    let (wrapped, tag) = sealed.wrapped_key.split_at(32);
    let mut data_key = Key::zero();
    data_key.fill().copy_from_slice(wrapped);
    decrypt(&wrap_key, &sealed.wrap_nonce, &place.wrap_data(kek.id()), data_key.fill(), tag)
        .map_err(|()| EnvelopeError::DataKey)?;
    Ok(data_key)
}

/// The key that wraps, and what is kept to recognise it.
fn derive(kek: &Kek, salt: &[u8; 32]) -> Result<(Key, Key)> {
    let keys = kek.extract(salt);
    Ok((keys.expand(b"certosa vault 1 wrap")?, keys.expand(b"certosa vault 1 commit")?))
}

fn encrypt(key: &Key, nonce: &[u8; 12], data: &[u8], bytes: &mut [u8]) -> Result<Tag> {
    Aes256Gcm::new(key.expose().into())
        .encrypt_in_place_detached(Nonce::from_slice(nonce), data, bytes)
        .map_err(|_| EnvelopeError::Library)
}

fn decrypt(key: &Key, nonce: &[u8; 12], data: &[u8], bytes: &mut [u8], tag: &[u8]) -> std::result::Result<(), ()> {
    let tag: &[u8; TAG_BYTES] = tag.try_into().map_err(|_| ())?;
    Aes256Gcm::new(key.expose().into())
        .decrypt_in_place_detached(Nonce::from_slice(nonce), data, bytes, tag.into())
        .map_err(|_| ())
}

/// A part behind its length: 4 bytes, the highest first.
pub(crate) fn push_part(to: &mut Vec<u8>, part: &[u8]) {
    to.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn kek(byte: u8) -> Kek {
        let mut bytes = [byte; 32];
        bytes[0] = 0xff;
        Kek::new(&bytes).unwrap()
    }

    const VAULT: [u8; 16] = [1; 16];
    const PLACE: Place<'_> = Place { vault: &VAULT, name: "github", version: 1, rule: b"rule" };

    fn sealed(value: &[u8]) -> Sealed {
        let value = Secret::new(value.to_vec()).unwrap();
        seal(&kek(1), &PLACE, &value, Fresh::random().unwrap()).unwrap()
    }

    fn opens(place: &Place<'_>, sealed: &Sealed) -> Result<Vec<u8>> {
        open(&kek(1), place, sealed).map(|secret| secret.expose().to_vec())
    }

    #[test]
    fn a_value_opens_in_its_place_alone() {
        let sealed = sealed(b"value");
        assert_eq!(opens(&PLACE, &sealed).unwrap(), b"value");
        let places = [
            Place { vault: &[2; 16], ..PLACE },
            Place { name: "gitlab", ..PLACE },
            Place { version: 2, ..PLACE },
            Place { rule: b"ruler", ..PLACE },
            Place { name: "githubr", rule: b"ule", ..PLACE },
        ];
        for place in places {
            assert_eq!(opens(&place, &sealed), Err(EnvelopeError::DataKey), "{}", place.name);
        }
        assert!(matches!(open(&kek(2), &PLACE, &sealed), Err(EnvelopeError::Kek)));
        let disguised = Sealed { kek_id: *kek(2).id(), ..sealed };
        assert!(matches!(open(&kek(2), &PLACE, &disguised), Err(EnvelopeError::Commitment)));
    }

    #[test]
    fn no_byte_may_change() {
        let whole = sealed(b"a value of some length");
        type Part = fn(&mut Sealed) -> &mut [u8];
        let parts: [(Part, usize); 7] = [
            (|sealed| &mut sealed.kek_id, 16),
            (|sealed| &mut sealed.salt, 32),
            (|sealed| &mut sealed.wrap_nonce, 12),
            (|sealed| &mut sealed.wrapped_key, 48),
            (|sealed| &mut sealed.commitment, 32),
            (|sealed| &mut sealed.nonce, 12),
            (|sealed| &mut sealed.ciphertext, 22 + TAG_BYTES),
        ];
        for (part, length) in parts {
            for bit in 0..length * 8 {
                let mut changed = whole.clone();
                part(&mut changed)[bit / 8] ^= 1 << (bit % 8);
                assert!(opens(&PLACE, &changed).is_err());
            }
        }
        for length in 0..whole.ciphertext.len() {
            let mut cut = whole.clone();
            cut.ciphertext.truncate(length);
            assert_eq!(opens(&PLACE, &cut), Err(EnvelopeError::Value));
        }
    }

    #[test]
    fn a_new_kek_leaves_the_value_as_it_is() {
        let before = sealed(b"value");
        let after = rewrap(&kek(1), &kek(2), &PLACE, &before).unwrap();
        assert_eq!((&after.nonce, &after.ciphertext), (&before.nonce, &before.ciphertext));
        assert_ne!(after.salt, before.salt);
        assert_eq!(open(&kek(2), &PLACE, &after).unwrap().expose(), b"value");
        assert_eq!(opens(&PLACE, &after), Err(EnvelopeError::Kek));
    }

    #[test]
    fn a_million_seals_share_no_nonce_and_no_salt() {
        const COUNT: usize = 1_000_000;
        let mut seen: [HashSet<u128>; 3] = std::array::from_fn(|_| HashSet::with_capacity(COUNT));
        let number = |bytes: &[u8]| bytes.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        for _ in 0..COUNT {
            let sealed = sealed(b"value");
            assert!(seen[0].insert(number(&sealed.nonce)));
            assert!(seen[1].insert(number(&sealed.wrap_nonce)));
            assert!(seen[2].insert(number(&sealed.salt[..16])));
        }
    }
}
