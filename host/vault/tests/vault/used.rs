//! What bundles make use of.

use std::time::Duration;

use certosa_model::{Destination, Host, Injection, Purpose, Scheme, Subject};
use certosa_vault::{UseError, User, Vault};
use ed25519_dalek::{Signature, VerifyingKey};

use crate::support::*;

fn user<'a>(bundle: &'a Subject, caller: &'a Subject) -> User<'a> {
    User { bundle, caller, per_minute_max: None }
}

fn message_in(context: &str, message: &[u8]) -> Vec<u8> {
    [&u32::try_from(context.len()).unwrap().to_be_bytes(), context.as_bytes(), message].concat()
}

#[tokio::test]
async fn the_sealed_rule_is_asked_before_anything_is_opened() {
    let (_home, vault) = Home::with_vault().await;
    let mut narrow = rule("api.example.com");
    narrow.allowed_callers = Some(patterns("user/ana"));
    vault.set(name("narrow"), narrow, secret(PLANTED)).await.unwrap();
    let (hello, other) = (Subject::new("bundle/hello/a").unwrap(), Subject::new("bundle/other/a").unwrap());
    let (ana, ben) = (Subject::new("user/ana").unwrap(), Subject::new("user/ben").unwrap());
    let (host, evil) = (Host::new("api.example.com").unwrap(), Host::new("evil.example.com").unwrap());
    let to = Destination { scheme: Scheme::Https, host: &host, port: 443, method: "GET", path: "/v1/a" };
    let open = |credential: &str, bundle: &Subject, caller: &Subject, to: &Destination<'_>| {
        let opened = vault.open_credential(&name(credential), user(bundle, caller), to);
        opened.map(|opened| (opened.expose().to_vec(), opened.injection().cloned(), opened.version()))
    };
    assert_eq!(open("narrow", &hello, &ana, &to).unwrap(), (PLANTED.to_vec(), Some(Injection::Bearer), 1));
    for (refused, why) in [
        (open("narrow", &hello, &ben, &to), UseError::NotAllowed("allowedCallers")),
        (open("narrow", &other, &ana, &to), UseError::NotAllowed("allowedSubs")),
        (open("github", &other, &ana, &to), UseError::NotAllowed("allowedSubs")),
        (open("gone", &hello, &ana, &to), UseError::Absent),
        (open("github", &hello, &ben, &Destination { host: &evil, ..to }), UseError::NotAllowed("hosts")),
        (open("github", &hello, &ben, &Destination { scheme: Scheme::Http, ..to }), UseError::NotAllowed("schemes")),
        (open("github", &hello, &ben, &Destination { port: 8443, ..to }), UseError::NotAllowed("ports")),
        (open("github", &hello, &ben, &Destination { method: "POST", ..to }), UseError::NotAllowed("methods")),
        (open("github", &hello, &ben, &Destination { path: "/v2", ..to }), UseError::NotAllowed("paths")),
    ] {
        assert_eq!(refused.unwrap_err(), why);
    }
}

#[tokio::test]
async fn a_sealed_rate_is_not_widened() {
    let (_home, vault) = Home::with_vault().await;
    let mut slow = rule("api.example.com");
    slow.per_minute_max = Some(2);
    vault.set(name("slow"), slow, secret(PLANTED)).await.unwrap();
    let (bundle, caller) = (Subject::new("bundle/hello/a").unwrap(), Subject::anonymous_loopback());
    let host = Host::new("api.example.com").unwrap();
    let to = Destination { scheme: Scheme::Https, host: &host, port: 443, method: "GET", path: "/v1/a" };
    let held_to = |per_minute_max| {
        let by = User { bundle: &bundle, caller: &caller, per_minute_max };
        vault.open_credential(&name("slow"), by, &to).map(drop)
    };
    assert_eq!([held_to(Some(1)), held_to(Some(2))], [Ok(()), Ok(())]);
    for wider in [Some(3), None] {
        assert_eq!(held_to(wider), Err(UseError::NotAllowed("perMinuteMax")));
    }
}

