//! What the operator does.

use std::time::Duration;

use certosa_model::Purpose;
use certosa_vault::{UseError, Vault, VaultError, VersionState};

use crate::support::*;

fn states(vault: &Vault, credential: &str) -> Vec<(u64, &'static str)> {
    let listed = vault.list().into_iter().find(|it| it.name == name(credential)).unwrap();
    listed.versions.iter().map(|version| (version.number, version.state.as_str())).collect()
}

#[tokio::test]
async fn a_credential_lives_from_set_to_rm() {
    let (home, vault) = Home::with_vault().await;
    assert_eq!(opens(&vault, "github").unwrap(), PLANTED);
    assert_eq!(vault.rotate(name("github"), secret(b"two"), Duration::from_secs(600)).await.unwrap(), 2);
    assert_eq!(states(&vault, "github"), [(1, "retiring"), (2, "active")]);
    assert_eq!(opens(&vault, "github").unwrap(), b"two");
    vault.revoke(name("github"), Some(2)).await.unwrap();
    assert_eq!(opens(&vault, "github").unwrap(), PLANTED, "the one before, while it is retiring");
    assert_eq!(vault.rotate(name("github"), secret(b"three"), Duration::ZERO).await.unwrap(), 3);
    assert_eq!(states(&vault, "github"), [(1, "retiring"), (2, "revoked"), (3, "active")]);
    assert_eq!(vault.set(name("github"), rule("api.example.com"), secret(b"four")).await.unwrap(), 4);
    assert_eq!(states(&vault, "github"), [(1, "revoked"), (2, "revoked"), (3, "revoked"), (4, "active")]);
    vault.revoke(name("github"), None).await.unwrap();
    assert_eq!(opens(&vault, "github"), Err(UseError::Revoked));
    vault.rotate(name("github"), secret(b"five"), Duration::ZERO).await.unwrap();
    assert_eq!(opens(&home.open(kek(1)).await.unwrap(), "github").unwrap(), b"five");
    vault.rm(name("github")).await.unwrap();
    assert_eq!(opens(&vault, "github"), Err(UseError::Absent));
    assert!(vault.list().is_empty());
    assert!(home.open(kek(1)).await.unwrap().list().is_empty());
    for error in [
        vault.rm(name("github")).await,
        vault.revoke(name("github"), None).await,
        vault.allow(name("github"), rule("a.example.com")).await,
        vault.rotate_data_key(name("github")).await,
    ] {
        assert!(matches!(error, Err(VaultError::Absent(_))));
    }
    assert!(matches!(vault.rotate(name("github"), secret(b"x"), Duration::ZERO).await, Err(VaultError::Absent(_))));
}

