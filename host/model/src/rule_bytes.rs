//! The way back from the bytes of a rule, which are what is sealed.

use crate::{CredentialRule, HostPattern, Injection, Method, PathPattern, Pattern, Patterns, Purpose, Reach, Scheme};

/// Bytes that no rule has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these are not the bytes of a rule that this version of certosa knows")]
pub struct RuleBytesError;

type Parsed<T> = Result<T, RuleBytesError>;

impl CredentialRule {
    /// Reads what [`CredentialRule::canonical`] wrote. Each rule has one spelling; any other is refused.
    pub fn from_canonical(bytes: &[u8]) -> Parsed<Self> {
        let mut from = Reader(bytes);
        if from.text()? != "certosa rule 1" {
            return Err(RuleBytesError);
        }
        let rule = Self {
            allowed_subs: from.patterns()?,
            allowed_callers: match from.text()? {
                "any caller" => None,
                "callers" => Some(from.patterns()?),
                _ => return Err(RuleBytesError),
            },
            purpose: from.purpose()?,
            per_minute_max: match from.text()? {
                "no rate" => None,
                rate => Some(read(rate.parse())?),
            },
        };
        if rule.canonical() == bytes { Ok(rule) } else { Err(RuleBytesError) }
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(RuleBytesError)?;
        self.0 = rest;
        Ok(taken)
    }

    fn count(&mut self) -> Parsed<usize> {
        let bytes = read(self.take(4)?.try_into())?;
        read(u32::from_be_bytes(bytes).try_into())
    }

    fn text(&mut self) -> Parsed<&'a str> {
        let count = self.count()?;
        read(str::from_utf8(self.take(count)?))
    }

    fn list<T, E>(&mut self, item: impl Fn(&str) -> Result<T, E>) -> Parsed<Vec<T>> {
        // Nothing is set aside for a count that may be a lie: each item takes 4 bytes at least.
        (0..self.count()?).map(|_| read(item(self.text()?))).collect()
    }

    fn patterns(&mut self) -> Parsed<Patterns> {
        Ok(Patterns::new(self.list(Pattern::new)?))
    }

    fn string(&mut self) -> Parsed<String> {
        Ok(self.text()?.to_owned())
    }

    fn purpose(&mut self) -> Parsed<Purpose> {
        Ok(match self.text()? {
            "sign" => Purpose::Sign { context: self.string()? },
            "mac" => Purpose::Mac { context: self.string()? },
            "send" => Purpose::Send { reach: self.reach()?, injection: self.injection()? },
            _ => return Err(RuleBytesError),
        })
    }

    fn reach(&mut self) -> Parsed<Reach> {
        Ok(Reach {
            schemes: self.list(|text| match text {
                "https" => Ok(Scheme::Https),
                "http" => Ok(Scheme::Http),
                _ => Err(RuleBytesError),
            })?,
            hosts: self.list(HostPattern::new)?,
            ports: self.list(str::parse)?,
            methods: self.list(Method::new)?,
            paths: self.list(PathPattern::new)?,
        })
    }

    fn injection(&mut self) -> Parsed<Injection> {
        Ok(match self.text()? {
            "bearer" => Injection::Bearer,
            "basic" => Injection::Basic { user: self.string()? },
            "header" => Injection::Header { name: self.string()?, prefix: self.string()? },
            "query" => Injection::Query { name: self.string()? },
            "json" => Injection::JsonField { name: self.string()? },
            "form" => Injection::FormField { name: self.string()? },
            _ => return Err(RuleBytesError),
        })
    }
}

fn read<T, E>(result: Result<T, E>) -> Parsed<T> {
    result.map_err(|_| RuleBytesError)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Vec<CredentialRule> {
        let reach = Reach {
            schemes: vec![Scheme::Https, Scheme::Http],
            hosts: vec![HostPattern::new("*.example.com").unwrap(), HostPattern::new("::1").unwrap()],
            ports: vec![443, 8443],
            methods: vec![Method::new("GET").unwrap()],
            paths: vec![PathPattern::new("/v1/**").unwrap()],
        };
        let text = || "a".to_owned();
        let injections = [
            Injection::Bearer,
            Injection::Basic { user: text() },
            Injection::Header { name: text(), prefix: String::new() },
            Injection::Query { name: text() },
            Injection::JsonField { name: text() },
            Injection::FormField { name: text() },
        ];
        let sent = injections.into_iter().map(|injection| Purpose::Send { reach: reach.clone(), injection });
        let others = [Purpose::Sign { context: text() }, Purpose::Mac { context: String::new() }];
        let callers = Patterns::new(vec![Pattern::new("user/*").unwrap()]);
        sent.chain(others)
            .map(|purpose| CredentialRule {
                allowed_subs: Patterns::new(vec![Pattern::new("bundle/github/**").unwrap()]),
                allowed_callers: matches!(purpose, Purpose::Sign { .. }).then(|| callers.clone()),
                per_minute_max: matches!(purpose, Purpose::Mac { .. }).then_some(60),
                purpose,
            })
            .collect()
    }

    #[test]
    fn a_rule_comes_back_from_its_bytes_and_from_no_others() {
        for rule in rules() {
            let bytes = rule.canonical();
            assert_eq!(CredentialRule::from_canonical(&bytes), Ok(rule));
            for index in 0..bytes.len() {
                assert!(CredentialRule::from_canonical(&bytes[..index]).is_err(), "cut at {index}");
                let mut changed = bytes.clone();
                changed[index] ^= 0x80;
                assert!(CredentialRule::from_canonical(&changed).is_err(), "byte {index} changed");
            }
            assert!(CredentialRule::from_canonical(&[bytes.as_slice(), &[0]].concat()).is_err());
        }
    }

    #[test]
    fn numbers_have_one_spelling() {
        let rule = CredentialRule { per_minute_max: Some(7), ..rules().remove(0) };
        let bytes = rule.canonical();
        let mut odd = bytes[..bytes.len() - 5].to_vec();
        odd.extend_from_slice(&[0, 0, 0, 2, b'0', b'7']);
        assert_eq!(CredentialRule::from_canonical(&odd), Err(RuleBytesError));
    }
}
