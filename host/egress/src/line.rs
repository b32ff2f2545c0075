//! Connections: made to addresses that were looked at, and kept for those they were made for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::uri::{self, Authority, Uri};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::error::{EgressError, Malformed, Stage};
use crate::outgoing::Outgoing;
use crate::policy::Target;
use crate::request::Origin;

use certosa_model::Scheme;

/// A connection on which requests can be sent. The last one that drops it ends it, whatever goes on on it.
pub(crate) struct Line {
    sender: Sender,
    end: Arc<End>,
}

enum Sender {
    Http1(http1::SendRequest<Outgoing>),
    Http2(http2::SendRequest<Outgoing>),
}

/// What is known of a connection as long as anybody has it. It ends with this.
struct End {
    peer: SocketAddr,
    /// How requests call the other side, over HTTP/2 and over HTTP/1.1.
    scheme: uri::Scheme,
    authority: Authority,
    host: HeaderValue,
    task: JoinHandle<()>,
}

/// What a response may have of headers. With HTTP/1.1 they are at most 100 (hyper's own bound): with any that is set, hyper
/// makes room on the heap for each response.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// What an upstream may send ahead on one stream, and on all of a connection: a few responses that nobody reads do not
/// hold up the others.
const WINDOW: u32 = 1 << 20;
const WINDOW_OF_ALL: u32 = 16 << 20;
/// The least that one address gets of the time for connecting, if several are to be tried.
const ATTEMPT_MIN: Duration = Duration::from_millis(250);
/// How long a connection that has just been used may take to become ready again.
const SETTLE: Duration = Duration::from_millis(20);

impl Target {
    /// Connects to one of these addresses, and to nothing else.
    pub(crate) async fn connect(&self, addresses: &[SocketAddr], tls: &TlsConnector) -> Result<Line, EgressError> {
        let connecting = async {
            let stream = self.tcp(addresses).await.map_err(|source| self.failed(source))?;
            let peer = stream.peer_addr().map_err(|source| self.failed(source))?;
            match self.origin.scheme {
                Scheme::Http => Line::http1(stream, peer, &self.origin).await,
                Scheme::Https => Box::pin(self.secure(stream, peer, tls)).await,
            }
        };
        let time = self.policy.limits.connect();
        tokio::time::timeout(time, connecting).await.map_err(|_elapsed| EgressError::Time(Stage::Connect))?
    }

    async fn tcp(&self, addresses: &[SocketAddr]) -> io::Result<TcpStream> {
        let end = Instant::now() + self.policy.limits.connect();
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for (index, address) in addresses.iter().enumerate() {
            let left = end.saturating_duration_since(Instant::now());
            let others = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            // One that does not answer leaves time for the others.
            let time = (left / others).max(ATTEMPT_MIN);
            match tokio::time::timeout(time, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failure = error,
                Err(_elapsed) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failure)
    }

    async fn secure(&self, stream: TcpStream, peer: SocketAddr, tls: &TlsConnector) -> Result<Line, EgressError> {
        let host = self.origin.host.as_str();
        let failed = |source| EgressError::Tls { host: host.into(), source };
        let name = ServerName::try_from(host.to_owned()).map_err(|why| failed(io::Error::other(why)))?;
        let stream = tls.connect(name, stream).await.map_err(failed)?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            Line::http2(stream, peer, &self.origin).await
        } else {
            Line::http1(stream, peer, &self.origin).await
        }
    }

    fn failed(&self, source: io::Error) -> EgressError {
        EgressError::Connect { host: self.origin.host.as_str().into(), source }
    }
}

impl Line {
    async fn http1<S>(stream: S, peer: SocketAddr, origin: &Origin) -> Result<Self, EgressError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.max_header_size(HEADER_BYTES_MAX);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender: Sender::Http1(sender), end: Arc::new(End::new(peer, origin, task)?) })
    }

    async fn http2<S>(stream: S, peer: SocketAddr, origin: &Origin) -> Result<Self, EgressError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW_OF_ALL)
            .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX));
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender: Sender::Http2(sender), end: Arc::new(End::new(peer, origin, task)?) })
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Outgoing>>> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    /// Waits until a request can be sent. One that has just ended its last exchange needs a moment.
    pub(crate) async fn is_usable(&mut self) -> bool {
        let is_ready = match &self.sender {
            Sender::Http1(sender) => sender.is_ready(),
            Sender::Http2(sender) => sender.is_ready(),
        };
        if is_ready {
            return true;
        }
        let ready = async {
            match &mut self.sender {
                Sender::Http1(sender) => sender.ready().await,
                Sender::Http2(sender) => sender.ready().await,
            }
        };
        matches!(tokio::time::timeout(SETTLE, ready).await, Ok(Ok(())))
    }

    pub(crate) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Where it goes to.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.end.peer
    }

    /// Writes the address in the way of the connection: HTTP/2 has it in one piece (RFC 9113, section 8.3.1), HTTP/1.1
    /// in two (RFC 9112, section 3.2).
    pub(crate) fn address(&self, request: &mut Request<Outgoing>) -> Result<(), Malformed> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        if self.is_http2() {
            (parts.scheme, parts.authority) = (Some(self.end.scheme.clone()), Some(self.end.authority.clone()));
            request.headers_mut().remove(header::HOST);
        } else {
            (parts.scheme, parts.authority) = (None, None);
            request.headers_mut().insert(header::HOST, self.end.host.clone());
        }
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Malformed::Path)?;
        Ok(())
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// The same connection once more, if it can carry several exchanges.
    pub(crate) fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Self { sender: Sender::Http2(sender.clone()), end: Arc::clone(&self.end) }),
        }
    }
}

impl End {
    fn new(peer: SocketAddr, origin: &Origin, task: JoinHandle<()>) -> Result<Self, Malformed> {
        let scheme = match origin.scheme {
            Scheme::Https => uri::Scheme::HTTPS,
            Scheme::Http => uri::Scheme::HTTP,
        };
        let name = origin.authority();
        let host = HeaderValue::try_from(&name).map_err(|_| Malformed::Authority)?;
        let authority = Authority::try_from(name).map_err(|_| Malformed::Authority)?;
        Ok(Self { peer, scheme, authority, host, task })
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.task.abort();
    }
}
