//! What a cell may use outside of itself, and on whose behalf: shared by the doors to HTTP (`http.rs`) and to the vault
//! (`vault.rs`). Both ask here, so what one of them refuses the other does not give.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use certosa_egress::{Client, Credential, Policy, Request, Revoked, Scrubbed, Secret, SecretUnavailable};
use certosa_model::{Allowance, CredentialName, CredentialRule, Destination, Purpose, Reach, Subject, Untold};
use certosa_vault::{Opened, Ticket, UseError, User, Vault};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use wasmtime_wasi_http::RequestOptions;

use crate::refused::Refused;

/// Whoever changes the vault holds it for some milliseconds.
const SETTLE_WAIT_MAX: Duration = Duration::from_secs(2);

/// What the manifest grants to one bundle. Its cells share it.
pub struct Grants {
    pub egress: Option<Egress>,
    /// `None`: the house has no credentials.
    pub vault: Option<Vault>,
    /// Those that may be for something that the bundle offers, by name.
    pub credentials: Vec<Arc<Granted>>,
    told: Allowance,
}

pub struct Egress {
    pub client: Client,
    pub policy: Arc<Policy>,
    /// One for each exchange of the bundle.
    pub exchanges: Arc<Semaphore>,
    /// Where exchanges run: cells that take long are on threads without a network.
    pub runtime: Handle,
}

/// A credential as the manifest lets it be used. Bundles share it, because its uses are counted.
pub struct Granted {
    pub name: CredentialName,
    pub rule: CredentialRule,
    /// Where it may be sent, if it may.
    reach: Option<Arc<Reach>>,
    uses: Allowance,
}

/// One call on its way outside.
pub struct Errand {
    grants: Arc<Grants>,
    /// The tool, prompt or resource.
    item: Subject,
    caller: Subject,
    seen: Mutex<Seen>,
}

/// What a call used and tried, for its record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The credentials that were used, each once.
    pub credentials: Vec<CredentialName>,
    /// How many requests and uses were refused.
    pub refused: u32,
}

/// A response, and what goes back to the others when all of it was read or dropped.
pub(crate) struct Answered {
    pub scrubbed: Scrubbed,
    pub place: OwnedSemaphorePermit,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Grants {
    pub fn new(egress: Option<Egress>, vault: Option<Vault>, credentials: Vec<Arc<Granted>>) -> Self {
        Self { egress, vault, credentials, told: Allowance::of_warnings() }
    }
}

impl Granted {
    pub fn new(name: CredentialName, rule: CredentialRule) -> Self {
        let reach = match &rule.purpose {
            Purpose::Send { reach, .. } => Some(Arc::new(reach.clone())),
            Purpose::Sign { .. } | Purpose::Mac { .. } => None,
        };
        let uses = Allowance::new(rule.per_minute_max.unwrap_or(u32::MAX), MINUTE);
        Self { name, rule, reach, uses }
    }

    fn is_for(&self, errand: &Errand) -> bool {
        let CredentialRule { allowed_subs, allowed_callers, .. } = &self.rule;
        let by_caller = allowed_callers.as_ref().is_none_or(|callers| callers.matches(&errand.caller));
        by_caller && allowed_subs.matches(&errand.item)
    }
}

impl Errand {
    pub fn new(grants: Arc<Grants>, item: Subject, caller: Subject) -> Self {
        Self { grants, item, caller, seen: Mutex::default() }
    }

    /// The bundle's policy with the times that the guest wants to wait, where those are shorter.
    pub(crate) fn policy_within(&self, wanted: RequestOptions) -> Option<Arc<Policy>> {
        let mut policy = Policy::clone(&self.grants.egress.as_ref()?.policy);
        let limits = &mut policy.limits;
        let shorter = |ms: &mut u32, wanted: Option<Duration>| {
            let wanted = wanted.map_or(u32::MAX, |wanted| u32::try_from(wanted.as_millis()).unwrap_or(u32::MAX));
            *ms = (*ms).min(wanted);
        };
        shorter(&mut limits.connect_ms_max, wanted.connect_timeout);
        shorter(&mut limits.first_byte_ms_max, wanted.first_byte_timeout);
        shorter(&mut limits.between_bytes_ms_max, wanted.between_bytes_timeout);
        Some(Arc::new(policy))
    }

