//! A process that is killed at each step of a change. It is this test binary once more, with a variable that says at
//! which step; the steps are `fault::point()` here and in the store, which count themselves.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use certosa_model::{CredentialName, CredentialRule, Destination, Host, Scheme, Subject};
use certosa_store::{State, StateFolder, fault};

use crate::usage::User;
use crate::{Kek, KekSource, Made, Outside, SealedVault, Secret, Vault, VaultError};

const OLD: &[u8] = b"the old value";
const NEW: &[u8] = b"the new value";

fn kek(byte: u8) -> Kek {
    let mut bytes = [byte; 32];
    bytes[0] = 0;
    Kek::new(&bytes).unwrap()
}

fn secret(value: &[u8]) -> Secret {
    Secret::new(value.to_vec()).unwrap()
}

fn name(text: &str) -> CredentialName {
    CredentialName::new(text).unwrap()
}

fn rule() -> CredentialRule {
    crate::vectors::rule("api.example.com")
}

async fn open(folder: &Path, kek: Kek) -> Result<Vault, VaultError> {
    let state = State::open(&StateFolder::open(folder).unwrap()).await.unwrap();
    SealedVault::find(&state).await?.ok_or(VaultError::Gone)?.open(kek).await
}

fn value(vault: &Vault, of: &str) -> Vec<u8> {
    let (bundle, host) = (Subject::new("bundle/hello/greet").unwrap(), Host::new("api.example.com").unwrap());
    let to = Destination { scheme: Scheme::Https, host: &host, port: 443, method: "GET", path: "/v1/a" };
    let by = User { bundle: &bundle, caller: &Subject::anonymous_loopback(), per_minute_max: None };
    vault.open_credential(&name(of), by, &to).unwrap().expose().to_vec()
}

/// What the child does; only with these variables.
#[tokio::test]
#[ignore = "is run by the others, as a process of its own"]
async fn child() {
    let Some(folder) = std::env::var_os("CERTOSA_FAULT_FOLDER") else { return };
    let change = std::env::var("CERTOSA_FAULT_CHANGE").unwrap();
    if change == "create" {
        let state = State::open(&StateFolder::open(folder.as_ref()).unwrap()).await.unwrap();
        fault::begin();
        Vault::create(&state, kek(1)).await.unwrap();
        return;
    }
    if change == "kek" {
        fault::begin();
        source(folder.as_ref()).load_new(&mut Nobody).await.unwrap();
        return;
    }
    let vault = open(folder.as_ref(), kek(1)).await.unwrap();
    fault::begin();
    match change.as_str() {
        "set" => drop(vault.set(name("b"), rule(), secret(NEW)).await.unwrap()),
        "replace" => drop(vault.set(name("a"), rule(), secret(NEW)).await.unwrap()),
        "rotate" => drop(vault.rotate(name("a"), secret(NEW), Duration::from_secs(60)).await.unwrap()),
        "rotate-kek" => vault.rotate_kek(kek(2)).await.unwrap(),
        other => panic!("{other}"),
    }
}

fn killed_at(step: u32, folder: &Path, change: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::child", "--ignored"])
        .env("CERTOSA_FAULT", step.to_string())
        .env("CERTOSA_FAULT_FOLDER", folder)
        .env("CERTOSA_FAULT_CHANGE", change)
        .output()
        .unwrap()
}

/// Kills the child at one step after another. `look` sees what each leaves; true: the change is there.
async fn at_every_step(change: &str, look: impl AsyncFn(&Path) -> bool) {
    let (mut before, mut after) = (0, 0);
    for step in 1..100 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        if change != "create" {
            let state = State::open(&StateFolder::open(&path).unwrap()).await.unwrap();
            let vault = Vault::create(&state, kek(1)).await.unwrap();
            for one in ["a", "z"] {
                vault.set(name(one), rule(), secret(OLD)).await.unwrap();
            }
            state.close().await;
        }
        let ended = killed_at(step, &path, change);
        let is_done = look(&path).await;
        assert!(is_done || after == 0, "{change}: done when killed at a step, and not at step {step} after it");
        if ended.status.success() {
            assert!(is_done && before >= 3 && after >= 3, "{change}: {before} steps before it held, {after} after");
            return;
        }
        assert_eq!(ended.status.signal(), Some(9), "{}", String::from_utf8_lossy(&ended.stdout));
        if is_done { after += 1 } else { before += 1 }
    }
    panic!("{change} has no end");
}

/// The vault opens, is whole, and can be changed on.
async fn is_well(vault: &Vault) {
    assert!(vault.check().await.unwrap().is_empty());
    assert!(!vault.changed());
    assert_eq!(value(vault, "z"), OLD);
    let marks = std::fs::read_to_string(vault.0.state.folder().join("vault.generation")).unwrap();
    assert_eq!(marks.lines().count(), 2, "{marks}");
    vault.set(name("c"), rule(), secret(b"another")).await.unwrap();
    vault.0.state.close().await;
}

