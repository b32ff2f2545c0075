//! One credential as it is kept in memory: sealed, and bound together by a code.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use certosa_model::{CredentialName, CredentialRule};
use certosa_store::{CredentialRow, VersionRow};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::envelope::{EnvelopeError, Place, Sealed};
use crate::kek::{Kek, hmac};
use crate::rule_json::rule_json;
use crate::secret::Key;
use crate::snapshot::VersionState;

/// A KEK, and what follows from it for one vault.
pub(crate) struct Keys {
    pub kek: Kek,
    pub vault: [u8; 16],
    /// Recognises the KEK before anything is decrypted.
    pub check: Key,
    pub records: Key,
    pub generation: Key,
}

#[derive(Clone)]
pub(crate) struct Credential {
    pub name: CredentialName,
    pub rule: CredentialRule,
    pub rule_bytes: Vec<u8>,
    pub created: u64,
    /// In the order of their numbers.
    pub versions: Vec<Version>,
    pub mac: [u8; 32],
}

#[derive(Clone)]
pub(crate) struct Version {
    pub number: u64,
    pub state: VersionState,
    /// Nothing is left of one that was revoked.
    pub sealed: Option<Sealed>,
    pub created: u64,
    pub uses: Arc<Uses>,
}

/// When a version was last used, here and in the database. 0: never.
#[derive(Default)]
pub(crate) struct Uses {
    last: AtomicU64,
    noted: AtomicU64,
}

