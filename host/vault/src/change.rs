//! What the operator does to a vault. Each change is one transaction and one generation.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use certosa_model::{CredentialName, CredentialRule, Purpose};
use certosa_store::{VaultChange, VaultEdit};

use crate::envelope::{self, EnvelopeError, Fresh, Sealed};
use crate::kek::Kek;
use crate::record::{Credential, Keys, Version};
use crate::secret::Secret;
use crate::snapshot::{Credentials, Snapshot, VersionState};
use crate::vault::{Vault, VaultError, lock, now};

const CREDENTIALS_MAX: usize = 65_536;
const RULE_BYTES_MAX: usize = 64 << 10;
/// Of one credential. What was revoked longest ago is forgotten first.
const VERSIONS_MAX: usize = 16;

type Result<T> = std::result::Result<T, VaultError>;

impl Vault {
    /// Seals a value under this rule and returns its version. Earlier versions are revoked at once; to let them fade
    /// out there is [`rotate`](Self::rotate).
    pub async fn set(&self, name: CredentialName, rule: CredentialRule, value: Secret) -> Result<u64> {
        self.change(move |draft| draft.set(name, rule, &value)).await
    }

    /// Many at once, to see how long that takes.
    #[cfg(test)]
    pub(crate) async fn set_many(&self, all: Vec<(CredentialName, CredentialRule, Secret)>) -> Result<()> {
        self.change(|draft| all.into_iter().try_for_each(|(name, rule, value)| draft.set(name, rule, &value).map(drop)))
            .await
    }

    /// Seals a new value under the rule that is there. The version before is usable for `overlap` from now, for who
    /// has it in use and in case that the new one is revoked.
    pub async fn rotate(&self, name: CredentialName, value: Secret, overlap: Duration) -> Result<u64> {
        self.change(move |draft| {
            let mut credential = draft.credential(&name)?;
            let overlap_ms = u64::try_from(overlap.as_millis()).unwrap_or(u64::MAX);
            // A number of SQLite, and a time that no clock reaches.
            let until = draft.now.saturating_add(overlap_ms).min(i64::MAX.unsigned_abs());
            for version in credential.versions.iter_mut().filter(|version| version.state == VersionState::Active) {
                version.state = VersionState::Retiring { until };
            }
            draft.add_version(credential, &value)
        })
        .await
    }

    /// Takes a version out of use, or all of them, for good: what is needed to open it is deleted.
    pub async fn revoke(&self, name: CredentialName, version: Option<u64>) -> Result<()> {
        self.change(move |draft| {
            let mut credential = draft.credential(&name)?;
            if let Some(wanted) = version.filter(|wanted| credential.versions.iter().all(|it| it.number != *wanted)) {
                return Err(VaultError::NoVersion(name, wanted));
            }
            let is_meant = |it: &&mut Version| version.is_none_or(|wanted| it.number == wanted);
            credential.versions.iter_mut().filter(is_meant).for_each(Version::revoke);
            draft.put(credential);
            Ok(())
        })
        .await
    }

    /// Removes a credential with all its versions.
    pub async fn rm(&self, name: CredentialName) -> Result<()> {
        self.change(move |draft| {
            draft.credentials.remove(&name).ok_or_else(|| VaultError::Absent(name.clone()))?;
            draft.touched.insert(name);
            Ok(())
        })
        .await
    }

    /// Seals the values again under another rule.
    pub async fn allow(&self, name: CredentialName, rule: CredentialRule) -> Result<()> {
        self.change(move |draft| {
            let rule_bytes = canonical(&rule)?;
            let before = draft.credential(&name)?;
            let after = Credential { rule, rule_bytes, ..before.clone() };
            draft.reseal(&before, after)
        })
        .await
    }

    /// Seals the values again under new data keys.
    pub async fn rotate_data_key(&self, name: CredentialName) -> Result<()> {
        self.change(move |draft| {
            let before = draft.credential(&name)?;
            draft.reseal(&before, before.clone())
        })
        .await
    }