#[tokio::test]
async fn what_retires_is_usable_until_then() {
    let (_home, vault) = Home::with_vault().await;
    let opened = open_for(&vault, "github", "api.example.com").unwrap();
    assert_eq!(vault.usable_for(opened.ticket()), Ok(Duration::MAX));
    vault.rotate(name("github"), secret(b"two"), Duration::from_millis(1500)).await.unwrap();
    assert!(vault.usable_for(opened.ticket()).unwrap() <= Duration::from_millis(1500));
    vault.revoke(name("github"), Some(2)).await.unwrap();
    assert!(vault.list()[0].has_value());
    tokio::time::sleep(Duration::from_millis(1520)).await;
    assert_eq!(vault.usable_for(opened.ticket()), Err(UseError::Revoked));
    assert!(!vault.list()[0].has_value(), "what retired is no value");
}

#[tokio::test]
async fn what_signs_is_never_sent_and_what_is_sent_never_signs() {
    let (_home, vault) = Home::with_vault().await;
    let (bundle, caller) = (Subject::new("bundle/hello/a").unwrap(), Subject::anonymous_loopback());
    let by = user(&bundle, &caller);
    vault.set(name("signer"), rule_for(Purpose::Sign { context: "tests".into() }), secret(&[9; 32])).await.unwrap();
    vault.set(name("macs"), rule_for(Purpose::Mac { context: "tests".into() }), secret(b"key")).await.unwrap();

    let signature = vault.sign(&name("signer"), by, "tests", b"message").unwrap();
    let public = VerifyingKey::from_bytes(&vault.public_key(&name("signer")).unwrap()).unwrap();
    let verifies = |bytes: &[u8]| public.verify_strict(bytes, &Signature::from_bytes(&signature)).is_ok();
    assert!(verifies(&message_in("tests", b"message")));
    assert!(!verifies(b"message") && !verifies(&message_in("testsm", b"essage")));

    // RFC 2104 by another road: the outer and the inner hash written out.
    let pad = |byte: u8| -> Vec<u8> {
        let mut block = b"key".to_vec();
        block.resize(64, 0);
        block.iter().map(|one| one ^ byte).collect()
    };
    let hash = |parts: &[&[u8]]| -> Vec<u8> { <sha2::Sha256 as sha2::Digest>::digest(parts.concat()).to_vec() };
    let inner = hash(&[&pad(0x36), &message_in("tests", b"message")]);
    assert_eq!(vault.mac(&name("macs"), by, "tests", b"message").unwrap().to_vec(), hash(&[&pad(0x5c), &inner]));

    let purpose = UseError::NotAllowed("purpose");
    assert_eq!(vault.sign(&name("github"), by, "tests", b"m").unwrap_err(), purpose);
    assert_eq!(vault.sign(&name("macs"), by, "tests", b"m").unwrap_err(), purpose);
    assert_eq!(vault.mac(&name("signer"), by, "tests", b"m").unwrap_err(), purpose);
    assert_eq!(vault.public_key(&name("macs")).unwrap_err(), purpose);
    assert_eq!(opens(&vault, "signer").unwrap_err(), purpose);
    assert_eq!(vault.sign(&name("signer"), by, "test", b"smessage").unwrap_err(), UseError::NotAllowed("context"));
    assert_eq!(vault.mac(&name("macs"), by, "", b"m").unwrap_err(), UseError::NotAllowed("context"));
    let other = Subject::new("bundle/other/a").unwrap();
    let refused = vault.sign(&name("signer"), user(&other, &caller), "tests", b"m");
    assert_eq!(refused.unwrap_err(), UseError::NotAllowed("allowedSubs"));
}

#[tokio::test]
async fn a_signature_is_that_of_rfc_8032() {
    let home = Home::new().await;
    let vault = Vault::create(&home.state, kek(1)).await.unwrap();
    // Section 7.1, TEST 1: the public key of this seed.
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let seed: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&seed[at * 2..at * 2 + 2], 16).unwrap()).collect();
    vault.set(name("signer"), rule_for(Purpose::Sign { context: String::new() }), secret(&seed)).await.unwrap();
    let public: String = vault.public_key(&name("signer")).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(public, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
}

