//! MCP 2025-11-25 and 2025-06-18: a handshake opens a session, and the session's id comes with every request.

use certosa_model::LogLevel;
use serde::Deserialize;
use std::borrow::Cow;

use crate::SESSION_HEADER;
use crate::exchange::{Answer, Kind, Message};
use crate::face::{Face, Received, invalid};
use crate::headers;
use crate::modern::server_info;
use crate::rpc::{self, Code, response};
use crate::sessions::Open;
use crate::tools::{Era, Params, Request};
use crate::versions::{CAPABILITIES, negotiate};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initialize<'a> {
    #[serde(borrow)]
    protocol_version: Cow<'a, str>,
}

#[derive(Deserialize)]
struct SetLevel {
    level: LogLevel,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cancelled<'a> {
    #[serde(borrow)]
    request_id: &'a serde_json::value::RawValue,
}

pub(crate) async fn answer(received: Received<'_>, params: Params<'_>) -> Answer {
    let method = &*received.envelope.method;
    if method == "initialize" {
        return initialize(&received);
    }
    let session = match session(received.face, received.message) {
        Ok(session) => session,
        Err(refusal) => return refusal,
    };
    let Some(id) = received.envelope.id else {
        if method == "notifications/cancelled"
            && let Ok(cancelled) = received.envelope.params::<Cancelled<'_>>()
        {
            session.cancel(cancelled.request_id.get());
        }
        return Answer::Accepted;
    };
    let request = Request {
        face: received.face,
        era: Era::Legacy,
        way: received.message.way,
        caller: &received.message.caller,
        route: received.route,
        headers: &received.message.headers,
        id,
        params,
        log: Some(session.log),
        outbox: received.outbox,
    };
    match method {
        "ping" => request.result(|_| {}),
        "logging/setLevel" => match received.envelope.params::<SetLevel>() {
            Ok(set) => {
                session.set_log(set.level);
                request.result(|_| {})
            }
            Err(why) => request.invalid(&why),
        },
        method => cancellable(&session, request, method).await,
    }
}

/// The session that the message names, if it may use it.
pub(crate) fn session<'f>(face: &'f Face, message: &Message) -> Result<Open<'f>, Answer> {
    let id = match headers::text(&message.headers, SESSION_HEADER) {
        Ok(Some(id)) => id,
        Ok(None) => {
            let why = "this request needs a session: send `initialize` first, or speak 2026-07-28";
            return Err(invalid(None, Code::InvalidRequest, why));
        }
        Err(why) => return Err(invalid(None, Code::InvalidRequest, &why)),
    };
    let session = face.sessions.resume(id, message.caller.subject(), &message.route).ok_or_else(|| {
        let why = "there is no such session, or it has ended: send `initialize` again";
        Answer::reply(Kind::UnknownSession, rpc::error(None, Code::InvalidRequest, why, None))
    })?;
    match headers::text(&message.headers, headers::VERSION) {
        Ok(Some(version)) if version != session.version => {
            let why = format!("this session speaks {}, and MCP-Protocol-Version says otherwise", session.version);
            Err(invalid(None, Code::InvalidRequest, &why))
        }
        Err(why) => Err(invalid(None, Code::InvalidRequest, &why)),
        _ => Ok(session),
    }
}

fn initialize(received: &Received<'_>) -> Answer {
    let Some(id) = received.envelope.id else {
        return invalid(None, Code::InvalidRequest, "`initialize` is a request and needs an id");
    };
    let asked = match received.envelope.params::<Initialize<'_>>() {
        Ok(asked) => asked,
        Err(why) => return invalid(Some(id), Code::InvalidParams, &why),
    };
    let version = negotiate(&asked.protocol_version);
    let caller = received.message.caller.subject();
    let Some(session) = received.face.sessions.start(caller, &received.message.route, version) else {
        return Answer::reply(
            Kind::Unavailable,
            rpc::error(Some(id), Code::Internal, "no session can be opened", None),
        );
    };
    let body = response(id, |body| {
        let text = format!(
            r#"{{"protocolVersion":"{version}","capabilities":{CAPABILITIES},"serverInfo":{}}}"#,
            server_info()
        );
        body.extend_from_slice(text.as_bytes());
    });
    Answer::Reply { kind: Kind::Result, body, session: Some(session) }
}

/// A request that `notifications/cancelled` can end.
async fn cancellable(session: &Open<'_>, request: Request<'_>, method: &str) -> Answer {
    let Some(running) = session.begin(request.id) else {
        return request.invalid("a request with this id is running already, or too many are");
    };
    tokio::select! {
        biased;
        () = running.cancelled() => Answer::Cancelled,
        answer = request.answer(method) => answer,
    }
}
