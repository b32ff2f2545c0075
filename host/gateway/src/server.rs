use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certosa_house::House;
use certosa_mcp::Face;
use certosa_policy::Caller;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::request::{self, Front};

/// A house that listens.
pub struct Server {
    listener: TcpListener,
    front: Arc<Front>,
    connections: Arc<Semaphore>,
}

const HEADERS_MAX: usize = 64;
/// What is buffered of the headers before they are too large; one more read may come on top.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// After an error of `accept` (mostly: no file descriptors left) wait a little instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const DRAIN_PAUSE: Duration = Duration::from_millis(5);
/// How long sent data may stay unread (TCP_USER_TIMEOUT, RFC 5482).
const UNREAD_MAX: Duration = Duration::from_secs(30);

impl Server {
    /// Binds the address of the plan.
    pub async fn bind(house: Arc<House>, face: Arc<Face>) -> io::Result<Self> {
        let listener = TcpListener::bind(house.plan().listen).await?;
        let address = listener.local_addr()?;
        let connections = Arc::new(Semaphore::new(house.limits().connections_max));
        let anonymous = Arc::new(Caller::anonymous_loopback());
        let front =
            Front { house, face, address, anonymous, working: Arc::new(()), closing: watch::Sender::new(false) };
        Ok(Self { listener, front: Arc::new(front), connections })
    }

    pub fn address(&self) -> SocketAddr {
        self.front.address
    }

    /// Serves until `stop` is over, then lets running requests finish. Returns whether all of them did.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let place = Arc::clone(&self.connections).acquire_owned();
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
            if let Some(connection) = self.connection(stream) {
                let connection = graceful.watch(connection);
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!("a connection ended: {error}");
                    }
                    drop(place);
                });
            }
        }
        self.front.closing.send_replace(true);
        drop(self.listener);
        let time = Duration::from_millis(self.front.house.limits().drain_ms_max.into());
        let done = async {
            graceful.shutdown().await;
            while Arc::strong_count(&self.front.working) > 1 {
                tokio::time::sleep(DRAIN_PAUSE).await;
            }
        };
        tokio::time::timeout(time, done).await.is_ok()
    }

    fn connection(
        &self,
        stream: TcpStream,
    ) -> Option<
        http1::Connection<
            TokioIo<TcpStream>,
            impl hyper::service::HttpService<
                hyper::body::Incoming,
                ResBody = crate::respond::Body,
                Error = Infallible,
                Future: Send,
            > + use<>,
        >,
    > {
        // Without this a small answer waits up to 40 ms for the client's acknowledgement.
        stream.set_nodelay(true).ok()?;
        // A client that does not read what it asked for loses its connection.
        SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD_MAX)).ok()?;
        let front = Arc::clone(&self.front);
        let service = service_fn(move |request| {
            let front = Arc::clone(&front);
            async move { Ok::<_, Infallible>(request::answer(front, request).await) }
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(self.front.house.limits().header_ms_max.into()))
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEADER_BYTES_MAX);
        Some(builder.serve_connection(TokioIo::new(stream), service))
    }
}
