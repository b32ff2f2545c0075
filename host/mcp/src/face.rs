use std::sync::Arc;
use std::time::Duration;

use certosa_house::{House, RouteView};
use http::HeaderMap;

use crate::catalog::Catalog;
use crate::exchange::{Answer, Exchange, Kind, Message, Outbox};
use crate::rpc::{self, Code, Envelope, Malformed};
use crate::sessions::Sessions;
use crate::state::Seal;
use crate::tools::Params;
use crate::{LEGACY, SESSION_HEADER, headers, legacy, modern, rpc_error};

/// The MCP face of one house. All transports and both eras enter at [`Face::exchange`].
pub struct Face {
    pub(crate) house: Arc<House>,
    pub(crate) catalog: Catalog,
    pub(crate) sessions: Sessions,
    pub(crate) seal: Seal,
}

/// A message whose envelope was read and whose route is known.
pub(crate) struct Received<'a> {
    pub face: &'a Face,
    pub message: &'a Message,
    pub route: RouteView<'a>,
    pub envelope: Envelope<'a>,
    pub outbox: &'a Outbox,
}

impl Face {
    pub fn new(house: Arc<House>) -> Result<Self, getrandom::Error> {
        let limits = house.limits();
        let sessions = Sessions::new(limits.sessions_max, Duration::from_secs(limits.session_idle_s_max.into()));
        Ok(Self { catalog: Catalog::of(&house), sessions, seal: Seal::new()?, house })
    }

    /// Begins to work on one message. The work advances while the exchange is polled.
    pub fn exchange(self: Arc<Self>, message: Message) -> Exchange {
        let outbox = Outbox::default();
        let named = headers::text(&message.headers, headers::VERSION).ok().flatten();
        let outlives_client = message.headers.contains_key(SESSION_HEADER) && named != Some(crate::MODERN);
        let ours = outbox.clone();
        Exchange::new(outbox, outlives_client, async move { self.answer(&message, &ours).await })
    }

    async fn answer(&self, message: &Message, outbox: &Outbox) -> Answer {
        let envelope = match Envelope::parse(&message.body) {
            Ok(envelope) => envelope,
            Err(Malformed::NotJson(why)) => return invalid(None, Code::Parse, &format!("not JSON: {why}")),
            Err(Malformed::NotRequest(why, id)) => return invalid(id.as_deref(), Code::InvalidRequest, &why),
            // Questions of ours travel in results so far: there is nothing that a response could answer.
            Err(Malformed::Response) => return invalid(None, Code::InvalidRequest, "nothing was asked"),
        };
        let Some(route) = self.house.route(&message.route) else {
            return invalid(envelope.id, Code::InvalidRequest, "there is no such route");
        };
        let received = Received { face: self, message, route, envelope, outbox };
        match received.envelope.params::<Params<'_>>() {
            Err(why) => invalid(received.envelope.id, Code::InvalidParams, &format!("the parameters: {why}")),
            Ok(params) => match is_legacy(&message.headers, &received.envelope.method, &params) {
                true => legacy::answer(received, params).await,
                false => modern::answer(received, params).await,
            },
        }
    }

    /// Opens the stream that an older client asks for with GET: whether it may have one.
    pub fn may_stream(&self, message: &Message) -> Result<(), Answer> {
        legacy::session(self, message).map(|_| ())
    }

    /// Ends the session of an older client (DELETE).
    pub fn end_session(&self, message: &Message) -> Result<(), Answer> {
        legacy::session(self, message).map(crate::sessions::Open::end)
    }
}

/// The modern era announces itself in every request; what does not is from before.
fn is_legacy(headers: &HeaderMap, method: &str, params: &Params<'_>) -> bool {
    let named = headers::text(headers, headers::VERSION).ok().flatten();
    let in_body = params.meta.as_ref().is_some_and(|meta| meta.version.is_some());
    match named {
        Some(version) => LEGACY.contains(&version),
        None => !in_body && (method == "initialize" || headers.contains_key(SESSION_HEADER)),
    }
}

pub(crate) fn invalid(id: Option<&str>, code: Code, why: &str) -> Answer {
    Answer::reply(Kind::Invalid, rpc_error(id, code, why, None))
}

pub(crate) fn unknown_method(id: &str, method: &str, kind: Kind) -> Answer {
    let method = method.chars().take(100).collect::<String>();
    Answer::reply(kind, rpc::error(Some(id), Code::MethodNotFound, &format!("unknown method: {method}"), None))
}
