//! Paths that are not GitHub's: those that give away what they were sent, and those that give too much or nothing.
//! None of them asks for the token. What stands behind `/hang`, `/endless`, `/bomb` and `/status/N` does not matter, so
//! each of them can be the base address of an API.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::body::{Reply, Sent, bomb, gzip, repeated, reply, slowly, text, with_trailers};
use super::{Query, Seen};

pub async fn answer(seen: &Seen, query: &Query, path: &[&str]) -> Reply {
    let ms = Duration::from_millis(query.number("ms").unwrap_or_default() as u64);
    match path {
        ["echo", way @ ..] => echo(seen, way),
        ["redirect"] => with_header(text(302, ""), "location", query.text("to").unwrap_or("/")),
        ["status", number, ..] => text(number.parse().unwrap_or(400), format!("status {number}\n")),
        ["slow"] => {
            tokio::time::sleep(ms).await;
            text(200, "slow\n")
        }
        ["pause"] => plain(slowly(vec!["before ".into(), "behind\n".into()], ms)),
        ["big"] => text(200, vec![b'x'; query.number("bytes").unwrap_or_default()]),
        ["endless", ..] => plain(repeated(Bytes::from_static(&[b'x'; CHUNK]), None)),
        ["bomb", ..] => with_header(plain(bomb(BOMB_MIB)), "content-encoding", "gzip"),
        ["hang", ..] => std::future::pending().await,
        _ => text(404, "there is nothing here\n"),
    }
}

/// The request, in the way that the path says.
fn echo(seen: &Seen, way: &[&str]) -> Reply {
    let all = told(seen);
    let authorization = seen.header("authorization").unwrap_or_default();
    match way {
        [] => text(200, all),
        ["header"] => {
            let secret = authorization.split_once(' ').map_or("", |(_, secret)| secret);
            let reply = with_header(text(200, "look at the headers\n"), "x-authorization", authorization);
            with_header(reply, "x-secret", secret)
        }
        ["trailer"] => {
            let value = HeaderValue::from_str(authorization).unwrap();
            let trailers = HeaderMap::from_iter([("x-authorization".parse().unwrap(), value)]);
            // In HTTP/1.1 trailers are sent only if they are announced (RFC 9112, section 7.1.2).
            with_header(plain(with_trailers("look at the end\n".to_owned(), trailers)), "trailer", "x-authorization")
        }
        ["gzip"] => with_header(text(200, gzip(all.as_bytes())), "content-encoding", "gzip"),
        ["base64"] => text(200, BASE64_STANDARD.encode(all)),
        ["split"] => {
            let bytes = Bytes::from(all);
            plain(slowly((0..bytes.len()).map(|at| bytes.slice(at..=at)).collect(), SPLIT_PAUSE))
        }
        _ => text(404, "there is no such echo\n"),
    }
}

/// The head line by line, an empty line, and the body.
fn told(seen: &Seen) -> String {
    let mut told = format!("{} {}\n", seen.method, seen.path);
    for (name, value) in &seen.headers {
        writeln!(told, "{name}: {}", String::from_utf8_lossy(value.as_bytes())).unwrap();
    }
    format!("{told}\n{}", seen.body)
}

fn plain(body: Sent) -> Reply {
    reply(200, "text/plain; charset=utf-8", body)
}

fn with_header(mut reply: Reply, name: &'static str, value: &str) -> Reply {
    reply.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
    reply
}

const CHUNK: usize = 16 << 10;
const BOMB_MIB: usize = 1024;
const SPLIT_PAUSE: Duration = Duration::from_millis(1);
