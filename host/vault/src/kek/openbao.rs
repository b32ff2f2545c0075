//! A KEK in the key-value store of OpenBao, version 2 (or of Vault, whose interface it keeps).

use std::borrow::Cow;
use std::collections::BTreeMap;

use certosa_model::Host;
use serde_json::value::RawValue;

use super::Kek;
use super::source::{KekError, KekSourceError};

/// The most that [`Outside::fetch`](crate::Outside::fetch) may bring.
pub const FETCHED_BYTES_MAX: usize = 64 << 10;
const URL_BYTES_MAX: usize = 1024;

/// One field of one secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvField {
    url: String,
    field: String,
}

impl KvField {
    pub(super) fn new(text: &str) -> Result<Self, KekSourceError> {
        let (url, field) = text.split_once('#').ok_or(KekSourceError::OpenBao)?;
        let (authority, path) =
            url.strip_prefix("https://").and_then(|rest| rest.split_once("/v1/")).ok_or(KekSourceError::OpenBao)?;
        let (mount, secret) = path.split_once("/data/").ok_or(KekSourceError::OpenBao)?;
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let are_segments =
            |path: &str| path.split('/').all(|part| !matches!(part, "" | "." | "..") && part.bytes().all(is_plain));
        let fits = url.len() <= URL_BYTES_MAX
            && is_authority(authority)
            && are_segments(mount)
            && are_segments(secret)
            && (1..=128).contains(&field.len())
            && field.bytes().all(is_plain);
        if fits { Ok(Self { url: url.to_owned(), field: field.to_owned() }) } else { Err(KekSourceError::OpenBao) }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Takes the KEK out of `{"data":{"data":{FIELD:"…"}, …}, …}`. Nothing is copied out of the answer but the KEK.
    pub(super) fn read(&self, body: &[u8]) -> Result<Kek, KekError> {
        let odd = |what| KekError::Answer { url: self.url.clone(), what };
        if body.len() > FETCHED_BYTES_MAX {
            return Err(odd("it has more than 64 KiB"));
        }
        let answer = member(body, "data").ok_or_else(|| odd("it has no object `data`"))?;
        let data = member(answer.get().as_bytes(), "data").ok_or_else(|| odd("there is no object `data` in `data`"))?;
        let value = member(data.get().as_bytes(), &self.field)
            .ok_or_else(|| odd("the field is not there, or the version was deleted"))?;
        // Borrowed, so a text with escapes is refused: neither hex nor base64 needs any.
        let text: &str = serde_json::from_str(value.get()).map_err(|_| odd("the field is no plain text"))?;
        let from = || format!("the field `{}` of {}", self.field, self.url);
        Kek::parse_text(text.as_bytes()).map_err(|source| KekError::Shape { from: from(), source })
    }
}

fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a RawValue> {
    let mut members: BTreeMap<Cow<'a, str>, &'a RawValue> = serde_json::from_slice(object).ok()?;
    members.remove(name)
}

fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None => return false,
        },
        None if text.starts_with('[') => return false,
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let is_address = text.starts_with('[') == host.contains(':');
    is_address && Host::new(host).is_ok() && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_field_of_an_answer_is_read() {
        let field = KvField::new("https://bao.example:8200/v1/secret/data/kek#key").unwrap();
        let hex = "0123456789abcdef".repeat(4);
        let answer = |data: &str| format!(r#"{{"request_id":"1","data":{data},"warnings":null}}"#);
        let good = answer(&format!(r#"{{"data":{{"other":1,"key":"{hex}"}},"metadata":{{"version":3}}}}"#));
        assert!(field.read(good.as_bytes()).is_ok());
        for bad in [
            String::new(),
            "null".into(),
            "[]".into(),
            answer("null"),
            answer(r#"{"data":null,"metadata":{"deletion_time":"2026-01-01T00:00:00Z"}}"#),
            answer(&format!(r#"{{"key":"{hex}"}}"#)),
            answer(r#"{"data":{"key":1}}"#),
            answer(r#"{"data":{"key":"\u0030123"}}"#),
            answer(r#"{"data":{"key":"short"}}"#),
            format!("{good}{}", " ".repeat(FETCHED_BYTES_MAX)),
            good[..good.len() - 1].to_owned(),
        ] {
            let error = field.read(bad.as_bytes()).unwrap_err();
            assert!(!format!("{error:?}{error}").contains(&hex), "{error}");
        }
    }

    #[test]
    fn addresses_of_servers_are_checked() {
        for good in ["bao.example", "bao.example:8200", "127.0.0.1:1", "[::1]", "[::1]:8200"] {
            assert!(is_authority(good), "{good}");
        }
        for bad in ["", ":1", "a:", "a:0", "a:70000", "::1", "[::1", "[::1]a", "[a]", "a:1:2", "A", "a@b", "[::1]:"] {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
