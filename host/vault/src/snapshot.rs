//! The whole vault at one generation, as it is kept in memory: sealed.

use std::collections::BTreeMap;
use std::sync::Arc;

use certosa_model::{CredentialName, CredentialRule};
use certosa_store::{VaultHead, VaultTables, VersionRow};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::envelope::FORMAT;
use crate::generation::Mark;
use crate::kek::hmac;
use crate::record::{Credential, Keys, Odd, part};
use crate::vault::{VaultError, now};

pub(crate) struct Snapshot {
    pub keys: Arc<Keys>,
    pub mark: Mark,
    pub credentials: Credentials,
}

pub(crate) type Credentials = BTreeMap<CredentialName, Arc<Credential>>;

/// How a version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    Active,
    /// Replaced, and usable until then (milliseconds since 1970).
    Retiring {
        until: u64,
    },
    Revoked,
}

/// A credential as it may be shown: everything but its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: CredentialName,
    pub rule: CredentialRule,
    /// Milliseconds since 1970, as are all times here.
    pub created: u64,
    pub versions: Vec<ListedVersion>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVersion {
    pub number: u64,
    pub state: VersionState,
    pub created: u64,
    pub last_used: Option<u64>,
}

impl Snapshot {
    /// Reads what is in the database, and holds every code against it. `known` keeps the uses that are not written yet.
    pub(crate) fn read(tables: VaultTables, keys: Arc<Keys>, known: Option<&Credentials>) -> Result<Self, VaultError> {
        let mut credentials = Credentials::new();
        let mut versions = tables.versions.into_iter().peekable();
        for row in tables.credentials {
            let name = row.name.clone();
            let mut own: Vec<VersionRow> = Vec::new();
            while let Some(version) = versions.next_if(|version| version.name == name) {
                own.push(version);
            }
            let mut credential = Credential::read(row, own, &keys).map_err(|odd| record_error(&name, odd))?;
            if let Some(known) = known.and_then(|known| known.get(&credential.name)) {
                keep_uses(&mut credential, known);
            }
            credentials.insert(credential.name.clone(), Arc::new(credential));
        }
        if let Some(lost) = versions.next() {
            return Err(record_error(&lost.name, (Some(lost.version), "its credential is not there")));
        }
        let head = &tables.head;
        let code = head_code(head, &credentials, &keys);
        let content = head.mac.as_slice().try_into().map_err(|_| VaultError::Changed)?;
        code.verify_slice(&head.mac).map_err(|_| VaultError::Changed)?;
        Ok(Self { keys, mark: Mark { generation: head.generation, content }, credentials })
    }

    /// The next one, and its row.
    pub(crate) fn make(keys: Arc<Keys>, generation: u64, credentials: Credentials) -> (Self, VaultHead) {
        let mut head = VaultHead {
            id: keys.vault.to_vec(),
            format: FORMAT,
            generation,
            kek_id: keys.kek.id().to_vec(),
            kek_check: keys.check.expose().to_vec(),
            derivation: keys.kek.derivation().map(|derivation| derivation.to_bytes()).unwrap_or_default(),
            mac: Vec::new(),
        };
        let content: [u8; 32] = head_code(&head, &credentials, &keys).finalize().into_bytes().into();
        head.mac = content.to_vec();
        (Self { keys, mark: Mark { generation, content }, credentials }, head)
    }

    pub(crate) fn list(&self) -> Vec<Listed> {
        let version = |version: &crate::record::Version| ListedVersion {
            number: version.number,
            state: version.state,
            created: version.created,
            last_used: version.uses.last(),
        };
        let credentials = self.credentials.values().map(|credential| Listed {
            name: credential.name.clone(),
            rule: credential.rule.clone(),
            created: credential.created,
            versions: credential.versions.iter().map(version).collect(),
        });
        credentials.collect()
    }
}

impl Listed {
    /// Whether there is a value that was not revoked and has not retired.
    pub fn has_value(&self) -> bool {
        let now = now();
        self.versions.iter().any(|version| version.state.is_usable(now))
    }
}

impl VersionState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retiring { .. } => "retiring",
            Self::Revoked => "revoked",
        }
    }

    pub(crate) fn is_usable(self, now: u64) -> bool {
        match self {
            Self::Active => true,
            Self::Retiring { until } => now < until,
            Self::Revoked => false,
        }
    }

    pub(crate) fn until(self) -> Option<u64> {
        match self {
            Self::Retiring { until } => Some(until),
            Self::Active | Self::Revoked => None,
        }
    }

    pub(crate) fn read(text: &str, until: Option<u64>) -> Option<Self> {
        match (text, until) {
            ("active", None) => Some(Self::Active),
            ("retiring", Some(until)) => Some(Self::Retiring { until }),
            ("revoked", None) => Some(Self::Revoked),
            _ => None,
        }
    }
}

/// Binds the credentials to each other and to the generation: none can be taken out, put in, or exchanged for what it
/// was before.
fn head_code(head: &VaultHead, credentials: &Credentials, keys: &Keys) -> Hmac<Sha256> {
    let mut mac = hmac(&keys.records);
    let (format, generation) = (head.format.to_be_bytes(), head.generation.to_be_bytes());
    for bytes in [b"certosa vault 1 head".as_slice(), &head.id, &format, &generation] {
        part(&mut mac, bytes);
    }
    for bytes in [&head.kek_id, &head.kek_check, &head.derivation] {
        part(&mut mac, bytes);
    }
    for credential in credentials.values() {
        part(&mut mac, credential.name.as_str().as_bytes());
        part(&mut mac, &credential.mac);
    }
    mac
}

fn keep_uses(credential: &mut Credential, known: &Credential) {
    for version in &mut credential.versions {
        let same = known.versions.iter().find(|it| it.number == version.number && it.created == version.created);
        if let Some(same) = same {
            if let Some(noted) = version.uses.last() {
                same.uses.at(noted);
                same.uses.note(noted);
            }
            version.uses = Arc::clone(&same.uses);
        }
    }
}

/// The name may be anything, because it comes from a database that was changed.
fn record_error(name: &str, (version, what): Odd) -> VaultError {
    let version = version.map(|version| format!(", version {version}")).unwrap_or_default();
    let name: String = name.chars().take(64).flat_map(char::escape_default).collect();
    VaultError::Record { record: format!("`{name}`{version}"), what }
}
