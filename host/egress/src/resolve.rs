//! Names to addresses, once for each connection, and all of them looked at.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use crate::error::{EgressError, Stage};
use crate::policy::{Lookups, Permitted, Target};

/// Looks up names. The tests have one that changes its mind.
pub trait Resolver: Send + Sync {
    fn lookup<'a>(&'a self, host: &'a str) -> Lookup<'a>;
}

pub type Lookup<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// The resolver of the system.
pub struct SystemResolver;

/// A permitted request and the addresses of its host, each of which may be connected to.
pub struct Resolved {
    pub(crate) permitted: Permitted,
    pub(crate) addresses: Vec<SocketAddr>,
}

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 16;

impl Resolver for SystemResolver {
    fn lookup<'a>(&'a self, host: &'a str) -> Lookup<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|found| found.ip()).collect()) })
    }
}

impl Permitted {
    /// The one way to a [`Resolved`].
    pub async fn resolve(self, resolver: &Arc<dyn Resolver>) -> Result<Resolved, EgressError> {
        let addresses = self.target.resolve(resolver).await?;
        Ok(Resolved { permitted: self, addresses })
    }
}

impl Target {
    /// One address that is not allowed spoils them all: whoever mixes one into an answer has nothing good in mind, and
    /// which one is connected to would be chance.
    pub(crate) async fn resolve(&self, resolver: &Arc<dyn Resolver>) -> Result<Vec<SocketAddr>, EgressError> {
        let host = &self.origin.host;
        let found = match host.address() {
            Some(address) => vec![address],
            None => self.lookup(resolver).await?,
        };
        if let Some(address) = found.iter().copied().find(|address| !self.policy.allows_address(*address)) {
            return Err(EgressError::Address { host: host.as_str().into(), address });
        }
        if found.is_empty() {
            return Err(EgressError::NoAddress { host: host.as_str().into() });
        }
        let tried = found.into_iter().take(ADDRESSES_MAX);
        Ok(tried.map(|address| SocketAddr::new(address.to_canonical(), self.origin.port)).collect())
    }

    async fn lookup(&self, resolver: &Arc<dyn Resolver>) -> Result<Vec<IpAddr>, EgressError> {
        let (host, limit) = (self.origin.host.as_str(), self.policy.limits.connect());
        match tokio::time::timeout(limit, self.look_up(host.to_owned(), resolver)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(source)) => Err(EgressError::Lookup { host: host.into(), source }),
            Err(_elapsed) => Err(EgressError::Time(Stage::Lookup)),
        }
    }

    /// Goes on to its end when nobody waits for it any more, and keeps its place until then.
    async fn look_up(&self, host: String, resolver: &Arc<dyn Resolver>) -> io::Result<Vec<IpAddr>> {
        let Lookups(places) = &self.policy.lookups;
        let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
        let resolver = Arc::clone(resolver);
        let looked_up = tokio::spawn(async move {
            let _place = place;
            resolver.lookup(&host).await
        });
        looked_up.await.map_err(io::Error::other)?
    }
}