    /// Where exchanges run; `None`: the bundle may reach nothing.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.grants.egress.as_ref().map(|egress| egress.runtime.clone())
    }

    /// What was used and tried so far.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those that this call may use, whether or not there is a value.
    pub(crate) fn granted(&self) -> impl Iterator<Item = &Arc<Granted>> {
        self.grants.credentials.iter().filter(|granted| granted.is_for(self))
    }

    /// The one of this name, if this call may use it.
    pub(crate) fn find(&self, name: &str) -> Result<&Arc<Granted>, Refused> {
        let mut granted = self.granted();
        granted.find(|granted| granted.name.as_str() == name).ok_or_else(|| Refused::NotGranted(shortened(name)))
    }

    /// The names of those that this call may use now.
    pub(crate) async fn available(&self) -> Vec<String> {
        let mut names = Vec::new();
        for granted in self.granted() {
            if self.check_value(granted).await.is_ok() {
                names.push(granted.name.to_string());
            }
        }
        names
    }

    /// Whether there is a value that this call may use.
    pub(crate) async fn check_value(&self, granted: &Granted) -> Result<(), Refused> {
        self.with_vault(granted, |vault, by| vault.may_use(&granted.name, by)).await
    }

    /// Does something with a credential, if it was not used too often.
    pub(crate) async fn use_it<T>(
        &self,
        granted: &Granted,
        with: impl Fn(&Vault, User<'_>) -> Result<T, UseError>,
    ) -> Result<T, Refused> {
        if granted.uses.take(Instant::now()).is_none() {
            return Err(Refused::TooOften(granted.name.clone(), granted.rule.per_minute_max.unwrap_or_default()));
        }
        let made = self.with_vault(granted, with).await?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.credentials.contains(&granted.name) {
            seen.credentials.push(granted.name.clone());
        }
        Ok(made)
    }

    /// Asks the vault, which is read again first if it was changed.
    async fn with_vault<T>(
        &self,
        granted: &Granted,
        with: impl Fn(&Vault, User<'_>) -> Result<T, UseError>,
    ) -> Result<T, Refused> {
        let Granted { name, rule, .. } = granted;
        let vault = self.grants.vault.as_ref().ok_or_else(|| Refused::NotGranted(name.to_string()))?;
        let by = User { bundle: &self.item, caller: &self.caller, per_minute_max: rule.per_minute_max };
        loop {
            match with(vault, by) {
                Ok(made) => return Ok(made),
                Err(UseError::Stale) => vault.refresh().await.map_err(Refused::Sealed)?,
                Err(why) => return Err(Refused::Vault(name.clone(), why)),
            }
        }
    }

    /// Sends a request, with the credential that fits it. `ended` is over when the call is.
    pub(crate) async fn exchange(
        &self,
        request: Request,
        policy: Option<Arc<Policy>>,
        chosen: Option<CredentialName>,
        ended: watch::Receiver<()>,
    ) -> Result<Answered, Refused> {
        let egress = self.grants.egress.as_ref().ok_or(Refused::NoEgress)?;
        let policy = policy.unwrap_or_else(|| Arc::clone(&egress.policy));
        let place = Arc::clone(&egress.exchanges).acquire_owned().await.map_err(|_closed| Refused::NoEgress)?;
        let (credential, ticket) = match self.fitting(&request, chosen.as_ref())? {
            None => (None, None),
            Some(granted) => {
                let (credential, ticket) = self.open(granted, request.destination()).await?;
                (Some(credential), Some(ticket))
            }
        };
        let revoked = Revoked::when(self.over(ticket, ended));
        let scrubbed = egress.client.exchange(&policy, request, credential, revoked).await?;
        Ok(Answered { scrubbed, place })
    }

    /// The credential that goes with a request. Where several may the guest has to say which.
    fn fitting(&self, request: &Request, chosen: Option<&CredentialName>) -> Result<Option<&Arc<Granted>>, Refused> {
        let to = request.destination();
        let goes = |granted: &&Arc<Granted>| granted.reach.as_ref().is_some_and(|reach| reach.refusal(&to).is_none());
        if let Some(name) = chosen {
            let granted = self.find(name.as_str())?;
            let Some(reach) = &granted.reach else { return Err(Refused::NotGranted(name.to_string())) };
            return match reach.refusal(&to) {
                None => Ok(Some(granted)),
                Some(field) => Err(Refused::Elsewhere(name.clone(), field)),
            };
        }
        let fitting: Vec<_> = self.granted().filter(goes).collect();
        match fitting.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            several => Err(Refused::Several(several.iter().map(|granted| granted.name.clone()).collect())),
        }
    }

    async fn open(&self, granted: &Arc<Granted>, to: Destination<'_>) -> Result<(Arc<Credential>, Ticket), Refused> {
        let opened = self.use_it(granted, |vault, by| vault.open_credential(&granted.name, by, &to)).await?;
        let (Some(reach), Purpose::Send { injection, .. }) = (&granted.reach, &granted.rule.purpose) else {
            return Err(Refused::NotGranted(granted.name.to_string()));
        };
        // How it is sent was sealed with it, too.
        if opened.injection() != Some(injection) {
            return Err(Refused::Vault(granted.name.clone(), UseError::NotAllowed("send")));
        }
        let (name, reach, injection) = (granted.name.clone(), Arc::clone(reach), injection.clone());
        let ticket = opened.ticket().clone();
        let (vault, granted) = (self.grants.vault.clone(), Arc::clone(granted));
        let lent = Lent { opened, vault, granted, was_sent: AtomicBool::new(false) };
        let credential = Credential { name, reach, injection, secret: Box::new(lent) };
        Ok((Arc::new(credential), ticket))
    }

    /// Over when the call is, or when its credential may not be in use any more.
    fn over(
        &self,
        ticket: Option<Ticket>,
        mut ended: watch::Receiver<()>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let vault = self.grants.vault.clone();
        let revoked = async move {
            let (Some(vault), Some(ticket)) = (vault, ticket) else { return std::future::pending().await };
            let mut generations = vault.generations();
            loop {
                // It may have changed since it was opened, and a version that retires does so without a change.
                match vault.usable_for(&ticket) {
                    Ok(usable) => {
                        let changed = tokio::time::timeout(usable, generations.changed()).await;
                        if matches!(changed, Ok(Err(_closed))) {
                            break;
                        }
                    }
                    Err(UseError::Stale) if settle(&vault).await.is_ok() => {}
                    Err(_) => break,
                }
            }
        };
        async move {
            tokio::select! {
                () = revoked => {}
                // Nothing is ever sent: the sender goes with the call.
                _ = ended.changed() => {}
            }
        }
    }

    /// Counts a refusal, and tells the operator what it rests on and what would allow it.
    pub(crate) fn refused(&self, why: &Refused) {
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.refused = seen.refused.saturating_add(1);
        }
        let Some(untold) = self.grants.told.take(Instant::now()).map(Untold) else { return };
        let remedy = why.remedy().map(|remedy| format!("; to allow it: {remedy}")).unwrap_or_default();
        tracing::warn!(subject = %self.item, caller = %self.caller, rule = why.code(), "{why}{remedy}{untold}");
    }
}

