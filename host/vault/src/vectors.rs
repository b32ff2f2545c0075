//! The vectors that other languages run: `tests/vectors/vault.json`, which `tests/vectors/vault.py` opens.

use certosa_model::{
    CredentialRule, HostPattern, Injection, Method, PathPattern, Pattern, Patterns, Purpose, Reach, Scheme,
};
use serde_json::{Value, json};

use crate::envelope::{Fresh, Place, Sealed, open, rewrap_with, seal};
use crate::generation::Mark;
use crate::kek::Kek;
use crate::record::Keys;
use crate::secret::{Key, Secret};

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
    let keys = Keys::of(kek(1), vault).unwrap();
    let mark = Mark { generation: 41, content: bytes(7) };
    json!({
        "format": "certosa vault 1",
        "sealed": sealed,
        "generation": { "kek": hex::encode(bytes::<32>(1)), "vault": hex::encode(vault), "line": mark.line(&keys) },
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
