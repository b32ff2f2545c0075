//! What may leave a house: what bundles may reach, and the rules of credentials.

use std::collections::HashSet;
use std::fmt::Display;
use std::path::PathBuf;

use capnp::{text, text_list};
use certosa_model::{
    AddressRange, CredentialName, CredentialRule, EgressLimits, HostPattern, Injection, Method, PathPattern, Purpose,
    Reach, Scheme, is_hosts,
};
use certosa_schema::{credential, egress, reach, send};

use crate::plan::{BundlePlan, Check, CredentialPlan, EgressPlan, quote};
use crate::span::Path;

const CREDENTIALS_MAX: u32 = 10_000;
const ROOTS_MAX: u32 = 16;
const CONTEXT_BYTES_MAX: usize = 255;
const NAME_BYTES_MAX: usize = 255;

impl Check<'_> {
    pub(crate) fn egress(&mut self, path: &Path, said: egress::Reader<'_>) -> capnp::Result<Option<EgressPlan>> {
        let reach = self.reach(&path.field("to"), said.get_to()?)?;
        let addresses = self.each(&path.field("addresses"), said.get_addresses()?, "a range", AddressRange::new)?;
        let request = self.bound(&path.field("requestKibMax"), said.get_request_kib_max(), 1, 1 << 20);
        let response = self.bound(&path.field("responseKibMax"), said.get_response_kib_max(), 1, 1 << 20);
        let connect = self.bound(&path.field("connectMsMax"), said.get_connect_ms_max(), 1, 600_000);
        let first = self.bound(&path.field("firstByteMsMax"), said.get_first_byte_ms_max(), 1, 600_000);
        let between = self.bound(&path.field("betweenBytesMsMax"), said.get_between_bytes_ms_max(), 1, 600_000);
        let redirects = self.bound(&path.field("redirectsMax"), said.get_redirects_max(), 0, 20);
        let exchanges = self.bound(&path.field("exchangesMax"), said.get_exchanges_max(), 1, 10_000);
        let limits = || {
            Some(EgressLimits {
                request_bytes_max: u64::from(request?) << 10,
                response_bytes_max: u64::from(response?) << 10,
                connect_ms_max: connect?,
                first_byte_ms_max: first?,
                between_bytes_ms_max: between?,
                redirects_max: u8::try_from(redirects?).ok()?,
            })
        };
        let (Some(limits), Some(reach), Some(addresses), Some(exchanges_max)) = (limits(), reach, addresses, exchanges)
        else {
            return Ok(None);
        };
        Ok(Some(EgressPlan { reach, addresses, limits, exchanges_max }))
    }

    pub(crate) fn credentials(
        &mut self,
        path: &Path,
        said: capnp::struct_list::Reader<'_, credential::Owned>,
        bundles: &[BundlePlan],
    ) -> capnp::Result<Vec<CredentialPlan>> {
        if said.len() > CREDENTIALS_MAX {
            self.refuse(path, "too many credentials", said.len().to_string(), format!("at most {CREDENTIALS_MAX}"));
            return Ok(Vec::new());
        }
        let (mut credentials, mut taken) = (Vec::new(), HashSet::new());
        for (index, said) in said.iter().enumerate() {
            let path = path.index(index);
            let Some(credential) = self.credential(&path, said, bundles)? else { continue };
            if !taken.insert(credential.name.clone()) {
                let found = quote(credential.name.as_str());
                self.refuse(&path.field("name"), "a second credential of this name", found, "distinct names");
            }
            credentials.push(credential);
        }
        Ok(credentials)
    }

    fn credential(
        &mut self,
        path: &Path,
        said: credential::Reader<'_>,
        bundles: &[BundlePlan],
    ) -> capnp::Result<Option<CredentialPlan>> {
        let name = self.parsed(&path.field("name"), said.get_name()?, "the name of a credential", CredentialName::new);
        let subs = path.field("allowedSubs");
        let allowed_subs = self.offered(&subs, said.get_allowed_subs()?.iter(), bundles)?;
        if said.get_allowed_subs()?.is_empty() {
            self.refuse(&subs, "a credential that nothing may use", "no pattern", "\"bundle/NAME/**\"");
        }
        let allowed_callers = match said.has_allowed_callers() {
            false => Some(None),
            true => {
                let callers = said.get_allowed_callers()?.iter();
                self.patterns(&path.field("allowedCallers"), callers, "anonymous/loopback")?.map(Some)
            }
        };
        let purpose = match said.which()? {
            credential::Send(said) => self.send(&path.field("send"), said?)?,
            credential::Sign(context) => {
                self.context(&path.field("sign"), context?).map(|context| Purpose::Sign { context })
            }
            credential::Mac(context) => {
                self.context(&path.field("mac"), context?).map(|context| Purpose::Mac { context })
            }
        };
        let rate = self.bound(&path.field("perMinuteMax"), said.get_per_minute_max(), 1, 1_000_000);
        let rule = || {
            let (allowed_subs, allowed_callers, purpose) = (allowed_subs?, allowed_callers?, purpose?);
            Some(CredentialRule { allowed_subs, allowed_callers, purpose, per_minute_max: Some(rate?) })
        };
        Ok(name.zip(rule()).map(|(name, rule)| CredentialPlan { name, rule }))
    }

    fn send(&mut self, path: &Path, said: send::Reader<'_>) -> capnp::Result<Option<Purpose>> {
        let reach = self.reach(&path.field("to"), said.get_to()?)?;
        let injection = match said.which()? {
            send::Bearer(()) => Some(Injection::Bearer),
            send::Basic(user) => {
                let is_user = |user: &str| !user.contains(|c: char| c == ':' || c.is_control());
                let user = self.word(&path.field("basic"), user?, "a user name without `:`", is_user);
                user.map(|user| Injection::Basic { user })
            }
            send::Header(header) => {
                let (path, header) = (path.field("header"), header?);
                let expected =
                    "the name of a header in lower case that the host does not set by itself, such as \"x-api-key\"";
                let name = self.word(&path.field("name"), header.get_name()?, expected, is_header_name);
                let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
                let prefix = match header.get_prefix()? {
                    none if none.is_empty() => Some(String::new()),
                    prefix => self.word(&path.field("prefix"), prefix, "visible ASCII", is_plain),
                };
                name.zip(prefix).map(|(name, prefix)| Injection::Header { name, prefix })
            }
            send::Query(name) => self
                .word(&path.field("query"), name?, "the name of a parameter", is_text)
                .map(|name| Injection::Query { name }),
            send::Json(name) => self
                .word(&path.field("json"), name?, "the name of a member", is_text)
                .map(|name| Injection::JsonField { name }),
            send::Form(name) => self
                .word(&path.field("form"), name?, "the name of a field", is_text)
                .map(|name| Injection::FormField { name }),
        };
        Ok(reach.zip(injection).map(|(reach, injection)| Purpose::Send { reach, injection }))
    }

    fn reach(&mut self, path: &Path, said: reach::Reader<'_>) -> capnp::Result<Option<Reach>> {
        let scheme = |text: &str| match text {
            "https" => Ok(Scheme::Https),
            "http" => Ok(Scheme::Http),
            _ => Err("\"https\" or \"http\""),
        };
        let hosts = path.field("hosts");
        if said.get_hosts()?.is_empty() {
            self.refuse(
                &hosts,
                "a reach without hosts, which reaches nothing",
                "no host",
                "hosts = [\"api.example.com\"]",
            );
        }
        let schemes = self.each(&path.field("schemes"), said.get_schemes()?, "a scheme", scheme)?;
        let hosts = self.each(&hosts, said.get_hosts()?, "a host", HostPattern::new)?;
        let methods = self.each(&path.field("methods"), said.get_methods()?, "a method", Method::new)?;
        let paths = self.each(&path.field("paths"), said.get_paths()?, "a path", PathPattern::new)?;
        let ports: Vec<u16> = said.get_ports()?.iter().collect();
        if let Some(index) = ports.iter().position(|port| *port == 0) {
            self.refuse(&path.field("ports").index(index), "not a port", "0", "1 to 65535");
        }
        let reach = || Some(Reach { schemes: schemes?, hosts: hosts?, ports, methods: methods?, paths: paths? });
        Ok(reach())
    }

    pub(crate) fn roots(&mut self, path: &Path, said: text_list::Reader<'_>) -> capnp::Result<Vec<PathBuf>> {
        if said.len() > ROOTS_MAX {
            self.refuse(path, "too many files of roots", said.len().to_string(), format!("at most {ROOTS_MAX}"));
            return Ok(Vec::new());
        }
        let mut roots = Vec::new();
        for (index, text) in said.iter().enumerate() {
            roots.extend(self.pem(&path.index(index), text?));
        }
        Ok(roots)
    }

    fn context(&mut self, path: &Path, text: text::Reader<'_>) -> Option<String> {
        let is_context = |text: &str| text.len() <= CONTEXT_BYTES_MAX && !text.contains(char::is_control);
        self.word(path, text, "1 to 255 bytes that say what is signed, such as \"example.com release 1\"", is_context)
    }

    /// A text that is not empty and of which `is_good` holds.
    fn word(
        &mut self,
        path: &Path,
        text: text::Reader<'_>,
        expected: &str,
        is_good: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let text = self.text(path, text)?;
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !is_good(text) {
            self.refuse(path, "a text that cannot be used here", quote(text), expected);
            return None;
        }
        Some(text.to_owned())
    }

    fn parsed<T, E: Display>(
        &mut self,
        path: &Path,
        text: text::Reader<'_>,
        what: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(path, text)?;
        parse(text).map_err(|why| self.refuse(path, &format!("not {what}"), quote(text), why.to_string())).ok()
    }

    /// All of a list, or `None` after every one that is wrong was noted.
    fn each<T, E: Display>(
        &mut self,
        path: &Path,
        said: text_list::Reader<'_>,
        what: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> capnp::Result<Option<Vec<T>>> {
        let mut all = Vec::new();
        for (index, text) in said.iter().enumerate() {
            all.push(self.parsed(&path.index(index), text?, what, &parse));
        }
        Ok(all.into_iter().collect())
    }
}

/// RFC 9110, section 5.6.2, in lower case, and none that the host sets by itself.
fn is_header_name(name: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    name.bytes().all(is_token) && !is_hosts(name) && name != "accept-encoding"
}

fn is_text(name: &str) -> bool {
    !name.contains(char::is_control)
}
