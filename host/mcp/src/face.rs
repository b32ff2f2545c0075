use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use certosa_house::{House, Listings, Route, Way};
use futures_util::future::join_all;
use http::HeaderMap;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::catalog::Catalog;
use crate::exchange::{Answer, Exchange, Kind, Message, Outbox};
use crate::hub::Hub;
use crate::params::Params;
use crate::rpc::{self, Body, Code, Envelope, Malformed, Response};
use crate::sessions::Sessions;
use crate::state::Seal;
use crate::versions::Version;
use crate::{SESSION_HEADER, headers, legacy, modern, rpc_error};

/// The MCP face of one house. All transports and both eras enter at [`Face::exchange`].
pub struct Face {
    pub(crate) house: Arc<House>,
    /// Replaced when lists change. Whoever works with it takes it once.
    catalog: RwLock<Arc<Catalog>>,
    pub(crate) sessions: Sessions,
    pub(crate) seal: Seal,
    pub(crate) hub: Hub,
    /// Turns true when the house closes: streams that would go on for ever end.
    closing: watch::Sender<bool>,
}

/// A message whose envelope was read and whose route is known.
pub(crate) struct Received<'a> {
    pub face: &'a Face,
    pub message: &'a Message,
    pub route: Route<'a>,
    /// The text of the id; `None` for a notification.
    pub id: Option<&'a str>,
    pub method: Cow<'a, str>,
    pub outbox: &'a Outbox,
}

/// Messages in one batch (MCP 2025-03-26 has no number for this).
const BATCH_MAX: usize = 32;

impl Face {
    pub fn new(house: Arc<House>) -> Result<Self, getrandom::Error> {
        let limits = house.limits();
        let sessions = Sessions::new(limits.sessions_max, Duration::from_secs(limits.session_idle_s_max.into()));
        Ok(Self {
            catalog: RwLock::new(Arc::new(Catalog::of(&house, house.listings()))),
            sessions,
            seal: Seal::new()?,
            hub: Hub::default(),
            closing: watch::Sender::new(false),
            house,
        })
    }

    /// Lets bundles change their lists that may, and tells those who listen. It goes on until it is dropped;
    /// without it no list changes.
    pub async fn follow(self: Arc<Self>) {
        Arc::clone(&self.house).follow(move |listings| self.show(listings)).await;
    }

