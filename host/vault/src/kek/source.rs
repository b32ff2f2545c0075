//! Where a KEK comes from. One source, and no other if it fails.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zeroize::Zeroizing;

use super::exec::{Helper, HelperError};
use super::openbao::{KvError, KvField};
use super::passphrase::Derivation;
use super::{Kek, KekShape, file};
use crate::secret::Secret;

/// A source, as the operator wrote it. `docs/vault.md` has recipes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KekSource {
    /// `file:///absolute/path`
    File(AbsolutePath),
    /// `env://NAME`
    Env(Variable),
    /// `passphrase`
    Passphrase,
    /// `exec:///absolute/path?arg=a&arg=b`
    Exec(Helper),
    /// `openbao+https://host:port/v1/MOUNT/data/PATH#FIELD`
    OpenBao(KvField),
}

/// A path from the root, without `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbsolutePath(PathBuf);

/// The name of a variable of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KekSourceError {
    #[error(
        "a KEK comes from `file:///path`, `env://NAME`, `passphrase`, `exec:///path?arg=a` or \
         `openbao+https://host:port/v1/MOUNT/data/PATH#FIELD`"
    )]
    Scheme,
    #[error("a path begins at the root and has no `.`, no `..` and no NUL: `file:///etc/certosa/kek`")]
    Path,
    #[error("a variable is named with letters, digits and `_`, and does not begin with a digit: `env://CERTOSA_KEK`")]
    Variable,
    #[error(
        "a helper's arguments are `arg=…` with `&` between them, at most 32 and 4 KiB; `%26` is an `&` in one, `%25` a \
         `%`"
    )]
    Arguments,
    #[error(
        "a secret of OpenBao is `openbao+https://host:port/v1/MOUNT/data/PATH#FIELD`, in printable ASCII without `?`, \
         `@`, `%` and `..`"
    )]
    OpenBao,
}

/// What only the caller can do: ask a person, and fetch over the network.
pub trait Outside {
    /// Asks for the passphrase, without echo and without the newline. `is_new`: it is made up now, so ask twice.
    fn passphrase(&mut self, is_new: bool) -> io::Result<Secret>;

    /// Fetches this `https:` address with GET and the operator's token, and returns the body of a response with
    /// status 200. At most [`FETCHED_BYTES_MAX`](crate::FETCHED_BYTES_MAX), and within a time of the caller's choice.
    fn fetch(&mut self, url: &str) -> impl Future<Output = Result<Vec<u8>, Box<dyn Error + Send + Sync>>> + Send;
}

/// What loading did besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// The KEK was there.
    Nothing,
    /// This file was made and holds a new KEK. Whoever loses it has lost the vault, so the operator has to hear of it.
    File(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum KekError {
    #[error("cannot use the KEK file {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("the KEK file {0} is no regular file, or is a symbolic link")]
    NotRegular(PathBuf),
    #[error("the KEK file {path} has mode {found:04o}; it has to be 0600 or 0400")]
    Mode { path: PathBuf, found: u32 },
    #[error("the KEK file {path} belongs to user {found}, and this process to {wanted}; they have to be the same")]
    Owner { path: PathBuf, found: u32, wanted: u32 },
    #[error("there is no variable {0} in the environment, from where the KEK has to come")]
    Variable(String),
    #[error("{from} does not hold a KEK")]
    Shape { from: String, source: KekShape },
    #[error("cannot ask for the passphrase")]
    Phrase(#[source] io::Error),
    #[error("a new passphrase has at least {least} bytes, this one has {found}")]
    ShortPhrase { found: usize, least: usize },
    #[error("the vault was not made with a passphrase: its KEK comes from another source")]
    NotDerived,
    #[error("argon2id cannot be computed")]
    Argon2(argon2::Error),
    #[error("the KEK helper {program} did not give a KEK")]
    Helper { program: PathBuf, source: HelperError },
    #[error(transparent)]
    OpenBao(#[from] KvError),
    #[error("the system has no random numbers")]
    Random,
}

impl KekSource {
    /// The KEK of a vault that is there. `derivation` is what [`SealedVault::derivation`](crate::SealedVault::derivation) says.
    pub async fn load(&self, derivation: Option<Derivation>, outside: &mut impl Outside) -> Result<Kek, KekError> {
        match self {
            Self::File(path) => file::read(&path.0),
            Self::Env(variable) => variable.read(),
            Self::Passphrase => {
                let derivation = derivation.ok_or(KekError::NotDerived)?;
                let phrase = outside.passphrase(false).map_err(KekError::Phrase)?;
                derivation.kek(&phrase, false)
            }
            Self::Exec(helper) => helper.run().await,
            Self::OpenBao(field) => {
                let text = field.text(outside).await?;
                let shape = |source| KekError::Shape { from: field.to_string(), source };
                Kek::parse_text(text.as_bytes()).map_err(shape)
            }
        }
    }

    /// A KEK for a vault that is new, or that gets a new KEK. A file that is not there is made.
    pub async fn load_new(&self, outside: &mut impl Outside) -> Result<(Kek, Made), KekError> {
        match self {
            Self::File(path) if !path.0.exists() => Ok((file::make(&path.0)?, Made::File(path.0.clone()))),
            Self::Passphrase => {
                let phrase = outside.passphrase(true).map_err(KekError::Phrase)?;
                Ok((Derivation::fresh()?.kek(&phrase, true)?, Made::Nothing))
            }
            _ => Ok((self.load(None, outside).await?, Made::Nothing)),
        }
    }
}

impl FromStr for KekSource {
    type Err = KekSourceError;

    fn from_str(text: &str) -> Result<Self, KekSourceError> {
        if text == "passphrase" {
            return Ok(Self::Passphrase);
        }
        if let Some(path) = text.strip_prefix("file://") {
            return Ok(Self::File(AbsolutePath::new(path)?));
        }
        if let Some(name) = text.strip_prefix("env://") {
            return Ok(Self::Env(Variable::new(name)?));
        }
        if let Some(rest) = text.strip_prefix("exec://") {
            return Ok(Self::Exec(Helper::new(rest)?));
        }
        if text.starts_with("openbao+") { Ok(Self::OpenBao(text.parse()?)) } else { Err(KekSourceError::Scheme) }
    }
}

/// For people. A helper's arguments are left out: who puts a secret there should not find it in a log.
impl fmt::Display for KekSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file://{}", path.0.display()),
            Self::Env(variable) => write!(f, "env://{}", variable.0),
            Self::Passphrase => f.write_str("passphrase"),
            Self::Exec(helper) => write!(f, "exec://{}", helper.program().display()),
            Self::OpenBao(field) => field.fmt(f),
        }
    }
}