#[tokio::test]
async fn what_retires_is_gone_when_its_time_is_over() {
    let (_home, vault) = Home::with_vault().await;
    vault.rotate(name("github"), secret(b"two"), Duration::from_millis(30)).await.unwrap();
    vault.revoke(name("github"), Some(2)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(opens(&vault, "github"), Err(UseError::Revoked));
    vault.set(name("a"), rule("api.example.com"), secret(b"a")).await.unwrap();
    assert_eq!(states(&vault, "github"), [(1, "revoked"), (2, "revoked")], "the next change deletes it");
    let forever = vault.rotate(name("github"), secret(b"three"), Duration::MAX).await;
    assert_eq!(forever.unwrap(), 3);
    vault.rotate(name("github"), secret(b"four"), Duration::MAX).await.unwrap();
    assert!(matches!(vault.list()[1].versions[2].state, VersionState::Retiring { .. }));
}

#[tokio::test]
async fn versions_are_bounded_and_their_numbers_are_not_used_again() {
    let (_home, vault) = Home::with_vault().await;
    for number in 2..=20 {
        let rotated = vault.rotate(name("github"), secret(b"next"), Duration::ZERO).await.unwrap();
        assert_eq!(rotated, number);
    }
    assert_eq!(vault.list()[0].versions.len(), 16);
    for _ in 0..30 {
        match vault.rotate(name("github"), secret(b"next"), Duration::from_secs(600)).await {
            Ok(_) => {}
            Err(VaultError::Versions { found: 16, .. }) => return,
            other => panic!("{other:?}"),
        }
    }
    panic!("no bound");
}

#[tokio::test]
async fn another_rule_and_another_data_key_seal_the_value_again() {
    let (home, vault) = Home::with_vault().await;
    vault.rotate(name("github"), secret(b"two"), Duration::from_secs(600)).await.unwrap();
    let sealed = async || home.state.vault().await.unwrap().unwrap().versions;
    let before = sealed().await;
    vault.allow(name("github"), rule("other.example.com")).await.unwrap();
    assert_eq!(opens(&vault, "github"), Err(UseError::NotAllowed("hosts")));
    let value = |vault: &Vault| open_for(vault, "github", "other.example.com").unwrap().expose().to_vec();
    assert_eq!(value(&vault), b"two");
    let allowed = sealed().await;
    vault.rotate_data_key(name("github")).await.unwrap();
    assert_eq!(value(&home.open(kek(1)).await.unwrap()), b"two");
    for (one, other) in [(&before, &allowed), (&allowed, &sealed().await), (&before, &sealed().await)] {
        for (one, other) in one.iter().zip(other) {
            assert_ne!((&one.salt, &one.nonce, &one.wrap_nonce), (&other.salt, &other.nonce, &other.wrap_nonce));
            assert_ne!(one.ciphertext, other.ciphertext);
            assert_ne!(one.wrapped_key, other.wrapped_key);
        }
    }
    assert!(vault.check().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_new_kek_touches_no_value_and_seals_the_house_that_has_the_old_one() {
    let (home, vault) = Home::with_vault().await;
    vault.rotate(name("github"), secret(b"two"), Duration::from_secs(600)).await.unwrap();
    vault.revoke(name("github"), Some(1)).await.unwrap();
    let house = home.open(kek(1)).await.unwrap();
    let before = home.state.vault().await.unwrap().unwrap();
    vault.rotate_kek(kek(2)).await.unwrap();
    let after = home.state.vault().await.unwrap().unwrap();
    assert_eq!(before.versions[1].ciphertext, after.versions[1].ciphertext);
    assert_ne!(before.versions[1].wrapped_key, after.versions[1].wrapped_key);
    assert_eq!(after.head.generation, before.head.generation + 1);
    assert_eq!(opens(&vault, "github").unwrap(), b"two");

    assert_eq!(opens(&house, "github"), Err(UseError::Stale));
    assert!(matches!(house.refresh().await, Err(VaultError::WrongKek { .. })));
    assert_eq!(opens(&house, "github"), Err(UseError::Stale), "and it stays so");
    let error = home.open(kek(1)).await.unwrap_err();
    assert!(said(&error).contains(&hex_of(kek(1).id())) && said(&error).contains(&hex_of(kek(2).id())));
    assert_eq!(opens(&home.open(kek(2)).await.unwrap(), "github").unwrap(), b"two");
    vault.rotate_kek(kek(1)).await.unwrap();
    house.refresh().await.unwrap();
    assert_eq!(opens(&house, "github").unwrap(), b"two");
}

#[tokio::test]
async fn of_two_at_once_one_wins() {
    let (home, _vault) = Home::with_vault().await;
    for round in 0..5 {
        let (one, other) = (home.open(kek(1)).await.unwrap(), home.open(kek(1)).await.unwrap());
        let ended = tokio::join!(
            one.rotate(name("github"), secret(b"one"), Duration::ZERO),
            other.rotate(name("github"), secret(b"other"), Duration::ZERO)
        );
        let (value, told) = match ended {
            (Ok(_), Err(told)) => (b"one".as_slice(), told),
            (Err(told), Ok(_)) => (b"other".as_slice(), told),
            ended => panic!("{ended:?}"),
        };
        assert!(matches!(told, VaultError::Conflict), "{told:?}");
        for vault in [&one, &other, &home.open(kek(1)).await.unwrap()] {
            assert!(!vault.changed(), "who lost knows what holds");
            assert_eq!(opens(vault, "github").unwrap(), value);
            assert_eq!(vault.list()[0].versions.last().unwrap().number, round + 2);
        }
        let keks = (home.open(kek(1)).await.unwrap(), home.open(kek(1)).await.unwrap());
        let ended = tokio::join!(keks.0.rotate_kek(kek(2)), keks.1.rotate_kek(kek(3)));
        let winner = match ended {
            (Ok(()), Err(_)) => 2,
            (Err(_), Ok(())) => 3,
            ended => panic!("{ended:?}"),
        };
        let vault = home.open(kek(winner)).await.unwrap();
        assert!(home.open(kek(5 - winner)).await.is_err());
        vault.rotate_kek(kek(1)).await.unwrap();
    }
    // In one process, through one vault.
    let vault = home.open(kek(1)).await.unwrap();
    let again = vault.clone();
    let ended = tokio::join!(vault.rm(name("github")), again.rotate_data_key(name("github")));
    assert!(ended.0.is_ok() != ended.1.is_ok(), "{ended:?}");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_changes_nothing() {
    let (home, vault) = Home::with_vault().await;
    let sign = || rule_for(Purpose::Sign { context: "tests".into() });
    let seed = [9; 32];
    for refused in [
        vault.set(name("signer"), sign(), secret(b"31 bytes are no seed for a key.")).await,
        vault.allow(name("github"), sign()).await.map(|()| 0),
        vault.set(name("a"), rule_for(Purpose::Mac { context: "x".repeat(70_000) }), secret(&seed)).await,
        vault.revoke(name("github"), Some(7)).await.map(|()| 0),
    ] {
        said(&refused.unwrap_err());
    }
    assert_eq!(*vault.generations().borrow(), 1);
    assert_eq!(home.state.vault_head().await.unwrap().unwrap().generation, 1);
    assert_eq!(opens(&vault, "github").unwrap(), PLANTED);
    vault.set(name("signer"), sign(), secret(&seed)).await.unwrap();
    assert!(matches!(vault.rotate(name("signer"), secret(b"short"), Duration::ZERO).await, Err(VaultError::Seed(5))));
}

#[tokio::test]
async fn a_change_ends_even_if_nobody_waits_for_it() {
    let (home, vault) = Home::with_vault().await;
    let revoking = vault.revoke(name("github"), None);
    let given_up = tokio::time::timeout(Duration::from_micros(1), revoking).await;
    for _ in 0..500 {
        if opens(&vault, "github") == Err(UseError::Revoked) {
            assert_eq!(opens(&home.open(kek(1)).await.unwrap(), "github"), Err(UseError::Revoked));
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never happened; given up: {}", given_up.is_err());
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