    /// Shows other listings than before.
    fn show(&self, listings: Arc<Listings>) {
        let (before, after) = (self.catalog(), Arc::new(Catalog::of(&self.house, listings)));
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&after);
        self.hub.lists_changed(&self.house, &before, &after);
    }

    /// What the house offers now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sessions of older clients that are open.
    pub fn sessions(&self) -> usize {
        self.sessions.count()
    }

    /// Ends the streams that would go on for ever.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Whether the house is closing.
    pub fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Comes back when the house closes.
    pub async fn closed(&self) {
        let mut closing = self.closing.subscribe();
        let _or_the_face_is_gone = closing.wait_for(|closing| *closing).await.is_ok();
    }

    /// Begins to work on one message. The work advances while the exchange is polled.
    pub fn exchange(self: Arc<Self>, message: Message) -> Exchange {
        let outbox = Outbox::default();
        let named = headers::text(&message.headers, &headers::VERSION).ok().flatten();
        let is_modern = named == Some(Version::V2026_07_28.as_str());
        let outlives_client = message.headers.contains_key(&SESSION_HEADER) && !is_modern;
        let ours = outbox.clone();
        Exchange::new(outbox, outlives_client, async move { self.answer(&message, &ours).await })
    }

    /// Opens the stream of an older client's session: what the house says without being asked.
    pub fn stream(self: Arc<Self>, message: Message) -> Result<Exchange, Answer> {
        let (session, outbox) = (legacy::session(&self, &message, None)?.id, Outbox::default());
        // Not the whole message: its headers keep the buffer alive that they were read into.
        let (caller, route, ours) = (message.caller, message.route, outbox.clone());
        Ok(Exchange::new(outbox, false, async move { legacy::listen(&self, &session, caller, route, &ours).await }))
    }

    /// Ends the session of an older client.
    pub fn end_session(&self, message: &Message) -> Result<(), Answer> {
        legacy::session(self, message, None).map(crate::sessions::Open::end)
    }

    async fn answer(&self, message: &Message, outbox: &Outbox) -> Answer {
        match rpc::read(&message.body) {
            Ok(Body::One(text)) => self.answer_one(message, text, outbox).await,
            Ok(Body::Batch(texts)) => self.answer_batch(message, &texts, outbox).await,
            Err(malformed) => self.malformed(message, malformed),
        }
    }

    async fn answer_one(&self, message: &Message, text: &str, outbox: &Outbox) -> Answer {
        let envelope = match Envelope::parse(text) {
            Ok(envelope) => envelope,
            Err(malformed) => return self.malformed(message, malformed),
        };
        let Some(route) = self.house.route(&message.route) else {
            return invalid(envelope.id, Code::InvalidRequest, "there is no such route");
        };
        let Envelope { id, method, params } = envelope;
        let received = Received { face: self, message, route, id, method, outbox };
        match &params {
            Err(why) => {
                // In the older era errors of a method travel like results.
                let is_legacy = is_legacy(&received, &Params::default());
                let kind = if is_legacy && received.id.is_some() { Kind::Result } else { Kind::Invalid };
                let why = format!("the parameters: {why}");
                Answer::reply(kind, rpc_error(received.id, Code::InvalidParams, &why, None))
            }
            Ok(params) => match is_legacy(&received, params) {
                true => legacy::answer(&received, params).await,
                false => modern::answer(&received, params).await,
            },
        }
    }

    /// Answers the messages of a batch at the same time, for sessions of the one version that has them.
    async fn answer_batch(&self, message: &Message, texts: &[&RawValue], outbox: &Outbox) -> Answer {
        let session = message.headers.contains_key(&SESSION_HEADER).then(|| legacy::session(self, message, None));
        match session {
            Some(Err(refusal)) => return refusal,
            Some(Ok(session)) if session.version == Version::V2025_03_26 => {}
            _ => {
                let why = "a batch, which MCP has only in sessions of 2025-03-26: send one message for each request";
                return invalid(None, Code::InvalidRequest, why);
            }
        }
        if !(1..=BATCH_MAX).contains(&texts.len()) {
            let why = format!("a batch of {} messages, where 1 to {BATCH_MAX} are allowed", texts.len());
            return invalid(None, Code::InvalidRequest, &why);
        }
        let answers = texts.iter().map(|text| async {
            match Envelope::parse(text.get()) {
                Ok(opening) if opening.method == "initialize" => {
                    invalid(opening.id, Code::InvalidRequest, "`initialize` is not part of a batch")
                }
                _ => self.answer_one(message, text.get(), outbox).await,
            }
        });
        let replies: Vec<Bytes> = join_all(answers).await.into_iter().filter_map(Answer::into_body).collect();
        match replies.is_empty() {
            true => Answer::Accepted,
            false => Answer::reply(Kind::Result, [b"[".as_slice(), &replies.join(&b','), b"]"].concat().into()),
        }
    }

    fn malformed(&self, message: &Message, malformed: Malformed) -> Answer {
        match malformed {
            Malformed::NotJson(why) => invalid(None, Code::Parse, &format!("not JSON: {why}")),
            Malformed::NotRequest(why, id) => invalid(id.as_deref(), Code::InvalidRequest, &why),
            Malformed::Response(response) => self.answered(message, response),
        }
    }

    /// The client answers a question that it was asked in its session.
    fn answered(&self, message: &Message, response: Response) -> Answer {
        if !message.headers.contains_key(&SESSION_HEADER) {
            return invalid(None, Code::InvalidRequest, "a response without a session: nothing was asked");
        }
        match legacy::session(self, message, None) {
            Err(refusal) => refusal,
            Ok(session) if session.answered(response) => Answer::Accepted,
            Ok(_) => invalid(None, Code::InvalidRequest, "a response to what was not asked, or not any more"),
        }
    }
}

/// The modern era announces itself in every request; what does not is from before.
fn is_legacy(received: &Received<'_>, params: &Params<'_>) -> bool {
    let headers: &HeaderMap = &received.message.headers;
    let named = headers::text(headers, &headers::VERSION).ok().flatten();
    let said = params.meta.as_ref().and_then(|meta| meta.version.as_deref());
    let in_body = said.is_some();
    match named {
        // Nothing but the handshake of the older era has this name.
        _ if received.method == "initialize" && !in_body => true,
        // Who says both is taken at the body's word, and hears that the header says otherwise.
        Some(_) if said == Some(Version::V2026_07_28.as_str()) => false,
        Some(version) => Version::parse(version).is_some_and(Version::is_legacy),
        None if in_body => false,
        // On other transports there is nothing beside the body.
        None if received.message.way != Way::Http => received.method != "server/discover",
        None => headers.contains_key(&SESSION_HEADER),
    }
}

impl Answer {
    pub(crate) fn into_body(self) -> Option<Bytes> {
        match self {
            Self::Reply { body, .. } => Some(body),
            Self::Accepted | Self::Silence => None,
        }
    }
}

pub(crate) fn invalid(id: Option<&str>, code: Code, why: &str) -> Answer {
    Answer::reply(Kind::Invalid, rpc_error(id, code, why, None))
}

pub(crate) fn unknown_method(id: &str, method: &str, kind: Kind) -> Answer {
    let method = method.chars().take(100).collect::<String>();
    Answer::reply(kind, rpc::error(Some(id), Code::MethodNotFound, &format!("unknown method: {method}"), None))
}
