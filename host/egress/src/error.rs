use std::error::Error as _;
use std::fmt;
use std::net::IpAddr;

use certosa_model::{Fault, PathPattern};

/// Why an exchange did not happen, or ended early. For the operator: a guest is told no more than [`GuestError`].
///
/// No text in here holds a value of a header, a query or a part of a body: any of them could be a secret.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    #[error("the request is malformed: {0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Refused(Box<Refusal>),
    #[error("{host} has the address {address}, which is not a global one")]
    Address { host: Box<str>, address: IpAddr },
    #[error("failed to look up {host}")]
    Lookup { host: Box<str>, source: std::io::Error },
    #[error("{host} has no address")]
    NoAddress { host: Box<str> },
    #[error("failed to connect to {host}")]
    Connect { host: Box<str>, source: std::io::Error },
    #[error("failed to agree on TLS with {host}")]
    Tls { host: Box<str>, source: std::io::Error },
    #[error("{0} took longer than `{field}` allows", field = .0.field())]
    Time(Stage),
    #[error("failed to put the credential into the request: {0}")]
    Inject(#[from] InjectError),
    #[error("failed to send the body of the request: {0}")]
    RequestBody(RequestBodyError),
    #[error("{0}")]
    Response(ResponseError),
    #[error("the exchange with the upstream broke off: {0}")]
    Protocol(Broken),
    #[error("the grant was revoked while the exchange was going on")]
    Revoked,
}

/// An exchange that broke off. Only its kind is ever shown: what HTTP/2 has as a reason may hold whatever the other side
/// wrote there, a credential included.
pub struct Broken(hyper::Error);

/// What is wrong with a request as the guest made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a method is 1 to 20 capital letters, and neither CONNECT nor TRACE")]
    Method,
    #[error("a scheme is `https` or `http`")]
    Scheme,
    #[error("an authority is `host` or `host:port`: no user, no escapes, no other characters")]
    Authority,
    #[error("{0}")]
    Host(certosa_model::HostError),
    #[error("a port is a number from 1 to 65535, without zeros in front")]
    Port,
    #[error("a path begins with `/`; a path and its query are visible ASCII without `\\` and `#`")]
    Path,
    #[error("a path and its query have at most 8192 bytes")]
    PathLength,
    #[error("a header has a name or a value that no header may have")]
    Header,
    #[error("a request has at most 100 headers, and 32 KiB of them")]
    HeaderCount,
    #[error("`content-length` is one number, the length of the body")]
    ContentLength,
    #[error("a request cannot ask for another protocol (`upgrade`)")]
    Upgrade,
}

/// A request that goes where nothing allows it to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Who would have to allow it.
    pub by: Gate,
    /// The field that does not, by its name in the manifest: `schemes`, `hosts`, `ports`, `methods` or `paths`.
    pub field: &'static str,
    /// What it would have to have.
    pub wanted: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// What the bundle may reach.
    Bundle(String),
    /// Where the manifest lets the credential be sent.
    Credential(String),
    /// Where the rule that was sealed with its value does.
    Sealed(String),
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Lookup,
    Connect,
    FirstByte,
    BetweenBytes,
}

/// Why a credential does not go into a request. The value is never part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    #[error("the vault did not give its value")]
    Unavailable,
    #[error("it was used as often as it may be in a minute; each redirect that is followed is a use")]
    TooOften,
    #[error("its value has to have 1 to {SECRET_BYTES_MAX} bytes")]
    Length,
    #[error("its value has characters that are not visible, or a space at an end: was it stored with a line break?")]
    Value,
    #[error("its value is not UTF-8, which JSON has to be")]
    NotUtf8,
    #[error("the user name of its rule has a `:` or a control character")]
    User,
    #[error("its rule names a header that the host sets by itself, or none")]
    HeaderName,
    #[error("the `content-type` of the request is not {0}")]
    ContentType(&'static str),
    #[error("the body is not {0}")]
    Body(&'static str),
    #[error("the body has a field of that name already")]
    Duplicate,
    #[error("the path and the query are too long with it")]
    PathLength,
}

/// What is wrong with the body that a guest sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestBodyError {
    #[error("it is larger than `requestBytesMax`")]
    TooLarge,
    #[error("it is not as long as `content-length` says")]
    Length,
    #[error("the guest gave up on it")]
    Aborted,
}

