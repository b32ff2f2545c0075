use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use certosa_house::House;
use certosa_mcp::Face;
use certosa_model::HouseLimits;
use certosa_policy::Caller;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::metrics::Metrics;
use crate::request::{self, Front};
use crate::respond::Body;
use crate::tls::{Tls, TlsError};

/// A house that listens.
pub struct Server {
    listener: TcpListener,
    front: Arc<Front>,
    places: Arc<Semaphore>,
    /// Held by each connection.
    connections: Arc<()>,
    tls: Option<(Arc<Tls>, TlsAcceptor)>,
}

/// Why a house does not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

const HEADERS_MAX: usize = 64;
/// What is buffered of the headers before they are too large; one more read may come on top.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// Requests of one HTTP/2 connection that are answered at the same time.
const STREAMS_MAX: u32 = 64;
/// How long an HTTP/2 connection may be idle; one of HTTP/1.1 may be for as long as headers may take.
const IDLE: Duration = Duration::from_secs(60);
/// How often an HTTP/2 connection is looked at.
const LOOK: Duration = Duration::from_secs(5);
const PING: Duration = Duration::from_secs(20);
/// After an error of `accept` (mostly: no file descriptors left) wait a little instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const DRAIN_PAUSE: Duration = Duration::from_millis(5);
/// How long sent data may stay unread (TCP_USER_TIMEOUT, RFC 5482).
const UNREAD_MAX: Duration = Duration::from_secs(30);

impl Server {
    /// Binds the address of the plan.
    pub async fn bind(house: Arc<House>, face: Arc<Face>) -> Result<Self, BindError> {
        let tls = match &house.plan().tls {
            None => None,
            Some(plan) => {
                let tls = Tls::load(plan)?;
                let acceptor = tls.acceptor()?;
                Some((tls, acceptor))
            }
        };
        let listen = house.plan().listen;
        let listener = TcpListener::bind(listen).await.map_err(|source| BindError::Listen(listen, source))?;
        let address = listener.local_addr().map_err(|source| BindError::Listen(listen, source))?;
        let places = Arc::new(Semaphore::new(house.limits().connections_max));
        let connections = Arc::new(());
        let front = Front {
            address,
            secure: tls.is_some(),
            anonymous: Arc::new(Caller::anonymous_loopback()),
            working: Arc::new(()),
            metrics: Metrics::new(&house, &face, &connections),
            house,
            face,
        };
        Ok(Self { listener, front: Arc::new(front), places, connections, tls })
    }

    pub fn address(&self) -> SocketAddr {
        self.front.address
    }

    /// Serves until `stop` is over, then lets running requests finish. Returns whether all of them did.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let graceful = GracefulShutdown::new();
        let watching = self.tls.as_ref().map(|(tls, _)| tokio::spawn(Arc::clone(tls).watch()));
        let mut stop = std::pin::pin!(stop);
        loop {
            let place = Arc::clone(&self.places).acquire_owned();
            let accepted = async { (place.await, self.listener.accept().await) };
            let (place, stream) = tokio::select! {
                () = &mut stop => break,
                (place, accepted) = accepted => match accepted {
                    Ok((stream, _)) => (place, stream),
                    Err(error) => {
                        tracing::warn!("a connection could not be accepted: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let connection = Connection { front: Arc::clone(&self.front), watcher: graceful.watcher() };
            let acceptor = self.tls.as_ref().map(|(_, acceptor)| acceptor.clone());
            let open = Arc::clone(&self.connections);
            tokio::spawn(async move {
                connection.serve(stream, acceptor).await;
                drop((place, open));
            });
        }
        self.front.face.close();
        drop(self.listener);
        if let Some(watching) = watching {
            watching.abort();
        }
        let time = Duration::from_millis(self.front.house.limits().drain_ms_max.into());
        let done = async {
            graceful.shutdown().await;
            while Arc::strong_count(&self.front.working) > 1 {
                tokio::time::sleep(DRAIN_PAUSE).await;
            }
        };
        tokio::time::timeout(time, done).await.is_ok()
    }
}

/// A connection that was accepted.
struct Connection {
    front: Arc<Front>,
    watcher: Watcher,
}

impl Connection {
    async fn serve(self, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
        // Without this a small answer waits up to 40 ms for the client's acknowledgement. And a client that does
        // not read what it asked for loses its connection.
        let socket = SockRef::from(&stream);
        if socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_user_timeout(Some(UNREAD_MAX))).is_err() {
            return;
        }
        match acceptor {
            None => self.http1(TokioIo::new(stream)).await,
            // In a box: a plain connection does not pay for the size of this.
            Some(acceptor) => Box::pin(self.secure(stream, acceptor)).await,
        }
    }

    async fn secure(self, stream: TcpStream, acceptor: TlsAcceptor) {
        let time = Duration::from_millis(self.front.house.limits().header_ms_max.into());
        match tokio::time::timeout(time, acceptor.accept(stream)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                self.http2(TokioIo::new(stream)).await;
            }
            Ok(Ok(stream)) => self.http1(TokioIo::new(stream)).await,
            Ok(Err(error)) => tracing::debug!("a TLS handshake failed: {error}"),
            Err(_elapsed) => tracing::debug!("a TLS handshake took longer than headerMsMax"),
        }
    }

    async fn http1<I: Read + Write + Unpin + Send + 'static>(self, stream: I) {
        let front = Arc::clone(&self.front);
        let service = service_fn(move |request| answer(Arc::clone(&front), request));
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(self.front.house.limits().header_ms_max.into()))
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEADER_BYTES_MAX);
        if let Err(error) = self.watcher.watch(builder.serve_connection(stream, service)).await {
            tracing::debug!("a connection ended: {error}");
        }
    }

    async fn http2<I: Read + Write + Unpin + Send + 'static>(self, stream: I) {
        let Self { front, watcher } = self;
        // This kind of connection says itself that it is at work, and sees by itself that the house closes.
        let _working = Arc::clone(&front.working);
        drop(watcher);
        let life = Arc::new(Life::default());
        let (ours, seen) = (Arc::clone(&front), Arc::clone(&life));
        let service = service_fn(move |request| {
            let (front, active) = (Arc::clone(&ours), Active::new(&seen));
            async move {
                let response = answer(front, request).await;
                response.map(|response| response.map(|body| body.holding(active)))
            }
        });
        let connection = http2_builder(front.house.limits()).serve_connection(stream, service);
        let mut connection = std::pin::pin!(connection);
        let mut closed = std::pin::pin!(front.face.closed());
        let mut is_closed = false;
        let mut still = Still::new(&life);
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                () = closed.as_mut(), if !is_closed => {
                    is_closed = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = tokio::time::sleep(LOOK) => match still.look(&life) {
                    Some(StillFor::Unread) => return tracing::debug!("a connection ended: its answers were not read"),
                    Some(StillFor::Idle) => connection.as_mut().graceful_shutdown(),
                    None => {}
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!("a connection ended: {error}");
        }
    }
}

