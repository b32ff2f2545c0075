//! A field in the key-value store of OpenBao, version 2 (or of Vault, whose interface it keeps): a KEK, or the value of a
//! credential.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::str::FromStr;

use certosa_model::Host;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::source::{KekSourceError, Outside};
use crate::secret::{Secret, SecretLength};

/// The most that [`Outside::fetch`](crate::Outside::fetch) may bring.
pub const FETCHED_BYTES_MAX: usize = 64 << 10;
const URL_BYTES_MAX: usize = 1024;

/// One field of one secret: `openbao+https://host:port/v1/MOUNT/data/PATH#FIELD`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvField {
    url: String,
    field: String,
}

#[derive(Debug, thiserror::Error)]
pub enum KvError {
    #[error("cannot fetch {url}")]
    Fetch { url: String, source: Box<dyn Error + Send + Sync> },
    #[error("the answer of {url} is not what OpenBao's KV version 2 answers: {what}")]
    Answer { url: String, what: &'static str },
    #[error("the field `{field}` of {url} cannot be used")]
    Length { url: String, field: String, source: SecretLength },
}

impl KvField {
    /// The text of the field as the value of a credential, as it is there.
    pub async fn value(&self, outside: &mut impl Outside) -> Result<Secret, KvError> {
        let text = self.text(outside).await?;
        let (url, field) = (self.url.clone(), self.field.clone());
        Secret::new(text.as_bytes().to_vec()).map_err(|source| KvError::Length { url, field, source })
    }

    /// The text of the field.
    pub(super) async fn text(&self, outside: &mut impl Outside) -> Result<Zeroizing<String>, KvError> {
        let body = outside.fetch(&self.url).await;
        let body = body.map_err(|source| KvError::Fetch { url: self.url.clone(), source })?;
        self.read(&Zeroizing::new(body))
    }

    /// Takes the text out of `{"data":{"data":{FIELD:"…"}, …}, …}`. Nothing else is copied out of the answer.
    fn read(&self, body: &[u8]) -> Result<Zeroizing<String>, KvError> {
        let odd = |what| KvError::Answer { url: self.url.clone(), what };
        if body.len() > FETCHED_BYTES_MAX {
            return Err(odd("it has more than 64 KiB"));
        }
        let answer = member(body, "data").ok_or_else(|| odd("it has no object `data`"))?;
        let data = member(answer.get().as_bytes(), "data").ok_or_else(|| odd("there is no object `data` in `data`"))?;
        let value = member(data.get().as_bytes(), &self.field)
            .ok_or_else(|| odd("the field is not there, or the version was deleted"))?;
        // Without escapes it is borrowed, and the parser keeps nothing of it.
        let plain = serde_json::from_str::<&str>(value.get()).map(str::to_owned);
        let text = plain.or_else(|_| serde_json::from_str(value.get()));
        text.map(Zeroizing::new).map_err(|_| odd("the field is no text"))
    }
}

impl FromStr for KvField {
    type Err = KekSourceError;

    fn from_str(text: &str) -> Result<Self, KekSourceError> {
        let address = text.strip_prefix("openbao+").ok_or(KekSourceError::OpenBao)?;
        let (url, field) = address.split_once('#').ok_or(KekSourceError::OpenBao)?;
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
}

impl fmt::Display for KvField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "openbao+{}#{}", self.url, self.field)
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
        let field = KvField::from_str("openbao+https://bao.example:8200/v1/secret/data/kek#key").unwrap();
        let hex = "0123456789abcdef".repeat(4);
        let answer = |data: &str| format!(r#"{{"request_id":"1","data":{data},"warnings":null}}"#);
        let good = answer(&format!(r#"{{"data":{{"other":1,"key":"{hex}"}},"metadata":{{"version":3}}}}"#));
        assert_eq!(*field.read(good.as_bytes()).unwrap(), hex);
        let lines = answer(r#"{"data":{"key":"-----BEGIN\nEND\u002d"}}"#);
        assert_eq!(*field.read(lines.as_bytes()).unwrap(), "-----BEGIN\nEND-");
        for bad in [
            String::new(),
            "null".into(),
            "[]".into(),
            answer("null"),
            answer(r#"{"data":null,"metadata":{"deletion_time":"2026-01-01T00:00:00Z"}}"#),
            answer(&format!(r#"{{"key":"{hex}"}}"#)),
            answer(r#"{"data":{"key":1}}"#),
            answer(r#"{"data":{"key":null}}"#),
            answer(r#"{"data":{"key":{"value":"nested"}}}"#),
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
