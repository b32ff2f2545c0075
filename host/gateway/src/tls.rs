//! TLS from files that may change while the house is open: new connections get the new certificate, and those
//! that are open keep theirs.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use certosa_manifest::TlsPlan;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Why there is no TLS. What the files hold is never part of it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read the TLS {0} {1}: {2}")]
    Read(&'static str, String, String),
    #[error("the TLS certificate and key cannot be used: {0}")]
    Unusable(rustls::Error),
}

/// The certificate and key that new connections get.
pub(crate) struct Tls {
    plan: TlsPlan,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
    /// When the files were changed that `current` was read from.
    read: [Option<SystemTime>; 2],
}

impl Tls {
    pub(crate) fn load(plan: &TlsPlan) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let times = times(plan);
        let current = RwLock::new(Arc::new(read(plan, &provider)?));
        Ok(Arc::new(Self { plan: plan.clone(), provider, current, read: times }))
    }

    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, TlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder =
            builder.with_protocol_versions(&[&version::TLS13, &version::TLS12]).map_err(TlsError::Unusable)?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::clone(self) as Arc<_>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Takes up new files as they come, for ever. Files that cannot be used change nothing.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut seen = self.read;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = times(&self.plan);
            if now == seen {
                continue;
            }
            seen = now;
            match read(&self.plan, &self.provider) {
                Ok(key) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                    tracing::info!("new connections get the new TLS certificate");
                }
                Err(why) => tracing::error!("the TLS certificate stays the one that it was: {why}"),
            }
        }
    }
}

/// When the files were changed. Two that belong together may change one after the other: whoever sees only one
/// of them fails, and looks again when the other one comes.
fn times(plan: &TlsPlan) -> [Option<SystemTime>; 2] {
    [&plan.certificate, &plan.key].map(|path| fs::metadata(path).and_then(|file| file.modified()).ok())
}

fn read(plan: &TlsPlan, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(&file("certificate", &plan.certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| TlsError::Read("certificate", plan.certificate.display().to_string(), why.to_string()))?;
    // The error of the parser could show what it found, so it is not passed on.
    let key = PrivateKeyDer::from_pem_slice(&file("key", &plan.key)?)
        .map_err(|_| TlsError::Read("key", plan.key.display().to_string(), "no private key in PEM".to_owned()))?;
    CertifiedKey::from_der(certificates, key, provider).map_err(TlsError::Unusable)
}

fn file(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|why: io::Error| TlsError::Read(what, path.display().to_string(), why.to_string()))
}

impl ResolvesServerCert for Tls {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("plan", &self.plan).finish_non_exhaustive()
    }
}
