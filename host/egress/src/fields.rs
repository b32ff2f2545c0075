//! A secret as a parameter of a query, a member of JSON or a field of a form, and the guest's own of that name.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use zeroize::Zeroizing;

use crate::error::InjectError;
use crate::forms::percent_encoded;

/// The target with this parameter at its end, and without any of that name, however it is spelled: which one of two
/// an upstream takes is not known.
pub(crate) fn replace_query(target: &str, name: &str, coded: &[u8]) -> Zeroizing<Vec<u8>> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let name_coded = percent_encoded(name.as_bytes());
    let mut all = Zeroizing::new(Vec::with_capacity(target.len() + name_coded.len() + coded.len() + 3));
    all.extend_from_slice(path.as_bytes());
    let mut separator = b'?';
    for pair in query.split('&').filter(|pair| !pair.is_empty() && !is_named(pair.as_bytes(), name)) {
        all.push(separator);
        all.extend_from_slice(pair.as_bytes());
        separator = b'&';
    }
    all.push(separator);
    all.extend_from_slice(&name_coded);
    all.push(b'=');
    all.extend_from_slice(coded);
    all
}

/// `"name":"secret"`.
pub(crate) fn json_member(name: &str, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, InjectError> {
    let secret = str::from_utf8(secret).map_err(|_| InjectError::NotUtf8)?;
    // JSON makes at most six bytes of one: there is no growing, which would leave copies behind.
    let mut member = Zeroizing::new(Vec::with_capacity((name.len() + secret.len()) * 6 + 5));
    let written = serde_json::to_writer(&mut *member, name).and_then(|()| {
        member.push(b':');
        serde_json::to_writer(&mut *member, secret)
    });
    written.map(|()| member).map_err(|_| InjectError::NotUtf8)
}

/// A JSON object with one member more, which it must not have yet.
pub(crate) fn add_member(body: &[u8], name: &str, member: &[u8]) -> Result<Zeroizing<Vec<u8>>, InjectError> {
    let not_object = InjectError::Body("a JSON object");
    let mut keys = Keys { name, count: 0, is_there: false };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = (&mut keys).deserialize(&mut reader).and_then(|()| reader.end());
    read.map_err(|_| not_object)?;
    if keys.is_there {
        return Err(InjectError::Duplicate);
    }
    let open = body.iter().position(|byte| *byte == b'{').ok_or(not_object)?;
    let (head, tail) = body.split_at_checked(open + 1).ok_or(not_object)?;
    let mut all = Zeroizing::new(Vec::with_capacity(body.len() + member.len() + 1));
    all.extend_from_slice(head);
    all.extend_from_slice(member);
    if keys.count > 0 {
        all.push(b',');
    }
    all.extend_from_slice(tail);
    Ok(all)
}

/// A form with one field more, which it must not have yet.
pub(crate) fn add_field(body: &[u8], name: &str, field: &[u8]) -> Result<Zeroizing<Vec<u8>>, InjectError> {
    if !body.iter().all(u8::is_ascii_graphic) {
        return Err(InjectError::Body("a form"));
    }
    if body.split(|byte| *byte == b'&').any(|pair| is_named(pair, name)) {
        return Err(InjectError::Duplicate);
    }
    let mut all = Zeroizing::new(Vec::with_capacity(body.len() + field.len() + 1));
    all.extend_from_slice(field);
    if !body.is_empty() {
        all.push(b'&');
        all.extend_from_slice(body);
    }
    Ok(all)
}

/// Whether a pair of a query or a form has this name once its escapes are read. Letter case does not tell two apart:
/// some upstreams do not look at it.
fn is_named(pair: &[u8], name: &str) -> bool {
    let raw = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    let mut read = Vec::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        rest = match rest {
            [] => break,
            [b'%', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                read.push(digit(*high) << 4 | digit(*low));
                after
            }
            [byte, after @ ..] => {
                read.push(if *byte == b'+' { b' ' } else { *byte });
                after
            }
        };
    }
    read.eq_ignore_ascii_case(name.as_bytes())
}

fn digit(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        _ => (hex | 0x20).wrapping_sub(b'a') + 10,
    }
}

/// Letters of either case, and those that libraries take for one of them (`\u{212a}` for a k).
fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

/// The names of the members of an object; everything in it has to be JSON.
struct Keys<'a> {
    name: &'a str,
    count: usize,
    is_there: bool,
}

impl<'de> DeserializeSeed<'de> for &mut Keys<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Keys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<String>()? {
            members.next_value::<IgnoredAny>()?;
            self.count += 1;
            self.is_there |= folded(&key).eq(folded(self.name));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Zeroizing<Vec<u8>>) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_parameter_replaces_the_guests_own() {
        let replaced = |target| text(replace_query(target, "api_key", b"S"));
        assert_eq!(replaced("/a"), "/a?api_key=S");
        assert_eq!(replaced("/a?b=1&c"), "/a?b=1&c&api_key=S");
        assert_eq!(replaced("/a?api_key=x&b=1&%61pi%5fkey=y&API_KEY=z&api_key"), "/a?b=1&api_key=S");
        assert_eq!(replaced("/a?api_key2=x&%zz=1"), "/a?api_key2=x&%zz=1&api_key=S");
    }

    #[test]
    fn a_member_is_added_once() {
        let member = json_member("key", b"a\"b").unwrap();
        let added = |body: &str| add_member(body.as_bytes(), "key", &member).map(text);
        assert_eq!(added("{}").unwrap(), r#"{"key":"a\"b"}"#);
        assert_eq!(added(r#" {"a":{"key":1}}"#).unwrap(), r#" {"key":"a\"b","a":{"key":1}}"#);
        // Some libraries read the last of these as the same member.
        for own in [r#"{"\u006bey":1}"#, r#"{"KEY":1}"#, "{\"\u{212a}ey\":1}"] {
            assert_eq!(added(own), Err(InjectError::Duplicate), "{own}");
        }
        for bad in ["", "[]", "{", "{}{}", "{\"a\":}", "null", "\u{feff}{}"] {
            assert_eq!(added(bad), Err(InjectError::Body("a JSON object")), "{bad}");
        }
        assert_eq!(json_member("key", b"\xff").map(text), Err(InjectError::NotUtf8));
    }

    #[test]
    fn a_field_is_added_once() {
        let added = |body: &str| add_field(body.as_bytes(), "key", b"key=S").map(text);
        assert_eq!(added("").unwrap(), "key=S");
        assert_eq!(added("a=1&b").unwrap(), "key=S&a=1&b");
        assert_eq!(added("a=1&k%65y=2"), Err(InjectError::Duplicate));
        assert_eq!(added("a b"), Err(InjectError::Body("a form")));
    }
}
