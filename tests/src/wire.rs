//! HTTP/2 over TLS frame by frame (RFC 9113), for clients that do what no library lets them do.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::support::{Folder, House, Response, bundles};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How often it is looked whether a time is over.
const LOOK: Duration = Duration::from_millis(50);

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GO_AWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// SETTINGS_INITIAL_WINDOW_SIZE: what a stream may send before the client reads.
pub const WINDOW: u16 = 4;

/// Writes a new certificate for localhost and its key; returns the certificate.
pub fn certificate(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

/// A house behind TLS, with these limits of its cells and of its own.
pub fn house(names: &[&str], cells: &str, limits: &str) -> (House, CertificateDer<'static>) {
    let tls = "tls = (certificate = \"cert.pem\", key = \"key.pem\")";
    let folder = Folder::new(&format!("{}, {tls}, limits = ({limits})", bundles(names, cells)));
    let root = certificate(folder.dir.path());
    (House::in_folder(folder), root)
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers as literals that are not kept (RFC 7541, section 6.2.2).
pub fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        assert!(text.len() < 127, "longer texts have another form");
        [vec![u8::try_from(text.len()).unwrap()], text.as_bytes().to_vec()].concat()
    };
    headers.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// The header block and the body of a request of the modern era.
pub fn modern(house: &House, method: &str, params: Value) -> (Vec<u8>, Vec<u8>) {
    let (headers, body) = house.modern_parts(method, params);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.to_lowercase(), value.as_str())).collect();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    (to(house, "POST", "/mcp", &headers), body.into_bytes())
}

/// The header block of a request.
pub fn to(house: &House, method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let authority = house.address.replace("127.0.0.1", "localhost");
    let target = [(":method", method), (":scheme", "https"), (":path", path), (":authority", &authority)];
    block(&[&target[..], headers].concat())
}

fn connect(house: &House, root: &CertificateDer<'static>, protocol: &[u8]) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = house.connect();
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).unwrap();
    }
    StreamOwned::new(connection, socket)
}

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// What comes next on a connection.
#[derive(Debug)]
pub enum Next {
    Frame(Frame),
    /// Nothing, for as long as was waited.
    Quiet,
    Closed,
}

/// A connection. It answers the pings and the settings of the house, and opens no window by itself.
pub struct Http2 {
    stream: StreamOwned<ClientConnection, TcpStream>,
    read: Vec<u8>,
    pub answers_pings: bool,
}

/// What came back on one stream.
#[derive(Debug, Default)]
pub struct Answered {
    pub is_ok: bool,
    pub body: String,
    /// Why the stream was reset.
    pub reset: Option<u32>,
}

impl Http2 {
    pub fn open(house: &House, root: &CertificateDer<'static>, settings: &[(u16, u32)]) -> Self {
        let mut http2 = Self::silent(house, root);
        let settings = settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
        http2.send([PREFACE, &frame(SETTINGS, 0, 0, &settings.collect::<Vec<_>>())].concat());
        http2
    }

    /// A connection on which nothing was said after the handshake of TLS.
    pub fn silent(house: &House, root: &CertificateDer<'static>) -> Self {
        let stream = connect(house, root, b"h2");
        stream.sock.set_read_timeout(Some(LOOK)).unwrap();
        Self { stream, read: Vec::new(), answers_pings: true }
    }

    /// Sends frames. That the house has closed the connection is seen by what comes next.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _closed = self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush());
    }

    /// Sends a whole request.
    pub fn request(&mut self, stream: u32, (head, body): (Vec<u8>, Vec<u8>)) {
        self.send([frame(HEADERS, END_HEADERS, stream, &head), frame(DATA, END_STREAM, stream, &body)].concat());
    }

    /// What comes next until `end`, but for what is about the connection itself.
    pub fn next(&mut self, end: Instant) -> Next {
        loop {
            while let Some(frame) = self.take() {
                match (frame.kind, frame.flags & ACK) {
                    (PING, 0) if self.answers_pings => self.send(self::frame(PING, ACK, 0, &frame.payload)),
                    (SETTINGS, 0) => {
                        self.send(self::frame(SETTINGS, ACK, 0, &[]));
                        return Next::Frame(frame);
                    }
                    (PING | SETTINGS | WINDOW_UPDATE, _) => {}
                    _ => return Next::Frame(frame),
                }
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Next::Closed,
                Ok(count) => self.read.extend(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return Next::Closed,
            }
            if Instant::now() >= end {
                return Next::Quiet;
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let (head, rest) = self.read.split_first_chunk::<9>()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let (kind, flags, payload) = (head[3], head[4], rest.get(..length)?.to_vec());
        self.read.drain(..9 + length);
        Some(Frame { kind, flags, stream, payload })
    }

    /// Reads until the end of one stream; frames of other streams are skipped.
    pub fn answer(&mut self, stream: u32, time: Duration) -> Answered {
        let (mut answered, end) = (Answered::default(), Instant::now() + time);
        loop {
            match self.next(end) {
                Next::Frame(frame) if frame.stream == stream => {
                    match frame.kind {
                        // `:status: 200` is one byte (RFC 7541, appendix A).
                        HEADERS => answered.is_ok = frame.payload.first() == Some(&0x88),
                        DATA => answered.body += &String::from_utf8_lossy(&frame.payload),
                        RESET => {
                            answered.reset = frame.payload.first_chunk().map(|code| u32::from_be_bytes(*code));
                            return answered;
                        }
                        _ => {}
                    }
                    if frame.flags & END_STREAM != 0 && matches!(frame.kind, HEADERS | DATA) {
                        return answered;
                    }
                }
                Next::Frame(_) => {}
                other => panic!("no end of stream {stream}: {other:?}, {answered:?}"),
            }
        }
    }

    /// Whether the house ended the connection until `end`; what comes before that is skipped.
    pub fn is_closed_by(&mut self, end: Instant) -> bool {
        loop {
            match self.next(end) {
                Next::Closed => return true,
                Next::Quiet => return false,
                Next::Frame(_) => {}
            }
        }
    }
}

/// A request on a connection of HTTP/1.1 of its own, behind the same TLS.
pub fn https(
    house: &House,
    root: &CertificateDer<'static>,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let mut stream = connect(house, root, b"http/1.1");
    stream.write_all(house.request(method, path, headers, body).as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    Response::parse(&String::from_utf8(answer).unwrap())
}

/// Calls a tool and returns its result.
pub fn call(house: &House, root: &CertificateDer<'static>, tool: &str, arguments: Value) -> Value {
    let (headers, body) = house.modern_parts("tools/call", json!({"name": tool, "arguments": arguments}));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let response = https(house, root, ("POST", "/mcp"), &headers, &body);
    assert_eq!(response.status, 200, "{response:?}");
    response.last()["result"].clone()
}

/// What Prometheus would read.
pub fn metrics(house: &House, root: &CertificateDer<'static>) -> String {
    https(house, root, ("GET", "/metrics"), &[], "").body
}
