//! Upstreams that say what they were told.

use std::io::Write as _;

use crate::world::*;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::Bytes;
use certosa_egress::GuestError;
use certosa_model::Injection;
use http::HeaderValue;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;

fn coded(name: &'static str, body: Vec<u8>) -> Reply {
    let mut reply = reply(body);
    reply.headers_mut().insert("content-encoding", HeaderValue::from_static(name));
    reply
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn zlib(text: &str) -> Vec<u8> {
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    zlib.write_all(text.as_bytes()).unwrap();
    zlib.finish().unwrap()
}

#[tokio::test]
async fn a_body_that_echoes_the_credential_is_scrubbed() {
    for world in [World::new(), World::http1()] {
        let server = world
            .serve(async |seen: Seen| {
                let told = seen.header("authorization").unwrap().to_owned();
                let token = told.strip_prefix("Bearer ").unwrap();
                let hex: String = token.bytes().map(|byte| format!("{byte:02x}")).collect();
                reply(format!(
                    "a {told} b {} c {} d {hex} e {} f",
                    STANDARD.encode(token),
                    URL_SAFE.encode(format!("xy{token}")),
                    hex.to_uppercase(),
                ))
            })
            .await;
        let got = world.send(get(&server).with(bearer(&server))).await.unwrap();
        let text = got.text();
        assert!(text.starts_with("a Bearer [redacted] b [redacted]"), "{text}");
        assert!(text.contains("d [redacted] e [redacted] f"), "{text}");
        assert_eq!(text.matches("[redacted]").count(), 5, "{text}");
        assert_eq!(got.header("content-length"), None);
    }
}

#[tokio::test]
async fn an_echo_in_the_spelling_of_any_library_is_scrubbed() {
    const KEY: &str = "-----BEGIN KEY-----\nAb/c+d&e=\n-----END KEY-----\n";
    let world = World::new();
    let server = world
        .serve(async |seen: Seen| {
            let sent: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
            let echo = sent["key"].as_str().unwrap();
            let go = serde_json::to_string(echo).unwrap().replace('&', "\\u0026");
            let net = serde_json::to_string(echo).unwrap().replace('+', "\\u002B");
            let quote = echo.replace('\n', "%0A").replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
            let html = echo.replace('&', "&amp;").replace('+', "&#43;");
            reply(format!("a {echo} b {} c {go} d {net} e {quote} f {html} g", String::from_utf8_lossy(&seen.body)))
        })
        .await;
    let with = credential(&server, Injection::JsonField { name: "key".to_owned() }, KEY);
    let got = world.send(get(&server).post("application/json", "{}").with(with)).await.unwrap();
    assert_eq!(
        got.text(),
        "a [redacted] b {\"key\":\"[redacted]\"} c \"[redacted]\" d \"[redacted]\" e [redacted] f [redacted] g"
    );
}

#[tokio::test]
async fn without_a_credential_nothing_is_touched() {
    let world = World::new();
    let server = world.serve(async |_| coded("gzip", gzip(PLAIN))).await;
    let got = world.send(get(&server)).await.unwrap();
    assert_eq!(got.body, gzip(PLAIN));
    assert_eq!(got.header("content-encoding"), Some("gzip"));
    assert_eq!(got.header("content-length"), Some(got.body.len().to_string().as_str()));
}

#[tokio::test]
async fn an_echo_in_headers_cookies_redirects_and_trailers_is_scrubbed() {
    told_everywhere(World::http1(), None).await;
    // Over HTTP/1.1 nobody asks for trailers (RFC 9110, section 6.5.1).
    told_everywhere(World::new(), Some("Bearer [redacted]")).await;
}

async fn told_everywhere(world: World, trailer: Option<&str>) {
    let server = world
        .serve(async |seen: Seen| {
            let told = seen.header("authorization").unwrap();
            let trailers = [("x-trailer", told)].map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let frames =
                [Ok(Frame::data(Bytes::from_static(b"in"))), Ok(Frame::trailers(trailers.into_iter().collect()))];
            let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
            let mut reply = http::Response::builder().status(302);
            for (name, value) in [
                ("location", format!("https://elsewhere.test/?t={PLAIN}&u={PLAIN}")),
                ("set-cookie", format!("t={PLAIN}")),
                ("set-cookie", "other=1".to_owned()),
                ("www-authenticate", format!("Bearer error=\"{told}\"")),
                ("x-base64", STANDARD.encode(told)),
                (PLAIN, "in the name".to_owned()),
                ("trailer", "x-trailer".to_owned()),
            ] {
                reply = reply.header(name.to_ascii_lowercase(), value);
            }
            reply.body(body).unwrap()
        })
        .await;
    let got = world.send(get(&server).with(bearer(&server)).header("te", "trailers")).await.unwrap();
    let all = format!("{:?} {:?}", got.headers, got.trailers);
    assert!(!all.to_lowercase().contains(&PLAIN.to_lowercase()), "{all}");
    assert_eq!(got.header("location"), Some("https://elsewhere.test/?t=[redacted]&u=[redacted]"));
    assert_eq!(got.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["t=[redacted]", "other=1"]);
    let told = got.trailers.as_ref().map(|trailers| trailers["x-trailer"].to_str().unwrap());
    assert_eq!(told, trailer);
    assert!(!got.header("x-base64").unwrap().contains(&STANDARD.encode(PLAIN)[..8]));
}

#[tokio::test]
async fn an_echo_that_is_split_over_chunks_is_scrubbed() {
    let world = World::http1();
    let server = world
        .serve(async |seen: Seen| {
            let told = seen.header("authorization").unwrap().to_owned();
            let size: usize = seen.uri.rsplit('/').next().unwrap().parse().unwrap();
            let text = format!("before {told}{told} after");
            chunks(text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect())
        })
        .await;
    for size in [1, 2, 3, 7, 20, 33, 64] {
        let got = world.send(get(&server).path(&format!("/{size}")).with(bearer(&server))).await.unwrap();
        assert_eq!(got.text(), "before Bearer [redacted]Bearer [redacted] after", "{size}");
    }
}

#[tokio::test]
async fn what_cannot_be_a_secret_is_not_kept_back() {
    let world = World::http1();
    let server = world
        .serve(async |_| {
            let frames = futures_util::stream::once(async { Ok(Frame::data(Bytes::from_static(b"event: one\n\n"))) });
            let frames = futures_util::StreamExt::chain(frames, futures_util::stream::pending());
            http::Response::new(StreamBody::new(frames).boxed_unsync())
        })
        .await;
    let mut response = world.open(get(&server).with(bearer(&server))).await.unwrap();
    let first = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "event: one\n\n");
}

