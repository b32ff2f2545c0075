//! The vectors that other languages run: `tests/vectors/vault.json`, which `tests/vectors/vault.py` opens.

use std::sync::Arc;

use certosa_model::{
    CredentialName, CredentialRule, HostPattern, Injection, Method, PathPattern, Pattern, Patterns, Purpose, Reach,
    Scheme,
};
use hmac::Mac as _;
use serde_json::{Value, json};

use crate::envelope::{Fresh, Place, Sealed, open, rewrap_with, seal};
use crate::kek::{Derivation, Kek};
use crate::record::{Credential, Keys, Version};
use crate::secret::{Key, Secret};
use crate::snapshot::{Snapshot, VersionState};

/// The rule of most tests: whatever bundle may send it to this host.
pub(crate) fn rule(host: &str) -> CredentialRule {
    let reach = Reach {
        schemes: vec![Scheme::Https],
        hosts: vec![HostPattern::new(host).unwrap()],
        ports: vec![443],
        methods: vec![Method::new("GET").unwrap()],
        paths: vec![PathPattern::new("/v1/**").unwrap()],
    };
    CredentialRule {
        allowed_subs: Patterns::new(vec![Pattern::new("bundle/**").unwrap()]),
        allowed_callers: None,
        purpose: Purpose::Send { reach, injection: Injection::Bearer },
        per_minute_max: None,
    }
}

fn bytes<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|index| first.wrapping_add(index as u8))
}

fn kek(first: u8) -> Kek {
    Kek::new(&bytes(first)).unwrap()
}

fn fresh(first: u8) -> Fresh {
    let mut data_key = Key::zero();
    data_key.fill().copy_from_slice(&bytes::<32>(first));
    let [salt, wrap_nonce, nonce] = [0x20, 0x40, 0x50].map(|more| first.wrapping_add(more));
    Fresh { salt: bytes(salt), wrap_nonce: bytes(wrap_nonce), nonce: bytes(nonce), data_key }
}

fn vector(what: &str, kek_bytes: [u8; 32], place: &Place<'_>, sealed: &Sealed, value: &[u8]) -> Value {
    json!({
        "what": what,
        "kek": hex::encode(kek_bytes),
        "vault": hex::encode(place.vault),
        "name": place.name,
        "version": place.version,
        "rule": hex::encode(place.rule),
        "kek_id": hex::encode(sealed.kek_id),
        "salt": hex::encode(sealed.salt),
        "wrap_nonce": hex::encode(sealed.wrap_nonce),
        "wrapped_key": hex::encode(sealed.wrapped_key),
        "commitment": hex::encode(sealed.commitment),
        "nonce": hex::encode(sealed.nonce),
        "ciphertext": hex::encode(&sealed.ciphertext),
        "value": hex::encode(value),
    })
}

/// A vault of one credential at generation 41, with the codes that hold it together.
fn codes(keys: &Arc<Keys>, sealed: &Sealed, rule: CredentialRule) -> Value {
    let uses = Arc::default();
    let retiring = VersionState::Retiring { until: 1_800_000_000_000 };
    let revoked = VersionState::Revoked;
    let version = |number, state, sealed| Version { number, state, sealed, created: 7, uses: Arc::clone(&uses) };
    let mut credential = Credential {
        name: CredentialName::new("github").unwrap(),
        rule_bytes: rule.canonical(),
        rule,
        created: 1_700_000_000_000,
        versions: vec![version(1, revoked, None), version(2, retiring, Some(sealed.clone()))],
        mac: [0; 32],
    };
    credential.mac = credential.code(keys).finalize().into_bytes().into();
    let credentials = [(credential.name.clone(), Arc::new(credential.clone()))].into();
    let (snapshot, head) = Snapshot::make(Arc::clone(keys), 41, credentials);
    let versions = credential.versions.iter().map(|version| {
        let row = version.row(&credential.name);
        let parts = [&row.kek_id, &row.salt, &row.wrap_nonce, &row.wrapped_key, &row.commitment, &row.nonce];
        json!({
            "version": row.version, "state": row.state, "created": row.created, "retires_at": row.retires_at,
            "sealed": parts.into_iter().chain([&row.ciphertext]).map(hex::encode).collect::<Vec<_>>(),
        })
    });
    json!({
        "kek": hex::encode(bytes::<32>(1)),
        "vault": hex::encode(keys.vault),
        "name": "github",
        "rule": hex::encode(&credential.rule_bytes),
        "created": credential.created,
        "versions": versions.collect::<Vec<_>>(),
        "credential_mac": hex::encode(credential.mac),
        "generation": head.generation,
        "kek_id": hex::encode(&head.kek_id),
        "kek_check": hex::encode(&head.kek_check),
        "vault_mac": hex::encode(&head.mac),
        "generation_line": snapshot.mark.line(keys),
    })
}

fn passphrase() -> Value {
    let mut derivation = [64_u32, 1, 4].map(u32::to_be_bytes).concat();
    derivation.extend_from_slice(&bytes::<16>(0x70));
    let phrase = "correct horse battery staple";
    let kek = Derivation::from_bytes(&derivation).unwrap();
    let kek = kek.kek(&Secret::new(phrase.into()).unwrap(), false).unwrap();
    json!({ "phrase": phrase, "derivation": hex::encode(derivation), "kek_id": hex::encode(kek.id()) })
}

fn vectors() -> Value {
    let vault = bytes(0x90);
    let rules = [rule("api.example.com").canonical(), rule("*.example.com").canonical()];
    let long: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let values: [&[u8]; 3] = [b"x", b"a token, as servers give them", &long];
    let mut sealed = Vec::new();
    for (value, number) in values.into_iter().zip(1..) {
        let rule = &rules[usize::from(number == 2)];
        let place = Place { vault: &vault, name: "github", version: u64::from(number), rule };
        let secret = Secret::new(value.to_vec()).unwrap();
        let found = seal(&kek(1), &place, &secret, fresh(number)).unwrap();
        assert_eq!(open(&kek(1), &place, &found).unwrap().expose(), value);
        sealed.push(vector(&format!("{} bytes", value.len()), bytes(1), &place, &found, value));
        let again = rewrap_with(&kek(1), &kek(2), &place, &found, fresh(number + 100)).unwrap();
        sealed.push(vector(&format!("{} bytes, under another KEK", value.len()), bytes(2), &place, &again, value));
    }
    let keys = Arc::new(Keys::of(kek(1), vault).unwrap());
    let rule = rule("api.example.com");
    let place = Place { vault: &vault, name: "github", version: 2, rule: &rule.canonical() };
    let one = seal(&kek(1), &place, &Secret::new(b"value".to_vec()).unwrap(), fresh(9)).unwrap();
    json!({
        "format": "certosa vault 1",
        "sealed": sealed,
        "codes": codes(&keys, &one, rule),
        "passphrase": passphrase(),
    })
}

/// Set `CERTOSA_BLESS` to write the file anew.
#[test]
fn the_vectors_are_what_is_computed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/vault.json");
    let computed = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("CERTOSA_BLESS").is_some() {
        std::fs::write(path, &computed).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), computed);
}
