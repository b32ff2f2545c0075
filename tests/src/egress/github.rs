//! A GitHub that is none: a real server with TLS on the loopback, which speaks as much of the REST API as issues need
//! and keeps them in memory. Beside it are paths for guests that want their credential back, or too much of anything.
//!
//! Under `/repos/{owner}/{repo}/issues…` and under `/api/v3/repos/…`, as GitHub Enterprise Server has it. Every
//! repository exists but for those of the owner `trouble`, whose name says what is wrong with them.

mod body;
mod echo;
mod rest;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use body::Reply;
pub use rest::Issue;

/// The server. It ends when it is dropped, whatever is still under way.
pub struct FakeGitHub {
    state: Arc<State>,
    authority: String,
    /// Dropped to end it.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A request as it reached the server.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// With the query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
    /// Whether the body came to its end; a request is seen as soon as its head is there.
    pub whole: bool,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What the server knows.
struct State {
    address: SocketAddr,
    scheme: &'static str,
    token: String,
    seen: Mutex<Vec<Seen>>,
    issues: Mutex<Vec<Issue>>,
    connections: AtomicUsize,
    /// Requests whose response is not yet through.
    open: AtomicUsize,
}

impl FakeGitHub {
    /// A server behind TLS, with a certificate for `localhost` and `127.0.0.1`.
    pub fn start(token: &str) -> Self {
        let (acceptor, authority) = acceptor();
        Self::serve(token, Some(acceptor), authority, Ipv4Addr::LOCALHOST.into())
    }

    /// The same without TLS.
    pub fn start_plain(token: &str) -> Self {
        Self::serve(token, None, String::new(), Ipv4Addr::LOCALHOST.into())
    }

    /// The same at every address of this machine.
    pub fn start_anywhere(token: &str) -> Self {
        Self::serve(token, None, String::new(), Ipv6Addr::UNSPECIFIED.into())
    }

    fn serve(token: &str, acceptor: Option<TlsAcceptor>, authority: String, at: IpAddr) -> Self {
        let listener = std::net::TcpListener::bind((at, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let state = Arc::new(State {
            address: listener.local_addr().unwrap(),
            scheme: if acceptor.is_some() { "https" } else { "http" },
            token: token.to_owned(),
            seen: Mutex::default(),
            issues: Mutex::default(),
            connections: AtomicUsize::default(),
            open: AtomicUsize::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                tokio::select! {
                    () = accept(TcpListener::from_std(listener).unwrap(), acceptor, serving) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { state, authority, stop: Some(stop), thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.state.address
    }

    pub fn port(&self) -> u16 {
        self.state.address.port()
    }

    /// `https://localhost:PORT`.
    pub fn url(&self) -> String {
        self.state.url()
    }

    /// The certificate of the authority that signed the server's, in PEM; empty without TLS.
    pub fn authority_pem(&self) -> &str {
        &self.authority
    }

    /// All requests so far, in the order in which their heads came.
    pub fn requests(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// All issues so far, in the order in which they were opened.
    pub fn issues(&self) -> Vec<Issue> {
        self.state.issues.lock().unwrap().clone()
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// How many requests are under way: not answered in full, and not given up by the client.
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }
}

impl Drop for FakeGitHub {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(ended.is_none_or(|ended| ended.is_ok()), "the server panicked");
        }
    }
}

impl State {
    fn url(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.address.port())
    }
}

/// A server's end of TLS, and the authority behind its certificate.
fn acceptor() -> (TlsAcceptor, String) {
    let mut params = CertificateParams::new(Vec::default()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "Certosa test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(params, authority_key);

    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), authority)
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        state.connections.fetch_add(1, Ordering::SeqCst);
        // Or a response in single bytes would wait for acknowledgements.
        let _closed = stream.set_nodelay(true);
        tokio::spawn(connection(stream, acceptor.clone(), Arc::clone(&state)));
    }
}

async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, state: Arc<State>) {
    let service = service_fn(move |request| answer(Arc::clone(&state), request));
    let server = auto::Builder::new(TokioExecutor::new());
    // Clients break off, and some are made to.
    match acceptor {
        None => drop(server.serve_connection(TokioIo::new(stream), service).await),
        Some(acceptor) => {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        }
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let guard = body::Open::new(Arc::clone(&state));
    let (head, incoming) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let seen = Seen { method: head.method.to_string(), path, headers: head.headers, body: String::new(), whole: false };
    let index = {
        let mut all = state.seen.lock().unwrap();
        all.push(seen.clone());
        all.len() - 1
    };
    let Ok(bytes) = incoming.collect().await.map(|body| body.to_bytes()) else {
        return Ok(body::text(400, "the body broke off"));
    };
    let seen = Seen { body: String::from_utf8_lossy(&bytes).into_owned(), whole: true, ..seen };
    state.seen.lock().unwrap()[index] = seen.clone();
    Ok(guard.over(route(&state, &seen).await))
}

async fn route(state: &State, seen: &Seen) -> Reply {
    let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let query = Query::parse(query);
    match parts.as_slice() {
        ["repos", owner, repo, "issues", rest @ ..] => rest::answer(state, seen, &query, (owner, repo), rest),
        ["v1", "secret", "data", "certosa"] => bao(state, seen),
        _ => echo::answer(seen, &query, &parts).await,
    }
}

/// A secret in OpenBao's key-value store, version 2: the token of this server as the KEK of a vault.
fn bao(state: &State, seen: &Seen) -> Reply {
    if seen.header("x-vault-token") != Some("s.root") {
        return body::text(403, r#"{"errors":["permission denied"]}"#);
    }
    let metadata = serde_json::json!({"version": 1, "destroyed": false});
    let data = serde_json::json!({"data": {"kek": state.token}, "metadata": metadata});
    body::text(200, serde_json::json!({"request_id": "1", "data": data}).to_string())
}

/// The parameters of a query, decoded.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.text(name).and_then(|text| text.parse().ok())
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let escape = after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => bytes.push(if *first == b'+' { b' ' } else { *first }),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
