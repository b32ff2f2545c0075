//! How long things take. Bounds are generous here; `cargo test --release -p certosa-vault size -- --nocapture
//! --test-threads 1` prints the figures.

use std::time::{Duration, Instant};

use certosa_model::{CredentialName, Destination, Host, Scheme, Subject};
use certosa_store::{State, StateFolder};
use tempfile::TempDir;

use crate::usage::User;
use crate::vectors::rule;
use crate::{Kek, SealedVault, Secret, Vault};

const CREDENTIALS: usize = 10_000;

fn kek(byte: u8) -> Kek {
    let mut bytes = [byte; 32];
    bytes[0] = 0;
    Kek::new(&bytes).unwrap()
}

fn name(text: &str) -> CredentialName {
    CredentialName::new(text).unwrap()
}

fn value() -> Secret {
    Secret::new(b"a token of about forty bytes, as they are".to_vec()).unwrap()
}

async fn vault() -> (TempDir, State, Vault) {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(&StateFolder::open(&folder.path().join("state")).unwrap()).await.unwrap();
    let vault = Vault::create(&state, kek(1)).await.unwrap();
    vault.set(name("github"), rule("api.example.com"), value()).await.unwrap();
    (folder, state, vault)
}

#[tokio::test]
async fn a_large_vault_opens_quickly() {
    let (_folder, state, vault) = vault().await;
    vault
        .set_many((1..CREDENTIALS).map(|number| (name(&format!("c{number}")), rule("a.example"), value())).collect())
        .await
        .unwrap();

    let start = Instant::now();
    let vault = SealedVault::find(&state).await.unwrap().unwrap().open(kek(1)).await.unwrap();
    let took = start.elapsed();
    eprintln!("a vault with {CREDENTIALS} credentials opens in {took:?}");
    assert_eq!(vault.list().len(), CREDENTIALS);
    assert!(took < Duration::from_secs(20));

    let start = Instant::now();
    vault.set(name("new"), rule("api.example.com"), value()).await.unwrap();
    eprintln!("setting one of them takes {:?}", start.elapsed());
    let start = Instant::now();
    vault.rotate_kek(kek(2)).await.unwrap();
    eprintln!("changing the KEK takes {:?}", start.elapsed());
    let start = Instant::now();
    assert!(vault.check().await.unwrap().is_empty());
    eprintln!("opening all {CREDENTIALS} values takes {:?}", start.elapsed());
}

#[tokio::test]
async fn a_credential_opens_in_microseconds() {
    let (_folder, _state, vault) = vault().await;
    let (bundle, caller) = (Subject::new("bundle/hello/greet").unwrap(), Subject::anonymous_loopback());
    let (by, host) =
        (User { bundle: &bundle, caller: &caller, per_minute_max: None }, Host::new("api.example.com").unwrap());
    let to = Destination { scheme: Scheme::Https, host: &host, port: 443, method: "GET", path: "/v1/a" };
    let github = name("github");
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        for _ in 0..500 {
            assert_eq!(vault.open_credential(&github, by, &to).unwrap().expose().len(), 41);
        }
        best = best.min(start.elapsed() / 500);
    }
    eprintln!("one use of a credential takes {best:?}");
    let start = Instant::now();
    for _ in 0..1000 {
        assert!(!vault.changed());
    }
    eprintln!("of which looking whether something changed takes {:?}", start.elapsed() / 1000);
    assert!(best < Duration::from_millis(5));
}
