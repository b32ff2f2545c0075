//! TLS and HTTP/2: the same house behind both, certificates that change while it is open.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Folder, House, bundles, text};
use crate::wire::{self, certificate, frame};

fn house() -> (House, CertificateDer<'static>) {
    wire::house(&["hello", "probe"], "", "")
}

async fn connect(house: &House, root: &CertificateDer<'static>, alpn: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(&house.address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

type Http2 = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

async fn http2(house: &House, root: &CertificateDer<'static>) -> Http2 {
    let stream = connect(house, root, b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn greet(house: &House, authority: &str) -> Request<Full<Bytes>> {
    let (headers, body) =
        house.modern_parts("tools/call", json!({"name": "hello_greet", "arguments": {"name": "Ana"}}));
    let mut request = Request::post(format!("https://{authority}/mcp"));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Full::new(body.into())).unwrap()
}

fn local(house: &House) -> String {
    house.address.replace("127.0.0.1", "localhost")
}

async fn answer(sender: &mut Http2, request: Request<Full<Bytes>>) -> (u16, Value) {
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.unwrap() });
}

#[test]
fn both_versions_of_http_are_offered() {
    run(async {
        let (house, root) = house();
        let mut sender = http2(&house, &root).await;
        let calls = (0..50).map(|_| {
            let mut sender = sender.clone();
            let request = greet(&house, &local(&house));
            tokio::spawn(async move { answer(&mut sender, request).await })
        });
        for call in calls.collect::<Vec<_>>() {
            let (status, body) = call.await.unwrap();
            assert_eq!((status, text(&body["result"])), (200, "Hello, Ana!"), "on one connection at the same time");
        }
        for evil in ["evil.example:1", "localhost", "localhost:1"] {
            assert_eq!(answer(&mut sender, greet(&house, evil)).await.0, 403, "{evil}");
        }
        let mut two = greet(&house, &local(&house));
        two.headers_mut().insert("host", "evil.example".parse().unwrap());
        assert_eq!(answer(&mut sender, two).await.0, 403, "a Host that says otherwise");

        let stream = connect(&house, &root, b"http/1.1").await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (parts, body) = greet(&house, &local(&house)).into_parts();
        let mut request = Request::from_parts(parts, body);
        *request.uri_mut() = "/mcp".parse().unwrap();
        request.headers_mut().insert("host", local(&house).parse().unwrap());
        assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    });
}

#[test]
fn plain_text_on_a_tls_port_and_other_nonsense_is_survived() {
    let (house, root) = house();
    assert!(!house.raw("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").contains("200"));
    assert!(!house.raw([0x16, 3, 1, 0xff, 0xff, 0, 0, 0]).contains("200"));
    run(async {
        let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.der().clone();
        assert!(connect(&house, &other, b"h2").await.is_err(), "the certificate is not from there");
        assert_eq!(answer(&mut http2(&house, &root).await, greet(&house, &local(&house))).await.0, 200);
    });
}

/// New connections get the new certificate; those that are open go on; a pair that does not fit changes nothing.
#[test]
fn certificates_change_without_a_connection_being_dropped() {
    run(async {
        let (house, first) = house();
        let mut old = http2(&house, &first).await;
        let folder = house.folder.dir.path();
        fs::write(folder.join("key.pem"), "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----\n")
            .unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(connect(&house, &first, b"h2").await.is_ok(), "a key that is none changes nothing");
        let second = certificate(folder);
        let mut fresh = None;
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            fresh = connect(&house, &second, b"h2").await.ok();
            if fresh.is_some() {
                break;
            }
        }
        assert!(fresh.is_some(), "the new certificate is served within five seconds");
        assert!(connect(&house, &first, b"h2").await.is_err(), "and the old one no more");
        assert_eq!(answer(&mut old, greet(&house, &local(&house))).await.0, 200, "the open connection goes on");
    });
}

