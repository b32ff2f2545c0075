//! The parameters of requests: only what is read is typed, everything else passes through as text.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use certosa_model::LogLevel;
use certosa_syscall::guest::Askable;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::versions::Version;

/// The parameters of every method that we serve, read in one go.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Params<'a> {
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub uri: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub cursor: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
    #[serde(borrow, rename = "ref", default, deserialize_with = "object")]
    pub reference: Option<Reference<'a>>,
    #[serde(borrow, default, deserialize_with = "object")]
    pub argument: Option<Argument<'a>>,
    #[serde(borrow, default, deserialize_with = "object")]
    pub context: Option<Context<'a>>,
    #[serde(default, deserialize_with = "object")]
    pub notifications: Option<Filter>,
    #[serde(borrow)]
    pub input_responses: Option<BTreeMap<String, &'a RawValue>>,
    #[serde(borrow)]
    pub request_state: Option<Cow<'a, str>>,
    /// This and what follows belongs to one method of the older era each, which reads it: `initialize` twice,
    /// `logging/setLevel`, and `notifications/cancelled`. To all others it is nothing, whatever it says.
    #[serde(borrow)]
    pub protocol_version: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub capabilities: Option<&'a RawValue>,
    #[serde(borrow)]
    pub level: Option<&'a RawValue>,
    #[serde(borrow)]
    pub request_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta", default, deserialize_with = "object")]
    pub meta: Option<Meta<'a>>,
}

/// What a request says about itself.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    pub version: Option<Cow<'a, str>>,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities", default, deserialize_with = "object")]
    pub capabilities: Option<Capabilities>,
    #[serde(rename = "io.modelcontextprotocol/logLevel")]
    pub log: Option<LogLevel>,
    #[serde(borrow, rename = "progressToken")]
    pub progress_token: Option<&'a RawValue>,
    /// W3C Trace Context.
    #[serde(borrow)]
    pub traceparent: Option<Cow<'a, str>>,
}

/// What is completed: an argument of a prompt or a variable of a template.
#[derive(Debug, Deserialize)]
pub(crate) struct Reference<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub uri: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Argument<'a> {
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow)]
    pub value: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Context<'a> {
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
}

/// What a client wants to be told of (`subscriptions/listen`).
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Filter {
    pub tools_list_changed: bool,
    pub prompts_list_changed: bool,
    pub resources_list_changed: bool,
    pub resource_subscriptions: BTreeSet<String>,
}

/// What a client can be asked.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Capabilities {
    #[serde(default, deserialize_with = "object")]
    elicitation: Option<Elicitation>,
    #[serde(default, deserialize_with = "object")]
    sampling: Option<Object>,
    #[serde(default, deserialize_with = "object")]
    roots: Option<Object>,
}

#[derive(Debug, Default, Deserialize)]
struct Elicitation {
    #[serde(default, deserialize_with = "object")]
    form: Option<Object>,
    #[serde(default, deserialize_with = "object")]
    url: Option<Object>,
}

#[derive(Debug, Default, Deserialize)]
struct Object {}

/// An object, read as `T`. Left to itself serde would also take a list of the members in their order.
#[derive(Debug)]
pub(crate) struct Members<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

struct MembersVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MembersVisitor<T> {
    type Value = Members<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Members<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Members)
    }
}

/// Keeps a `null` apart from nothing.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// An object, or `null`, which is nothing.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::<Members<T>>::deserialize(deserializer).map(|members| members.map(|Members(value)| value))
}

impl Capabilities {
    /// What the client can be asked in this version: there is no elicitation before 2025-06-18, and none with
    /// a URL before 2025-11-25.
    pub(crate) fn askable(&self, version: Version) -> Askable {
        let elicitation = self.elicitation.as_ref().filter(|_| version >= Version::V2025_06_18);
        let has_url = |modes: &Elicitation| modes.url.is_some() && version >= Version::V2025_11_25;
        // An empty object means forms, as it did before there were other modes.
        let form = elicitation.is_some_and(|modes| modes.form.is_some() || !has_url(modes));
        let visit = elicitation.is_some_and(has_url);
        [
            (form, Askable::FORM),
            (visit, Askable::VISIT),
            (self.sampling.is_some(), Askable::SAMPLE),
            (self.roots.is_some(), Askable::ROOTS),
        ]
        .into_iter()
        .filter_map(|(has, kind)| has.then_some(kind))
        .fold(Askable::empty(), |all, kind| all | kind)
    }
}

/// How `ClientCapabilities` says that a client can be asked something.
pub(crate) fn capability(kind: Askable) -> &'static str {
    match kind {
        kind if kind == Askable::FORM => r#"{"elicitation":{"form":{}}}"#,
        kind if kind == Askable::VISIT => r#"{"elicitation":{"url":{}}}"#,
        kind if kind == Askable::SAMPLE => r#"{"sampling":{}}"#,
        _ => r#"{"roots":{}}"#,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_asked_depends_on_the_version() {
        let askable = |text: &str, version| serde_json::from_str::<Capabilities>(text).unwrap().askable(version);
        let all = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{"listChanged":true},"x":1}"#;
        assert_eq!(askable(all, Version::V2026_07_28), Askable::all());
        assert_eq!(askable(all, Version::V2025_11_25), Askable::all());
        assert_eq!(askable(all, Version::V2025_06_18), Askable::FORM | Askable::SAMPLE | Askable::ROOTS);
        assert_eq!(askable(all, Version::V2025_03_26), Askable::SAMPLE | Askable::ROOTS);
        assert_eq!(askable(r#"{"elicitation":{}}"#, Version::V2025_11_25), Askable::FORM);
        assert_eq!(askable(r#"{"elicitation":{"url":{}}}"#, Version::V2025_11_25), Askable::VISIT);
        assert_eq!(askable("{}", Version::V2026_07_28), Askable::empty());
    }
}