    /// Wraps every data key with another KEK. The values are not opened. From now on the vault opens with that KEK
    /// alone, and houses that run have to be started again with it.
    pub async fn rotate_kek(&self, kek: Kek) -> Result<()> {
        self.change(move |draft| {
            let old = Arc::clone(&draft.keys);
            draft.keys = Arc::new(Keys::of(kek, old.vault).map_err(VaultError::Keys)?);
            for known in draft.credentials.values().cloned().collect::<Vec<_>>() {
                let mut credential = Credential::clone(&known);
                for version in &mut credential.versions {
                    let Some(sealed) = &version.sealed else { continue };
                    let place = known.place(&old, version.number);
                    let sealed = envelope::rewrap(&old.kek, &draft.keys.kek, &place, sealed);
                    version.sealed = Some(sealed.map_err(|error| failed(&known, version.number, error))?);
                }
                draft.put(credential);
            }
            Ok(())
        })
        .await
    }

    /// Makes a change of the vault as this process knows it. If it is not the last one, nothing is done.
    ///
    /// It runs to its end even if nobody waits for it any more, so that what is in memory is what is on the disk.
    async fn change<T: Send + 'static>(
        &self,
        make: impl FnOnce(&mut Draft) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let vault = self.clone();
        let changed = tokio::spawn(async move {
            let inner = &vault.0;
            let before = inner.snapshot();
            let _lock = lock(inner.state.folder()).await?;
            if inner.changed() || inner.snapshot().mark != before.mark {
                return Err(VaultError::Conflict);
            }
            let mut draft = Draft::of(&before);
            let made = make(&mut draft)?;
            draft.sweep();
            let (after, change) = draft.finish(&before);
            inner.commit(&before, after, &change).await?;
            Ok(made)
        });
        match changed.await {
            // Who tries again tries with what there is.
            Ok(Err(VaultError::Conflict)) => self.refresh().await.and(Err(VaultError::Conflict)),
            Ok(done) => done,
            Err(_) => Err(VaultError::Ended),
        }
    }
}

/// A vault that is being changed.
struct Draft {
    keys: Arc<Keys>,
    credentials: Credentials,
    touched: BTreeSet<CredentialName>,
    now: u64,
}

impl Draft {
    fn of(before: &Snapshot) -> Self {
        Self {
            keys: Arc::clone(&before.keys),
            credentials: before.credentials.clone(),
            touched: BTreeSet::new(),
            now: now(),
        }
    }

    fn credential(&self, name: &CredentialName) -> Result<Credential> {
        let found = self.credentials.get(name).ok_or_else(|| VaultError::Absent(name.clone()))?;
        Ok(Credential::clone(found))
    }

    fn put(&mut self, credential: Credential) {
        self.touched.insert(credential.name.clone());
        self.credentials.insert(credential.name.clone(), Arc::new(credential));
    }

    fn set(&mut self, name: CredentialName, rule: CredentialRule, value: &Secret) -> Result<u64> {
        let rule_bytes = canonical(&rule)?;
        let mut credential = match self.credentials.get(&name) {
            Some(known) => Credential::clone(known),
            None if self.credentials.len() >= CREDENTIALS_MAX => return Err(VaultError::Full(CREDENTIALS_MAX)),
            None => Credential {
                name,
                rule: rule.clone(),
                rule_bytes: Vec::new(),
                created: self.now,
                versions: Vec::new(),
                mac: [0; 32],
            },
        };
        credential.versions.iter_mut().for_each(Version::revoke);
        (credential.rule, credential.rule_bytes) = (rule, rule_bytes);
        self.add_version(credential, value)
    }