#[test]
fn files_that_are_no_certificate_are_refused() {
    let body = |tls: &str| format!("{}, tls = ({tls})", bundles(&["hello"], ""));
    let folder = Folder::new(&body(r#"certificate = "no.pem", key = "key.pem""#));
    certificate(folder.dir.path());
    let ran = folder.run(&["check"]);
    assert!(ran.code == 3 && ran.stderr.contains("no such file") && ran.stderr.contains("no.pem"), "{ran:?}");
    let folder = Folder::new(&body(r#"certificate = "cert.pem", key = "manifest.capnp""#));
    certificate(folder.dir.path());
    let ran = folder.run(&["serve"]);
    assert!(ran.code == 6 && ran.stderr.contains("no private key in PEM"), "{ran:?}");
    let folder = Folder::new(&body(r#"certificate = "cert.pem", key = "key.pem""#));
    certificate(folder.dir.path());
    let key = fs::read(folder.path("key.pem")).unwrap();
    certificate(folder.dir.path());
    folder.write("key.pem", key);
    let ran = folder.run(&["serve"]);
    assert!(ran.code == 6 && ran.stderr.contains("cannot be used"), "two that do not belong together: {ran:?}");
}

/// Requests that are taken back at once, by the thousand: whether the house ends the connection or keeps up, the
/// others go on and no cell stays behind.
#[test]
fn a_flood_of_resets_is_survived() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    run(async {
        let (house, root) = house();
        let mut stream = connect(&house, &root, b"h2").await.unwrap();
        let (parts, body) = greet(&house, &local(&house)).into_parts();
        let mut head = vec![(":method", "POST"), (":scheme", "https"), (":path", "/mcp")];
        let authority = local(&house);
        head.push((":authority", &authority));
        head.extend(parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())));
        let block = wire::block(&head);
        let body = body.collect().await.unwrap().to_bytes();
        stream
            .write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(4, 0, 0, &[])].concat())
            .await
            .unwrap();
        let mut buffer = [0; 65536];
        for id in (1..10_000u32).step_by(2) {
            let frames =
                [frame(1, 4, id, &block), frame(0, 1, id, &body), frame(3, 0, id, &8u32.to_be_bytes())].concat();
            if stream.write_all(&frames).await.is_err() {
                break;
            }
            if let Ok(Ok(0) | Err(_)) = tokio::time::timeout(Duration::from_micros(50), stream.read(&mut buffer)).await
            {
                break;
            }
        }
        let mut other = http2(&house, &root).await;
        assert_eq!(answer(&mut other, greet(&house, &local(&house))).await.0, 200);
        let mut metrics = String::new();
        for _ in 0..100 {
            let request =
                Request::get(format!("https://{}/metrics", local(&house))).body(Full::new(Bytes::new())).unwrap();
            let response = other.send_request(request).await.unwrap();
            metrics = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
            if metrics.contains("certosa_calls_running{bundle=\"hello\"} 0\n") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("cells stayed behind: {metrics}");
    });
}

/// Writes frames until the house has had enough; how many it took.
async fn flood(stream: &mut TlsStream<TcpStream>, first: &[u8], next: &[u8], most: usize) -> usize {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let opening = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(4, 0, 0, &[]), first].concat();
    stream.write_all(&opening).await.unwrap();
    for count in 0..most {
        if stream.write_all(next).await.is_err() {
            return count;
        }
        // What the house says meanwhile is read, or it could not be told from one that is stuck.
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(Duration::from_micros(100), stream.read(&mut buffer)).await;
        if matches!(read, Ok(Ok(0) | Err(_))) {
            return count;
        }
    }
    most
}

/// Headers without an end (CONTINUATION), pings and settings without a pause, a window of zero.
#[test]
fn floods_of_frames_are_ended_or_survived() {
    run(async {
        let (house, root) = house();
        let headers = frame(1, 0, 1, &[0x82; 8]);
        let more = frame(9, 0, 1, &[0x40, 1, b'a', 1, b'b'].repeat(1000));
        let mut stream = connect(&house, &root, b"h2").await.unwrap();
        let taken = flood(&mut stream, &headers, &more, 2000).await;
        assert!(taken < 2000, "headers without an end are not read for ever");
        for (first, next) in [
            (frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]), frame(6, 0, 0, &[0; 8])),
            (Vec::new(), frame(4, 0, 0, &[0, 3, 0, 0, 0, 1])),
            (Vec::new(), frame(0, 0, 7, b"data of no stream")),
        ] {
            let mut stream = connect(&house, &root, b"h2").await.unwrap();
            flood(&mut stream, &first, &next, 2000).await;
            assert_eq!(answer(&mut http2(&house, &root).await, greet(&house, &local(&house))).await.0, 200);
        }
    });
}

#[test]
fn large_headers_and_bodies_are_refused_over_http_2_too() {
    run(async {
        let (house, root) = wire::house(&["hello"], "", "requestKibMax = 8");
        let mut sender = http2(&house, &root).await;
        let mut large = greet(&house, &local(&house));
        large.headers_mut().insert("x-large", "x".repeat(100_000).parse().unwrap());
        let status = sender.send_request(large).await.map(|response| response.status().as_u16());
        assert!(status.is_err() || status.is_ok_and(|status| status == 431), "refused by reset or by status");
        let mut sender = http2(&house, &root).await;
        let mut large = greet(&house, &local(&house));
        *large.body_mut() = Full::new(Bytes::from(vec![b' '; 9 << 10]));
        assert_eq!(answer(&mut sender, large).await.0, 413);
        assert_eq!(answer(&mut sender, greet(&house, &local(&house))).await.0, 200, "the connection goes on");
    });
}
