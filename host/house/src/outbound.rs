//! What bundles may use outside of their cells: made once from the plan, and looked at by every call of theirs.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certosa_egress::{Client, ClientSettings, Lookups, Policy};
use certosa_manifest::{BundlePlan, CredentialPlan, Manifest, Path, Plan, Problem};
use certosa_model::{BundleName, CredentialRule, Patterns};
use certosa_syscall::{Egress, Granted, Grants};
use certosa_vault::{Listed, Vault};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::house::House;

/// How often a house looks whether its vault was changed; before each use it looks anyway.
const LOOK: Duration = Duration::from_millis(100);
const NOTE_USES: Duration = Duration::from_secs(60);

/// The way outside, which all bundles share.
pub(crate) struct Outbound {
    client: Option<Client>,
    pub vault: Option<Vault>,
    /// By name.
    credentials: Vec<Arc<Granted>>,
}

impl Outbound {
    pub(crate) fn new(manifest: &Manifest, plan: &Plan, vault: Option<Vault>) -> Result<Self, Vec<Problem>> {
        let client = match plan.bundles.iter().any(|bundle| bundle.egress.is_some()) {
            true => Some(client(manifest, plan)?),
            false => None,
        };
        let granted = plan.credentials.iter().map(|plan| Arc::new(Granted::new(plan.name.clone(), plan.rule.clone())));
        let mut credentials: Vec<_> = granted.collect();
        credentials.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { client, vault, credentials })
    }

    /// What one bundle may use; `None`: nothing.
    pub(crate) fn grants(&self, plan: &BundlePlan) -> Option<Arc<Grants>> {
        let egress = self.client.as_ref().zip(plan.egress.as_ref()).map(|(client, egress)| Egress {
            client: client.clone(),
            policy: Arc::new(Policy {
                bundle: plan.name.clone(),
                reach: egress.reach.clone(),
                addresses: egress.addresses.clone(),
                limits: egress.limits,
                lookups: Lookups::default(),
            }),
            exchanges: Arc::new(Semaphore::new(egress.exchanges_max as usize)),
            runtime: Handle::current(),
        });
        let names = |granted: &&Arc<Granted>| is_for(&granted.rule.allowed_subs, &plan.name);
        let credentials: Vec<_> = self.credentials.iter().filter(names).map(Arc::clone).collect();
        let is_nothing = egress.is_none() && credentials.is_empty();
        (!is_nothing).then(|| Arc::new(Grants::new(egress, self.vault.clone(), credentials)))
    }
}

impl House {
    /// Takes up what other processes change in the vault, so that a revocation also ends what is going on, and writes
    /// down now and then when credentials were used. Never ends.
    pub async fn follow_vault(&self) -> Infallible {
        match &self.vault {
            None => std::future::pending().await,
            Some(vault) => self.keep_up_with(vault).await,
        }
    }

    async fn keep_up_with(&self, vault: &Vault) -> Infallible {
        let (mut looks, mut noted, mut told) = (tokio::time::interval(LOOK), Instant::now(), None);
        loop {
            looks.tick().await;
            let failed = match vault.refresh().await {
                Ok(()) => None,
                Err(error) => Some(error.to_string()),
            };
            // Said once; nothing is used as long as it holds.
            if let Some(why) = failed.as_ref().filter(|_| failed != told) {
                tracing::error!("no credential is used, because the vault cannot be read: {why}");
            }
            told = failed;
            if noted.elapsed() >= NOTE_USES {
                noted = Instant::now();
                self.note_uses().await;
            }
        }
    }

    /// Writes down when credentials were last used.
    pub async fn note_uses(&self) {
        let Some(vault) = &self.vault else { return };
        if let Err(error) = vault.note_uses().await {
            tracing::warn!("when credentials were last used cannot be written down: {error}");
        }
    }
}

/// Why a credential cannot be used as the manifest declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack<'l> {
    /// Nothing was ever sealed.
    Value,
    /// What was sealed was revoked, or has retired.
    Version,
    /// It was sealed under a rule that does not allow all that the manifest does, this one.
    Rule(&'l CredentialRule),
}

/// Operators read them at every start, and finding the place of each takes a while in a long manifest.
const NOTES_MAX: usize = 20;

/// What the vault has for the credentials of a plan, as far as that is not what the manifest says.
pub(crate) fn notes(manifest: &Manifest, plan: &Plan, vault: &Vault) -> Vec<Problem> {
    let listed = vault.list();
    let listed: HashMap<_, _> = listed.iter().map(|listed| (&listed.name, listed)).collect();
    let credentials = Path::default().field("credentials");
    let mut odd = plan.credentials.iter().enumerate().filter_map(|(index, credential)| {
        let (message, remedy) = note(credential, listed.get(&credential.name).copied())?;
        Some((index, message, remedy))
    });
    let told = odd.by_ref().take(NOTES_MAX);
    let mut notes: Vec<_> = told
        .map(|(index, message, remedy)| manifest.problem(&credentials.index(index), message).expected(remedy))
        .collect();
    let more = odd.count();
    if more > 0 {
        let message = format!("{more} more credentials cannot be used as they are declared");
        notes.push(manifest.problem(&credentials, message).expected("certosa doctor, which names them all"));
    }
    notes
}

impl<'l> Lack<'l> {
    /// What a credential lacks, of which the vault knows this.
    pub fn of(credential: &CredentialPlan, known: Option<&'l Listed>) -> Option<Self> {
        match known {
            None => Some(Self::Value),
            Some(known) if !known.has_value() => Some(Self::Version),
            Some(known) if !known.rule.covers(&credential.rule) => Some(Self::Rule(&known.rule)),
            Some(_) => None,
        }
    }

    /// The command that mends it.
    pub fn remedy(&self, credential: &CredentialPlan) -> String {
        let command = if matches!(self, Self::Rule(_)) { "allow" } else { "set" };
        format!("certosa vault {command} {}", credential.name)
    }
}

fn note(credential: &CredentialPlan, known: Option<&Listed>) -> Option<(String, String)> {
    let lack = Lack::of(credential, known)?;
    let what = match &lack {
        Lack::Value => "has no value yet",
        Lack::Version => "was revoked or has retired",
        Lack::Rule(_) => "was sealed under a rule that allows less; both have to allow a use",
    };
    Some((format!("the credential {} {what}", credential.name), lack.remedy(credential)))
}

/// Whether patterns are for anything of this bundle.
pub fn is_for(patterns: &Patterns, bundle: &BundleName) -> bool {
    patterns.iter().any(|pattern| {
        let mut segments = pattern.as_str().split('/');
        segments.next() == Some("bundle")
            && segments.next().is_some_and(|name| matches!(name, "*" | "**") || name == bundle.as_str())
    })
}

fn client(manifest: &Manifest, plan: &Plan) -> Result<Client, Vec<Problem>> {
    let path = |index| Path::default().field("roots").index(index);
    let (mut more_roots, mut problems) = (Vec::new(), Vec::new());
    for (index, file) in plan.roots.iter().enumerate() {
        match certificates(file) {
            Ok(found) => more_roots.extend(found),
            Err(why) => {
                let problem = manifest.problem(&path(index), "a file of roots that cannot be used").found(why);
                problems.push(problem.expected("certificates in PEM"));
            }
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Client::new(ClientSettings { more_roots, ..ClientSettings::default() })
        .map_err(|error| vec![manifest.problem(&Path::default().field("roots"), error.to_string())])
}

/// The certificates of a PEM file; at least one.
pub fn certificates(file: &FilePath) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if found.is_empty() => Err("no certificate".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}
