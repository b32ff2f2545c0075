//! What a bundle may reach, and the requests that it allows.

use std::sync::Arc;
use std::time::Duration;

use certosa_model::{BundleName, Reach};

use crate::address::{AddressRange, is_global};
use crate::credential::Credential;
use crate::error::{EgressError, Gate, Refusal};
use crate::request::{Origin, Request};

/// What a bundle may reach. The empty one allows nothing.
pub struct Policy {
    pub bundle: BundleName,
    pub reach: Reach,
    /// Addresses that may be connected to beside the global ones.
    pub addresses: Vec<AddressRange>,
    pub limits: Limits,
}

/// How much of everything, for one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub request_bytes_max: u64,
    /// Of the body as the guest gets it, unpacked.
    pub response_bytes_max: u64,
    /// For looking up, connecting to one of the addresses, and TLS, together.
    pub connect_ms_max: u32,
    /// From the last byte that was sent to the first that comes back.
    pub first_byte_ms_max: u32,
    /// Between two reads of a body; time in which the guest does not read does not count.
    pub between_bytes_ms_max: u32,
    /// Redirects that the host follows by itself; those beyond are for the guest to see.
    pub redirects_max: u8,
}

/// A request that its bundle, and its credential if it has one, may send where it goes.
pub struct Permitted {
    pub(crate) target: Target,
    pub(crate) request: Request,
}

/// Where a permitted request goes, and what with.
#[derive(Clone)]
pub(crate) struct Target {
    pub policy: Arc<Policy>,
    pub credential: Option<Arc<Credential>>,
    pub origin: Origin,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes_max: 8 << 20,
            response_bytes_max: 32 << 20,
            connect_ms_max: 10_000,
            first_byte_ms_max: 60_000,
            between_bytes_ms_max: 30_000,
            redirects_max: 0,
        }
    }
}

impl Policy {
    /// The one way to a [`Permitted`]. A credential has a reach of its own: both have to allow.
    pub fn permit(
        self: &Arc<Self>,
        request: Request,
        credential: Option<Arc<Credential>>,
    ) -> Result<Permitted, EgressError> {
        self.check(&request, credential.as_deref())?;
        let target = Target { policy: Arc::clone(self), credential, origin: request.origin.clone() };
        Ok(Permitted { target, request })
    }

    pub(crate) fn check(&self, request: &Request, credential: Option<&Credential>) -> Result<(), EgressError> {
        check(&self.reach, request, || Gate::Bundle(self.bundle.to_string()))?;
        match credential {
            None => Ok(()),
            Some(credential) => check(&credential.reach, request, || Gate::Credential(credential.name.to_string())),
        }
    }

    pub(crate) fn allows_address(&self, address: std::net::IpAddr) -> bool {
        is_global(address) || self.addresses.iter().any(|range| range.contains(address))
    }
}

fn check(reach: &Reach, request: &Request, by: impl Fn() -> Gate) -> Result<(), EgressError> {
    // Where every path is allowed nothing rests on how one is read, and its spelling is between guest and upstream.
    let is_any = reach.paths.iter().any(|pattern| pattern.as_str() == "/**");
    let to = request.destination(if is_any { "/" } else { request.path() });
    let Some(field) = reach.refusal(&to) else { return Ok(()) };
    let wanted = match field {
        "schemes" => to.scheme.as_str().to_owned(),
        "hosts" => to.host.to_string(),
        "ports" => to.port.to_string(),
        "methods" => to.method.to_owned(),
        _ => to.path.to_owned(),
    };
    Err(EgressError::Refused(Box::new(Refusal { by: by(), field, wanted })))
}

impl Limits {
    pub(crate) fn connect(&self) -> Duration {
        Duration::from_millis(self.connect_ms_max.into())
    }

    pub(crate) fn first_byte(&self) -> Duration {
        Duration::from_millis(self.first_byte_ms_max.into())
    }

    pub(crate) fn between_bytes(&self) -> Duration {
        Duration::from_millis(self.between_bytes_ms_max.into())
    }
}
