//! What the face costs beyond calls: a long list, and clients that have a session and do nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Done, Server, pinned, tell};

const TOOLS: usize = 1_000;
const SESSIONS: usize = 1_000;
const LISTS: usize = 200;

/// `tools/list` over 1,000 tools of many bundles, all pages on one connection.
pub(crate) fn lists(folder: &Path) -> Done<()> {
    let target = folder.parent().ok_or("no folder")?;
    let manifest = target.join("bench-list.capnp");
    // hello has three tools.
    let bundles: Vec<_> =
        (0..TOOLS.div_ceil(3)).map(|number| format!("(name = \"h{number:03}\", bytes = .hello)")).collect();
    let text = format!(
        "@0xd0b1c2d3e4f50618;\nusing Certosa = import \"/certosa.capnp\";\n\
         const hello :Data = embed \"bundles/hello.wasm\";\nconst house :Certosa.Manifest = (\n\
         listen = \"127.0.0.1:0\",\nbundles = [{}],\n\
         routes = [(tools = [\"bundle/**\"], callers = [\"anonymous/loopback\"])],\n);\n",
        bundles.join(",\n")
    );
    std::fs::write(&manifest, text)?;
    let server = Server::start(pinned(&folder.join("certosa")).args(["serve", "-o", "json"]).arg(&manifest))?;
    let mut client = Client::connect(&server.address)?;
    let (mut times, mut tools, mut pages) = (Vec::new(), 0, 0);
    for _ in 0..LISTS {
        let started = Instant::now();
        (tools, pages) = (0, 0);
        let mut cursor = String::new();
        loop {
            let answer = client.list(&cursor)?;
            pages += 1;
            tools += answer.matches(r#""inputSchema""#).count();
            match answer.split_once(r#""nextCursor":""#) {
                Some((_, rest)) => cursor = rest.split('"').next().unwrap_or_default().to_owned(),
                None => break,
            }
        }
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let median = times.get(LISTS / 2).copied().unwrap_or_default();
    let us = median.as_micros();
    tell(&format!(
        "tools/list of {tools} tools in {pages} pages {us} µs (median of {LISTS}, the client's reading included)"
    ));
    Ok(())
}

/// Memory of 1,000 idle sessions, first without and then with a stream for each.
pub(crate) fn sessions(folder: &Path, manifest: &Path) -> Done<()> {
    let server = Server::start(pinned(&folder.join("certosa")).args(["serve", "-o", "json"]).arg(manifest))?;
    let mut first = Client::connect(&server.address)?;
    first.list("")?;
    let before = server.resident_kib()?;
    let mut ids = Vec::new();
    for _ in 0..SESSIONS {
        ids.push(first.initialize()?);
    }
    let sessions = server.resident_kib()?;
    let mut streams = Vec::new();
    for id in &ids {
        let mut client = Client::connect(&server.address)?;
        let head = format!("GET /mcp HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n", server.address);
        write!(client.reader.get_mut(), "{head}Mcp-Session-Id: {id}\r\n\r\n")?;
        client.head()?;
        streams.push(client);
    }
    std::thread::sleep(Duration::from_millis(300));
    let with_streams = server.resident_kib()?;
    tell(&format!(
        "{SESSIONS} idle sessions {:.1} MiB; each with an open stream {:.1} MiB",
        mib(sessions - before),
        mib(with_streams - before)
    ));
    Ok(())
}

fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}

struct Client {
    reader: BufReader<TcpStream>,
    address: String,
}

impl Client {
    fn connect(address: &str) -> Done<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(stream), address: address.to_owned() })
    }

    fn list(&mut self, cursor: &str) -> Done<String> {
        let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
        let cursor = if cursor.is_empty() { String::new() } else { format!(r#""cursor":"{cursor}","#) };
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{cursor}{meta}}}}}"#);
        self.post("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n", &body).map(|(_, body)| body)
    }

    fn initialize(&mut self) -> Done<String> {
        let params = r#"{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"bench","version":"1"}}"#;
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{params}}}"#);
        let (head, _) = self.post("", &body)?;
        let id = head.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).ok_or("no session")?;
        Ok(id.to_owned())
    }

    fn post(&mut self, headers: &str, body: &str) -> Done<(String, String)> {
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.reader.get_mut().write_all((head + body).as_bytes())?;
        let head = self.head()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).ok_or("no length")?;
        let mut body = vec![0; length.parse()?];
        self.reader.read_exact(&mut body)?;
        Ok((head, String::from_utf8(body)?))
    }

    /// Reads a response's head; anything but success is a failure.
    fn head(&mut self) -> Done<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.reader.read_line(&mut head)? == 0 {
                return Err("the connection was closed".into());
            }
        }
        if head.starts_with("HTTP/1.1 200 ") { Ok(head) } else { Err(head.into()) }
    }
}
