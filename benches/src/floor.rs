//! The floor: what a native server does for the same request when there is no cell, no policy, no schema and no
//! record. It reads the body, parses the JSON, and writes the same answer. It knows just enough more of MCP to stand
//! behind a proxy.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::Done;
use crate::server::until_asked_to_end;

#[derive(Deserialize)]
struct Message {
    id: u64,
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    arguments: Arguments,
}

#[derive(Deserialize)]
struct Arguments {
    text: String,
}

pub(crate) fn serve() -> Done<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(until_asked_to_end(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        crate::tell(&format!("{{\"address\":\"{}\"}}", listener.local_addr()?));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    }))
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_post = request.method() == Method::POST;
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let answer = echo(&body).unwrap_or_else(|_| face(&body));
    let status = match (is_post, answer.is_empty()) {
        (true, false) => StatusCode::OK,
        (true, true) => StatusCode::ACCEPTED,
        (false, _) => StatusCode::METHOD_NOT_ALLOWED,
    };
    let mut response = Response::new(Full::new(Bytes::from(answer)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The answer to a call.
pub(crate) fn echo(body: &[u8]) -> serde_json::Result<String> {
    let Message { id, params } = serde_json::from_slice(body)?;
    let text = serde_json::Value::from(params.arguments.text);
    Ok(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","content":[{{"type":"text","text":{text}}}]}}}}"#
    ))
}

/// What a proxy asks before it passes on calls: a handshake of MCP 2025-11-25, then the tools.
fn face(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Asked {
        id: Option<u64>,
        method: String,
    }
    let Ok(Asked { id: Some(id), method }) = serde_json::from_slice(body) else { return String::new() };
    let result = match method.as_str() {
        "initialize" => {
            r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"floor","version":"1"}}"#
        }
        "tools/list" => {
            r#"{"tools":[{"name":"echo","inputSchema":{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}}]}"#
        }
        "ping" => "{}",
        _ => return format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"no such method"}}}}"#),
    };
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}