/// A value that is lent for one exchange, under the rule that it was sealed with.
struct Lent {
    opened: Opened,
    vault: Option<Vault>,
    granted: Arc<Granted>,
    /// It went out. Each redirect that the host follows with it is one more use.
    was_sent: AtomicBool,
}

impl Secret for Lent {
    fn reach(&self) -> Option<&Reach> {
        match &self.opened.rule().purpose {
            Purpose::Send { reach, .. } => Some(reach),
            Purpose::Sign { .. } | Purpose::Mac { .. } => None,
        }
    }

    fn expose(&self, with: &mut dyn FnMut(&[u8])) -> Result<(), SecretUnavailable> {
        let vault = self.vault.as_ref().ok_or(SecretUnavailable::Absent)?;
        // It was opened before there was a connection, or before a redirect.
        match vault.usable_for(self.opened.ticket()) {
            Ok(_) => {}
            Err(UseError::Stale) => return Err(SecretUnavailable::Unsettled),
            Err(_) => return Err(SecretUnavailable::Absent),
        }
        if self.was_sent.swap(true, Ordering::Relaxed) && self.granted.uses.take(Instant::now()).is_none() {
            return Err(SecretUnavailable::TooOften);
        }
        with(self.opened.expose());
        Ok(())
    }

    fn settle(&self) -> BoxFuture<'_, Result<(), SecretUnavailable>> {
        async {
            let vault = self.vault.as_ref().ok_or(SecretUnavailable::Absent)?;
            settle(vault).await
        }
        .boxed()
    }
}

