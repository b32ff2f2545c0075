//! What is not said, and what is not listened to.

use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::world::*;
use certosa_model::Injection;

/// Collects everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_secret_is_in_no_log_and_no_error() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let mut errors = String::new();
    for world in [World::new(), World::http1()] {
        let server = world.serve(async |_| reply("in")).await;
        let breaks = world.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nx").await;
        let garbage = world.raw(format!("HTTP/9 {PLAIN}\r\n\r\n").as_bytes()).await;
        for injection in [
            Injection::Bearer,
            Injection::Basic { user: "ana".to_owned() },
            Injection::Query { name: "key".to_owned() },
            Injection::JsonField { name: "key".to_owned() },
        ] {
            let post = |server: &Server| {
                get(server).post("application/json", "{}").with(credential(server, injection.clone(), PLAIN))
            };
            world.send(post(&server)).await.unwrap();
            for error in [
                world.send(post(&breaks).plain()).await.unwrap_err(),
                world.send(post(&garbage).plain()).await.unwrap_err(),
                world.send(post(&server).at("evil.test")).await.unwrap_err(),
                world.send(post(&server).path(&format!("/{}", "a".repeat(9000)))).await.unwrap_err(),
                world.send(post(&server).limits(|limits| limits.response_bytes_max = 1)).await.unwrap_err(),
            ] {
                errors.push_str(&format!(
                    "{error} {error:?} {:?} {:?}\n",
                    error.remedy(),
                    std::error::Error::source(&error)
                ));
            }
        }
    }
    drop(guard);
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.contains("h2"), "something was logged");
    for text in [logged, errors] {
        assert!(!text.contains(PLAIN), "{text}");
        assert!(!text.contains("YW5hOmdocF8"), "base64 of the pair");
    }
}

/// The environment says to go through a proxy, and to trust nobody: neither is read.
#[test]
fn proxies_of_the_environment_are_not_asked() {
    if std::env::var_os("EGRESS_TEST_CHILD").is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let server = world.serve(async |_| reply("in")).await;
            assert_eq!(world.send(get(&server)).await.unwrap().text(), "in");
            let server = world.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nin").await;
            assert_eq!(world.send(get(&server).plain()).await.unwrap().text(), "in");
        });
        return;
    }
    let proxy = std::net::TcpListener::bind((LOOPBACK, 0)).unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "quiet::proxies_of_the_environment_are_not_asked"]).env("EGRESS_TEST_CHILD", "1");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        child.env(name, &url);
    }
    child.env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", "/dev/null").env_remove("NO_PROXY");
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    assert!(proxy.accept().is_err(), "nobody came");
}

#[tokio::test]
async fn what_an_upstream_says_when_it_goes_away_is_not_repeated() {
    let world = World::new();
    let server = world.goes_away(PLAIN.as_bytes()).await;
    let error = world.send(get(&server).with(bearer(&server))).await.unwrap_err();
    assert_eq!(error.code(), "protocol", "{error}");
    let mut told = format!("{error} {error:?} {:?}", error.remedy());
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        told.push_str(&format!("{source} {source:?}"));
        cause = source.source();
    }
    assert!(told.contains("broke off") && !told.contains(PLAIN), "{told}");
}
