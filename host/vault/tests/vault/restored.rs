//! Databases of yesterday.

use std::fs;

use certosa_vault::{SealedVault, Staleness, Vault, VaultError};

use crate::support::*;

#[tokio::test]
async fn an_older_database_stays_sealed_until_the_operator_accepts_it() {
    let (mut home, vault) = Home::with_vault().await;
    let before = home.database().await;
    home.reopen().await;
    let vault = drop_and_open(&home, vault).await;
    vault.revoke(name("github"), None).await.unwrap();
    home.restore(&before).await;

    let error = home.open(kek(1)).await.unwrap_err();
    assert!(matches!(error, VaultError::Stale(Staleness::Older { database: 1, file: 2 })));
    assert!(said(&error).contains("generation 2 was seen"), "{}", said(&error));

    let sealed = SealedVault::find(&home.state).await.unwrap().unwrap();
    assert!(matches!(sealed.accept_restore(kek(2)).await, Err(VaultError::WrongKek { .. })));
    let sealed = SealedVault::find(&home.state).await.unwrap().unwrap();
    let vault = sealed.accept_restore(kek(1)).await.unwrap();
    assert_eq!(*vault.generations().borrow(), 3, "past all that was seen");
    assert_eq!(opens(&vault, "github").unwrap(), PLANTED);
    assert_eq!(opens(&home.open(kek(1)).await.unwrap(), "github").unwrap(), PLANTED);
}

#[tokio::test]
async fn a_file_that_is_missing_forged_or_old_keeps_the_vault_sealed() {
    let (home, vault) = Home::with_vault().await;
    let file = home.file("vault.generation");
    let old = fs::read_to_string(&file).unwrap();
    vault.set(name("gitlab"), rule("api.example.com"), secret(b"a")).await.unwrap();
    let good = fs::read_to_string(&file).unwrap();
    let stale = async || match home.open(kek(1)).await {
        Err(VaultError::Stale(why)) => why,
        other => panic!("{other:?}"),
    };

    fs::remove_file(&file).unwrap();
    assert_eq!(stale().await, Staleness::Missing { database: 2 });
    fs::write(&file, &old).unwrap();
    assert_eq!(stale().await, Staleness::Ahead { database: 2, file: 1 });
    fs::write(&file, good.replacen("\n2 ", "\n3 ", 1)).unwrap();
    assert_eq!(stale().await, Staleness::Forged);
    for index in 0..good.len() {
        let mut changed = good.clone().into_bytes();
        changed[index] ^= 1;
        fs::write(&file, &changed).unwrap();
        let is_end_of_file = index + 1 == good.len();
        assert!(is_end_of_file || stale().await == Staleness::Forged, "byte {index}");
        fs::write(&file, &good[..index]).unwrap();
        assert!(is_end_of_file || stale().await == Staleness::Forged, "cut at {index}");
    }
    let (home_b, _vault) = Home::with_vault().await;
    fs::copy(home_b.file("vault.generation"), &file).unwrap();
    assert_eq!(stale().await, Staleness::Forged, "of another vault with the same KEK");
    fs::write(&file, &good).unwrap();
    assert!(home.open(kek(1)).await.is_ok());
}

#[tokio::test]
async fn two_histories_do_not_pass_for_each_other() {
    let (mut home, vault) = Home::with_vault().await;
    let before = (home.database().await, fs::read(home.file("vault.generation")).unwrap());
    home.reopen().await;
    let vault = drop_and_open(&home, vault).await;
    vault.set(name("a"), rule("api.example.com"), secret(b"a")).await.unwrap();
    let one = home.database().await;
    home.restore(&before.0).await;
    fs::write(home.file("vault.generation"), &before.1).unwrap();
    let vault = home.open(kek(1)).await.unwrap();
    vault.set(name("a"), rule("api.example.com"), secret(b"b")).await.unwrap();
    home.restore(&one).await;
    assert!(matches!(home.open(kek(1)).await, Err(VaultError::Stale(Staleness::Other { database: 2 }))));
}

#[tokio::test]
async fn a_house_that_runs_goes_back_for_nobody() {
    let (mut home, vault) = Home::with_vault().await;
    let before = (home.database().await, fs::read(home.file("vault.generation")).unwrap());
    home.reopen().await;
    let house = drop_and_open(&home, vault).await;
    let cli = home.open(kek(1)).await.unwrap();
    cli.set(name("a"), rule("api.example.com"), secret(b"a")).await.unwrap();
    house.refresh().await.unwrap();
    // Both files are put back, and the house holds on to the database that it has open.
    fs::write(home.file("vault.generation"), &before.1).unwrap();
    assert!(house.changed());
    assert!(matches!(house.refresh().await, Err(VaultError::Stale(_))));
    assert!(opens(&house, "github").is_err(), "and nothing is used in the meantime");
}

#[tokio::test]
async fn a_vault_is_not_made_over_another() {
    let (mut home, _vault) = Home::with_vault().await;
    assert!(matches!(Vault::create(&home.state, kek(1)).await, Err(VaultError::Exists)));
    home.state.close().await;
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _may_be_gone = fs::remove_file(home.file(name));
    }
    home.reopen().await;
    assert!(SealedVault::find(&home.state).await.unwrap().is_none());
    assert!(matches!(Vault::create(&home.state, kek(1)).await, Err(VaultError::Orphan(_))));
}

async fn drop_and_open(home: &Home, vault: Vault) -> Vault {
    drop(vault);
    home.open(kek(1)).await.unwrap()
}
