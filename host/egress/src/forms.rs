//! What a secret looks like when somebody has written all of it down in another way: the forms that are searched for in
//! what comes back, beside the spellings of `spelling`.

use std::ops::Range;

use zeroize::Zeroizing;

use crate::spelling;

/// The forms of one or more secrets, longest first, none twice. They are overwritten when nobody needs them any more.
pub(crate) struct Forms {
    /// All of them, one behind the other.
    bytes: Zeroizing<Vec<u8>>,
    places: Vec<Range<usize>>,
}

/// Shorter secrets are searched for as they are, and in no other form: what is left of three bytes in another
/// coding is in every other text, and a guest that sees what is taken out of an echo could guess its way.
pub(crate) const CODED_BYTES_MIN: usize = 8;
/// Shorter ones are not searched for at all; what they were sent as still is, if that is longer.
pub(crate) const SEARCHED_BYTES_MIN: usize = 4;

/// What is looked at of a secret to know how its forms begin: so many bytes, and the rest of a character that goes on
/// behind them. In each coding they make at least [`SEARCHED_BYTES_MIN`] bytes.
const OUTLINE_BYTES: usize = 4;
const OUTLINE_BYTES_MAX: usize = OUTLINE_BYTES + 3;

/// The bytes that all forms of a secret need for each byte of it, at most.
const GROWTH_MAX: usize = 40;
/// The bytes that the beginnings of its spellings need, if nothing in them can be escaped.
const SPELLINGS_BYTES: usize = SEARCHED_BYTES_MIN;

impl Forms {
    pub(crate) fn of(secrets: &[&[u8]]) -> Self {
        // In room that is enough: a vector that grows would leave copies behind.
        let bytes = Zeroizing::new(Vec::with_capacity(secrets.iter().map(|secret| secret.len() * GROWTH_MAX).sum()));
        let mut forms = Self { bytes, places: Vec::with_capacity(32) };
        for secret in secrets {
            forms.add(secret, Kind::of(secret));
        }
        let Self { bytes, places } = &mut forms;
        let form = |place: &Range<usize>| bytes.get(place.clone());
        places.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| form(a).cmp(&form(b))));
        places.dedup_by(|a, b| form(a) == form(b));
        forms
    }

    /// The same of how the secrets begin: each form begins like one of these, for at least [`SEARCHED_BYTES_MIN`] bytes.
    /// They are few bytes, and all that it takes to see that a text has no form in it. Some may be there twice. Room for
    /// what few secrets need is not kept ready: to overwrite it would take longer than to make them.
    pub(crate) fn beginnings(secrets: &[&[u8]]) -> Self {
        let room = secrets.len() * (OUTLINE_BYTES_MAX * GROWTH_MAX + SPELLINGS_BYTES);
        let mut forms = Self { bytes: Zeroizing::new(Vec::with_capacity(room)), places: Vec::with_capacity(32) };
        for secret in secrets {
            let kind = Kind::of(secret);
            let text = kind.text.map(|text| text.ceil_char_boundary(OUTLINE_BYTES));
            let end = text.unwrap_or(OUTLINE_BYTES).min(secret.len());
            let start = secret.get(..end).unwrap_or_default();
            forms.add(start, Kind { text: kind.text.and_then(|text| text.get(..end)), is_beginning: true, ..kind });
            if kind.is_coded {
                let add = |beginning: &[u8]| forms.push(|out| out.extend_from_slice(beginning));
                spelling::beginnings(secret, SEARCHED_BYTES_MIN, add);
            }
        }
        forms
    }

    /// How long a form or a spelling of these secrets is at most.
    pub(crate) fn longest_of(secrets: &[&[u8]]) -> usize {
        let longest = |secret: &&[u8]| match secret.len() {
            0..SEARCHED_BYTES_MIN => 0,
            short @ SEARCHED_BYTES_MIN..CODED_BYTES_MIN => short,
            long => long * spelling::GROWTH_MAX,
        };
        secrets.iter().map(longest).max().unwrap_or(0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().filter_map(|place| self.bytes.get(place.clone()))
    }

    /// Adds the forms of a secret of this kind, or of how it begins.
    fn add(&mut self, secret: &[u8], Kind { is_coded, text, is_beginning }: Kind<'_>) {
        self.push(|out| out.extend_from_slice(secret));
        if !is_coded {
            return;
        }
        // A beginning has enough of itself where each byte becomes two, or a character six.
        let (pair, character) = match is_beginning {
            true => (secret.get(..2).unwrap_or(secret), text.map(|text| text.split_at(text.ceil_char_boundary(1)).0)),
            false => (secret, text),
        };
        for before in 0..3 {
            let mut has_special = false;
            self.push(|out| has_special = base64(out, before, secret, *b"+/"));
            if has_special {
                self.push(|out| _ = base64(out, before, secret, *b"-_"));
            }
        }
        for case in [Case::Lower, Case::Upper] {
            self.each(pair, |out, byte| out.extend_from_slice(&case.hex(byte)));
            self.each(pair, |out, byte| percent(out, byte, case));
        }
        if let (Some(text), Some(character)) = (text, character) {
            for case in [Case::Lower, Case::Upper] {
                self.units(character, |out, unit| {
                    let [[a, b], [c, d]] = unit.to_be_bytes().map(|byte| case.hex(byte));
                    out.extend_from_slice(&[b'\\', b'u', a, b, c, d]);
                });
            }
            self.units(text, |out, unit| out.extend_from_slice(&unit.to_le_bytes()));
            self.units(text, |out, unit| out.extend_from_slice(&unit.to_be_bytes()));
        }
    }

    fn each(&mut self, secret: &[u8], mut write: impl FnMut(&mut Vec<u8>, u8)) {
        self.push(|out| secret.iter().for_each(|byte| write(out, *byte)));
    }

    fn units(&mut self, text: &str, mut write: impl FnMut(&mut Vec<u8>, u16)) {
        self.push(|out| text.encode_utf16().for_each(|unit| write(out, unit)));
    }

    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let place = start..self.bytes.len();
        if place.len() < SEARCHED_BYTES_MIN {
            // What is left behind the end is overwritten with the rest.
            self.bytes.truncate(start);
        } else {
            self.places.push(place);
        }
    }
}