async fn answer(front: Arc<Front>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    Ok(request::answer(front, request).await)
}

fn http2_builder(limits: &HouseLimits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(Some(PING))
        .keep_alive_timeout(Duration::from_millis(limits.header_ms_max.into()));
    builder
}

/// What goes on on an HTTP/2 connection.
#[derive(Default)]
struct Life {
    /// Requests that are being answered, until their responses are through.
    active: AtomicUsize,
    /// Responses that are there and not through.
    bodies: AtomicUsize,
    /// Requests that came and frames of responses that were taken.
    moves: AtomicUsize,
}

/// A request that is being answered, until its response is through.
pub(crate) struct Active {
    life: Arc<Life>,
    has_body: bool,
}

/// Since when nothing has moved.
struct Still {
    moves: usize,
    since: Instant,
}

enum StillFor {
    /// There are answers, and the client takes nothing of them.
    Unread,
    /// There is nothing to do.
    Idle,
}

impl Active {
    fn new(life: &Arc<Life>) -> Self {
        life.active.fetch_add(1, Ordering::AcqRel);
        life.moves.fetch_add(1, Ordering::AcqRel);
        Self { life: Arc::clone(life), has_body: false }
    }

    /// Says that the response is there.
    pub(crate) fn answered(mut self) -> Self {
        self.life.bodies.fetch_add(1, Ordering::AcqRel);
        self.has_body = true;
        self
    }

    /// Says that a frame of the response was taken.
    pub(crate) fn taken(&self) {
        self.life.moves.fetch_add(1, Ordering::AcqRel);
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.life.active.fetch_sub(1, Ordering::AcqRel);
        self.life.bodies.fetch_sub(usize::from(self.has_body), Ordering::AcqRel);
        self.life.moves.fetch_add(1, Ordering::AcqRel);
    }
}

impl Still {
    fn new(life: &Life) -> Self {
        Self { moves: life.moves.load(Ordering::Acquire), since: Instant::now() }
    }

    fn look(&mut self, life: &Life) -> Option<StillFor> {
        let moves = life.moves.load(Ordering::Acquire);
        if moves != self.moves {
            *self = Self { moves, since: Instant::now() };
        }
        let time = self.since.elapsed();
        // Open streams say something every 15 s, so silence means that nobody reads.
        if life.bodies.load(Ordering::Acquire) > 0 && time >= UNREAD_MAX {
            return Some(StillFor::Unread);
        }
        match life.active.load(Ordering::Acquire) == 0 && time >= IDLE {
            // What was answered before is buffered, and keeps the connection from ending by itself.
            true if time >= IDLE + UNREAD_MAX => Some(StillFor::Unread),
            true => Some(StillFor::Idle),
            false => None,
        }
    }
}
