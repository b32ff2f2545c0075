//! wasi:http 0.2, outgoing: what a guest asks for becomes a request of `certosa-egress`, and what that answers becomes
//! what the guest sees. The resources of the interface are those of wasmtime; nothing is sent by them.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use certosa_egress::{EgressError, GuestError, Head, Request, ResponseBody};
use certosa_model::CredentialName;
use futures_util::FutureExt as _;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use crate::caller::Cell;
use crate::errand::{Answered, Errand};
use crate::paced::Paced;
use crate::refused::Refused;

/// Of all fields that one resource of headers holds; a request may have 32 KiB of them, and keeping them takes room.
const FIELDS_BYTES_MAX: usize = 64 << 10;
/// Written by a guest to one body, and not yet taken by the connection.
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// The way of one call to the outside.
pub(crate) struct Outside {
    pub door: Door,
    context: WasiHttpCtx,
}

pub(crate) struct Door {
    /// `None`: the bundle was granted nothing.
    pub errand: Option<Arc<Errand>>,
    /// The credential that the guest named.
    pub chosen: Option<CredentialName>,
    /// Dropped with the call, which ends what is still going on.
    call: watch::Sender<()>,
}

/// The body of a response, which takes a place until it was read or dropped.
struct Held {
    body: Paced<ResponseBody>,
    place: Option<OwnedSemaphorePermit>,
    errand: Arc<Errand>,
}

type More = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, More), Error>;

pub(crate) fn link(linker: &mut Linker<Cell>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

impl Outside {
    pub(crate) fn new(errand: Option<Arc<Errand>>) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(FIELDS_BYTES_MAX);
        Self { door: Door { errand, chosen: None, call: watch::Sender::new(()) }, context }
    }

    /// Whether a request or a response of the call is still held by anybody.
    pub(crate) fn is_open(&self) -> bool {
        self.door.call.receiver_count() > 0
    }

    pub(crate) fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView { hooks: &mut self.door, table, ctx: &mut self.context }
    }
}

impl WasiHttpView for Cell {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (outside, table) = self.outside();
        outside.view(table)
    }
}

impl WasiHttpHooks for Door {
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES_MAX
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _fut: More,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let (errand, chosen, ended) = (self.errand.clone(), self.chosen.clone(), self.call.subscribe());
        let Some(runtime) = errand.as_ref().and_then(|errand| errand.runtime()) else {
            return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        };
        let exchange = async move {
            let errand = errand.ok_or(Error::HttpRequestDenied)?;
            let (parts, body) = request.into_parts();
            let body = Lasting(Arc::new(Mutex::new(body)));
            let (unread, over) = (body.clone(), ended.clone());
            let tell = |why: Refused| {
                errand.refused(&why);
                tokio::spawn(unread.drain(over));
                in_words_of_wasi(why.guest())
            };
            let policy = options.and_then(|options| errand.policy_within(options));
            let request = match parse(parts, body) {
                Ok(request) => request,
                Err(why) => return Err(tell(why.into())),
            };
            let Answered { scrubbed, place } = errand.exchange(request, policy, chosen, ended).await.map_err(tell)?;
            let held = |body| Held { body: Paced::new(body), place: Some(place), errand: Arc::clone(&errand) };
            let response = scrubbed.into_response().map(|body| held(body).boxed_unsync());
            Ok((response, Box::new(std::future::ready(Ok(()))) as More))
        };
        // This is polled in a task of its own, which has a network if the cell is in the fast lane.
        if Handle::try_current().is_ok_and(|here| here.id() == runtime.id()) {
            return Box::new(contained(exchange));
        }
        // Dropping the set ends the exchange.
        let mut exchanges = JoinSet::new();
        exchanges.spawn_on(exchange, &runtime);
        Box::new(
            async move { exchanges.join_next().await.and_then(Result::ok).unwrap_or(Err(Error::InternalError(None))) },
        )
    }
}

/// What breaks off in here is the end of the exchange, and of nothing else.
async fn contained(exchange: impl Future<Output = Sent> + Send) -> Sent {
    AssertUnwindSafe(exchange).catch_unwind().await.unwrap_or(Err(Error::InternalError(None)))
}

/// The body of a request, which outlives a refusal: libraries write all of it before they look at the answer, and would
/// see a broken stream where they should see why.
#[derive(Clone)]
struct Lasting(Arc<Mutex<WasiBody>>);

impl Lasting {
    /// Takes what the guest still writes, until its call is over.
    async fn drain(mut self, mut ended: watch::Receiver<()>) {
        let read = async { while let Some(Ok(_)) = self.frame().await {} };
        tokio::select! {
            () = read => {}
            _ = ended.changed() => {}
        }
    }
}

impl Body for Lasting {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

/// Reads what wasmtime made of the guest's request. Our own parser is stricter than its.
fn parse(parts: http::request::Parts, body: Lasting) -> Result<Request, EgressError> {
    let head = Head {
        method: parts.method.as_str(),
        scheme: parts.uri.scheme_str(),
        authority: parts.uri.authority().map_or("", http::uri::Authority::as_str),
        path_and_query: parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str),
        headers: parts.headers,
    };
    Request::parse(head, body.map_err(Into::into).boxed_unsync())
}

impl Body for Held {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if !matches!(polled, Some(Ok(_))) {
            self.place = None;
        }
        Poll::Ready(polled.map(|frame| {
            frame.map_err(|error| {
                let why = Refused::Egress(error);
                self.errand.refused(&why);
                in_words_of_wasi(why.guest())
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

fn in_words_of_wasi(error: GuestError) -> Error {
    match error {
        GuestError::DnsTimeout => Error::DnsTimeout,
        GuestError::DnsError => Error::DnsError { rcode: None, info_code: None },
        GuestError::DestinationUnavailable => Error::DestinationUnavailable,
        GuestError::ConnectionRefused => Error::ConnectionRefused,
        GuestError::ConnectionTerminated => Error::ConnectionTerminated,
        GuestError::ConnectionTimeout => Error::ConnectionTimeout,
        GuestError::ConnectionReadTimeout => Error::ConnectionReadTimeout,
        GuestError::TlsProtocolError => Error::TlsProtocolError,
        GuestError::HttpRequestDenied => Error::HttpRequestDenied,
        GuestError::HttpRequestBodySize => Error::HttpRequestBodySize(None),
        GuestError::HttpRequestMethodInvalid => Error::HttpRequestMethodInvalid,
        GuestError::HttpRequestUriInvalid => Error::HttpRequestUriInvalid,
        GuestError::HttpRequestUriTooLong => Error::HttpRequestUriTooLong,
        GuestError::HttpRequestHeaderSectionSize => Error::HttpRequestHeaderSectionSize(None),
        GuestError::HttpResponseBodySize => Error::HttpResponseBodySize(None),
        GuestError::HttpResponseContentCoding => Error::HttpResponseContentCoding(None),
        GuestError::HttpResponseTimeout => Error::HttpResponseTimeout,
        GuestError::HttpUpgradeFailed => Error::HttpUpgradeFailed,
        GuestError::HttpProtocolError => Error::HttpProtocolError,
        GuestError::InternalError => Error::InternalError(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_exchange_that_breaks_off_is_an_error_of_its_own() {
        let broken = async { panic!("in the middle") };
        assert!(matches!(contained(broken).await, Err(Error::InternalError(None))));
    }
}
