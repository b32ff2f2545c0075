//! MCP 2025-11-25, 2025-06-18 and 2025-03-26: a handshake opens a session, and the session's id comes with
//! every request.

use std::sync::Arc;
use std::time::Duration;

use certosa_policy::Caller;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::SESSION_HEADER;
use crate::exchange::{Answer, Kind, Message, Outbox};
use crate::face::{Face, Received, invalid};
use crate::headers;
use crate::hub::Wants;
use crate::modern::server_info;
use crate::params::{Capabilities, Params};
use crate::request::Request;
use crate::rpc::{self, Code, response};
use crate::sessions::{About, Open};
use crate::versions::Version;

/// While a stream is open its session is in use; this often it says so.
const TOUCH: Duration = Duration::from_secs(5);

pub(crate) async fn answer(received: &Received<'_>, params: &Params<'_>) -> Answer {
    let method = &*received.method;
    if method == "initialize" {
        return initialize(received, params);
    }
    let session = match session(received.face, received.message, received.id) {
        Ok(session) => session,
        Err(refusal) => return refusal,
    };
    let Some(id) = received.id else {
        if method == "notifications/cancelled"
            && let Some(request) = params.request_id
        {
            session.cancel(request.get());
        }
        return Answer::Accepted;
    };
    let request = Request {
        face: received.face,
        version: session.version,
        message: received.message,
        route: received.route,
        id,
        params,
        session: Some(&session),
        askable: session.askable,
        log: Some(session.log),
        outbox: received.outbox,
    };
    match method {
        "ping" => request.result(|_| {}),
        "logging/setLevel" => match member("level", request.params.level) {
            Ok(Some(level)) => {
                session.set_log(level);
                request.result(|_| {})
            }
            Ok(None) => request.invalid("logging/setLevel needs \"level\""),
            Err(why) => request.invalid(&why),
        },
        "resources/subscribe" => subscribe(&request, &session),
        "resources/unsubscribe" => match request.params.uri.as_deref() {
            Some(uri) => {
                session.unsubscribe(uri);
                request.result(|_| {})
            }
            None => request.invalid("resources/unsubscribe needs \"uri\""),
        },
        method => cancellable(&session, &request, method).await,
    }
}

/// A member of the parameters that one method reads.
fn member<T: DeserializeOwned>(name: &str, text: Option<&RawValue>) -> Result<Option<T>, String> {
    let read = |text: &RawValue| serde_json::from_str(text.get()).map_err(|why| format!("{name:?}: {why}"));
    text.map(read).transpose()
}

/// The session that the message names, if it may use it. `request` is the id of the request in it.
pub(crate) fn session<'f>(face: &'f Face, message: &Message, request: Option<&str>) -> Result<Open<'f>, Answer> {
    let invalid = |code: Code, why: &str| invalid(request, code, why);
    let id = match headers::text(&message.headers, &SESSION_HEADER) {
        Ok(Some(id)) => id,
        Ok(None) => {
            let why = "this request needs a session: send `initialize` first, or speak 2026-07-28";
            return Err(invalid(Code::InvalidRequest, why));
        }
        Err(why) => return Err(invalid(Code::InvalidRequest, &why)),
    };
    let session = face.sessions.resume(id, message.caller.subject(), &message.route).ok_or_else(|| {
        let why = "there is no such session, or it has ended: send `initialize` again";
        Answer::reply(Kind::UnknownSession, rpc::error(request, Code::InvalidRequest, why, None))
    })?;
    match headers::text(&message.headers, &headers::VERSION) {
        Ok(Some(version)) if version != session.version.as_str() => {
            let why = format!("this session speaks {}, and MCP-Protocol-Version says otherwise", session.version);
            Err(invalid(Code::InvalidRequest, &why))
        }
        Err(why) => Err(invalid(Code::InvalidRequest, &why)),
        _ => Ok(session),
    }
}

fn initialize(received: &Received<'_>, params: &Params<'_>) -> Answer {
    let Some(id) = received.id else {
        return invalid(None, Code::InvalidRequest, "`initialize` is a request and needs an id");
    };
    let refuse = |why: &str| invalid(Some(id), Code::InvalidParams, why);
    let version = match member::<String>("protocolVersion", params.protocol_version) {
        Ok(Some(asked)) => Version::negotiate(&asked),
        Ok(None) => return refuse("`initialize` needs \"protocolVersion\""),
        Err(why) => return refuse(&why),
    };
    let askable = match member::<Capabilities>("capabilities", params.capabilities) {
        Ok(capabilities) => capabilities.unwrap_or_default().askable(version),
        Err(why) => return refuse(&why),
    };
    let caller = received.message.caller.subject().clone();
    let route = received.message.route.clone();
    let Some(session) = received.face.sessions.start(About { caller, route, version, askable }) else {
        let why = "no session can be opened: as many as may be (sessionsMax) are busy";
        return Answer::reply(Kind::Unavailable, rpc::error(Some(id), Code::Internal, why, None));
    };
    let catalog = received.face.catalog();
    let capabilities = catalog.capabilities(received.route);
    let body = response(id, |body| {
        let text = format!(
            r#"{{"protocolVersion":"{version}","capabilities":{capabilities},"serverInfo":{}}}"#,
            server_info()
        );
        body.extend_from_slice(text.as_bytes());
    });
    Answer::Reply { kind: Kind::Result, body, session: Some(session) }
}

/// Only what can be read can be subscribed to.
fn subscribe(request: &Request<'_>, session: &Open<'_>) -> Answer {
    let catalog = request.face.catalog();
    match request.params.uri.as_deref() {
        None => request.invalid("resources/subscribe needs \"uri\""),
        Some(uri) if !catalog.view(request.route).may_read(&request.message.caller, uri) => {
            request.unknown(certosa_model::Kind::Resource, uri)
        }
        Some(uri) if session.subscribe(uri) => request.result(|_| {}),
        Some(_) => request.invalid("this session subscribed to as many resources as it may"),
    }
}

/// What a session is told without having asked, until it ends, somebody else listens, or the house closes.
pub(crate) async fn listen(
    face: &Face,
    session: &str,
    caller: Arc<Caller>,
    route: Box<str>,
    outbox: &Outbox,
) -> Answer {
    let Some(session) = face.sessions.resume(session, caller.subject(), &route) else { return Answer::Silence };
    let Some(mut alive) = session.alive() else { return Answer::Silence };
    let mut place = face.hub.join(&session.id, caller, route, Wants::Session(session.subscriptions()));
    let mut closed = std::pin::pin!(face.closed());
    loop {
        tokio::select! {
            notice = place.next() => match notice {
                Some(notice) => outbox.push(notice.write(None)),
                None => return Answer::Silence,
            },
            _ = alive.changed() => return Answer::Silence,
            () = closed.as_mut() => return Answer::Silence,
            () = tokio::time::sleep(TOUCH) => session.touch(),
        }
    }
}

/// A request that `notifications/cancelled` can end.
async fn cancellable(session: &Open<'_>, request: &Request<'_>, method: &str) -> Answer {
    let Some(running) = session.begin(request.id) else {
        return request.invalid("a request with this id is running already, or too many are");
    };
    tokio::select! {
        biased;
        () = running.cancelled() => Answer::Silence,
        answer = request.answer(method) => answer,
    }
}