/// Reads the vault again, for something that is on its way. What cannot be known soon counts as no.
async fn settle(vault: &Vault) -> Result<(), SecretUnavailable> {
    let read = tokio::time::timeout(SETTLE_WAIT_MAX, vault.refresh()).await;
    if matches!(read, Ok(Ok(()))) { Ok(()) } else { Err(SecretUnavailable::Absent) }
}

/// What a guest calls something, for a log.
fn shortened(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use certosa_model::{HostPattern, Injection, Method, PathPattern, Pattern, Patterns, Scheme};
    use certosa_store::{State, StateFolder};
    use certosa_vault::{Kek, SealedVault};

    use super::*;

    #[tokio::test]
    async fn a_value_that_was_revoked_since_it_was_opened_is_not_lent() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&StateFolder::open(&folder.path().join("state")).unwrap()).await.unwrap();
        let kek = || Kek::new(b"a key of 32 bytes for one test..").unwrap();
        let vault = Vault::create(&state, kek()).await.unwrap();
        let reach = Reach {
            schemes: vec![Scheme::Https],
            hosts: vec![HostPattern::new("api.test").unwrap()],
            ports: vec![443],
            methods: vec![Method::new("GET").unwrap()],
            paths: vec![PathPattern::new("/**").unwrap()],
        };
        let rule = CredentialRule {
            allowed_subs: Patterns::new(vec![Pattern::new("bundle/**").unwrap()]),
            allowed_callers: None,
            purpose: Purpose::Send { reach, injection: Injection::Bearer },
            per_minute_max: None,
        };
        let (name, host) = (CredentialName::new("key").unwrap(), certosa_model::Host::new("api.test").unwrap());
        let value = certosa_vault::Secret::new(b"a value".to_vec()).unwrap();
        vault.set(name.clone(), rule.clone(), value).await.unwrap();
        let (bundle, caller) = (Subject::new("bundle/hello/greet").unwrap(), Subject::anonymous_loopback());
        let by = User { bundle: &bundle, caller: &caller, per_minute_max: None };
        let to = Destination { scheme: Scheme::Https, host: &host, port: 443, method: "GET", path: "/" };
        let opened = vault.open_credential(&name, by, &to).unwrap();
        let granted = Arc::new(Granted::new(name.clone(), rule.clone()));
        let lent = Lent { opened, vault: Some(vault.clone()), granted, was_sent: AtomicBool::new(false) };

        let mut seen = Vec::new();
        lent.expose(&mut |value| seen.extend_from_slice(value)).unwrap();
        assert_eq!(seen, b"a value");

        let other = SealedVault::find(&state).await.unwrap().unwrap().open(kek()).await.unwrap();
        let value = certosa_vault::Secret::new(b"of another".to_vec()).unwrap();
        other.set(CredentialName::new("other").unwrap(), rule, value).await.unwrap();
        assert_eq!(lent.expose(&mut |_| panic!("it was lent")), Err(SecretUnavailable::Unsettled));
        lent.settle().await.unwrap();
        lent.expose(&mut |_| ()).unwrap();

        other.revoke(name, None).await.unwrap();
        assert_eq!(lent.expose(&mut |_| panic!("it was lent")), Err(SecretUnavailable::Unsettled));
        lent.settle().await.unwrap();
        assert_eq!(lent.expose(&mut |_| panic!("it was lent")), Err(SecretUnavailable::Absent));
    }
}
