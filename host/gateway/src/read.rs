//! Taking in a body, within bounds.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use certosa_model::HouseLimits;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::respond::Refusal;

/// A message is JSON, and its sender can read our answers. The media type also keeps out what a web page can
/// send without asking first.
pub(crate) fn check_media(headers: &HeaderMap) -> Result<(), Refusal> {
    let is = |value: &str, media: &str| essence(value).eq_ignore_ascii_case(media);
    let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !sent.is_some_and(|value| is(value, "application/json")) || headers.contains_key(CONTENT_ENCODING) {
        return Err(Refusal::MediaType);
    }
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut accepted = accepted.flat_map(|value| value.split(',')).peekable();
    let takes = |value: &str| ["application/json", "application/*", "*/*"].iter().any(|media| is(value, media));
    match accepted.peek().is_none() || accepted.any(takes) {
        true => Ok(()),
        false => Err(Refusal::NotAcceptable),
    }
}

/// A media type without its parameters.
fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or("").trim()
}

pub(crate) async fn body(body: Incoming, limits: &HouseLimits) -> Result<Bytes, Refusal> {
    let bytes_max = limits.request_bytes_max;
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Refusal::BodyTooLarge(bytes_max));
    }
    let time = Duration::from_millis(limits.body_ms_max.into());
    match tokio::time::timeout(time, collect(body, bytes_max)).await {
        Ok(collected) => collected,
        Err(_elapsed) => Err(Refusal::BodyTooSlow(limits.body_ms_max)),
    }
}

async fn collect(mut body: Incoming, bytes_max: usize) -> Result<Bytes, Refusal> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BodyBroken)?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > bytes_max {
            return Err(Refusal::BodyTooLarge(bytes_max));
        }
        // Nearly every body comes in one piece, and then it is not copied.
        match first.is_empty() {
            true => first = data,
            false => rest.extend_from_slice(&data),
        }
    }
    match rest.is_empty() {
        true => Ok(first),
        false => Ok([first, rest.freeze()].concat().into()),
    }
}
