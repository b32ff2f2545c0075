//! A secret as text in which some of its characters are written in another way: as JSON (RFC 8259, section 7), languages
//! with `\x`, percent-encoding (RFC 3986, section 2.1), forms and HTML do, each of them or any mixture. Which characters
//! are escaped differs from library to library, so each of them may be or not; only what nobody escapes alone has to be
//! as it is.

use std::io::Write as _;

use zeroize::Zeroizing;

use crate::forms::Case;

/// For each byte of the secret, a spelling has at most so many.
pub(crate) const GROWTH_MAX: usize = 6;

/// How many bytes of `text` are a spelling of the secret, if it begins with one; the most, if there are several ways to read
/// it.
pub(crate) fn begins(text: &[u8], secret: &[u8]) -> Option<usize> {
    // All places of the text that what came of the secret may end at: `\\` can be one character of it or two.
    let (mut ends, mut next) = (vec![0], Vec::new());
    for unit in units(secret) {
        for end in ends.drain(..) {
            let rest = text.get(end..).unwrap_or_default();
            let mut meet = |spelling: &[u8], is_same: fn(&[u8], &[u8]) -> bool| {
                if rest.get(..spelling.len()).is_some_and(|start| is_same(start, spelling)) {
                    next.push(end + spelling.len());
                }
            };
            meet(unit, |a, b| a == b);
            others(unit, Case::Lower, |spelling| meet(spelling, <[u8]>::eq_ignore_ascii_case));
        }
        next.sort_unstable();
        next.dedup();
        std::mem::swap(&mut ends, &mut next);
        if ends.is_empty() {
            break;
        }
    }
    ends.last().copied()
}

/// How spellings of the secret begin: so many bytes of each, some of them twice.
pub(crate) fn beginnings(secret: &[u8], bytes: usize, mut add: impl FnMut(&[u8])) {
    // As most keys do: in one way only.
    if let Some(start) = secret.get(..bytes).filter(|start| is_plain(start)) {
        add(start);
        return;
    }
    let units: Vec<_> = units(secret).take(bytes).collect();
    let mut made = Zeroizing::new(Vec::with_capacity(bytes * 2 + GROWTH_MAX * 4));
    go_on(&units, bytes, &mut made, &mut add);
}

fn go_on(units: &[&[u8]], bytes: usize, made: &mut Vec<u8>, add: &mut impl FnMut(&[u8])) {
    if let Some(beginning) = made.get(..bytes) {
        add(beginning);
        return;
    }
    let Some((unit, rest)) = units.split_first() else { return };
    let end = made.len();
    let mut with = |spelling: &[u8]| {
        made.extend_from_slice(spelling);
        go_on(rest, bytes, made, add);
        made.truncate(end);
    };
    with(unit);
    for case in [Case::Lower, Case::Upper] {
        others(unit, case, &mut with);
    }
}

/// The characters, and the bytes that are in none.
fn units(secret: &[u8]) -> impl Iterator<Item = &[u8]> {
    secret.utf8_chunks().flat_map(|chunk| {
        let text = chunk.valid();
        let characters = text.char_indices().filter_map(move |(at, c)| text.as_bytes().get(at..at + c.len_utf8()));
        characters.chain(chunk.invalid().chunks(1))
    })
}

/// Nobody escapes these.
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte))
}

/// How else it is written, with hexadecimal digits in this case.
fn others(unit: &[u8], case: Case, mut each: impl FnMut(&[u8])) {
    if is_plain(unit) {
        return;
    }
    let mut made = Zeroizing::new(Vec::with_capacity(GROWTH_MAX * 4));
    let mut spell = |write: &dyn Fn(&mut Vec<u8>)| {
        made.clear();
        write(&mut made);
        if (1..=GROWTH_MAX * unit.len()).contains(&made.len()) {
            each(&made);
        }
    };
    spell(&|out| unit.iter().for_each(|byte| hex(out, "%", 2, (*byte).into(), case)));
    spell(&|out| unit.iter().for_each(|byte| hex(out, "\\x", 2, (*byte).into(), case)));
    let Some(character) = str::from_utf8(unit).ok().and_then(|text| text.chars().next()) else { return };
    let number = u32::from(character);
    spell(&|out| {
        let mut pair = [0; 2];
        character.encode_utf16(&mut pair).iter().for_each(|unit| hex(out, "\\u", 4, (*unit).into(), case));
    });
    spell(&|out| {
        hex(out, "&#x", 1, number, case);
        out.push(b';');
    });
    for zero in ["", "0"] {
        // Writing to a vector does not fail.
        spell(&|out| _ = write!(out, "&#{zero}{number};"));
    }
    for known in short(character) {
        spell(&|out| out.extend_from_slice(known.as_bytes()));
    }
}

