//! What a credential may be used for. The value is not here: rules are all that a manifest has, and all that is
//! sealed beside a value.

use std::fmt;

use crate::{Patterns, Reach};

/// The name of a credential: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or a digit.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialName(Box<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a credential's name is 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or a digit")]
pub struct CredentialNameError;

/// Everything that limits the use of a credential. It is sealed with the value: whoever changes it in the database
/// makes the value unreadable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialRule {
    /// The bundles that may use it.
    pub allowed_subs: Patterns,
    /// The callers on whose behalf; `None`: whoever may call the bundle.
    pub allowed_callers: Option<Patterns>,
    pub purpose: Purpose,
    /// Uses in any minute; `None`: not limited.
    pub per_minute_max: Option<u32>,
}

/// What a credential is for. One that signs is never sent, and one that is sent never signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// It is put into requests on their last hop.
    Send { reach: Reach, injection: Injection },
    /// It signs (Ed25519, RFC 8032) messages that begin with this context.
    Sign { context: String },
    /// It authenticates (HMAC-SHA256, RFC 2104) messages that begin with this context.
    Mac { context: String },
}

/// Where in a request a credential goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Injection {
    /// `Authorization: Bearer VALUE` (RFC 6750, section 2.1).
    Bearer,
    /// `Authorization: Basic …` with this user name (RFC 7617); the value is the password.
    Basic { user: String },
    /// A header of this name, in lower case.
    Header { name: String, prefix: String },
    /// A parameter of the query.
    Query { name: String },
    /// A member of a JSON object, at the top of the body.
    JsonField { name: String },
    /// A field of a body that is `application/x-www-form-urlencoded`.
    FormField { name: String },
}

impl Injection {
    /// Whether it takes a request with a body.
    pub fn is_in_body(&self) -> bool {
        matches!(self, Self::JsonField { .. } | Self::FormField { .. })
    }
}

