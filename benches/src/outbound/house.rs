//! The whole way: a bundle that sends requests with wasi:http, in a house that puts the credential in.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::json;

use super::{Body, HOST, Pace, SECRET};
use crate::Done;
use crate::call::of_tool;
use crate::http::Client;
use crate::place::{OUTBOUND_STATE, Place};
use crate::server::{Server, pinned};

pub(super) struct House {
    server: Server,
    upstream: u16,
}

/// What the bundle says of itself.
#[derive(Deserialize)]
struct Repeated {
    count: u32,
    bytes: u64,
    micros: u32,
    p50_micros: u32,
    error: Option<String>,
}

impl House {
    pub(super) fn start(place: &Place, upstream: u16, root: &Path) -> Done<Self> {
        let to = format!(r#"to = (hosts = ["{HOST}"], ports = [{upstream}], methods = ["GET"])"#);
        let fields = format!(
            r#"bundles = [(name = "errand", file = "bundles/errand.wasm",
  egress = ({to}, addresses = ["127.0.0.0/8", "::1/128"]))],
  roots = ["{}"],
  credentials = [(name = "key", allowedSubs = ["bundle/errand/**"],
  send = ({to}, bearer = void), perMinuteMax = 1000000)]"#,
            root.display()
        );
        let (manifest, state) = (place.manifest("outbound.capnp", &fields)?, place.target.join(OUTBOUND_STATE));
        let mut set = Command::new(place.certosa());
        set.args(["vault", "set", "key", "--manifest"]).arg(&manifest).arg("--state").arg(&state);
        let mut set = set.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        set.stdin.take().ok_or("no input")?.write_all(SECRET.as_bytes())?;
        if !set.wait()?.success() {
            return Err("the credential was not sealed".into());
        }
        let mut serve = pinned(&place.certosa());
        serve.args(["serve", "-o", "json", "--state"]).arg(&state).arg(&manifest);
        Ok(Self { server: Server::start(&mut serve)?, upstream })
    }

    /// So many calls at the same time, each of which sends one request after the other.
    pub(super) fn measure(&self, body: &Body, workers: usize, ms: u32) -> Done<Pace> {
        let authority = format!("{HOST}:{}", self.upstream);
        let arguments = json!({"scheme": "https", "authority": authority, "path": body.path, "ms": ms});
        let (headers, call) = of_tool("errand_repeat", arguments)?;
        let said = std::thread::scope(|scope| {
            let ask = || scope.spawn(|| Client::connect(&self.server.address)?.post("/mcp", &headers, &call));
            let asked: Vec<_> = (0..workers).map(|_| ask()).collect();
            let answers = asked.into_iter().map(|asked| asked.join().map_err(|_| "a caller broke off")?);
            answers.map(|answer| Repeated::of(&answer?.body, body)).collect::<Done<Vec<_>>>()
        })?;
        let per_second = said.iter().map(|said| f64::from(said.count) / f64::from(said.micros) * 1e6).sum();
        let p50s = said.iter().map(|said| f64::from(said.p50_micros));
        Ok(Pace { per_second, p50_us: crate::load::median(p50s).ok_or("nothing was asked")? })
    }
}

impl Repeated {
    fn of(answer: &[u8], body: &Body) -> Done<Self> {
        let answer: serde_json::Value = serde_json::from_slice(answer)?;
        let text = answer.pointer("/result/content/0/text").and_then(serde_json::Value::as_str);
        let said: Self = serde_json::from_str(text.ok_or_else(|| format!("no result: {answer}"))?)?;
        match &said.error {
            Some(error) => Err(format!("an exchange failed: {error}").into()),
            None if said.bytes != u64::from(said.count) * body.bytes as u64 => Err("a body of another length".into()),
            None => Ok(said),
        }
    }
}
