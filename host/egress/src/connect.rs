//! The client, and the step from addresses to a connection.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore, crypto};
use tokio_rustls::TlsConnector;

use crate::error::EgressError;
use crate::line::Line;
use crate::policy::{Permitted, Target};
use crate::pool::{Key, Pool, PoolLimits};
use crate::request::Request;
use crate::resolve::{Resolved, Resolver, SystemResolver};

/// What sends requests. It reads nothing from the environment: there is no proxy, and no other roots than those here.
#[derive(Clone)]
pub struct Client {
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) pool: Arc<Pool>,
}

/// What a client is made of.
pub struct ClientSettings {
    pub resolver: Arc<dyn Resolver>,
    /// Roots beside those of Mozilla that are built in.
    pub more_roots: Vec<CertificateDer<'static>>,
    pub pool: PoolLimits,
    /// Whether HTTP/2 is offered to upstreams.
    pub http2: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("a root certificate cannot be used")]
pub struct ClientError(#[from] rustls::Error);

pub(crate) struct Dialer {
    resolver: Arc<dyn Resolver>,
    tls: TlsConnector,
}

/// A permitted request, and a connection that was made for its bundle, its credential and its origin.
pub struct Connected {
    pub(crate) target: Target,
    pub(crate) request: Request,
    /// In a box: it is handed on from step to step.
    pub(crate) link: Box<Link>,
}

/// A connection and where it comes from.
pub(crate) struct Link {
    pub line: Line,
    /// It has waited, and may have been closed by the other side meanwhile.
    pub was_kept: bool,
    pub key: Key,
    pub client: Client,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self { resolver: Arc::new(SystemResolver), more_roots: Vec::new(), pool: PoolLimits::default(), http2: true }
    }
}

impl Client {
    pub fn new(settings: ClientSettings) -> Result<Self, ClientError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for root in settings.more_roots {
            roots.add(root)?;
        }
        let mut tls = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // What one bundle has agreed on with an upstream is nothing for another one.
        tls.resumption = rustls::client::Resumption::disabled();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        if settings.http2 {
            tls.alpn_protocols.insert(0, b"h2".to_vec());
        }
        let dialer = Dialer { resolver: settings.resolver, tls: TlsConnector::from(Arc::new(tls)) };
        Ok(Self { dialer: Arc::new(dialer), pool: Pool::new(settings.pool) })
    }

    /// The connection that this bundle, with this credential, has used for this origin before; or a new one, to an
    /// address that is looked up and looked at now.
    pub(crate) async fn connect(&self, permitted: Permitted) -> Result<Connected, EgressError> {
        let key = Key::of(&permitted.target);
        if let Some(line) = self.pool.take(&key, &permitted.target.policy).await {
            let Permitted { target, request } = permitted;
            let link = Box::new(Link { line, was_kept: true, key, client: self.clone() });
            return Ok(Connected { target, request, link });
        }
        // In a box: few requests need this, and it is larger than all the rest.
        Box::pin(async { permitted.resolve(&self.dialer.resolver).await?.connect(self).await }).await
    }

    /// Connections that wait for a request.
    pub fn idle(&self) -> usize {
        self.pool.count()
    }
}

impl Resolved {
    /// The one way to a new [`Connected`].
    pub async fn connect(self, client: &Client) -> Result<Connected, EgressError> {
        let Self { permitted: Permitted { target, request }, addresses } = self;
        let line = target.connect(&addresses, &client.dialer.tls).await?;
        let link = Box::new(Link::new(line, Key::of(&target), client));
        Ok(Connected { target, request, link })
    }
}

impl Link {
    fn new(line: Line, key: Key, client: &Client) -> Self {
        // One that carries several exchanges is there for the others at once.
        if let Some(shared) = line.share() {
            client.pool.put(key.clone(), shared);
        }
        Self { line, was_kept: false, key, client: client.clone() }
    }

    /// Connects again, if this one waited too long: names are looked up and addresses looked at as for the first time.
    pub(crate) async fn renew(&mut self, target: &Target) -> Result<(), EgressError> {
        let dialer = &self.client.dialer;
        let addresses = target.resolve(&dialer.resolver).await?;
        let line = target.connect(&addresses, &dialer.tls).await?;
        *self = Self::new(line, self.key.clone(), &self.client);
        Ok(())
    }

    /// Leaves the connection for whoever comes next.
    pub(crate) fn give_back(self) {
        if !self.line.is_http2() {
            self.client.pool.put(self.key, self.line);
        }
    }
}
