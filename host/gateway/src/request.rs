//! The life of a request.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use certosa_house::{House, Way};
use certosa_mcp::{Face, Message};
use certosa_policy::Caller;
use http::{Method, Request, Response};
use hyper::body::Incoming;

use crate::guard;
use crate::metrics::Metrics;
use crate::read;
use crate::respond::{self, Body, Refusal};
use crate::stream;

/// What every request needs.
pub(crate) struct Front {
    pub house: Arc<House>,
    pub face: Arc<Face>,
    pub address: SocketAddr,
    /// Everyone is the same caller until there is authentication.
    pub anonymous: Arc<Caller>,
    /// Whether connections are encrypted.
    pub secure: bool,
    /// Held by every task that has to end before the house does: those that work for a client of the older
    /// era, who may have gone away, and connections of HTTP/2.
    pub working: Arc<()>,
    pub metrics: Metrics,
}

/// Answers one request. There is always an answer: what goes wrong is one of them.
pub(crate) async fn answer(front: Arc<Front>, request: Request<Incoming>) -> Response<Body> {
    let response = match handle(&front, request).await {
        Ok(response) => response,
        Err(refusal) => respond::refuse(&refusal),
    };
    front.metrics.count(response.status());
    response
}

async fn handle(front: &Arc<Front>, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();

    // Nothing else is looked at before it is clear that no web page sent this.
    guard::check(&head, front.address, front.secure)?;

    // Routes are compared byte for byte: there is no second spelling of a path.
    let path = head.uri.path();
    match path {
        "/health" => return respond::health(&head.method),
        "/ready" => return respond::ready(&head.method, front),
        "/metrics" => return respond::metrics(&head.method, front),
        _ => {}
    }
    let route = front.house.route(path).ok_or(Refusal::NoRoute)?;

    // A route for others looks as if it were not there.
    let caller = identify(front);
    if !certosa_policy::admits(route.plan(), &caller) {
        return Err(Refusal::NoRoute);
    }
    let message = Message { caller, way: Way::Http, route: path.into(), headers: head.headers, body: Bytes::new() };
    match head.method {
        Method::POST => {
            read::check_media(&message.headers)?;
            let body = read::body(body, front.house.limits()).await?;
            let exchange = Arc::clone(&front.face).exchange(Message { body, ..message });
            Ok(stream::exchange(front, exchange).await)
        }
        Method::GET => Ok(respond::opened(Arc::clone(&front.face).stream(message))),
        Method::DELETE => Ok(respond::ended(front.face.end_session(&message))),
        _ => Err(Refusal::Method("POST, GET, DELETE")),
    }
}

/// Who is asking. It is settled before any tool is looked up.
fn identify(front: &Front) -> Arc<Caller> {
    Arc::clone(&front.anonymous)
}