#[tokio::test]
async fn a_revocation_by_another_process_holds_at_once() {
    let (home, cli) = Home::with_vault().await;
    let house = home.open(kek(1)).await.unwrap();
    let mut generations = house.generations();
    let opened = open_for(&house, "github", "api.example.com").unwrap();
    assert!(house.usable_for(opened.ticket()).is_ok());
    generations.mark_unchanged();

    cli.revoke(name("github"), None).await.unwrap();
    assert!(house.changed());
    assert_eq!(opens(&house, "github"), Err(UseError::Stale));
    assert_eq!(house.usable_for(opened.ticket()), Err(UseError::Stale), "nobody knows");
    assert!(!generations.has_changed().unwrap());
    house.refresh().await.unwrap();
    assert!(generations.has_changed().unwrap());
    assert_eq!(opens(&house, "github"), Err(UseError::Revoked));
    assert_eq!(house.usable_for(opened.ticket()), Err(UseError::Revoked), "a call in flight is told");
}

#[tokio::test]
async fn calls_in_flight_are_told_when_the_vault_cannot_be_read_again() {
    let (home, cli) = Home::with_vault().await;
    let house = home.open(kek(1)).await.unwrap();
    let mut generations = house.generations();
    let opened = open_for(&house, "github", "api.example.com").unwrap();
    generations.mark_unchanged();
    cli.rotate_kek(kek(2)).await.unwrap();
    cli.revoke(name("github"), None).await.unwrap();
    home.state.close().await;
    house.refresh().await.unwrap_err();
    assert!(generations.has_changed().unwrap());
    assert_eq!(house.usable_for(opened.ticket()), Err(UseError::Stale));
}

#[tokio::test]
async fn a_call_in_flight_outlives_a_rotation_and_no_change_of_the_rule() {
    let (_home, vault) = Home::with_vault().await;
    let opened = open_for(&vault, "github", "api.example.com").unwrap();
    vault.rotate(name("github"), secret(b"two"), Duration::from_secs(600)).await.unwrap();
    vault.rotate_kek(kek(2)).await.unwrap();
    vault.rotate_data_key(name("github")).await.unwrap();
    assert!(vault.usable_for(opened.ticket()).is_ok());
    vault.allow(name("github"), rule("*.example.com")).await.unwrap();
    assert_eq!(vault.usable_for(opened.ticket()), Err(UseError::Revoked));
    let opened = open_for(&vault, "github", "api.example.com").unwrap();
    vault.rm(name("github")).await.unwrap();
    assert_eq!(vault.usable_for(opened.ticket()), Err(UseError::Absent));
    tokio::time::sleep(Duration::from_millis(2)).await;
    vault.set(name("github"), rule("*.example.com"), secret(b"new life")).await.unwrap();
    vault.rotate(name("github"), secret(b"new life"), Duration::ZERO).await.unwrap();
    let usable = vault.usable_for(opened.ticket());
    assert_eq!(usable, Err(UseError::Revoked), "a version of the same number is another one");
}

#[tokio::test]
async fn uses_are_noted_without_a_new_generation() {
    let (home, vault) = Home::with_vault().await;
    vault.note_uses().await.unwrap();
    assert_eq!(vault.list()[0].versions[0].last_used, None);
    opens(&vault, "github").unwrap();
    let used = vault.list()[0].versions[0].last_used.unwrap();
    vault.note_uses().await.unwrap();
    vault.set(name("a"), rule("api.example.com"), secret(b"a")).await.unwrap();
    for vault in [&vault, &home.open(kek(1)).await.unwrap()] {
        assert_eq!(vault.list()[1].versions[0].last_used, Some(used));
    }
    assert_eq!(*vault.generations().borrow(), 2);
}