fn hex(out: &mut Vec<u8>, mark: &str, digits: usize, number: u32, case: Case) {
    // Writing to a vector does not fail.
    let _written = match case {
        Case::Lower => write!(out, "{mark}{number:0digits$x}"),
        Case::Upper => write!(out, "{mark}{number:0digits$X}"),
    };
}

/// Those that have a name.
fn short(character: char) -> &'static [&'static str] {
    match character {
        '"' => &["\\\"", "&quot;"],
        '\'' => &["\\'", "&apos;"],
        '\\' => &["\\\\"],
        '/' => &["\\/"],
        '&' => &["&amp;"],
        '<' => &["&lt;"],
        '>' => &["&gt;"],
        ' ' => &["+"],
        '\u{8}' => &["\\b"],
        '\u{c}' => &["\\f"],
        '\n' => &["\\n"],
        '\r' => &["\\r"],
        '\t' => &["\\t"],
        _ => &[],
    }
}

/// A spelling for each number, for tests.
#[cfg(test)]
pub(crate) fn spelled(secret: &[u8], mut number: impl FnMut(usize) -> usize) -> Vec<u8> {
    let mut text = Vec::new();
    for unit in units(secret) {
        let mut all = vec![unit.to_vec()];
        for case in [Case::Lower, Case::Upper] {
            others(unit, case, |spelling| all.push(spelling.to_vec()));
        }
        text.extend(&all[number(all.len())]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"ghp_Pl4nted/Key+With&Forms=16";

    fn whole(text: &str, secret: &[u8]) -> Option<usize> {
        begins(text.as_bytes(), secret)
    }

    #[test]
    fn libraries_escape_what_they_like() {
        for text in [
            "ghp_Pl4nted/Key+With&Forms=16",
            // Go, Rails; .NET; PHP; Python's quote() and JavaScript's encodeURI.
            r"ghp_Pl4nted/Key+With\u0026Forms=16",
            r"ghp_Pl4nted/Key\u002BWith\u0026Forms=16",
            r"ghp_Pl4nted\/Key+With&Forms=16",
            "ghp_Pl4nted/Key%2BWith%26Forms%3D16",
            "ghp_Pl4nted/Key+With&Forms=16",
            "ghp_Pl4nted/Key&#43;With&amp;Forms&#x3D;16",
            r"ghp_Pl4nted\x2fKey%2bWith&#038;Forms\u003d16",
        ] {
            assert_eq!(whole(text, SECRET), Some(text.len()), "{text}");
            assert_eq!(whole(&format!("{text}/"), SECRET), Some(text.len()), "{text}");
            for cut in 0..text.len() {
                assert_eq!(begins(&text.as_bytes()[..cut], SECRET), None, "{text}: {cut}");
            }
        }
        assert_eq!(begins(b"ghp_Pl4nted/Key+With&Forms=17", SECRET), None);
        let key = "-----BEGIN KEY-----\nMIIE\t\u{fc}\u{1f511}\n";
        for text in [
            r"-----BEGIN KEY-----\nMIIE\t\u00fc\uD83D\udd11\n",
            r"-----BEGIN KEY-----\u000aMIIE\u0009ü🔑\n",
            "-----BEGIN+KEY-----%0AMIIE%09%C3%BC%f0%9f%94%91%0a",
            "-----BEGIN KEY-----&#10;MIIE&#9;&#252;&#x1F511;\n",
        ] {
            assert_eq!(whole(text, key.as_bytes()), Some(text.len()), "{text}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_read_in_the_longer_one() {
        assert_eq!(whole(r"a\\b", br"a\b"), Some(4));
        assert_eq!(whole(r"a\\b", br"a\\b"), Some(4));
        assert_eq!(whole(r"a\\\\b", br"a\\b"), Some(6));
        assert_eq!(whole("a%25", b"a%"), Some(4));
        assert_eq!(begins(b"a%2", b"a%"), Some(2));
    }
}
