//! What egress costs: a plain hyper client and certosa-egress, with a credential that is put in and looked for, against
//! the same server in the same run. `cargo run --release -p certosa-egress --example ratio [milliseconds per round
//! [/small or /large]]`

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a tool for the people who work on this crate"
)]

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use certosa_egress::{
    Client, ClientSettings, Credential, GuestBody, Head, Lookup, Policy, Request, Resolver, Revoked, Secret,
    SecretUnavailable,
};
use certosa_model::{
    AddressRange, BundleName, CredentialName, EgressLimits, HostPattern, Injection, Method, PathPattern, Reach, Scheme,
};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The one that `certosa` has, for both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HOST: &str = "api.test";
const SECRET: &str = "ghp_0123456789abcdefABCDEF0123456789abcd";
const ROUNDS: usize = 21;

fn main() {
    let round = std::env::args().nth(1).map_or(100, |text| text.parse().unwrap());
    let only = std::env::args().nth(2);
    let (address, root) = serve();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!(
            "{:<9} {:>7} {:>4}  {:>10} {:>10} {:>6}  {:>9} {:>9}",
            "", "body", "at", "plain/s", "egress/s", "ratio", "p50", "added"
        );
        for is_http2 in [false, true] {
            for (name, path, workers) in [("1 KiB", "/small", 16), ("1 MiB", "/large", 4)] {
                if only.as_ref().is_some_and(|only| only != path) {
                    continue;
                }
                compare(address, &root, is_http2, name, path, workers, Duration::from_millis(round)).await;
            }
        }
    });
}

async fn compare(
    address: SocketAddr,
    root: &CertificateDer<'static>,
    is_http2: bool,
    name: &str,
    path: &'static str,
    workers: usize,
    time: Duration,
) {
    let mut plain: Vec<Plain> = Vec::new();
    for _ in 0..workers {
        let next = match plain.first() {
            Some(Plain::Http2(sender)) => Plain::Http2(sender.clone()),
            _ => Plain::connect(address, root, is_http2).await,
        };
        plain.push(next);
    }
    let egress = Egress::new(address, root, is_http2);
    let (mut rates, mut times) = (Vec::new(), Vec::new());
    for index in 0..=ROUNDS {
        let mut ours: Vec<Egress> = (0..workers).map(|_| egress.clone()).collect();
        let rate = [run(&mut plain, path, time).await.0, run(&mut ours, path, time).await.0];
        let middle = [run(&mut plain[..1], path, time).await.1, run(&mut ours[..1], path, time).await.1];
        if index > 0 {
            rates.push(rate);
            times.push(middle);
        }
    }
    let ratio = median(rates.iter().map(|[plain, egress]| egress / plain));
    let added = median(times.iter().map(|[plain, egress]| egress - plain));
    println!(
        "{:<9} {name:>7} {workers:>4}  {:>10.0} {:>10.0} {ratio:>6.2}  {:>6.0} us {added:>6.0} us",
        if is_http2 { "HTTP/2" } else { "HTTP/1.1" },
        median(rates.iter().map(|rate| rate[0])),
        median(rates.iter().map(|rate| rate[1])),
        median(times.iter().map(|time| time[1])),
    );
}

/// What sends a request and reads all of the answer.
trait Asks {
    fn ask(&mut self, path: &'static str) -> impl Future<Output = usize>;
}

/// Requests in a second, and the median of how long one took, in microseconds.
async fn run<A: Asks>(askers: &mut [A], path: &'static str, time: Duration) -> (f64, f64) {
    let begin = Instant::now();
    let all = futures_util::future::join_all(askers.iter_mut().map(|asker| async move {
        let mut took = Vec::new();
        while begin.elapsed() < time {
            let before = Instant::now();
            assert!(asker.ask(path).await >= 1024);
            took.push(before.elapsed().as_secs_f64() * 1e6);
        }
        took
    }))
    .await;
    let all: Vec<f64> = all.into_iter().flatten().collect();
    (all.len() as f64 / begin.elapsed().as_secs_f64(), median(all.into_iter()))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

enum Plain {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Plain {
    async fn connect(address: SocketAddr, root: &CertificateDer<'static>, is_http2: bool) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![if is_http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from(HOST).unwrap();
        let stream = TokioIo::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap());
        if is_http2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new()).handshake(stream).await.unwrap();
            tokio::spawn(connection);
            Self::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            Self::Http1(sender)
        }
    }
}

