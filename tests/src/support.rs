//! A house to test, and a client that sends exactly what it is told to.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::planted;

pub const MODERN: &str = "2026-07-28";
const TIMEOUT: Duration = Duration::from_secs(60);

/// Where the build puts things.
pub fn target() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// The built component `name`.
pub fn component(name: &str) -> PathBuf {
    target().join("bundles").join(format!("{name}.wasm"))
}

/// `certosa`, with the cache that all tests share.
pub fn certosa(args: &[&str]) -> Command {
    let mut command = Command::new(target().join("release/certosa"));
    command.args(args).env_clear();
    command
}

/// A folder with a manifest, and what it names.
pub struct Folder {
    pub dir: TempDir,
}

impl Folder {
    /// A manifest of `body`, the fields of the constant, beside copies of all built components.
    pub fn new(body: &str) -> Self {
        let folder = Self { dir: tempfile::tempdir().unwrap() };
        for name in ["hello", "jq", "probe", "shifty", "conformance", "errand", "github"] {
            fs::copy(component(name), folder.path(&format!("{name}.wasm"))).unwrap();
        }
        folder.write("manifest.capnp", manifest(body));
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The demo house itself, on a port of its own, beside its components. They are compiled once for all tests.
    pub fn demo() -> Self {
        static COMPILED: LazyLock<PathBuf> = LazyLock::new(|| {
            let folder = Folder::demo_in(tempfile::tempdir_in(target()).unwrap());
            assert_eq!(folder.run(&["check"]).code, 0);
            // One for each worktree, so that nothing is left behind but the newest.
            let kept = target().join("demo-state");
            let _none_before = fs::remove_dir_all(&kept);
            fs::rename(folder.path(".certosa"), &kept).unwrap();
            kept
        });
        let folder = Self::demo_in(tempfile::tempdir().unwrap());
        let state = folder.path(".certosa");
        for folder in [&state, &state.join("cache")] {
            fs::DirBuilder::new().mode(0o700).create(folder).unwrap();
        }
        fs::copy(COMPILED.join("cache.key"), state.join("cache.key")).unwrap();
        for entry in fs::read_dir(COMPILED.join("cache")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), state.join("cache").join(entry.file_name())).unwrap();
        }
        folder
    }

    fn demo_in(dir: TempDir) -> Self {
        let folder = Self { dir };
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifest.capnp")).unwrap();
        for name in ["hello", "jq", "calc", "time", "text", "page", "table"] {
            fs::copy(component(name), folder.path(&format!("{name}.wasm"))).unwrap();
        }
        folder.write("manifest.capnp", text.replace("target/bundles/", "").replace("127.0.0.1:8787", "127.0.0.1:0"));
        folder
    }

    /// Runs `certosa` in the folder.
    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(certosa(args).current_dir(self.dir.path()).output().unwrap())
    }

    /// What `certosa call` makes of a call, as JSON.
    pub fn call(&self, tool: &str, arguments: &Value) -> (i32, Value) {
        let ran = self.run(&["call", "-o", "json", tool, &arguments.to_string()]);
        let value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        (ran.code, value)
    }

    pub fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path(".certosa/records.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The text of a manifest.
pub fn manifest(body: &str) -> String {
    format!(
        "@0xa1b2c3d4e5f60718;\nusing Certosa = import \"/certosa.capnp\";\nconst house :Certosa.Manifest = (\n{body}\n);\n"
    )
}

/// A manifest body: these bundles, and one open route with prefixed names.
pub fn bundles(names: &[&str], limits: &str) -> String {
    let each = |name: &&str| format!("(name = \"{name}\", file = \"{name}.wasm\", limits = ({limits}))");
    let bundles = names.iter().map(each).collect::<Vec<_>>().join(", ");
    format!(
        "listen = \"127.0.0.1:0\", bundles = [{bundles}],\n\
         routes = [(path = \"/mcp\", tools = [\"bundle/**\"], prompts = [\"bundle/**\"],\n\
         resources = [\"bundle/**\"], callers = [\"anonymous/loopback\"])]"
    )
}

/// The same, where `shifty` may change its lists.
pub fn changing(body: &str) -> String {
    body.replace("file = \"shifty.wasm\"", "file = \"shifty.wasm\", listsChange = true")
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        planted::is_quiet("standard output", &output.stdout);
        planted::is_quiet("standard error", &output.stderr);
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A house that is serving.
pub struct House {
    pub folder: Folder,
    pub child: Child,
    pub address: String,
    ids: AtomicU64,
}

impl House {
    pub fn start(body: &str) -> Self {
        Self::in_folder(Folder::new(body))
    }

    /// A house of these bundles, with these limits of cells.
    pub fn of(names: &[&str], limits: &str) -> Self {
        Self::start(&bundles(names, limits))
    }

    /// A house of this manifest, with its log in a file of the folder.
    pub fn in_folder(folder: Folder) -> Self {
        let log = fs::File::create(folder.path("log")).unwrap();
        let mut command = certosa(&["serve", "-o", "json"]);
        let mut child = command.current_dir(folder.dir.path()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap_or_default();
        let log = || fs::read_to_string(folder.path("log")).unwrap_or_default();
        let address = started["address"].as_str().unwrap_or_else(|| panic!("it did not start: {line}{}", log()));
        let address = address.to_owned();
        Self { folder, child, address, ids: AtomicU64::new(1) }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path("log")).unwrap()
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends `bytes` on a connection of their own and returns everything that comes back.
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        let _refused_early = stream.write_all(bytes.as_ref());
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends a request with these headers beside Host and Content-Length.
    pub fn http(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let mut stream = self.connect();
        stream.write_all(self.request(method, path, headers, body).as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Response::parse(&String::from_utf8(answer).unwrap())
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        format!("{request}Content-Length: {}\r\n\r\n{body}", body.len())
    }

    /// A request of the modern era, with everything that it needs.
    pub fn modern(&self, method: &str, params: Value) -> Response {
        let (headers, body) = self.modern_parts(method, params);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.http("POST", "/mcp", &headers, &body)
    }

    pub fn modern_parts(&self, method: &str, mut params: Value) -> (Vec<(&'static str, String)>, String) {
        let meta = params.as_object_mut().unwrap().entry("_meta").or_insert(json!({}));
        let meta = meta.as_object_mut().unwrap();
        meta.entry("io.modelcontextprotocol/protocolVersion").or_insert(json!(MODERN));
        meta.entry("io.modelcontextprotocol/clientCapabilities").or_insert(json!({}));
        let mut headers = vec![
            ("Content-Type", "application/json".to_owned()),
            ("Accept", "application/json, text/event-stream".to_owned()),
            ("MCP-Protocol-Version", MODERN.to_owned()),
            ("Mcp-Method", method.to_owned()),
        ];
        if let Some(name) = params["name"].as_str().or(params["uri"].as_str()) {
            headers.push(("Mcp-Name", name.to_owned()));
        }
        (headers, self.body(method, &params))
    }

    pub fn body(&self, method: &str, params: &Value) -> String {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
    }

    /// Calls a tool in the modern era and returns its result.
    pub fn call(&self, tool: &str, arguments: Value) -> Value {
        let response = self.modern("tools/call", json!({"name": tool, "arguments": arguments}));
        assert_eq!(response.status, 200, "{response:?}");
        response.last()["result"].clone()
    }

    /// Opens a session of the older era and returns its id.
    pub fn session(&self, version: &str) -> String {
        self.session_of(version, json!({}))
    }

    /// The same for a client that can do this.
    pub fn session_of(&self, version: &str, capabilities: Value) -> String {
        let client = json!({"name": "t", "version": "1"});
        let params = json!({"protocolVersion": version, "capabilities": capabilities, "clientInfo": client});
        let response = self.http("POST", "/mcp", &LEGACY_HEADERS, &self.body("initialize", &params));
        assert_eq!(response.status, 200, "{response:?}");
        response.header("mcp-session-id").unwrap().to_owned()
    }

    /// A request in a session of the older era.
    pub fn legacy(&self, session: &str, method: &str, params: &Value) -> Response {
        let headers = [&LEGACY_HEADERS[..], &[("Mcp-Session-Id", session)]].concat();
        self.http("POST", "/mcp", &headers, &self.body(method, params))
    }

    /// The records, as soon as there are `count` of them.
    pub fn records(&self, count: usize) -> Vec<Value> {
        for _ in 0..500 {
            let records = self.folder.records();
            if records.len() >= count {
                return records;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("fewer than {count} records: {:?}", self.folder.records())
    }

    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }
}

pub const LEGACY_HEADERS: [(&str, &str); 2] =
    [("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream")];

impl Drop for House {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _status = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        } else {
            planted::is_quiet_in(self.folder.dir.path());
        }
    }
}

/// An HTTP response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Response {
    pub fn parse(text: &str) -> Self {
        planted::is_quiet("a response", text.as_bytes());
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { dechunk(body) } else { body.to_owned() };
        Self { status: status.unwrap_or_else(|| panic!("no response: {text:?}")), head: head.to_owned(), body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All messages: one of JSON, or those of a stream.
    pub fn messages(&self) -> Vec<Value> {
        let data = self.body.lines().filter_map(|line| line.strip_prefix("data: "));
        match self.header("content-type") {
            Some("text/event-stream") => data.map(|line| serde_json::from_str(line).unwrap()).collect(),
            _ => vec![serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))],
        }
    }

    pub fn last(&self) -> Value {
        self.messages().pop().unwrap()
    }

    pub fn error(&self) -> (u16, i64) {
        (self.status, self.last()["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {self:?}")))
    }
}

fn dechunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole += &rest[..size.min(rest.len())];
        match rest.get(size + 2..) {
            Some(next) if size > 0 => body = next,
            _ => break,
        }
    }
    whole
}

