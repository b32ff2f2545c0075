use std::path::{Path, PathBuf};

use certosa_model::{
    CredentialName, CredentialRule, Destination, Host, HostPattern, Injection, Method, PathPattern, Pattern, Patterns,
    Purpose, Reach, Scheme, Subject,
};
use certosa_store::{State, StateFolder};
use certosa_vault::{Kek, Opened, SealedVault, Secret, UseError, User, Vault, VaultError};
use tempfile::TempDir;

/// A value that must not be seen anywhere.
pub const PLANTED: &[u8] = b"planted-1f6c9d";

/// A house's folder with its database.
pub struct Home {
    pub folder: TempDir,
    pub state: State,
}

impl Home {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = Self::state(folder.path()).await;
        Self { folder, state }
    }

    async fn state(folder: &Path) -> State {
        State::open(&StateFolder::open(&folder.join("state")).unwrap()).await.unwrap()
    }

    /// With a vault, and in it `github` with the planted value.
    pub async fn with_vault() -> (Self, Vault) {
        let home = Self::new().await;
        let vault = Vault::create(&home.state, kek(1)).await.unwrap();
        vault.set(name("github"), rule("api.example.com"), secret(PLANTED)).await.unwrap();
        (home, vault)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.state.folder().join(name)
    }

    pub async fn open(&self, kek: Kek) -> Result<Vault, VaultError> {
        SealedVault::find(&self.state).await?.unwrap().open(kek).await
    }

    /// The database in one file, closed.
    pub async fn database(&self) -> Vec<u8> {
        self.state.close().await;
        std::fs::read(self.file("state.db")).unwrap()
    }

    /// Puts another database in its place.
    pub async fn restore(&mut self, database: &[u8]) {
        self.state.close().await;
        std::fs::write(self.file("state.db"), database).unwrap();
        self.reopen().await;
    }

    pub async fn reopen(&mut self) {
        self.state.close().await;
        self.state = Self::state(self.folder.path()).await;
    }
}

pub fn kek(byte: u8) -> Kek {
    let mut bytes = [byte; 32];
    bytes[0] = 0;
    Kek::new(&bytes).unwrap()
}

pub fn name(text: &str) -> CredentialName {
    CredentialName::new(text).unwrap()
}

pub fn secret(value: &[u8]) -> Secret {
    Secret::new(value.to_vec()).unwrap()
}

pub fn patterns(text: &str) -> Patterns {
    Patterns::new(vec![Pattern::new(text).unwrap()])
}

/// `bundle/hello/**` may send it to this host.
pub fn rule(host: &str) -> CredentialRule {
    let reach = Reach {
        schemes: vec![Scheme::Https],
        hosts: vec![HostPattern::new(host).unwrap()],
        ports: vec![443],
        methods: vec![Method::new("GET").unwrap()],
        paths: vec![PathPattern::new("/v1/**").unwrap()],
    };
    rule_for(Purpose::Send { reach, injection: Injection::Bearer })
}

pub fn rule_for(purpose: Purpose) -> CredentialRule {
    CredentialRule { allowed_subs: patterns("bundle/hello/**"), allowed_callers: None, purpose, per_minute_max: None }
}

/// Opens a credential for the bundle `hello`, on its way to `host`.
pub fn open_for(vault: &Vault, credential: &str, host: &str) -> Result<Opened, UseError> {
    let (bundle, host) = (Subject::new("bundle/hello/greet").unwrap(), Host::new(host).unwrap());
    let to = Destination { scheme: Scheme::Https, host: &host, port: 443, method: "GET", path: "/v1/a" };
    let by = User { bundle: &bundle, caller: &Subject::anonymous_loopback(), per_minute_max: None };
    vault.open_credential(&name(credential), by, &to)
}

pub fn opens(vault: &Vault, credential: &str) -> Result<Vec<u8>, UseError> {
    open_for(vault, credential, "api.example.com").map(|opened| opened.expose().to_vec())
}

/// All that an error says, with its causes and as programs print it.
pub fn said(error: &impl std::error::Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error} {error:?}");
        cause = error.source();
    }
    assert!(!text.contains(str::from_utf8(PLANTED).unwrap()), "{text}");
    text
}
