//! What tests seal in vaults comes out nowhere: everything that a program writes is looked through, in every test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Shorter values are words that may stand anywhere.
const LEAST: usize = 12;
const MARKUP: &str = "&<>\"'";

static PLANTED: Mutex<BTreeSet<Vec<u8>>> = Mutex::new(BTreeSet::new());

/// From now on this may not come out.
pub fn plant(value: &[u8]) {
    if value.len() >= LEAST {
        PLANTED.lock().unwrap().insert(value.to_vec());
    }
}

/// Fails if any value that was planted is in it, in any form that a program may write it in.
pub fn is_quiet(what: &str, text: &[u8]) {
    let (planted, text) = (PLANTED.lock().unwrap().clone(), String::from_utf8_lossy(text));
    for form in planted.iter().flat_map(|value| forms(value)) {
        assert!(!text.contains(&form), "{what} has {form}: {text}");
    }
}

/// The same for what a house keeps: its log, its records, its database. Compiled code is not looked through.
pub fn is_quiet_in(folder: &Path) {
    let state = folder.join(".certosa");
    let kek = state.join("kek");
    if let Ok(bytes) = fs::read(&kek) {
        plant(&bytes);
    }
    let kept = fs::read_dir(&state).into_iter().flatten().map(|entry| entry.unwrap().path());
    for file in kept.chain([folder.join("log")]).filter(|file| file.is_file() && *file != kek) {
        is_quiet(&file.display().to_string(), &fs::read(&file).unwrap());
    }
}

fn forms(value: &[u8]) -> Vec<String> {
    let hex = hex::encode(value);
    let mut forms = vec![hex.to_uppercase(), format!("{value:?}"), escaped(value, |_| true), hex];
    if let Ok(text) = std::str::from_utf8(value) {
        let json = serde_json::to_string(text).unwrap();
        let json = json.trim_matches('"');
        let markup: String =
            text.chars().map(|c| if MARKUP.contains(c) { format!("&#{};", c as u32) } else { c.to_string() }).collect();
        let named = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        let end = text.char_indices().rev().nth(LEAST - 1).map_or(0, |(index, _)| index);
        forms.extend([text, json, &json.replace('/', "\\/"), &text[end..]].map(str::to_owned));
        forms.extend([json.replace('&', "\\u0026"), json.replace('/', "\\/").replace('&', "\\u0026"), markup, named]);
        forms.push(escaped(value, |byte| !byte.is_ascii_alphanumeric() && !b"-._~".contains(&byte)));
    }
    for front in 0..3 {
        // In base64 what stands before shifts it; what the neighbours decide is left out.
        let shifted = [&vec![0; front][..], value].concat();
        let (from, to) = ((front * 8).div_ceil(6), shifted.len() * 8 / 6);
        forms.extend([STANDARD.encode(&shifted), URL_SAFE.encode(&shifted)].map(|text| text[from..to].to_owned()));
    }
    forms
}

fn escaped(value: &[u8], is_odd: impl Fn(u8) -> bool) -> String {
    value.iter().map(|&b| if is_odd(b) { format!("%{b:02X}") } else { char::from(b).to_string() }).collect()
}

#[test]
fn what_is_planted_is_found_in_every_form() {
    let value = b"a/value+that&is<looked for";
    plant(value);
    let shows = |text: &[u8]| std::panic::catch_unwind(|| is_quiet("text", text)).is_err();
    assert!(!shows(b"a/value+that&is<looked"));
    for text in [
        "-a/value+that&is<looked for-",
        "is<looked for",
        "612f76616c75652b746861742669733c6c6f6f6b656420666f72",
        "a%2Fvalue%2Bthat%26is%3Clooked%20for",
        "a\\/value+that&is<looked for",
        "a/value+that\\u0026is<looked for",
        "a\\/value+that\\u0026is<looked for",
        "a/value+that&amp;is&lt;looked for",
    ] {
        assert!(shows(text.as_bytes()), "{text}");
    }
    for before in ["", "x", "xy", "xyz"] {
        for engine in [&STANDARD, &URL_SAFE] {
            let text = engine.encode([before.as_bytes(), value, b"after"].concat());
            assert!(shows(text.as_bytes()), "{text}");
        }
    }
}