impl Asks for Plain {
    async fn ask(&mut self, path: &'static str) -> usize {
        let request = http::Request::builder().header("authorization", format!("Bearer {SECRET}"));
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await.unwrap();
                let request = request.uri(path).header("host", HOST).body(Empty::new()).unwrap();
                sender.send_request(request).await.unwrap()
            }
            Self::Http2(sender) => {
                let request = request.uri(format!("https://{HOST}{path}")).body(Empty::new()).unwrap();
                sender.send_request(request).await.unwrap()
            }
        };
        read(response.into_body()).await
    }
}

#[derive(Clone)]
struct Egress {
    client: Client,
    policy: Arc<Policy>,
    credential: Arc<Credential>,
    authority: String,
}

struct Loopback;

impl Resolver for Loopback {
    fn lookup<'a>(&'a self, _: &'a str) -> Lookup<'a> {
        Box::pin(async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) })
    }
}

struct Value;

impl Secret for Value {
    fn expose(&self, with: &mut dyn FnMut(&[u8])) -> Result<(), SecretUnavailable> {
        with(SECRET.as_bytes());
        Ok(())
    }
}

impl Egress {
    fn new(address: SocketAddr, root: &CertificateDer<'static>, http2: bool) -> Self {
        let pool = certosa_egress::PoolLimits { idle_per_key_max: 32, ..Default::default() };
        let settings = ClientSettings { resolver: Arc::new(Loopback), more_roots: vec![root.clone()], pool, http2 };
        let reach = Reach {
            schemes: vec![Scheme::Https],
            hosts: vec![HostPattern::new(HOST).unwrap()],
            ports: vec![address.port()],
            methods: vec![Method::new("GET").unwrap()],
            paths: vec![PathPattern::new("/*").unwrap()],
        };
        let policy = Policy {
            bundle: BundleName::new("bench").unwrap(),
            reach: reach.clone(),
            addresses: vec![AddressRange::new("127.0.0.0/8").unwrap()],
            limits: EgressLimits::default(),
        };
        let name = CredentialName::new("key").unwrap();
        let credential =
            Credential { name, reach: Arc::new(reach), injection: Injection::Bearer, secret: Box::new(Value) };
        Self {
            client: Client::new(settings).unwrap(),
            policy: Arc::new(policy),
            credential: Arc::new(credential),
            authority: format!("{HOST}:{}", address.port()),
        }
    }
}

impl Asks for Egress {
    async fn ask(&mut self, path: &'static str) -> usize {
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static("*/*"));
        let head = Head { method: "GET", scheme: None, authority: &self.authority, path_and_query: path, headers };
        let body: GuestBody = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::parse(head, body).unwrap();
        let credential = Some(Arc::clone(&self.credential));
        let revoked = Revoked::when(std::future::pending());
        let scrubbed = self.client.exchange(&self.policy, request, credential, revoked).await.unwrap();
        read(scrubbed.into_response().into_body()).await
    }
}

/// Takes the frames as they come, and puts nothing together: both sides do the same.
async fn read<B: http_body::Body<Data = Bytes> + Unpin>(mut body: B) -> usize {
    let mut count = 0;
    while let Some(Ok(frame)) = body.frame().await {
        count += frame.data_ref().map_or(0, Bytes::len);
    }
    count
}

/// A server on a thread of its own.
fn serve() -> (SocketAddr, CertificateDer<'static>) {
    let root_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::default()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&root_key).unwrap().der().clone();
    let issuer = Issuer::new(params, root_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![HOST.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            let text = b"{\"id\":12345,\"name\":\"a thing\",\"tags\":[\"x\",\"y\"],\"etag\":\"W/abcdef\"}\n";
            let large = Bytes::from(text.repeat((1 << 20) / text.len() + 1)).slice(..1 << 20);
            let small = large.slice(..1024);
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (acceptor, large, small) = (acceptor.clone(), large.clone(), small.clone());
                tokio::spawn(async move {
                    let stream = TokioIo::new(acceptor.accept(stream).await.unwrap());
                    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                        let body = if request.uri().path() == "/large" { large.clone() } else { small.clone() };
                        async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
                    });
                    let _ended = auto::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await;
                });
            }
        });
    });
    (receiver.recv().unwrap(), root)
}