#[tokio::test]
async fn a_packed_echo_is_unpacked_and_scrubbed() {
    let world = World::new();
    let server = world
        .serve(async |seen: Seen| {
            let told = format!("before {} after", seen.header("authorization").unwrap());
            match seen.uri.rsplit('/').next().unwrap() {
                "gzip" => coded("gzip", gzip(&told)),
                "x-gzip" => coded("X-GZIP", gzip(&told)),
                "two" => coded("gzip", [gzip("before "), gzip(told.strip_prefix("before ").unwrap())].concat()),
                "deflate" => coded("deflate", zlib(&told)),
                "identity" => coded("identity", told.into_bytes()),
                "br" => coded("br", vec![1, 2, 3]),
                "zstd" => coded("zstd", vec![1, 2, 3]),
                "twice" => coded("gzip, gzip", gzip("x")),
                "lie" => coded("gzip", told.into_bytes()),
                "cut" => coded("gzip", gzip(&told)[..20].to_vec()),
                "rest" => coded("gzip", [gzip("x"), told.into_bytes()].concat()),
                _ => coded("gzip", Vec::new()),
            }
        })
        .await;
    let send = async |path: &str| world.send(get(&server).path(path).with(bearer(&server))).await;
    for good in ["/gzip", "/x-gzip", "/two", "/deflate", "/identity"] {
        let got = send(good).await.unwrap();
        assert_eq!(got.text(), "before Bearer [redacted] after", "{good}");
        assert!(got.header("content-encoding").is_none_or(|coding| coding == "identity"));
    }
    for bad in ["/br", "/zstd", "/twice", "/lie", "/cut", "/rest"] {
        let error = send(bad).await.unwrap_err();
        assert_eq!((error.code(), error.guest()), ("coding", GuestError::HttpResponseContentCoding), "{bad}");
        assert!(!format!("{error} {error:?}").contains(PLAIN));
    }
    assert_eq!(send("/empty").await.unwrap().text(), "");
}

#[tokio::test]
async fn a_transfer_coding_that_would_hide_an_echo_is_refused() {
    let world = World::new();
    let packed = gzip(PLAIN);
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n{:x}\r\n", packed.len()).into_bytes();
    answer.extend([&packed[..], b"\r\n0\r\n\r\n"].concat());
    let server = world.raw(&answer).await;
    let error = world.send(get(&server).plain().with(bearer(&server))).await.unwrap_err();
    assert_eq!(error.code(), "coding");

    let server = world.raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nin\r\n0\r\n\r\n").await;
    assert_eq!(world.send(get(&server).plain().with(bearer(&server))).await.unwrap().text(), "in");
}

#[tokio::test]
async fn every_way_in_is_looked_for_on_the_way_out() {
    let world = World::new();
    let server = world
        .serve(async |seen: Seen| {
            let body = String::from_utf8(seen.body.to_vec()).unwrap();
            reply(format!("{} {:?} {body}", seen.uri, seen.headers.get("x-key").or(seen.headers.get("authorization"))))
        })
        .await;
    for injection in [
        Injection::Bearer,
        Injection::Basic { user: "ana".to_owned() },
        Injection::Header { name: "x-key".to_owned(), prefix: "Key ".to_owned() },
        Injection::Query { name: "key".to_owned() },
        Injection::JsonField { name: "key".to_owned() },
        Injection::FormField { name: "key".to_owned() },
    ] {
        for secret in [SECRET, PLAIN, "short1"] {
            let kind = match &injection {
                Injection::FormField { .. } => ("application/x-www-form-urlencoded", "a=1"),
                _ => ("application/json", "{}"),
            };
            let ask = get(&server).post(kind.0, kind.1).with(credential(&server, injection.clone(), secret));
            let text = world.send(ask).await.unwrap().text();
            assert!(text.contains("[redacted]"), "{injection:?} {secret} {text}");
            let token = STANDARD.encode(format!("ana:{secret}"));
            assert!(!text.contains(secret) && !text.contains(token.trim_end_matches('=')), "{injection:?} {text}");
        }
    }
}
