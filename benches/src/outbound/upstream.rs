//! The server that requests go to: bodies of two sizes over TLS, on one thread of a process of its own.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{HOST, LARGE, SMALL};
use crate::server::until_asked_to_end;
use crate::{Done, tell};

const LINE: &[u8] = b"{\"id\":12345,\"name\":\"a thing\",\"tags\":[\"x\",\"y\"],\"etag\":\"W/abcdef\"}\n";

/// What it answers.
#[derive(Clone)]
struct Bodies {
    small: Bytes,
    large: Bytes,
}

/// Serves with one protocol, after writing the authority that vouches for it.
pub(super) fn serve(protocol: &str, root: &Path) -> Done<()> {
    let acceptor = TlsAcceptor::from(Arc::new(identity(protocol, root)?));
    let large = Bytes::from(LINE.repeat(LARGE.bytes / LINE.len() + 1)).slice(..LARGE.bytes);
    let bodies = Bodies { small: large.slice(..SMALL.bytes), large };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(until_asked_to_end(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        tell(&serde_json::json!({"port": listener.local_addr()?.port()}).to_string());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(answer(stream, acceptor.clone(), bodies.clone()));
        }
    }))
}

/// A certificate for [`HOST`], by an authority of its own.
fn identity(protocol: &str, root: &Path) -> Done<ServerConfig> {
    let mut params = CertificateParams::new(Vec::default())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate()?;
    std::fs::write(root, params.self_signed(&root_key)?.pem())?;
    let (issuer, key) = (Issuer::new(params, root_key), KeyPair::generate()?);
    let leaf = CertificateParams::new(vec![HOST.to_owned()])?.signed_by(&key, &issuer)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der())?)?;
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Ok(config)
}

async fn answer(stream: TcpStream, acceptor: TlsAcceptor, bodies: Bodies) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let Bodies { small, large } = bodies.clone();
        let body = if request.uri().path() == LARGE.path { large } else { small };
        async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
    });
    // Whoever goes away in the middle was measured to the end.
    if let Ok(stream) = acceptor.accept(stream).await {
        drop(auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
    }
}