/// What is wrong with what an upstream answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    #[error("the response is larger than `responseBytesMax`")]
    TooLarge,
    #[error("the response unpacks to more than 200 times its size")]
    Bomb,
    #[error("the response is coded in a way in which the credential could not be found")]
    Coding,
    #[error("the response is not in the coding that it says")]
    Corrupt,
    #[error("the upstream changed to another protocol")]
    Upgrade,
}

/// The longest value of a credential that is sent.
pub const SECRET_BYTES_MAX: usize = 8 << 10;

/// What a guest is told, in the words of `wasi:http` (`error-code` of `wasi:http/types`). That something was refused
/// is all that a guest learns: not by which rule, and not which addresses a name has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GuestError {
    DnsTimeout,
    DnsError,
    DestinationUnavailable,
    ConnectionRefused,
    ConnectionTerminated,
    ConnectionTimeout,
    ConnectionReadTimeout,
    TlsProtocolError,
    HttpRequestDenied,
    HttpRequestBodySize,
    HttpRequestMethodInvalid,
    HttpRequestUriInvalid,
    HttpRequestUriTooLong,
    HttpRequestHeaderSectionSize,
    HttpResponseBodySize,
    HttpResponseContentCoding,
    HttpResponseTimeout,
    HttpUpgradeFailed,
    HttpProtocolError,
    InternalError,
}

impl EgressError {
    /// The rule that ended the exchange. These do not change: logs and alerts may rest on them.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Refused(refusal) => refusal.field,
            Self::Address { .. } => "addresses",
            Self::Lookup { .. } | Self::NoAddress { .. } => "lookup",
            Self::Connect { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::Time(stage) => stage.field(),
            Self::Inject(_) => "credential",
            Self::RequestBody(RequestBodyError::TooLarge) => "requestBytesMax",
            Self::RequestBody(_) => "requestBody",
            Self::Response(ResponseError::TooLarge) => "responseBytesMax",
            Self::Response(ResponseError::Bomb | ResponseError::Coding | ResponseError::Corrupt) => "coding",
            Self::Response(ResponseError::Upgrade) => "upgrade",
            Self::Protocol(_) => "protocol",
            Self::Revoked => "revoked",
        }
    }

    /// The line of a manifest that would allow it, if one would.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) if matches!(refusal.by, Gate::Sealed(_)) => None,
            Self::Refused(refusal) if refusal.field == "ports" => Some(format!("ports = [{}]", refusal.wanted)),
            // The guest chose it: only what a manifest takes, and what stands for nothing more than itself.
            Self::Refused(refusal) if refusal.field == "paths" && !is_literal(&refusal.wanted) => None,
            Self::Refused(refusal) => Some(format!("{} = [\"{}\"]", refusal.field, refusal.wanted)),
            Self::Address { address, .. } => {
                let bits = if address.is_ipv4() { 32 } else { 128 };
                Some(format!("addresses = [\"{address}/{bits}\"]"))
            }
            _ => None,
        }
    }

    pub fn fault(&self) -> Fault {
        match self {
            Self::Malformed(_) | Self::RequestBody(_) => Fault::Bundle,
            Self::Inject(InjectError::ContentType(_) | InjectError::Body(_) | InjectError::Duplicate) => Fault::Bundle,
            Self::Inject(InjectError::PathLength) => Fault::Bundle,
            Self::Inject(InjectError::Unavailable) => Fault::Host,
            _ => Fault::Operator,
        }
    }

    pub fn guest(&self) -> GuestError {
        match self {
            Self::Malformed(malformed) => malformed.guest(),
            Self::Refused(_) | Self::Address { .. } | Self::Revoked => GuestError::HttpRequestDenied,
            Self::Lookup { .. } | Self::NoAddress { .. } => GuestError::DnsError,
            Self::Connect { source, .. } if source.kind() == std::io::ErrorKind::ConnectionRefused => {
                GuestError::ConnectionRefused
            }
            Self::Connect { .. } => GuestError::DestinationUnavailable,
            Self::Tls { .. } => GuestError::TlsProtocolError,
            Self::Time(Stage::Lookup) => GuestError::DnsTimeout,
            Self::Time(Stage::Connect) => GuestError::ConnectionTimeout,
            Self::Time(Stage::FirstByte) => GuestError::HttpResponseTimeout,
            Self::Time(Stage::BetweenBytes) => GuestError::ConnectionReadTimeout,
            Self::Inject(InjectError::Unavailable) => GuestError::InternalError,
            Self::Inject(_) => GuestError::HttpRequestDenied,
            Self::RequestBody(RequestBodyError::TooLarge | RequestBodyError::Length) => GuestError::HttpRequestBodySize,
            Self::RequestBody(RequestBodyError::Aborted) => GuestError::ConnectionTerminated,
            Self::Response(ResponseError::TooLarge | ResponseError::Bomb) => GuestError::HttpResponseBodySize,
            Self::Response(ResponseError::Coding | ResponseError::Corrupt) => GuestError::HttpResponseContentCoding,
            Self::Response(ResponseError::Upgrade) => GuestError::HttpUpgradeFailed,
            Self::Protocol(Broken(error))
                if error.is_incomplete_message() || error.is_closed() || error.is_canceled() =>
            {
                GuestError::ConnectionTerminated
            }
            Self::Protocol(_) => GuestError::HttpProtocolError,
        }
    }
}

