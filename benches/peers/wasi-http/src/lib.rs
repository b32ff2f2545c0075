//! The echo of the comparison as a wasi:http component: it parses the same JSON as the floor and writes the same
//! answer.

use serde::Deserialize;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::StreamError;

const READ_MAX: u64 = 64 << 10;
/// `blocking-write-and-flush` takes no more at once.
const WRITE_MAX: usize = 4096;

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

struct Echo;

wasip2::http::proxy::export!(Echo);

impl wasip2::exports::http::incoming_handler::Guest for Echo {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let answer = read(&request).and_then(|body| echo(&body));
        let (status, answer) = answer.map_or((400, String::new()), |answer| (200, answer));
        // Whoever cannot be answered has gone.
        let _gone = respond(out, status, answer.as_bytes());
    }
}

fn echo(body: &[u8]) -> Option<String> {
    let Message { id, params } = serde_json::from_slice(body).ok()?;
    let text = serde_json::to_string(&params.arguments.text).ok()?;
    Some(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","content":[{{"type":"text","text":{text}}}]}}}}"#
    ))
}

fn read(request: &IncomingRequest) -> Option<Vec<u8>> {
    let body = request.consume().ok()?;
    let stream = body.stream().ok()?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(READ_MAX) {
            Ok(read) => bytes.extend(read),
            Err(StreamError::Closed) => return Some(bytes),
            Err(StreamError::LastOperationFailed(_)) => return None,
        }
    }
}

fn respond(out: ResponseOutparam, status: u16, answer: &[u8]) -> Option<()> {
    let headers = Fields::new();
    headers.append("content-type", b"application/json").ok()?;
    headers.append("content-length", answer.len().to_string().as_bytes()).ok()?;
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).ok()?;
    let body = response.body().ok()?;
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().ok()?;
    for part in answer.chunks(WRITE_MAX) {
        stream.blocking_write_and_flush(part).ok()?;
    }
    drop(stream);
    OutgoingBody::finish(body, None).ok()
}
