//! What a bundle may reach, and the requests that it allows.

use std::sync::Arc;

use certosa_model::{AddressRange, BundleName, EgressLimits, Reach};

use tokio::sync::Semaphore;

use crate::address::is_global;
use crate::credential::Credential;
use crate::error::{EgressError, Gate, Refusal};
use crate::request::{Origin, Request};

/// What a bundle may reach. The empty one allows nothing.
#[derive(Clone)]
pub struct Policy {
    pub bundle: BundleName,
    pub reach: Reach,
    /// Addresses that may be connected to beside the global ones.
    pub addresses: Vec<AddressRange>,
    pub limits: EgressLimits,
    pub lookups: Lookups,
}

/// How many names a bundle may have looked up at a time. One that nobody waits for any more counts until it is over: it
/// keeps a thread.
#[derive(Clone)]
pub struct Lookups(pub(crate) Arc<Semaphore>);

const LOOKUPS_MAX: usize = 16;

impl Default for Lookups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS_MAX)))
    }
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
        allow(request, &self.reach, || Gate::Bundle(self.bundle.to_string()))?;
        let Some(Credential { reach, name, secret, .. }) = credential else { return Ok(()) };
        allow(request, reach, || Gate::Credential(name.to_string()))?;
        secret.reach().map_or(Ok(()), |sealed| allow(request, sealed, || Gate::Sealed(name.to_string())))
    }

    pub(crate) fn allows_address(&self, address: std::net::IpAddr) -> bool {
        is_global(address) || self.addresses.iter().any(|range| range.contains(address))
    }
}

fn allow(request: &Request, reach: &Reach, by: impl Fn() -> Gate) -> Result<(), EgressError> {
    let to = request.destination();
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
