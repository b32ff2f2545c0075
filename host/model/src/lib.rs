//! The words of the house. Everything here is a value: parsed once, never wrong afterwards, without IO and
//! without async. All other crates speak in these types.

/// Types that hold one text and are shown as it, to people, in debugging and in JSON.
macro_rules! shown_as_text {
    ($($name:ty),*) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    )*};
}

mod address;
mod allowance;
mod credential;
mod digest;
mod event;
mod header;
mod json;
mod limits;
mod name;
mod pattern;
mod reach;
mod rule_bytes;
mod subject;
mod trace;

pub use address::{AddressRange, AddressRangeError};
pub use allowance::{Allowance, Untold};
pub use credential::{CredentialName, CredentialNameError, CredentialRule, Injection, Purpose};
pub use digest::{Digest, DigestError};
pub use event::{Change, Event, Lists, LogLevel, Progress};
pub use header::{is_hop_by_hop, is_hosts, is_same_header};
pub use json::{JsonError, parse as parse_json};
pub use limits::{CellLimits, CompileLimits, EgressLimits, HouseLimits, Limit, Reuse, Usage};
pub use name::{BundleName, NameError, TOOL_NAME_BYTES_MAX, ToolName};
pub use pattern::{Pattern, PatternError, Patterns};
pub use reach::{
    Destination, Host, HostError, HostPattern, Method, MethodError, PathError, PathPattern, Reach, Scheme, is_path,
};
pub use rule_bytes::RuleBytesError;
pub use subject::{SUBJECT_BYTES_MAX, SUBJECT_SEGMENTS_MAX, Subject, SubjectError};
pub use trace::{TraceId, TraceParent};

/// What a bundle offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Tool,
    Prompt,
    /// A resource or a template of resources.
    Resource,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
        }
    }
}

/// Whose fault an error is, and so who has to do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// Whoever sent the request.
    Caller,
    /// The author of the component.
    Bundle,
    /// Whoever wrote the manifest or runs the host.
    Operator,
    /// Certosa itself, or the machine under it.
    Host,
}