impl CredentialName {
    pub fn new(text: &str) -> Result<Self, CredentialNameError> {
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if starts && text.len() <= 64 && text.bytes().all(is_plain) {
            Ok(Self(text.into()))
        } else {
            Err(CredentialNameError)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl CredentialRule {
    /// Whether this allows all that `other` does, as far as their entries show: each of its entries is one of these.
    pub fn covers(&self, other: &Self) -> bool {
        let callers = match (&self.allowed_callers, &other.allowed_callers) {
            (None, _) => true,
            (Some(these), Some(others)) => these.cover(others),
            (Some(_), None) => false,
        };
        let rate = self.per_minute_max.is_none_or(|most| other.per_minute_max.is_some_and(|wanted| wanted <= most));
        let purpose = match (&self.purpose, &other.purpose) {
            (Purpose::Send { reach, injection }, Purpose::Send { reach: wanted, injection: how }) => {
                injection == how && reach.covers(wanted)
            }
            (one, another) => one == another,
        };
        callers && rate && purpose && self.allowed_subs.cover(&other.allowed_subs)
    }

    /// The rule as it is bound to a value: every part behind its length, every list behind its count, so that no two
    /// rules have the same bytes. `docs/vault.md` gives it byte by byte.
    pub fn canonical(&self) -> Vec<u8> {
        let mut bytes = Canonical(Vec::new());
        bytes.text("certosa rule 1");
        bytes.list(self.allowed_subs.iter().map(|pattern| pattern.as_str()));
        match &self.allowed_callers {
            None => bytes.text("any caller"),
            Some(callers) => {
                bytes.text("callers");
                bytes.list(callers.iter().map(|pattern| pattern.as_str()));
            }
        }
        match &self.purpose {
            Purpose::Sign { context } => bytes.texts(&["sign", context]),
            Purpose::Mac { context } => bytes.texts(&["mac", context]),
            Purpose::Send { reach, injection } => {
                bytes.text("send");
                bytes.list(reach.schemes.iter().map(|scheme| scheme.as_str()));
                bytes.list(reach.hosts.iter().map(|host| host.as_str()));
                bytes.list(reach.ports.iter().map(u16::to_string));
                bytes.list(reach.methods.iter().map(|method| method.as_str()));
                bytes.list(reach.paths.iter().map(|path| path.as_str()));
                match injection {
                    Injection::Bearer => bytes.texts(&["bearer"]),
                    Injection::Basic { user } => bytes.texts(&["basic", user]),
                    Injection::Header { name, prefix } => bytes.texts(&["header", name, prefix]),
                    Injection::Query { name } => bytes.texts(&["query", name]),
                    Injection::JsonField { name } => bytes.texts(&["json", name]),
                    Injection::FormField { name } => bytes.texts(&["form", name]),
                }
            }
        }
        bytes.text(&self.per_minute_max.map_or_else(|| "no rate".to_owned(), |rate| rate.to_string()));
        bytes.0
    }
}

/// Parts behind their lengths: 4 bytes, the highest first.
struct Canonical(Vec<u8>);

impl Canonical {
    fn count(&mut self, count: usize) {
        self.0.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn texts(&mut self, texts: &[&str]) {
        texts.iter().for_each(|text| self.text(text));
    }

    fn list<T: AsRef<str>>(&mut self, texts: impl Iterator<Item = T>) {
        let texts: Vec<_> = texts.collect();
        self.count(texts.len());
        texts.iter().for_each(|text| self.text(text.as_ref()));
    }
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostPattern, Method, PathPattern, Pattern, Scheme};

    fn rule() -> CredentialRule {
        let reach = Reach {
            schemes: vec![Scheme::Https],
            hosts: vec![HostPattern::new("api.github.com").unwrap()],
            ports: vec![443],
            methods: vec![Method::new("GET").unwrap()],
            paths: vec![PathPattern::new("/repos/**").unwrap()],
        };
        CredentialRule {
            allowed_subs: Patterns::new(vec![Pattern::new("bundle/github/**").unwrap()]),
            allowed_callers: None,
            purpose: Purpose::Send { reach, injection: Injection::Bearer },
            per_minute_max: None,
        }
    }

    #[test]
    fn a_rule_covers_itself_and_what_is_narrower() {
        let changed = |change: &dyn Fn(&mut CredentialRule, &mut Reach)| {
            let mut rule = rule();
            if let Purpose::Send { mut reach, injection } = rule.purpose.clone() {
                change(&mut rule, &mut reach);
                rule.purpose = Purpose::Send { reach, injection };
            }
            rule
        };
        let path = |text: &str| PathPattern::new(text).unwrap();
        let sealed = changed(&|rule, reach| {
            reach.methods.push(Method::new("POST").unwrap());
            reach.paths = vec![path("/**")];
            rule.per_minute_max = Some(10);
        });
        let narrower = changed(&|rule, _| rule.per_minute_max = Some(10));
        assert!(sealed.covers(&sealed) && sealed.covers(&narrower) && !narrower.covers(&sealed));
        assert!(!sealed.covers(&rule()), "it has no rate");
        for wider in [
            changed(&|rule, _| rule.per_minute_max = Some(11)),
            changed(&|rule, reach| (rule.per_minute_max, reach.ports) = (Some(10), vec![443, 8443])),
            changed(&|rule, reach| {
                (rule.per_minute_max, reach.hosts) = (Some(10), vec![HostPattern::new("*.github.com").unwrap()]);
            }),
            CredentialRule {
                allowed_subs: Patterns::new(vec![Pattern::new("bundle/**").unwrap()]),
                ..narrower.clone()
            },
            CredentialRule { purpose: Purpose::Mac { context: "x".to_owned() }, ..narrower.clone() },
        ] {
            assert!(!sealed.covers(&wider), "{wider:?}");
        }
        let of = |callers: &str| Some(Patterns::new(vec![Pattern::new(callers).unwrap()]));
        let one = CredentialRule { allowed_callers: of("user/ana"), ..narrower.clone() };
        assert!(sealed.covers(&one) && !one.covers(&narrower));
    }

    #[test]
    fn every_part_of_a_rule_is_in_its_bytes() {
        let change = |change: &dyn Fn(&mut CredentialRule)| {
            let mut rule = rule();
            change(&mut rule);
            rule.canonical()
        };
        let reach = |change_reach: &dyn Fn(&mut Reach)| {
            change(&|rule| {
                if let Purpose::Send { reach, .. } = &mut rule.purpose {
                    change_reach(reach);
                }
            })
        };
        let inject = |injection: Injection| {
            change(&|rule| {
                if let Purpose::Send { injection: before, .. } = &mut rule.purpose {
                    *before = injection.clone();
                }
            })
        };
        let mut all = vec![
            rule().canonical(),
            change(&|rule| rule.allowed_subs = Patterns::default()),
            change(&|rule| rule.allowed_callers = Some(Patterns::default())),
            change(&|rule| rule.per_minute_max = Some(1)),
            change(&|rule| rule.purpose = Purpose::Sign { context: "a".into() }),
            change(&|rule| rule.purpose = Purpose::Mac { context: "a".into() }),
            reach(&|reach| reach.schemes.push(Scheme::Http)),
            reach(&|reach| reach.hosts.push(HostPattern::new("a.example").unwrap())),
            reach(&|reach| reach.ports.push(8443)),
            reach(&|reach| reach.methods.push(Method::new("POST").unwrap())),
            reach(&|reach| reach.paths.push(PathPattern::new("/a").unwrap())),
            inject(Injection::Basic { user: "a".into() }),
            inject(Injection::Header { name: "a".into(), prefix: String::new() }),
            inject(Injection::Header { name: String::new(), prefix: "a".into() }),
            inject(Injection::Query { name: "a".into() }),
            inject(Injection::JsonField { name: "a".into() }),
            inject(Injection::FormField { name: "a".into() }),
        ];
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn names_are_plain() {
        assert!(["github", "0", "a.b_c-d"].iter().all(|good| CredentialName::new(good).is_ok()));
        let long = "a".repeat(65);
        assert!(["", "A", "-a", "a/b", "ü", "a b", "..", &long].iter().all(|bad| CredentialName::new(bad).is_err()));
    }
}