/// What is wrong with a record, and of which version.
pub(crate) type Odd = (Option<u64>, &'static str);

impl Keys {
    pub(crate) fn of(kek: Kek, vault: [u8; 16]) -> Result<Self, EnvelopeError> {
        let extracted = kek.extract(&vault);
        Ok(Self {
            check: extracted.expand(b"certosa vault 1 check")?,
            records: extracted.expand(b"certosa vault 1 records")?,
            generation: extracted.expand(b"certosa vault 1 generation")?,
            kek,
            vault,
        })
    }

    /// Whether a vault with this check value was sealed with this KEK.
    pub(crate) fn fits(&self, kek_id: &[u8], check: &[u8]) -> bool {
        kek_id == self.kek.id() && bool::from(check.ct_eq(self.check.expose()))
    }
}

impl Credential {
    pub(crate) fn place<'a>(&'a self, keys: &'a Keys, version: u64) -> Place<'a> {
        Place { vault: &keys.vault, name: self.name.as_str(), version, rule: &self.rule_bytes }
    }

    /// The version that is used: the active one, and where that was revoked the last one that is still retiring.
    pub(crate) fn usable(&self, now: u64) -> Option<&Version> {
        let active = self.versions.iter().rfind(|version| version.state == VersionState::Active);
        active.or_else(|| self.versions.iter().rfind(|version| version.is_usable(now)))
    }

    /// Binds all of it together, versions and their states too, which are not sealed with a value.
    pub(crate) fn code(&self, keys: &Keys) -> Hmac<Sha256> {
        let mut mac = hmac(&keys.records);
        let name = self.name.as_str().as_bytes();
        let created = self.created.to_be_bytes();
        for bytes in [b"certosa vault 1 credential".as_slice(), &keys.vault, name, &self.rule_bytes, &created] {
            part(&mut mac, bytes);
        }
        for version in &self.versions {
            version.add_to(&mut mac);
        }
        mac
    }

    pub(crate) fn row(&self) -> CredentialRow {
        CredentialRow {
            name: self.name.as_str().to_owned(),
            rule: self.rule_bytes.clone(),
            rule_json: rule_json(&self.rule),
            created: self.created,
            mac: self.mac.to_vec(),
        }
    }

    /// A record as it stands in the database, if it is one that was written with these keys.
    pub(crate) fn read(row: CredentialRow, versions: Vec<VersionRow>, keys: &Keys) -> Result<Self, Odd> {
        let rule = CredentialRule::from_canonical(&row.rule).map_err(|_| (None, "its rule cannot be read"))?;
        if rule_json(&rule) != row.rule_json {
            return Err((None, "its rule reads otherwise than it is sealed"));
        }
        let credential = Self {
            name: CredentialName::new(&row.name).map_err(|_| (None, "no credential can have that name"))?,
            rule,
            rule_bytes: row.rule,
            created: row.created,
            versions: versions.into_iter().map(Version::read).collect::<Result<_, _>>()?,
            mac: row.mac.try_into().map_err(|_| (None, "its code has another length"))?,
        };
        match credential.code(keys).verify_slice(&credential.mac) {
            Ok(()) => Ok(credential),
            Err(_) => Err((credential.changed_version(keys), "its code does not fit")),
        }
    }

    /// For the message: the version that does not open any more, if there is one.
    fn changed_version(&self, keys: &Keys) -> Option<u64> {
        let opens = |version: &Version, sealed: &Sealed| {
            crate::envelope::open(&keys.kek, &self.place(keys, version.number), sealed).is_ok()
        };
        self.versions
            .iter()
            .find(|version| version.sealed.as_ref().is_some_and(|sealed| !opens(version, sealed)))
            .map(|version| version.number)
    }
}

impl Version {
    pub(crate) fn new(number: u64, sealed: Sealed, now: u64) -> Self {
        Self { number, state: VersionState::Active, sealed: Some(sealed), created: now, uses: Arc::default() }
    }

    pub(crate) fn is_usable(&self, now: u64) -> bool {
        self.state.is_usable(now)
    }

    /// From now on it is nothing but a number: without its wrapped key nobody can open it again.
    pub(crate) fn revoke(&mut self) {
        self.state = VersionState::Revoked;
        self.sealed = None;
    }

    fn add_to(&self, mac: &mut Hmac<Sha256>) {
        let until = self.state.until().map(u64::to_be_bytes);
        let until = until.as_ref().map_or([].as_slice(), |until| until.as_slice());
        for bytes in [&self.number.to_be_bytes(), self.state.as_str().as_bytes(), &self.created.to_be_bytes(), until] {
            part(mac, bytes);
        }
        match &self.sealed {
            None => part(mac, b""),
            Some(it) => {
                for bytes in [it.kek_id.as_slice(), &it.salt, &it.wrap_nonce, &it.wrapped_key] {
                    part(mac, bytes);
                }
                for bytes in [it.commitment.as_slice(), &it.nonce, &it.ciphertext] {
                    part(mac, bytes);
                }
            }
        }
    }

    pub(crate) fn row(&self, name: &CredentialName) -> VersionRow {
        let sealed = self.sealed.as_ref();
        let bytes = |get: fn(&Sealed) -> &[u8]| sealed.map(|sealed| get(sealed).to_vec()).unwrap_or_default();
        VersionRow {
            name: name.as_str().to_owned(),
            version: self.number,
            kek_id: bytes(|sealed| &sealed.kek_id),
            salt: bytes(|sealed| &sealed.salt),
            wrap_nonce: bytes(|sealed| &sealed.wrap_nonce),
            wrapped_key: bytes(|sealed| &sealed.wrapped_key),
            commitment: bytes(|sealed| &sealed.commitment),
            nonce: bytes(|sealed| &sealed.nonce),
            ciphertext: bytes(|sealed| &sealed.ciphertext),
            state: self.state.as_str().to_owned(),
            created: self.created,
            retires_at: self.state.until(),
            last_used: None,
        }
    }

    fn read(row: VersionRow) -> Result<Self, Odd> {
        let odd = |what| (Some(row.version), what);
        let state = VersionState::read(&row.state, row.retires_at).ok_or_else(|| odd("its state cannot be read"))?;
        let sealed = match state {
            VersionState::Revoked => {
                let parts = [&row.kek_id, &row.salt, &row.wrap_nonce, &row.wrapped_key, &row.commitment];
                if parts.into_iter().chain([&row.nonce, &row.ciphertext]).any(|part| !part.is_empty()) {
                    return Err(odd("it was revoked and holds something"));
                }
                None
            }
            _ => Some(Self::read_sealed(&row).ok_or_else(|| odd("a part of it has another length"))?),
        };
        let uses = Uses::default();
        uses.last.store(row.last_used.unwrap_or_default(), Ordering::Relaxed);
        uses.noted.store(row.last_used.unwrap_or_default(), Ordering::Relaxed);
        Ok(Self { number: row.version, state, sealed, created: row.created, uses: Arc::new(uses) })
    }

    fn read_sealed(row: &VersionRow) -> Option<Sealed> {
        Some(Sealed {
            kek_id: row.kek_id.as_slice().try_into().ok()?,
            salt: row.salt.as_slice().try_into().ok()?,
            wrap_nonce: row.wrap_nonce.as_slice().try_into().ok()?,
            wrapped_key: row.wrapped_key.as_slice().try_into().ok()?,
            commitment: row.commitment.as_slice().try_into().ok()?,
            nonce: row.nonce.as_slice().try_into().ok()?,
            ciphertext: row.ciphertext.clone(),
        })
    }
}

impl Uses {
    pub(crate) fn at(&self, now: u64) {
        self.last.fetch_max(now, Ordering::Relaxed);
    }

    pub(crate) fn last(&self) -> Option<u64> {
        Some(self.last.load(Ordering::Relaxed)).filter(|time| *time > 0)
    }

    /// The last use, if the database does not know of it.
    pub(crate) fn unnoted(&self) -> Option<u64> {
        self.last().filter(|last| *last > self.noted.load(Ordering::Relaxed))
    }

    pub(crate) fn note(&self, time: u64) {
        self.noted.fetch_max(time, Ordering::Relaxed);
    }
}

/// A part behind its length: 4 bytes, the highest first.
pub(crate) fn part(mac: &mut Hmac<Sha256>, bytes: &[u8]) {
    mac.update(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    mac.update(bytes);
}
