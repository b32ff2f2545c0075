//! Servers, a resolver, policies and credentials for the tests.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use certosa_egress::*;
use certosa_model::{
    AddressRange, BundleName, CredentialName, EgressLimits, HostPattern, Injection, Method, PathPattern, Reach, Scheme,
};
use http::{HeaderMap, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub type Reply = Response<UnsyncBoxBody<Bytes, std::io::Error>>;
pub const SECRET: &str = "s3cr3t/To+ken=\"with&odd<chars>";
pub const PLAIN: &str = "ghp_0123456789abcdefABCDEF";
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A request as it reached the server.
#[derive(Clone)]
pub struct Seen {
    pub method: String,
    pub uri: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Everything that a test talks to: a root, servers, a resolver and the client.
pub struct World {
    pub client: Client,
    pub names: Arc<Names>,
    acceptor: [TlsAcceptor; 2],
}

/// A resolver with answers in order; the last one stays.
#[derive(Default)]
pub struct Names {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    pub asked: AtomicUsize,
    /// Names that are never answered, and how many are being looked up.
    pub hanging: AtomicUsize,
}

impl Names {
    pub fn set(&self, host: &str, answers: &[&[&str]]) {
        let answers = answers.iter().map(|answer| answer.iter().map(|a| a.parse().unwrap()).collect()).collect();
        self.answers.lock().unwrap().insert(host.to_owned(), answers);
    }
}

impl Resolver for Names {
    fn lookup<'a>(&'a self, host: &'a str) -> Lookup<'a> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if host == "hangs.test" {
            self.hanging.fetch_add(1, Ordering::SeqCst);
            return Box::pin(std::future::pending());
        }
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.get_mut(host) {
            Some(answers) if answers.len() > 1 => Ok(answers.remove(0)),
            Some(answers) => Ok(answers[0].clone()),
            None => Err(std::io::ErrorKind::NotFound.into()),
        };
        Box::pin(async move { answer })
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(PoolLimits::default(), true)
    }

    pub fn http1() -> Self {
        Self::with(PoolLimits::default(), false)
    }

    pub fn with(pool: PoolLimits, http2: bool) -> Self {
        let root_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::default()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&root_key).unwrap().der().clone();
        let issuer = Issuer::new(params, root_key);
        let key = KeyPair::generate().unwrap();
        let leaf = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut config = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate.der().clone()],
                    PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
                )
                .unwrap();
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            TlsAcceptor::from(Arc::new(config))
        };
        let acceptor = [leaf(&["api.test", "other.test", "sub.api.test", "127.0.0.1"]), leaf(&["somebody-else.test"])];
        let names = Arc::new(Names::default());
        names.set("api.test", &[&["127.0.0.1"]]);
        names.set("other.test", &[&["127.0.0.1"]]);
        let resolver: Arc<dyn Resolver> = names.clone();
        let settings = ClientSettings { resolver, more_roots: vec![root], pool, http2 };
        Self { client: Client::new(settings).unwrap(), names, acceptor }
    }

    /// A server behind TLS.
    pub async fn serve<F>(&self, answer: impl Fn(Seen) -> F + Clone + Send + 'static) -> Server
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        self.serve_as(0, answer).await
    }

    /// One whose certificate is of another name.
    pub async fn serve_as_other<F>(&self, answer: impl Fn(Seen) -> F + Clone + Send + 'static) -> Server
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        self.serve_as(1, answer).await
    }

    async fn serve_as<F>(&self, which: usize, answer: impl Fn(Seen) -> F + Clone + Send + 'static) -> Server
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let server = Server::at(listener.local_addr().unwrap());
        let (seen, connections, acceptor) =
            (Arc::clone(&server.seen), Arc::clone(&server.connections), self.acceptor[which].clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, seen, answer) = (acceptor.clone(), Arc::clone(&seen), answer.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| handle(Arc::clone(&seen), answer.clone(), request));
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        server
    }

    /// A server without TLS that writes these bytes, whatever comes, and closes.
    pub async fn raw(&self, answer: &[u8]) -> Server {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let server = Server::at(listener.local_addr().unwrap());
        let (seen, answer) = (Arc::clone(&server.raw), answer.to_vec());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = vec![0; 65536];
                let count = stream.read(&mut buffer).await.unwrap_or(0);
                seen.lock().unwrap().extend_from_slice(&buffer[..count]);
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
                // Until the other side is through: a reset would overtake what was written.
                let _ = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut buffer)).await;
            }
        });
        server
    }

    /// A server behind TLS that speaks HTTP/2 and goes away with these words (RFC 9113, section 6.8).
    pub async fn goes_away(&self, words: &[u8]) -> Server {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let server = Server::at(listener.local_addr().unwrap());
        let (acceptor, enhance_your_calm) = (self.acceptor[0].clone(), 11);
        let length = u32::try_from(8 + words.len()).unwrap().to_be_bytes();
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let away = [&length[1..], &[7, 0, 0, 0, 0, 0], &[0; 4], &[0, 0, 0, enhance_your_calm], words].concat();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut buffer = vec![0; 65536];
                let _ = stream.write_all(&settings).await;
                let mut read = 0;
                // The preface, and then a request.
                while read < 100 {
                    read += stream.read(&mut buffer).await.unwrap_or(100);
                }
                let _ = stream.write_all(&away).await;
                let _ = stream.shutdown().await;
            }
        });
        server
    }

    pub async fn send(&self, ask: Ask) -> Result<Got, EgressError> {
        let response = self.open(ask).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        Ok(Got { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes(), trailers })
    }

    pub async fn open(&self, ask: Ask) -> Result<Response<ResponseBody>, EgressError> {
        let headers: Vec<(&str, &[u8])> = ask.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        let head = Head {
            method: &ask.method,
            scheme: ask.scheme.as_deref(),
            authority: &ask.authority,
            path_and_query: &ask.path,
            headers: headers_of(headers)?,
        };
        let request = Request::parse(head, ask.body)?;
        let policy = Arc::new(ask.policy);
        let sent = self.client.exchange(&policy, request, ask.credential, ask.revoked);
        sent.await.map(Scrubbed::into_response)
    }
}

