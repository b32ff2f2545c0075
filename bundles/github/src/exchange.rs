//! One request and its response.

use std::time::{SystemTime, UNIX_EPOCH};

use certosa_sdk::serde::de::DeserializeOwned;
use certosa_sdk::serde_json::{self, Value};
use wstd::http::body::Bytes;
use wstd::http::body::util::{BodyExt as _, Empty, Limited};
use wstd::http::{Body, Client, HeaderMap, Request, Response};
use wstd::prelude::*;
use wstd::runtime::block_on;
use wstd::time::Duration;

use crate::address::Issues;
use crate::failure;

/// Waits for an exchange, but no longer than the house waits for the cell.
pub fn in_time<T>(exchange: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    block_on(async {
        let done = exchange.timeout(Duration::from_millis(EXCHANGE_MS_MAX)).await;
        done.unwrap_or_else(|_| Err(failure::late(EXCHANGE_MS_MAX)))
    })
}

/// What is at an address, and whether there are further pages.
pub async fn get<T: DeserializeOwned>(issues: &Issues, address: &str) -> Result<(T, bool), String> {
    // `Body::empty` writes nothing, but it writes: where the host has refused, that fails and hides the refusal.
    exchange(issues, Request::get(address), Body::from_http_body(Empty::<Bytes>::new())).await
}

/// Adds something, and returns what became of it.
pub async fn post<T: DeserializeOwned>(issues: &Issues, address: &str, what: &Value) -> Result<T, String> {
    let body = what.to_string();
    let request =
        Request::post(address).header("content-type", "application/json").header("content-length", body.len());
    Ok(exchange(issues, request, body.into()).await?.0)
}

async fn exchange<T: DeserializeOwned>(
    issues: &Issues,
    request: wstd::http::request::Builder,
    body: Body,
) -> Result<(T, bool), String> {
    let host = issues.host();
    let request = request
        .header("accept", "application/vnd.github+json")
        .header("x-github-api-version", API_VERSION)
        .header("user-agent", "certosa-github")
        .body(body)
        .map_err(|error| format!("this is no request: {error}"))?;
    let response = Client::new().send(request).await.map_err(|error| failure::unsent(host, &error))?;
    let (head, body) = Response::into_parts(response);
    let status = head.status;
    let body = Limited::new(body.into_boxed_body(), BODY_BYTES_MAX).collect().await;
    if !status.is_success() {
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        return Err(failure::answered(host, status.as_u16(), &head.headers, &body, now()));
    }
    let body = body.map_err(|error| failure::unread(host, &*error, BODY_BYTES_MAX))?.to_bytes();
    let value = serde_json::from_slice(&body).map_err(|error| failure::nonsense(host, status.as_u16(), &error))?;
    Ok((value, has_next(&head.headers)))
}

/// Whether a page links to the next one (RFC 8288).
fn has_next(headers: &HeaderMap) -> bool {
    let links = headers.get_all("link").iter().filter_map(|links| links.to_str().ok());
    links.flat_map(|links| links.split(',')).any(|link| link.contains("rel=\"next\""))
}

/// Seconds since 1970, as GitHub counts.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

const API_VERSION: &str = "2022-11-28";
/// A hundred issues with texts as long as GitHub allows would be more; those that exist are far below.
const BODY_BYTES_MAX: usize = 8 << 20;
/// A cell has 30 s unless the manifest says otherwise; an answer that says what happened needs the rest.
const EXCHANGE_MS_MAX: u64 = 25_000;