fn is_literal(path: &str) -> bool {
    !path.contains('*') && PathPattern::new(path).is_ok()
}

impl From<hyper::Error> for EgressError {
    fn from(error: hyper::Error) -> Self {
        Self::Protocol(Broken(error))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // hyper's own words, without its source.
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<std::io::Error>() {
                return write!(f, " ({})", error.kind());
            }
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broken({self})")
    }
}

impl Malformed {
    fn guest(self) -> GuestError {
        match self {
            Self::Method => GuestError::HttpRequestMethodInvalid,
            Self::Scheme | Self::Authority | Self::Host(_) | Self::Port | Self::Path => {
                GuestError::HttpRequestUriInvalid
            }
            Self::PathLength => GuestError::HttpRequestUriTooLong,
            Self::HeaderCount => GuestError::HttpRequestHeaderSectionSize,
            Self::ContentLength => GuestError::HttpRequestBodySize,
            Self::Header | Self::Upgrade => GuestError::HttpRequestDenied,
        }
    }
}

impl Stage {
    /// The limit, by its name in the manifest.
    pub fn field(self) -> &'static str {
        match self {
            Self::Lookup | Self::Connect => "connectMsMax",
            Self::FirstByte => "firstByteMsMax",
            Self::BetweenBytes => "betweenBytesMsMax",
        }
    }
}

impl GuestError {
    /// The case of `wasi:http/types.error-code`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DnsTimeout => "DNS-timeout",
            Self::DnsError => "DNS-error",
            Self::DestinationUnavailable => "destination-unavailable",
            Self::ConnectionRefused => "connection-refused",
            Self::ConnectionTerminated => "connection-terminated",
            Self::ConnectionTimeout => "connection-timeout",
            Self::ConnectionReadTimeout => "connection-read-timeout",
            Self::TlsProtocolError => "TLS-protocol-error",
            Self::HttpRequestDenied => "HTTP-request-denied",
            Self::HttpRequestBodySize => "HTTP-request-body-size",
            Self::HttpRequestMethodInvalid => "HTTP-request-method-invalid",
            Self::HttpRequestUriInvalid => "HTTP-request-URI-invalid",
            Self::HttpRequestUriTooLong => "HTTP-request-URI-too-long",
            Self::HttpRequestHeaderSectionSize => "HTTP-request-header-section-size",
            Self::HttpResponseBodySize => "HTTP-response-body-size",
            Self::HttpResponseContentCoding => "HTTP-response-content-coding",
            Self::HttpResponseTimeout => "HTTP-response-timeout",
            Self::HttpUpgradeFailed => "HTTP-upgrade-failed",
            Self::HttpProtocolError => "HTTP-protocol-error",
            Self::InternalError => "internal-error",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, field, wanted } = self;
        match by {
            Gate::Bundle(name) => write!(f, "`{field}` of what the bundle {name} may reach does not have {wanted}"),
            Gate::Credential(name) => write!(f, "`{field}` of the credential {name} does not have {wanted}"),
            Gate::Sealed(name) => write!(
                f,
                "`{field}` of the rule that the credential {name} was sealed with does not have {wanted}; `certosa vault \
                 allow {name}` seals it again under the rule of the manifest"
            ),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lookup => "looking up the host",
            Self::Connect => "connecting",
            Self::FirstByte => "waiting for the response",
            Self::BetweenBytes => "waiting for more of the response",
        })
    }
}