#[tokio::test]
async fn a_vault_is_made_or_not() {
    at_every_step("create", async |path: &Path| {
        let state = State::open(&StateFolder::open(path).unwrap()).await.unwrap();
        let is_there = SealedVault::find(&state).await.unwrap();
        let is_done = is_there.is_some();
        let vault = match is_there {
            Some(sealed) => sealed.open(kek(1)).await.unwrap(),
            None => Vault::create(&state, kek(1)).await.unwrap(),
        };
        vault.set(name("z"), rule(), secret(OLD)).await.unwrap();
        is_well(&vault).await;
        is_done
    })
    .await;
}

#[tokio::test]
async fn a_credential_is_set_or_not() {
    at_every_step("set", async |path: &Path| {
        let vault = open(path, kek(1)).await.unwrap();
        let is_done = vault.list().iter().any(|it| it.name == name("b"));
        if is_done {
            assert_eq!(value(&vault, "b"), NEW);
        }
        is_well(&vault).await;
        is_done
    })
    .await;
}

#[tokio::test]
async fn a_value_is_the_old_one_or_the_new_one() {
    for change in ["replace", "rotate"] {
        at_every_step(change, async |path: &Path| {
            let vault = open(path, kek(1)).await.unwrap();
            let found = value(&vault, "a");
            assert!(found == OLD || found == NEW);
            let versions = vault.list().remove(0).versions.len();
            assert_eq!(versions, if found == NEW { 2 } else { 1 });
            is_well(&vault).await;
            found == NEW
        })
        .await;
    }
}

#[tokio::test]
async fn a_vault_has_the_old_kek_or_the_new_one() {
    at_every_step("rotate-kek", async |path: &Path| {
        let (old, new) = (open(path, kek(1)).await, open(path, kek(2)).await);
        let is_done = new.is_ok();
        let (vault, refused) = if is_done { (new.unwrap(), old) } else { (old.unwrap(), new) };
        assert!(matches!(refused, Err(VaultError::WrongKek { .. })));
        assert_eq!(value(&vault, "a"), OLD);
        is_well(&vault).await;
        is_done
    })
    .await;
}

#[tokio::test]
async fn a_house_that_runs_sees_what_a_killed_process_committed() {
    for step in 1..100 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let state = State::open(&StateFolder::open(&path).unwrap()).await.unwrap();
        let house = Vault::create(&state, kek(1)).await.unwrap();
        for one in ["a", "z"] {
            house.set(name(one), rule(), secret(OLD)).await.unwrap();
        }
        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::child", "--ignored"])
            .env("CERTOSA_FAULT", step.to_string())
            .env("CERTOSA_FAULT_FOLDER", &path)
            .env("CERTOSA_FAULT_CHANGE", "replace")
            .output()
            .unwrap();
        let committed = state.vault_head().await.unwrap().unwrap().generation;
        house.refresh().await.unwrap();
        assert_eq!(*house.generations().borrow(), committed, "killed at step {step}");
        assert_eq!(value(&house, "a"), if committed == 3 { NEW } else { OLD });
        if ended.status.success() {
            return;
        }
    }
    panic!("no end");
}

/// It is never asked.
struct Nobody;

impl Outside for Nobody {
    fn passphrase(&mut self, _is_new: bool) -> std::io::Result<Secret> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    async fn fetch(&mut self, _url: &str) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Err("nobody answers".into())
    }
}

fn source(folder: &Path) -> KekSource {
    format!("file://{}/kek", folder.display()).parse().unwrap()
}

#[tokio::test]
async fn a_new_kek_is_there_or_is_not() {
    for step in 1..20 {
        let folder = tempfile::tempdir().unwrap();
        let ended = killed_at(step, folder.path(), "kek");
        let source = source(folder.path());
        let found = folder.path().join("kek").exists();
        assert!(!found || !folder.path().join("kek.draft").exists(), "step {step}: it is there once");
        let kek = match source.load_new(&mut Nobody).await.unwrap() {
            (kek, Made::Nothing) => kek,
            (kek, Made::File(_)) => {
                assert!(!found, "step {step}");
                kek
            }
        };
        assert_eq!(source.load(None, &mut Nobody).await.unwrap().id(), kek.id());
        if ended.status.success() {
            assert!(found && step > 3, "{step}");
            return;
        }
        assert_eq!(ended.status.signal(), Some(9), "{}", String::from_utf8_lossy(&ended.stdout));
    }
    panic!("it has no end");
}