fn headers_of(pairs: Vec<(&str, &[u8])>) -> Result<HeaderMap, EgressError> {
    headers(pairs)
}

async fn handle<F>(
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: impl Fn(Seen) -> F,
    request: hyper::Request<Incoming>,
) -> Result<Reply, Infallible>
where
    F: Future<Output = Reply>,
{
    let (head, body) = request.into_parts();
    // Some answer before they have read all, and read on.
    let body = if head.uri.path().ends_with("/early") {
        tokio::spawn(body.collect());
        Bytes::new()
    } else {
        body.collect().await.map(|body| body.to_bytes()).unwrap_or_default()
    };
    let now = Seen { method: head.method.to_string(), uri: head.uri.to_string(), headers: head.headers, body };
    seen.lock().unwrap().push(now.clone());
    Ok(answer(now).await)
}

#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub connections: Arc<AtomicUsize>,
    pub raw: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    fn at(address: SocketAddr) -> Self {
        Self { address, seen: Arc::default(), connections: Arc::default(), raw: Arc::default() }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A request, and everything that it is sent with.
pub struct Ask {
    pub method: String,
    pub scheme: Option<String>,
    pub authority: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: GuestBody,
    pub policy: Policy,
    pub credential: Option<Arc<Credential>>,
    pub revoked: Revoked,
}

#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Got {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// `GET https://api.test:PORT/`, allowed, without a credential.
pub fn get(server: &Server) -> Ask {
    Ask {
        method: "GET".to_owned(),
        scheme: None,
        authority: format!("api.test:{}", server.port()),
        path: "/".to_owned(),
        headers: Vec::new(),
        body: body(""),
        policy: policy(server.port()),
        credential: None,
        revoked: Revoked::never(),
    }
}

impl Ask {
    pub fn path(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    pub fn at(mut self, authority: &str) -> Self {
        self.authority = authority.to_owned();
        self
    }

    pub fn plain(mut self) -> Self {
        self.scheme = Some("http".to_owned());
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn post(mut self, kind: &str, text: &str) -> Self {
        self.method = "POST".to_owned();
        self.body = body(text);
        self.header("content-type", kind)
    }

    pub fn with(mut self, credential: Arc<Credential>) -> Self {
        self.credential = Some(credential);
        self
    }

    pub fn limits(mut self, change: impl FnOnce(&mut EgressLimits)) -> Self {
        change(&mut self.policy.limits);
        self
    }

    pub fn bundle(mut self, name: &str) -> Self {
        self.policy.bundle = BundleName::new(name).unwrap();
        self
    }
}

pub fn reach(port: u16) -> Reach {
    Reach {
        schemes: vec![Scheme::Https, Scheme::Http],
        hosts: ["api.test", "other.test"].map(|host| HostPattern::new(host).unwrap()).to_vec(),
        ports: vec![port],
        methods: ["GET", "HEAD", "POST"].map(|method| Method::new(method).unwrap()).to_vec(),
        paths: vec![PathPattern::new("/**").unwrap()],
    }
}

/// Allows the servers of the test, which are on the loopback.
pub fn policy(port: u16) -> Policy {
    Policy {
        bundle: BundleName::new("guest").unwrap(),
        reach: reach(port),
        addresses: vec![AddressRange::new("127.0.0.0/8").unwrap()],
        limits: EgressLimits {
            connect_ms_max: 5_000,
            first_byte_ms_max: 5_000,
            between_bytes_ms_max: 5_000,
            ..EgressLimits::default()
        },
        lookups: Lookups::default(),
    }
}

pub struct Value(pub Vec<u8>);

impl Secret for Value {
    fn expose(&self, with: &mut dyn FnMut(&[u8])) -> Result<(), SecretUnavailable> {
        with(&self.0);
        Ok(())
    }
}

pub fn credential(server: &Server, injection: Injection, secret: &str) -> Arc<Credential> {
    Arc::new(Credential {
        name: CredentialName::new("key").unwrap(),
        reach: Arc::new(reach(server.port())),
        injection,
        secret: Box::new(Value(secret.as_bytes().to_vec())),
    })
}

pub fn bearer(server: &Server) -> Arc<Credential> {
    credential(server, Injection::Bearer, PLAIN)
}

pub fn body(text: &str) -> GuestBody {
    Full::new(Bytes::copy_from_slice(text.as_bytes())).map_err(|never| match never {}).boxed_unsync()
}

pub fn reply(text: impl Into<Bytes>) -> Reply {
    Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed_unsync())
}

/// A reply in these chunks, with a moment between them, so that they are not put together on the way.
pub fn chunks(chunks: Vec<Bytes>) -> Reply {
    let stream = futures_util::stream::unfold(chunks.into_iter(), |mut rest| async move {
        let chunk = rest.next()?;
        tokio::time::sleep(Duration::from_millis(1)).await;
        Some((Ok(Frame::data(chunk)), rest))
    });
    Response::new(StreamBody::new(stream).boxed_unsync())
}