impl AbsolutePath {
    pub(super) fn new(text: &str) -> Result<Self, KekSourceError> {
        let is_plain = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
        match text.strip_prefix('/') {
            Some(rest) if rest.split('/').all(is_plain) => Ok(Self(text.into())),
            _ => Err(KekSourceError::Path),
        }
    }

    pub(super) fn as_path(&self) -> &Path {
        &self.0
    }
}

impl Variable {
    fn new(name: &str) -> Result<Self, KekSourceError> {
        let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if is_plain && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) {
            Ok(Self(name.to_owned()))
        } else {
            Err(KekSourceError::Variable)
        }
    }

    fn read(&self) -> Result<Kek, KekError> {
        use std::os::unix::ffi::OsStringExt as _;
        let value = std::env::var_os(&self.0).ok_or_else(|| KekError::Variable(self.0.clone()))?;
        let value = Zeroizing::new(value.into_vec());
        Kek::parse_text(&value).map_err(|source| KekError::Shape { from: format!("the variable {}", self.0), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_one_reading() {
        for good in [
            "file:///etc/certosa/kek",
            "env://CERTOSA_KEK",
            "env://_a1",
            "passphrase",
            "exec:///usr/bin/op?arg=read&arg=op://vault/kek/password",
            "exec:///usr/bin/kek",
            "openbao+https://bao.example:8200/v1/secret/data/certosa/kek#kek",
            "openbao+https://127.0.0.1:8200/v1/kv/data/a#b",
        ] {
            assert!(good.parse::<KekSource>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "file",
            "file:/etc/kek",
            "file://etc/kek",
            "file:///",
            "file:///etc/../kek",
            "file:///etc//kek",
            "file:///etc/kek/",
            "file:///etc/k\0ek",
            "FILE:///etc/kek",
            "env://",
            "env://1A",
            "env://A-B",
            "env://A=B",
            "passphrase://",
            " passphrase",
            "exec://op",
            "exec://./op",
            "exec:///usr/bin/../op",
            "exec:///usr/bin/op?",
            "exec:///usr/bin/op?a=b",
            "exec:///usr/bin/op?arg=a;arg=b%",
            "exec:///usr/bin/op?arg=%zz",
            "exec:///usr/bin/op?arg=%00",
            "exec:///usr/bin/op?arg=%ff",
            "exec:///usr/bin/op?arg=a#b",
            "openbao+http://bao.example:8200/v1/secret/data/a#b",
            "openbao+https://bao.example/v1/secret/metadata/a#b",
            "openbao+https://bao.example/v1/secret/data/a",
            "openbao+https://bao.example/v1/secret/data/a#",
            "openbao+https://bao.example/v1/secret/data/#b",
            "openbao+https://bao.example/v1/secret/data/../a#b",
            "openbao+https://user:pass@bao.example/v1/secret/data/a#b",
            "openbao+https://bao.example/v1/secret/data/a?version=1#b",
            "openbao+https:///v1/secret/data/a#b",
            "openbao+https://bao.example:99999/v1/secret/data/a#b",
            "op://vault/kek",
            "keyring://kek",
        ] {
            assert!(bad.parse::<KekSource>().is_err(), "{bad}");
        }
        let many = format!("exec:///a?{}", vec!["arg=a"; 33].join("&"));
        assert_eq!(many.parse::<KekSource>(), Err(KekSourceError::Arguments));
        let long = format!("exec:///a?arg={}", "a".repeat(4097));
        assert_eq!(long.parse::<KekSource>(), Err(KekSourceError::Arguments));
    }

    #[test]
    fn arguments_are_not_shown() {
        let source: KekSource = "exec:///usr/bin/op?arg=planted".parse().unwrap();
        assert_eq!(source.to_string(), "exec:///usr/bin/op");
    }
}
