//! What a secret looks like when somebody has written it down: every form that is searched for in what comes back.

use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::{Zeroize as _, Zeroizing};

/// The forms of one or more secrets, longest first, none twice. They are overwritten when nobody needs them any more.
pub(crate) struct Forms(Vec<Zeroizing<Vec<u8>>>);

/// Shorter secrets are searched for as they are, and in no other form: what is left of three bytes in another
/// coding is in every other text, and a guest that sees what is taken out of an echo could guess its way.
pub(crate) const CODED_BYTES_MIN: usize = 8;
/// Shorter ones are not searched for at all; what they were sent as still is, if that is longer.
pub(crate) const SEARCHED_BYTES_MIN: usize = 4;

impl Forms {
    pub(crate) fn of<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut forms = Self(Vec::with_capacity(48));
        for secret in secrets {
            forms.add(secret);
        }
        forms.0.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.0.dedup();
        forms
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|form| form.as_slice())
    }

    pub(crate) fn longest(&self) -> usize {
        self.0.first().map_or(0, |form| form.len())
    }

    fn add(&mut self, secret: &[u8]) {
        if secret.len() < SEARCHED_BYTES_MIN {
            return;
        }
        self.push(secret.to_vec());
        if secret.len() < CODED_BYTES_MIN {
            return;
        }
        for before in 0..3 {
            self.push(base64(&STANDARD_NO_PAD, before, secret));
            self.push(base64(&URL_SAFE_NO_PAD, before, secret));
        }
        for case in [Case::Lower, Case::Upper] {
            self.push(each(secret, 2, |out, byte| out.extend(case.hex(byte))));
            self.push(each(secret, 3, |out, byte| percent(out, byte, case)));
            self.push(each(
                secret,
                3,
                |out, byte| if is_unreserved(byte) { out.push(byte) } else { percent(out, byte, case) },
            ));
        }
        // As forms have it (WHATWG URL, section 5.2): `*` stays as it is, `~` does not, and a space is a plus.
        self.push(each(secret, 3, |out, byte| match byte {
            b' ' => out.push(b'+'),
            b'*' => out.push(byte),
            b'~' => percent(out, byte, Case::Upper),
            _ if is_unreserved(byte) => out.push(byte),
            _ => percent(out, byte, Case::Upper),
        }));
        if let Ok(text) = str::from_utf8(secret) {
            self.add_text(text);
        }
    }

    /// The forms that only text has: JSON (RFC 8259, section 7), HTML, and UTF-16.
    fn add_text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        for slash in [&b"/"[..], b"\\/"] {
            self.push(each(bytes, 6, |out, byte| match byte {
                b'"' | b'\\' => out.extend([b'\\', byte]),
                b'/' => out.extend(slash),
                0..0x20 => out.extend(format!("\\u{byte:04x}").bytes()),
                _ => out.push(byte),
            }));
        }
        for case in [Case::Lower, Case::Upper] {
            self.push(units(text, |out, unit| {
                out.extend(b"\\u");
                unit.to_be_bytes().iter().for_each(|byte| out.extend(case.hex(*byte)));
            }));
        }
        for apostrophe in [&b"&#39;"[..], b"&#x27;", b"&apos;", b"'"] {
            self.push(each(bytes, 6, |out, byte| match byte {
                b'&' => out.extend(b"&amp;"),
                b'<' => out.extend(b"&lt;"),
                b'>' => out.extend(b"&gt;"),
                b'"' => out.extend(b"&quot;"),
                b'\'' => out.extend(apostrophe),
                _ => out.push(byte),
            }));
        }
        self.push(units(text, |out, unit| out.extend(unit.to_le_bytes())));
        self.push(units(text, |out, unit| out.extend(unit.to_be_bytes())));
    }

    fn push(&mut self, form: Vec<u8>) {
        let form = Zeroizing::new(form);
        if form.len() >= SEARCHED_BYTES_MIN && !self.0.contains(&form) {
            self.0.push(form);
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Case {
    Lower,
    Upper,
}

impl Case {
    fn hex(self, byte: u8) -> [u8; 2] {
        let digit = |value: u8| match (value, self) {
            (0..10, _) => b'0' + value,
            (_, Self::Lower) => b'a' + value - 10,
            (_, Self::Upper) => b'A' + value - 10,
        };
        [digit(byte >> 4), digit(byte & 15)]
    }
}

/// A secret as it stands in a query or a form.
pub(crate) fn percent_encoded(secret: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(each(
        secret,
        3,
        |out, byte| {
            if is_unreserved(byte) { out.push(byte) } else { percent(out, byte, Case::Upper) }
        },
    ))
}

/// What base64 makes of a secret behind `before` other bytes: the characters that all of their bits has in them.
fn base64(engine: &impl base64::Engine, before: usize, secret: &[u8]) -> Vec<u8> {
    let mut padded = Zeroizing::new(vec![0; before + secret.len()]);
    if let Some(place) = padded.get_mut(before..) {
        place.copy_from_slice(secret);
    }
    let mut all = engine.encode(&*padded);
    let (first, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
    let form = all.as_bytes().get(first..end).unwrap_or_default().to_vec();
    all.zeroize();
    form
}

/// Writes byte for byte into room that is enough: a vector that grows would leave copies behind.
fn each(secret: &[u8], most: usize, mut write: impl FnMut(&mut Vec<u8>, u8)) -> Vec<u8> {
    let mut out = Vec::with_capacity(secret.len() * most);
    secret.iter().for_each(|byte| write(&mut out, *byte));
    out
}

fn units(text: &str, mut write: impl FnMut(&mut Vec<u8>, u16)) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 6);
    text.encode_utf16().for_each(|unit| write(&mut out, unit));
    out
}

fn percent(out: &mut Vec<u8>, byte: u8, case: Case) {
    out.push(b'%');
    out.extend(case.hex(byte));
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form() {
        let secret = b"p/w\"rd+&<'~ x";
        let forms = Forms::of([&secret[..]]);
        let found = |text: &[u8]| forms.iter().any(|form| text.windows(form.len()).any(|window| window == form));
        for text in [
            "p/w\"rd+&<'~ x",
            "702f772272642b263c277e2078",
            "702F772272642B263C277E2078",
            "p%2Fw%22rd%2B%26%3C%27~%20x",
            "p%2fw%22rd%2b%26%3c%27~%20x",
            "p%2Fw%22rd%2B%26%3C%27%7E+x",
            "%70%2F%77%22%72%64%2B%26%3C%27%7E%20%78",
            "p/w\\\"rd+&<'~ x",
            "p\\/w\\\"rd+&<'~ x",
            "\\u0070\\u002f\\u0077\\u0022\\u0072\\u0064\\u002b\\u0026\\u003c\\u0027\\u007e\\u0020\\u0078",
            "p/w&quot;rd+&amp;&lt;&#39;~ x",
        ] {
            assert!(found(text.as_bytes()), "{text}");
        }
        for before in 0..7 {
            for after in 0..4 {
                let all = [&b"1234567"[..before], secret, &b"abcd"[..after]].concat();
                assert!(found(STANDARD_NO_PAD.encode(&all).as_bytes()), "{before} {after}");
                assert!(found(URL_SAFE_NO_PAD.encode(&all).as_bytes()), "{before} {after}");
            }
        }
    }

    #[test]
    fn a_short_secret_is_searched_for_as_it_is() {
        assert_eq!(Forms::of([&b"abc1234"[..]]).iter().collect::<Vec<_>>(), [b"abc1234"]);
        assert_eq!(Forms::of([&b"abc"[..]]).iter().count(), 0);
    }

    #[test]
    fn a_plain_secret_has_few_forms() {
        let count = Forms::of([&b"ghp_0123456789abcdefABCDEF"[..]]).iter().count();
        assert!(count <= 16, "{count}");
    }
}
