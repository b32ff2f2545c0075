//! Those that send requests in a process of their own: a plain hyper client, and egress as the house has it.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use certosa_egress::{
    Client, ClientSettings, Credential, GuestBody, Head, Lookups, Policy, Request, Revoked, Secret, SecretUnavailable,
};
use certosa_model::{
    AddressRange, BundleName, CredentialName, EgressLimits, HostPattern, Injection, Method, PathPattern, Reach, Scheme,
};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::{HOST, Pace, SECRET};
use crate::args::Args;
use crate::{Done, tell};

/// What sends a request and reads all of the answer. Returns how long the body was.
trait Asks: Send + 'static {
    fn ask(&mut self, path: &str) -> impl Future<Output = Done<usize>> + Send;
}

/// Measures once, and says what came out.
pub(super) fn run(args: &Args) -> Done<()> {
    let port: u16 = args.number("--port", 0)?;
    let (workers, ms) = (args.number("--workers", 1)?, args.number("--ms", 100)?);
    let path = args.text("--path").ok_or("no --path")?.to_owned();
    let root = CertificateDer::from_pem_file(Path::new(args.text("--root").ok_or("no --root")?))?;
    let time = Duration::from_millis(ms);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let pace = if args.has("--egress") {
            let egress = Egress::new(port, root)?;
            measure((0..workers).map(|_| egress.clone()).collect(), path, time).await?
        } else {
            let mut askers: Vec<Plain> = Vec::new();
            for _ in 0..workers {
                let next = match askers.first() {
                    Some(Plain::Http2(sender)) => Plain::Http2(sender.clone()),
                    _ => Plain::connect(port, root.clone()).await?,
                };
                askers.push(next);
            }
            measure(askers, path, time).await?
        };
        tell(&serde_json::to_string(&pace)?);
        Ok(())
    })
}

/// Each asker is a task of its own, as each call of a house is. Their first requests, which all connect, do not count.
async fn measure<A: Asks>(askers: Vec<A>, path: String, time: Duration) -> Done<Pace> {
    let ready = Arc::new(Barrier::new(askers.len()));
    let ask = |mut asker: A| {
        let (path, ready) = (path.clone(), Arc::clone(&ready));
        async move {
            asker.ask(&path).await?;
            ready.wait().await;
            let (begin, mut times) = (Instant::now(), Vec::new());
            while begin.elapsed() < time {
                let before = Instant::now();
                asker.ask(&path).await?;
                times.push(before.elapsed().as_secs_f64() * 1e6);
            }
            Done::Ok((times, begin.elapsed()))
        }
    };
    let asking: JoinSet<_> = askers.into_iter().map(ask).collect();
    let (mut times, mut per_second) = (Vec::new(), 0.0);
    for took in asking.join_all().await {
        let (mut theirs, elapsed) = took?;
        per_second += theirs.len() as f64 / elapsed.as_secs_f64();
        times.append(&mut theirs);
    }
    Ok(Pace { per_second, p50_us: crate::load::median(times.into_iter()).ok_or("nothing was asked")? })
}

enum Plain {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Plain {
    async fn connect(port: u16, root: CertificateDer<'static>) -> Done<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(root)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = TcpStream::connect((HOST, port)).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(HOST)?, stream).await?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            let (sender, connection) =
                http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            Ok(Self::Http2(sender))
        } else {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            Ok(Self::Http1(sender))
        }
    }
}

impl Asks for Plain {
    async fn ask(&mut self, path: &str) -> Done<usize> {
        let request = http::Request::builder().header("authorization", format!("Bearer {SECRET}"));
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request.uri(path).header("host", HOST).body(Empty::new())?).await?
            }
            Self::Http2(sender) => {
                sender.send_request(request.uri(format!("https://{HOST}{path}")).body(Empty::new())?).await?
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

struct Value;

impl Secret for Value {
    fn expose(&self, with: &mut dyn FnMut(&[u8])) -> Result<(), SecretUnavailable> {
        with(SECRET.as_bytes());
        Ok(())
    }
}

impl Egress {
    fn new(port: u16, root: CertificateDer<'static>) -> Done<Self> {
        let settings = ClientSettings { more_roots: vec![root], ..ClientSettings::default() };
        let reach = Reach {
            schemes: vec![Scheme::Https],
            hosts: vec![HostPattern::new(HOST)?],
            ports: vec![port],
            methods: vec![Method::new("GET")?],
            paths: vec![PathPattern::new("/*")?],
        };
        let policy = Policy {
            bundle: BundleName::new("bench")?,
            reach: reach.clone(),
            addresses: vec![AddressRange::new("127.0.0.0/8")?, AddressRange::new("::1/128")?],
            limits: EgressLimits::default(),
            lookups: Lookups::default(),
        };
        let name = CredentialName::new("key")?;
        let credential =
            Credential { name, reach: Arc::new(reach), injection: Injection::Bearer, secret: Box::new(Value) };
        Ok(Self {
            client: Client::new(settings)?,
            policy: Arc::new(policy),
            credential: Arc::new(credential),
            authority: format!("{HOST}:{port}"),
        })
    }
}

impl Asks for Egress {
    async fn ask(&mut self, path: &str) -> Done<usize> {
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static("*/*"));
        let head = Head { method: "GET", scheme: None, authority: &self.authority, path_and_query: path, headers };
        let body: GuestBody = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::parse(head, body)?;
        let credential = Some(Arc::clone(&self.credential));
        let revoked = Revoked::when(std::future::pending());
        let scrubbed = self.client.exchange(&self.policy, request, credential, revoked).await?;
        read(scrubbed.into_response().into_body()).await
    }
}

/// Takes the frames as they come, and puts nothing together: both sides do the same.
async fn read<B>(mut body: B) -> Done<usize>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    let mut count = 0;
    while let Some(frame) = body.frame().await {
        count += frame.map_err(Into::into)?.data_ref().map_or(0, Bytes::len);
    }
    Ok(count)
}
