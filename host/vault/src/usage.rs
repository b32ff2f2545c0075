//! What bundles make use of. A value is opened for one use, if its sealed rule allows it, and dropped after it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use certosa_model::{CredentialName, CredentialRule, Destination, Injection, Purpose, Subject};
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::envelope::{self, EnvelopeError, push_part};
use crate::record::{Credential, Version};
use crate::secret::Secret;
use crate::snapshot::Snapshot;
use crate::vault::{Vault, VaultError, now};

/// Who wants to use a credential, and on whose behalf.
#[derive(Debug, Clone, Copy)]
pub struct User<'a> {
    pub bundle: &'a Subject,
    pub caller: &'a Subject,
    /// How many uses in a minute it is held to; `None`: none.
    pub per_minute_max: Option<u32>,
}

/// A value for one request. Dropping it is the end of the plaintext.
pub struct Opened {
    value: Secret,
    ticket: Ticket,
}

/// Which version was opened, for who has to know whether it may still be in use. It holds nothing that is not sealed.
#[derive(Clone)]
pub struct Ticket {
    credential: Arc<Credential>,
    version: u64,
    created: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UseError {
    /// Call [`Vault::refresh`] and try again.
    #[error("the vault was changed and has to be read again")]
    Stale,
    #[error("there is no such credential")]
    Absent,
    #[error("the rule that the credential was sealed with does not allow this: {0}")]
    NotAllowed(&'static str),
    #[error("no version of it can be used: all were revoked or have retired")]
    Revoked,
    #[error("the record of credential `{name}`, version {version}, cannot be used")]
    Record { name: CredentialName, version: u64, source: EnvelopeError },
}

type Result<T> = std::result::Result<T, UseError>;

impl Vault {
    /// The value to put into a request to this place. The sealed rule is asked here, whatever the manifest says.
    /// Takes a few microseconds: one `stat` and the cryptography, without waiting for anything.
    pub fn open_credential(&self, name: &CredentialName, by: User<'_>, to: &Destination<'_>) -> Result<Opened> {
        let snapshot = self.fresh()?;
        let credential = find(&snapshot, name, by)?;
        let Purpose::Send { reach, .. } = &credential.rule.purpose else {
            return Err(UseError::NotAllowed("purpose"));
        };
        if let Some(field) = reach.refusal(to) {
            return Err(UseError::NotAllowed(field));
        }
        let (value, version) = open(&snapshot, credential)?;
        let (version, created) = (version.number, version.created);
        Ok(Opened { value, ticket: Ticket { credential: Arc::clone(credential), version, created } })
    }

    /// Signs a message with Ed25519 (RFC 8032): over the context behind its length (4 bytes, the highest first), and
    /// then the message. The sealed rule has to name the same context.
    pub fn sign(&self, name: &CredentialName, by: User<'_>, context: &str, message: &[u8]) -> Result<[u8; 64]> {
        let snapshot = self.fresh()?;
        let credential = find(&snapshot, name, by)?;
        let Purpose::Sign { context: sealed } = &credential.rule.purpose else {
            return Err(UseError::NotAllowed("purpose"));
        };
        let bytes = in_context(sealed, context, message)?;
        let (seed, version) = open(&snapshot, credential)?;
        Ok(signing_key(&seed, credential, version)?.sign(&bytes).to_bytes())
    }

    /// Authenticates a message with HMAC-SHA256 (RFC 2104), over the same bytes as [`sign`](Self::sign).
    pub fn mac(&self, name: &CredentialName, by: User<'_>, context: &str, message: &[u8]) -> Result<[u8; 32]> {
        let snapshot = self.fresh()?;
        let credential = find(&snapshot, name, by)?;
        let Purpose::Mac { context: sealed } = &credential.rule.purpose else {
            return Err(UseError::NotAllowed("purpose"));
        };
        let bytes = in_context(sealed, context, message)?;
        let (key, version) = open(&snapshot, credential)?;
        let mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(key.expose());
        let mut mac = mac.map_err(|_| broken(credential, version, EnvelopeError::Library))?;
        mac.update(&bytes);
        Ok(mac.finalize().into_bytes().into())
    }

    /// The public key of a credential that signs, for whoever has to verify.
    pub fn public_key(&self, name: &CredentialName) -> Result<[u8; 32]> {
        let snapshot = self.fresh()?;
        let credential = snapshot.credentials.get(name).ok_or(UseError::Absent)?;
        if !matches!(credential.rule.purpose, Purpose::Sign { .. }) {
            return Err(UseError::NotAllowed("purpose"));
        }
        let version = credential.usable(now()).ok_or(UseError::Revoked)?;
        let seed = open_version(&snapshot, credential, version)?;
        Ok(signing_key(&seed, credential, version)?.verifying_key().to_bytes())
    }

    /// For how long what was opened may still be in use, as far as is known now. Not at all after it was revoked, or its
    /// credential was sealed under another rule. Nobody knows while the vault has to be read again.
    pub fn usable_for(&self, ticket: &Ticket) -> Result<Duration> {
        let snapshot = self.fresh()?;
        let credential = snapshot.credentials.get(&ticket.credential.name).ok_or(UseError::Absent)?;
        let is_it = |it: &&Version| (it.number, it.created) == (ticket.version, ticket.created);
        let version = credential.versions.iter().find(is_it).ok_or(UseError::Revoked)?;
        let now = now();
        if credential.rule_bytes != ticket.credential.rule_bytes || !version.is_usable(now) {
            return Err(UseError::Revoked);
        }
        Ok(version.state.until().map_or(Duration::MAX, |until| Duration::from_millis(until - now)))
    }

    /// Why this bundle may not use the credential for this caller at all, or that there is no value.
    pub fn may_use(&self, name: &CredentialName, by: User<'_>) -> Result<()> {
        let snapshot = self.fresh()?;
        find(&snapshot, name, by)?.usable(now()).map(drop).ok_or(UseError::Revoked)
    }

    /// Writes down when credentials were last used. For the house to call now and then, and at its end.
    pub async fn note_uses(&self) -> std::result::Result<(), VaultError> {
        let snapshot = self.0.snapshot();
        let mut uses = Vec::new();
        let mut noted = Vec::new();
        for credential in snapshot.credentials.values() {
            for version in &credential.versions {
                if let Some(time) = version.uses.unnoted() {
                    uses.push((credential.name.as_str().to_owned(), version.number, time));
                    noted.push((&version.uses, time));
                }
            }
        }
        if !uses.is_empty() {
            self.0.state.note_uses(&uses).await?;
            noted.into_iter().for_each(|(uses, time)| uses.note(time));
        }
        Ok(())
    }

    fn fresh(&self) -> Result<Arc<Snapshot>> {
        if self.changed() { Err(UseError::Stale) } else { Ok(self.0.snapshot()) }
    }
}

impl Opened {
    /// The plaintext, for the last step of egress.
    pub fn expose(&self) -> &[u8] {
        self.value.expose()
    }

    pub fn name(&self) -> &CredentialName {
        &self.ticket.credential.name
    }

    pub fn version(&self) -> u64 {
        self.ticket.version
    }

    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// The rule that it was sealed with.
    pub fn rule(&self) -> &CredentialRule {
        &self.ticket.credential.rule
    }

    /// Where it goes; always there, because only what is sent is opened.
    pub fn injection(&self) -> Option<&Injection> {
        match &self.ticket.credential.rule.purpose {
            Purpose::Send { injection, .. } => Some(injection),
            Purpose::Sign { .. } | Purpose::Mac { .. } => None,
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("name", self.name()).field("version", &self.version()).finish_non_exhaustive()
    }
}

fn find<'a>(snapshot: &'a Snapshot, name: &CredentialName, by: User<'_>) -> Result<&'a Arc<Credential>> {
    let credential = snapshot.credentials.get(name).ok_or(UseError::Absent)?;
    if !credential.rule.allowed_subs.matches(by.bundle) {
        return Err(UseError::NotAllowed("allowedSubs"));
    }
    // Whoever counts the uses may not allow more of them than the sealed rule.
    if credential.rule.per_minute_max.is_some_and(|most| by.per_minute_max.is_none_or(|counted| counted > most)) {
        return Err(UseError::NotAllowed("perMinuteMax"));
    }
    match &credential.rule.allowed_callers {
        Some(callers) if !callers.matches(by.caller) => Err(UseError::NotAllowed("allowedCallers")),
        _ => Ok(credential),
    }
}

fn open<'a>(snapshot: &Snapshot, credential: &'a Credential) -> Result<(Secret, &'a Version)> {
    let now = now();
    let version = credential.usable(now).ok_or(UseError::Revoked)?;
    let value = open_version(snapshot, credential, version)?;
    version.uses.at(now);
    Ok((value, version))
}

fn open_version(snapshot: &Snapshot, credential: &Credential, version: &Version) -> Result<Secret> {
    let sealed = version.sealed.as_ref().ok_or(UseError::Revoked)?;
    let place = credential.place(&snapshot.keys, version.number);
    envelope::open(&snapshot.keys.kek, &place, sealed).map_err(|source| broken(credential, version, source))
}

fn signing_key(seed: &Secret, credential: &Credential, version: &Version) -> Result<SigningKey> {
    let seed: Zeroizing<[u8; 32]> =
        Zeroizing::new(seed.expose().try_into().map_err(|_| broken(credential, version, EnvelopeError::Value))?);
    Ok(SigningKey::from_bytes(&seed))
}

/// The bytes that are signed. Nothing that is signed in one context passes for something of another.
fn in_context(sealed: &str, context: &str, message: &[u8]) -> Result<Vec<u8>> {
    if sealed != context {
        return Err(UseError::NotAllowed("context"));
    }
    let mut bytes = Vec::with_capacity(4 + context.len() + message.len());
    push_part(&mut bytes, context.as_bytes());
    bytes.extend_from_slice(message);
    Ok(bytes)
}

fn broken(credential: &Credential, version: &Version, source: EnvelopeError) -> UseError {
    UseError::Record { name: credential.name.clone(), version: version.number, source }
}
