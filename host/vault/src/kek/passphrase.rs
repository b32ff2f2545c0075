use argon2::{Algorithm, Argon2, Params, Version};

use super::Kek;
use super::source::KekError;
use crate::secret::{Key, Secret};

/// How a KEK comes from a passphrase: Argon2id (RFC 9106). It is kept with the vault and is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derivation {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; 16],
}

/// The second recommended option of RFC 9106, section 4.
const RECOMMENDED: (u32, u32, u32) = (64 << 10, 3, 4);
/// What a database may ask of us: whoever can write it could ask for all the memory there is.
const MEMORY_KIB_MAX: u32 = 1 << 20;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;
const BYTES: usize = 28;
/// Of a passphrase that is new. Those that are asked for again are what they are.
const PHRASE_BYTES_MIN: usize = 12;

impl Derivation {
    /// With a salt of its own.
    pub(crate) fn fresh() -> Result<Self, KekError> {
        let (memory_kib, passes, lanes) = RECOMMENDED;
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|_| KekError::Random)?;
        Ok(Self { memory_kib, passes, lanes, salt })
    }

    /// Memory in KiB, passes and lanes, 4 bytes each with the highest first, then the salt.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let numbers = [self.memory_kib, self.passes, self.lanes].map(u32::to_be_bytes).concat();
        [numbers.as_slice(), &self.salt].concat()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let (memory_kib, passes, lanes) = (number(0)?, number(4)?, number(8)?);
        let fits = (1..=LANES_MAX).contains(&lanes)
            && (1..=PASSES_MAX).contains(&passes)
            && (8 * lanes..=MEMORY_KIB_MAX).contains(&memory_kib);
        let salt = bytes.get(12..)?.try_into().ok()?;
        fits.then_some(Self { memory_kib, passes, lanes, salt })
    }

    pub(crate) fn kek(self, phrase: &Secret, is_new: bool) -> Result<Kek, KekError> {
        let phrase = phrase.expose();
        if is_new && phrase.len() < PHRASE_BYTES_MIN {
            return Err(KekError::ShortPhrase { found: phrase.len(), least: PHRASE_BYTES_MIN });
        }
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(KekError::Argon2)?;
        let mut key = Key::zero();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(phrase, &self.salt, key.fill())
            .map_err(KekError::Argon2)?;
        let mut kek = Kek::of(key).map_err(|source| KekError::Shape { from: "the passphrase".into(), source })?;
        kek.derivation = Some(self);
        Ok(kek)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_makes_one_kek_for_each_salt() {
        let phrase = Secret::new(b"correct horse battery".to_vec()).unwrap();
        let small = Derivation { memory_kib: 64, passes: 1, lanes: 4, salt: [1; 16] };
        let read = Derivation::from_bytes(&small.to_bytes()).unwrap();
        assert_eq!(read, small);
        let id = *small.kek(&phrase, true).unwrap().id();
        assert_eq!(*read.kek(&phrase, false).unwrap().id(), id);
        assert_ne!(*Derivation { salt: [2; 16], ..small }.kek(&phrase, false).unwrap().id(), id);
        assert_ne!(*Derivation { passes: 2, ..small }.kek(&phrase, false).unwrap().id(), id);
        let short = Secret::new(b"horse".to_vec()).unwrap();
        assert!(matches!(small.kek(&short, true), Err(KekError::ShortPhrase { found: 5, .. })));
        assert!(small.kek(&short, false).is_ok());
    }

    #[test]
    fn a_database_cannot_ask_for_everything() {
        let good = Derivation::fresh().unwrap();
        assert_eq!((good.memory_kib, good.passes, good.lanes), (65_536, 3, 4));
        let bad = [
            Derivation { memory_kib: u32::MAX, ..good },
            Derivation { memory_kib: 8, ..good },
            Derivation { passes: 0, ..good },
            Derivation { passes: u32::MAX, ..good },
            Derivation { lanes: 0, ..good },
            Derivation { lanes: 17, ..good },
        ];
        assert!(bad.iter().all(|bad| Derivation::from_bytes(&bad.to_bytes()).is_none()));
        let bytes = good.to_bytes();
        assert!((0..bytes.len()).all(|length| Derivation::from_bytes(&bytes[..length]).is_none()));
    }

    /// RFC 9106, section 5.3, has a secret and associated data, which we do not use; this is from the reference
    /// implementation's own tests (phc-winner-argon2, `test.c`: `hashtest(version, 2, 16, 1, "password", "somesalt")`),
    /// with its salt of 8 bytes.
    #[test]
    fn argon2id_is_what_others_compute() {
        let params = Params::new(1 << 16, 2, 1, Some(32)).unwrap();
        let mut out = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(b"password", b"somesalt", &mut out)
            .unwrap();
        assert_eq!(hex::encode(out), "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7");
    }
}