    /// Puts the credential with a new version, which is the active one.
    fn add_version(&mut self, mut credential: Credential, value: &Secret) -> Result<u64> {
        let number = credential.versions.last().map_or(0, |last| last.number).saturating_add(1);
        let sealed = self.seal(&credential, number, value)?;
        while credential.versions.len() >= VERSIONS_MAX {
            let revoked = credential.versions.iter().position(|it| !it.is_usable(self.now));
            let Some(index) = revoked else {
                let (name, found) = (credential.name, credential.versions.len());
                return Err(VaultError::Versions { name, found });
            };
            credential.versions.remove(index);
        }
        credential.versions.push(Version::new(number, sealed, self.now));
        self.put(credential);
        Ok(number)
    }

    /// Puts `after`, with the values that stood in the place of `before`.
    fn reseal(&mut self, before: &Credential, mut after: Credential) -> Result<()> {
        for (old, new) in before.versions.iter().zip(0..) {
            let Some(sealed) = &old.sealed else { continue };
            let value = envelope::open(&self.keys.kek, &before.place(&self.keys, old.number), sealed)
                .map_err(|error| failed(before, old.number, error))?;
            let sealed = self.seal(&after, old.number, &value)?;
            if let Some(version) = after.versions.get_mut(new) {
                version.sealed = Some(sealed);
            }
        }
        self.put(after);
        Ok(())
    }

    fn seal(&self, credential: &Credential, number: u64, value: &Secret) -> Result<Sealed> {
        if let (Purpose::Sign { .. }, found) = (&credential.rule.purpose, value.expose().len())
            && found != 32
        {
            return Err(VaultError::Seed(found));
        }
        let place = credential.place(&self.keys, number);
        Fresh::random()
            .and_then(|fresh| envelope::seal(&self.keys.kek, &place, value, fresh))
            .map_err(|error| failed(credential, number, error))
    }

    /// Whatever has retired by now is revoked.
    fn sweep(&mut self) {
        let now = self.now;
        let is_over = |it: &Version| it.state != VersionState::Revoked && !it.is_usable(now);
        let over: Vec<_> =
            self.credentials.values().filter(|it| it.versions.iter().any(is_over)).map(Arc::clone).collect();
        for known in over {
            let mut credential = Credential::clone(&known);
            credential.versions.iter_mut().filter(|version| is_over(version)).for_each(Version::revoke);
            self.put(credential);
        }
    }

    /// The next generation, and what has to be written for it.
    fn finish(mut self, before: &Snapshot) -> (Snapshot, VaultChange) {
        use hmac::Mac as _;
        let mut edits = Vec::new();
        for name in self.touched {
            let known = before.credentials.get(&name).map(|known| known.versions.as_slice()).unwrap_or_default();
            let Some(credential) = self.credentials.get_mut(&name) else {
                edits.push(VaultEdit::Remove(name.as_str().to_owned()));
                continue;
            };
            let credential = Arc::make_mut(credential);
            credential.mac = credential.code(&self.keys).finalize().into_bytes().into();
            edits.push(VaultEdit::PutCredential(credential.row()));
            let is_same = |old: &Version, new: &Version| {
                (old.number, old.state, old.created) == (new.number, new.state, new.created) && old.sealed == new.sealed
            };
            for version in credential.versions.iter().filter(|new| !known.iter().any(|old| is_same(old, new))) {
                edits.push(VaultEdit::PutVersion(version.row(&name)));
            }
            for old in known.iter().filter(|old| credential.versions.iter().all(|new| new.number != old.number)) {
                edits.push(VaultEdit::RemoveVersion(name.as_str().to_owned(), old.number));
            }
        }
        let generation = before.mark.generation.saturating_add(1);
        let (after, head) = Snapshot::make(self.keys, generation, self.credentials);
        (after, VaultChange { from: Some(before.mark.generation), head, edits })
    }
}

fn canonical(rule: &CredentialRule) -> Result<Vec<u8>> {
    let bytes = rule.canonical();
    match bytes.len() {
        0..=RULE_BYTES_MAX => Ok(bytes),
        found => Err(VaultError::RuleLength { found, most: RULE_BYTES_MAX }),
    }
}

fn failed(credential: &Credential, version: u64, source: EnvelopeError) -> VaultError {
    VaultError::Envelope { name: credential.name.clone(), version, source }
}
