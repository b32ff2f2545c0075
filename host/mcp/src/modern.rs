//! MCP 2026-07-28: no handshake and no session. Every request says in `_meta` what it speaks and what its
//! sender can do, and repeats in headers what the network may want to know.

use std::sync::Arc;

use certosa_house::Way;
use certosa_syscall::guest::Askable;

use crate::exchange::{Answer, Kind};
use crate::face::{Received, invalid};
use crate::headers;
use crate::hub::Wants;
use crate::params::{Filter, Params};
use crate::request::{LIST_HINTS, Request};
use crate::rpc::{self, Code, notification};
use crate::sessions::SUBSCRIPTIONS_MAX;
use crate::versions::{SUPPORTED, Version};

const LISTEN_BYTES_MAX: usize = 64 << 10;

pub(crate) async fn answer(received: &Received<'_>, params: &Params<'_>) -> Answer {
    let Some(id) = received.id else {
        // `notifications/cancelled` is of no use here: whoever cancels closes the connection, and a transport
        // without connections deals with it by itself.
        return Answer::Accepted;
    };
    if let Err(refusal) = check(received, id, params) {
        return refusal;
    }
    let version = Version::V2026_07_28;
    let meta = params.meta.as_ref();
    let capabilities = meta.and_then(|meta| meta.capabilities.as_ref());
    let request = Request {
        face: received.face,
        version,
        message: received.message,
        route: received.route,
        id,
        session: None,
        askable: capabilities.map_or(Askable::empty(), |can| can.askable(version)),
        log: meta.and_then(|meta| meta.log),
        params,
        outbox: received.outbox,
    };
    match &*received.method {
        "server/discover" => discover(&request),
        "subscriptions/listen" => listen(&request).await,
        method => request.answer(method).await,
    }
}

/// The checks that every request of this era has to pass, in the order of the specification.
fn check(received: &Received<'_>, id: &str, params: &Params<'_>) -> Result<(), Answer> {
    let headers = &received.message.headers;
    let has_headers = received.message.way == Way::Http;
    let mismatch = |why: &str| invalid(Some(id), Code::HeaderMismatch, why);
    let missing = |what: &str| {
        let why = format!("_meta[\"io.modelcontextprotocol/{what}\"] is missing");
        invalid(Some(id), Code::InvalidParams, &why)
    };
    let unsupported = |version: &str| {
        let data = format!(r#"{{"supported":{SUPPORTED},"requested":{}}}"#, rpc::quoted(version));
        let body = rpc::error(Some(id), Code::UnsupportedVersion, "unsupported protocol version", Some(&data));
        Answer::reply(Kind::Invalid, body)
    };
    let named = headers::text(headers, &headers::VERSION).map_err(|why| mismatch(&why))?;
    // A version that nobody speaks is told as such, whatever else a request of that version may lack.
    if let Some(version) = named.filter(|version| Version::parse(version).is_none()) {
        return Err(unsupported(version));
    }
    let meta = params.meta.as_ref().ok_or_else(|| missing("protocolVersion"))?;
    let version = meta.version.as_deref().ok_or_else(|| missing("protocolVersion"))?;
    if meta.capabilities.is_none() {
        return Err(missing("clientCapabilities"));
    }
    if has_headers && named != Some(version) {
        return Err(mismatch("MCP-Protocol-Version and the version in _meta disagree"));
    }
    if Version::parse(version) != Some(Version::V2026_07_28) {
        return Err(unsupported(version));
    }
    match has_headers {
        true => headers::check_method(headers, &received.method).map_err(|why| mismatch(&why)),
        false => Ok(()),
    }
}

fn discover(request: &Request<'_>) -> Answer {
    let catalog = request.face.catalog();
    let capabilities = catalog.capabilities(request.route);
    request.result(|body| {
        let text = format!(
            r#"{LIST_HINTS}"supportedVersions":{SUPPORTED},"capabilities":{capabilities},"_meta":{{"io.modelcontextprotocol/serverInfo":{}}}"#,
            server_info()
        );
        body.extend_from_slice(text.as_bytes());
    })
}

/// Tells the client of changes until it goes away or the house closes.
async fn listen(request: &Request<'_>) -> Answer {
    let Some(mut filter) = request.params.notifications.clone() else {
        return request.invalid("subscriptions/listen needs \"notifications\"");
    };
    // The request is kept for as long as it listens.
    if request.message.body.len() > LISTEN_BYTES_MAX {
        return request.invalid(&format!("subscriptions/listen has at most {} KiB", LISTEN_BYTES_MAX >> 10));
    }
    if filter.resource_subscriptions.len() > SUBSCRIPTIONS_MAX {
        return request.invalid(&format!("\"resourceSubscriptions\" has at most {SUBSCRIPTIONS_MAX} addresses"));
    }
    // What the client may not read is left out of the acknowledgement, as what is not there would be.
    let catalog = request.face.catalog();
    filter.resource_subscriptions.retain(|uri| catalog.view(request.route).may_read(&request.message.caller, uri));
    // It may listen for long, and nothing old is kept for that.
    drop(catalog);
    let meta = format!(r#"{{"io.modelcontextprotocol/subscriptionId":{}}}"#, request.id);
    let acknowledged = format!(r#"{{"_meta":{meta},"notifications":{}}}"#, written(&filter));
    let key = format!("listen {}", request.face.hub.number());
    let (caller, route) = (Arc::clone(&request.message.caller), request.message.route.clone());
    let mut place = request.face.hub.join(&key, caller, route, Wants::Filter(filter));
    request.outbox.push_needed(notification("notifications/subscriptions/acknowledged", &acknowledged));
    let mut closed = std::pin::pin!(request.face.closed());
    loop {
        tokio::select! {
            notice = place.next() => match notice {
                Some(notice) => request.outbox.push(notice.write(Some(&meta))),
                None => return Answer::Silence,
            },
            () = closed.as_mut() => {
                return request.result(|body| body.extend_from_slice(format!(r#""_meta":{meta}"#).as_bytes()));
            }
        }
    }
}

/// The filter as the client gets it back: only what it will be told of.
fn written(filter: &Filter) -> String {
    let Filter { tools_list_changed, prompts_list_changed, resources_list_changed, resource_subscriptions } = filter;
    let lists = [
        ("toolsListChanged", tools_list_changed),
        ("promptsListChanged", prompts_list_changed),
        ("resourcesListChanged", resources_list_changed),
    ];
    let mut members: Vec<_> =
        lists.into_iter().filter(|(_, wanted)| **wanted).map(|(name, _)| format!(r#""{name}":true"#)).collect();
    if !resource_subscriptions.is_empty() {
        members.push(format!(r#""resourceSubscriptions":{}"#, serde_json::json!(resource_subscriptions)));
    }
    format!("{{{}}}", members.join(","))
}

pub(crate) fn server_info() -> String {
    format!(r#"{{"name":"certosa","title":"Certosa","version":"{}"}}"#, env!("CARGO_PKG_VERSION"))
}