/// What decides which forms a secret has.
#[derive(Clone, Copy)]
struct Kind<'a> {
    is_coded: bool,
    text: Option<&'a str>,
    /// It is not all of the secret.
    is_beginning: bool,
}

impl<'a> Kind<'a> {
    fn of(secret: &'a [u8]) -> Self {
        let is_coded = secret.len() >= CODED_BYTES_MIN;
        Self { is_coded, text: str::from_utf8(secret).ok(), is_beginning: false }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Case {
    Lower,
    Upper,
}

impl Case {
    fn hex(self, byte: u8) -> [u8; 2] {
        let letters = if matches!(self, Self::Lower) { b'a' - 10 } else { b'A' - 10 };
        [byte >> 4, byte & 15].map(|value| value + if value < 10 { b'0' } else { letters })
    }
}

/// A secret as it stands in a query or a form.
pub(crate) fn percent_encoded(secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut coded = Zeroizing::new(Vec::with_capacity(secret.len() * 3));
    for byte in secret {
        if is_unreserved(*byte) { coded.push(*byte) } else { percent(&mut coded, *byte, Case::Upper) }
    }
    coded
}

/// What base64 (RFC 4648, sections 4 and 5) makes of a secret behind `before` other bytes: the characters that have
/// all of their bits from it. Returns whether it needed the last two of the alphabet, which differ.
fn base64(out: &mut Vec<u8>, before: usize, secret: &[u8], last_two: [u8; 2]) -> bool {
    let [first, second] = last_two;
    let mut needed = false;
    // The first bits of the secret that share a character with what comes before are left out.
    let mut count = 8 - (6 - 8 * before % 6) % 6;
    let mut bits = 0_u32;
    for byte in secret {
        bits = (bits << 8 | u32::from(*byte)) & 0xffff;
        while count >= 6 {
            count -= 6;
            let value = u8::try_from(bits >> count & 63).unwrap_or(0);
            needed |= value >= 62;
            out.push(match value {
                0..26 => b'A' + value,
                26..52 => b'a' + (value - 26),
                52..62 => b'0' + (value - 52),
                62 => first,
                _ => second,
            });
        }
        count += 8;
    }
    needed
}

fn percent(out: &mut Vec<u8>, byte: u8, case: Case) {
    let [high, low] = case.hex(byte);
    out.extend_from_slice(&[b'%', high, low]);
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form() {
        let secret = b"p/w\"rd+&<'~ x";
        let forms = Forms::of(&[&secret[..]]);
        let found = |text: &[u8]| forms.iter().any(|form| text.windows(form.len()).any(|window| window == form));
        for text in [
            "p/w\"rd+&<'~ x",
            "702f772272642b263c277e2078",
            "702F772272642B263C277E2078",
            "%70%2F%77%22%72%64%2B%26%3C%27%7E%20%78",
            "\\u0070\\u002f\\u0077\\u0022\\u0072\\u0064\\u002b\\u0026\\u003c\\u0027\\u007e\\u0020\\u0078",
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
        assert_eq!(Forms::of(&[&b"abc1234"[..]]).iter().collect::<Vec<_>>(), [b"abc1234"]);
        assert_eq!(Forms::of(&[&b"abc"[..]]).iter().count(), 0);
    }

    #[test]
    fn a_plain_secret_has_few_forms() {
        let count = Forms::of(&[&b"ghp_0123456789abcdefABCDEF"[..]]).iter().count();
        assert!(count <= 16, "{count}");
    }

    #[test]
    fn every_form_begins_like_a_beginning() {
        let secrets: [&[u8]; 8] = [
            b"ghp_0123456789abcdef",
            b"p/w\"rd+&<'~ x",
            b"abcd",
            b"abcdefg",
            b"abcdefgh",
            "gr\u{fc}\u{df}e \u{1f511}\u{1f511} aus \u{bd}".as_bytes(),
            "\u{1f511}\u{1f511}\u{1f511}".as_bytes(),
            b"\xff\xfe+/\x00\x01~~~~~~~~",
        ];
        for secret in secrets {
            let (forms, outline) = (Forms::of(&[secret]), Forms::beginnings(&[secret]));
            for form in forms.iter() {
                let begins = |other: &[u8]| form.starts_with(&other[..SEARCHED_BYTES_MIN]);
                assert!(outline.iter().any(begins), "{secret:?}: {form:?}");
                assert!(form.len() <= Forms::longest_of(&[secret]), "{secret:?}: {form:?}");
            }
        }
    }

    #[test]
    fn the_room_is_enough() {
        let plain: Vec<u8> = (b'a'..=b'z').collect();
        let escaped = b"\x01\x02\"\"\"\x27\x27\x27&&&&<<<///\\\\";
        for secrets in [&[&plain[..]][..], &[escaped], &[&[0xff; 30]], &[&plain, escaped]] {
            let forms = Forms::of(secrets);
            let room: usize = secrets.iter().map(|secret| secret.len() * GROWTH_MAX).sum();
            assert_eq!(forms.bytes.capacity(), room, "it did not grow");
        }
    }
}
