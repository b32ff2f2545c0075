//! Outbound HTTP for guests: parse once → permit → resolve once and look at every address → connect to one of exactly
//! those → put the credential in, last → take it out of what comes back.
//!
//! [`Client::exchange`] shows the flow; each step is a type that only the step before can make. Nothing in here knows
//! wasm, the manifest or the vault, reads the environment, or shows a secret: `docs/egress.md` has the rules.

mod address;
mod connect;
mod credential;
mod decode;
mod error;
mod exchange;
mod fields;
mod forms;
mod inject;
mod line;
mod outgoing;
mod policy;
mod pool;
mod redirect;
mod request;
mod resolve;
mod response;
mod revoked;
mod scrub;
mod spelling;

pub use address::is_global;
pub use connect::{Client, ClientError, ClientSettings, Connected};
pub use credential::{Credential, Secret, SecretUnavailable};
pub use error::{
    EgressError, Gate, GuestError, InjectError, Malformed, Refusal, RequestBodyError, ResponseError, SECRET_BYTES_MAX,
    Stage,
};
pub use inject::Injected;
pub use policy::{Lookups, Permitted, Policy};
pub use pool::PoolLimits;
pub use request::{GuestBody, Head, Request, headers};
pub use resolve::{Lookup, Resolved, Resolver, SystemResolver};
pub use response::{ResponseBody, Scrubbed};
pub use revoked::Revoked;
