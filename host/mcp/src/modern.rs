//! MCP 2026-07-28: no handshake and no session. Every request says in `_meta` what it speaks and what its
//! sender can do, and repeats in headers what the network may want to know.

use crate::exchange::{Answer, Kind};
use crate::face::{Received, invalid};
use crate::headers;
use crate::rpc::{self, Code};
use crate::tools::{CACHE_HINTS, Era, Params, Request};
use crate::versions::{CAPABILITIES, MODERN, SUPPORTED};

pub(crate) async fn answer(received: Received<'_>, params: Params<'_>) -> Answer {
    let Some(id) = received.envelope.id else {
        // `notifications/cancelled` is of no use here: whoever cancels closes the connection.
        return Answer::Accepted;
    };
    if let Err(refusal) = check(&received, id, &params) {
        return refusal;
    }
    let log = params.meta.as_ref().and_then(|meta| meta.log);
    let request = Request {
        face: received.face,
        era: Era::Modern,
        way: received.message.way,
        caller: &received.message.caller,
        route: received.route,
        headers: &received.message.headers,
        id,
        params,
        log,
        outbox: received.outbox,
    };
    match &*received.envelope.method {
        "server/discover" => discover(&request),
        method => request.answer(method).await,
    }
}

/// The checks that every request of this era has to pass, in the order of the specification.
fn check(received: &Received<'_>, id: &str, params: &Params<'_>) -> Result<(), Answer> {
    let headers = &received.message.headers;
    let mismatch = |why: &str| invalid(Some(id), Code::HeaderMismatch, why);
    let missing = |what: &str| {
        let why = format!("_meta[\"io.modelcontextprotocol/{what}\"] is missing");
        invalid(Some(id), Code::InvalidParams, &why)
    };
    let meta = params.meta.as_ref().ok_or_else(|| missing("protocolVersion"))?;
    let version = meta.version.as_deref().ok_or_else(|| missing("protocolVersion"))?;
    if meta.capabilities.is_none() {
        return Err(missing("clientCapabilities"));
    }
    let named = headers::text(headers, headers::VERSION).map_err(|why| mismatch(&why))?;
    if named != Some(version) {
        return Err(mismatch("MCP-Protocol-Version and the version in _meta disagree"));
    }
    if version != MODERN {
        let requested = rpc::quoted(version);
        let data = format!(r#"{{"supported":{SUPPORTED},"requested":{requested}}}"#);
        let body = rpc::error(Some(id), Code::UnsupportedVersion, "unsupported protocol version", Some(&data));
        return Err(Answer::reply(Kind::Invalid, body));
    }
    headers::check_method(headers, &received.envelope.method).map_err(|why| mismatch(&why))
}

fn discover(request: &Request<'_>) -> Answer {
    request.result(|body| {
        let text = format!(
            r#"{CACHE_HINTS}"supportedVersions":{SUPPORTED},"capabilities":{CAPABILITIES},"_meta":{{"io.modelcontextprotocol/serverInfo":{}}}"#,
            server_info()
        );
        body.extend_from_slice(text.as_bytes());
    })
}

pub(crate) fn server_info() -> String {
    format!(r#"{{"name":"certosa","title":"Certosa","version":"{}"}}"#, env!("CARGO_PKG_VERSION"))
}