/// A stream of server-sent events that is open.
pub struct Events {
    reader: BufReader<TcpStream>,
    pub head: String,
}

impl Events {
    /// Sends a request and reads the head of its response.
    pub fn open(house: &House, method: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let mut stream = house.connect();
        stream.write_all(house.request(method, "/mcp", headers, body).as_bytes()).unwrap();
        let mut events = Self { reader: BufReader::new(stream), head: String::new() };
        while !events.head.ends_with("\r\n\r\n") {
            assert!(events.reader.read_line(&mut events.head).unwrap() > 0, "{}", events.head);
        }
        events
    }

    /// The stream of a session.
    pub fn of_session(house: &House, session: &str) -> Self {
        let events = Self::open(house, "GET", &[("Accept", "text/event-stream"), ("Mcp-Session-Id", session)], "");
        assert!(events.head.starts_with("HTTP/1.1 200 "), "{}", events.head);
        events
    }

    /// A request of the modern era that is answered with a stream.
    pub fn of_request(house: &House, method: &str, params: Value) -> Self {
        let (headers, body) = house.modern_parts(method, params);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Self::open(house, "POST", &headers, &body)
    }

    /// A request in a session that is answered with a stream.
    pub fn in_session(house: &House, session: &str, method: &str, params: &Value) -> Self {
        let headers = [&LEGACY_HEADERS[..], &[("Mcp-Session-Id", session)]].concat();
        Self::open(house, "POST", &headers, &house.body(method, params))
    }

    /// The next message, or `None` when the stream has ended.
    pub fn next(&mut self) -> Option<Value> {
        let start = Instant::now();
        loop {
            // What keeps a stream alive is no message.
            assert!(start.elapsed() < TIMEOUT, "no message for {TIMEOUT:?}");
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }

    /// Whether nothing comes for some time.
    pub fn is_quiet(&mut self, time: Duration) -> bool {
        self.reader.get_ref().set_read_timeout(Some(time)).unwrap();
        let mut line = String::new();
        loop {
            line.clear();
            match self.reader.read_line(&mut line) {
                Ok(0) => return true,
                Ok(_) if line.starts_with("data: ") => return false,
                Ok(_) => {}
                Err(_) => {
                    self.reader.get_ref().set_read_timeout(Some(TIMEOUT)).unwrap();
                    return true;
                }
            }
        }
    }
}

/// The text of a result's first piece of content.
pub fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {result}"))
}
