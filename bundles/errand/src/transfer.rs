//! Whole exchanges: what goes out, and what comes back.

use std::time::Duration;

use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::Deserialize;
use wasip2::http::types::{IncomingBody, IncomingResponse, OutgoingBody};
use wasip2::io::streams::{OutputStream, StreamError};

use crate::ask::{Answer, Ask, Begun, answered, broken, pairs};

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Upload {
    #[serde(flatten)]
    ask: Ask,
    /// How many chunks the body has.
    chunks: u32,
    /// How many bytes each of them has.
    chunk_bytes: u32,
    /// What `content-length` says. Default: it is not said.
    content_length: Option<u64>,
    /// Time between two chunks. Default: 0.
    pause_ms: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Download {
    #[serde(flatten)]
    ask: Ask,
    /// How many bytes are read at a time. Default: 64 KiB.
    piece: Option<u64>,
    /// Time between two reads. Default: 0.
    pause_ms: Option<u64>,
    /// Looks whether something is there before it waits. Default: it waits.
    looks: Option<bool>,
}

/// How a response is read.
struct Reading {
    bytes_max: u64,
    piece: u64,
    pause: Duration,
    looks: bool,
    /// Whether the body is returned, or only what it was like.
    text: bool,
}

pub fn fetch(ask: Ask) -> Answer {
    let begun = match ask.begin(ask.body.is_some()) {
        Ok(begun) => begun,
        Err(error) => return failed(error),
    };
    let text = ask.body.clone().unwrap_or_default();
    finish(begun, |stream| write(stream, text.as_bytes()), &Reading::of(&ask))
}

pub fn upload(mut upload: Upload) -> Answer {
    if let Some(length) = upload.content_length {
        upload.ask.headers.push(("content-length".to_owned(), length.to_string()));
    }
    let begun = match upload.ask.begin(true) {
        Ok(begun) => begun,
        Err(error) => return failed(error),
    };
    let chunk = vec![b'x'; upload.chunk_bytes as usize];
    let send = |stream: &OutputStream| {
        for _ in 0..upload.chunks {
            write(stream, &chunk)?;
            pause(Duration::from_millis(upload.pause_ms.unwrap_or_default()));
        }
        Ok(())
    };
    finish(begun, send, &Reading::of(&upload.ask))
}

pub fn download(download: Download) -> Answer {
    let begun = match download.ask.begin(download.ask.body.is_some()) {
        Ok(begun) => begun,
        Err(error) => return failed(error),
    };
    let text = download.ask.body.clone().unwrap_or_default();
    let reading = Reading {
        bytes_max: download.ask.read_max.unwrap_or(u64::MAX),
        piece: download.piece.unwrap_or(PIECE).max(1),
        pause: Duration::from_millis(download.pause_ms.unwrap_or_default()),
        looks: download.looks.unwrap_or_default(),
        text: false,
    };
    finish(begun, |stream| write(stream, text.as_bytes()), &reading)
}

impl Reading {
    fn of(ask: &Ask) -> Self {
        Self {
            bytes_max: ask.read_max.unwrap_or(1 << 20),
            piece: PIECE,
            pause: Duration::ZERO,
            looks: false,
            text: true,
        }
    }
}

pub fn failed(error: String) -> Answer {
    Answer { error: Some(error), ..Answer::default() }
}

/// Sends the body, if there is one, and reads the response. A body that cannot be sent says nothing about the
/// response: that may be there already.
fn finish(begun: Begun, send: impl FnOnce(&OutputStream) -> Result<(), StreamError>, reading: &Reading) -> Answer {
    let Begun { body, response } = begun;
    let sending = body.and_then(|body| sent(body, send).err());
    let answer = answered(&response).map_or_else(failed, |response| read(&response, reading));
    Answer { sending, ..answer }
}

fn sent(body: OutgoingBody, send: impl FnOnce(&OutputStream) -> Result<(), StreamError>) -> Result<(), String> {
    let stream = body.write().map_err(|()| "write: refused".to_owned())?;
    send(&stream).map_err(|error| broken(&error))?;
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|code| code.to_string())
}

pub fn write(stream: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    bytes.chunks(WRITE_BYTES_MAX).try_for_each(|bytes| stream.blocking_write_and_flush(bytes))
}

fn read(response: &IncomingResponse, reading: &Reading) -> Answer {
    let mut answer =
        Answer { status: Some(response.status()), headers: Some(pairs(&response.headers())), ..Answer::default() };
    let Ok(body) = response.consume() else {
        return Answer { error: Some("consume: refused".to_owned()), ..answer };
    };
    let mut taken = Taken::new();
    answer.error = taken.read(&body, reading).err();
    answer.bytes = taken.bytes;
    answer.checksum = Some(format!("{:016x}", taken.checksum));
    answer.body = reading.text.then(|| String::from_utf8_lossy(&taken.text).into_owned());
    if taken.ended {
        match trailers(body) {
            Ok(trailers) => answer.trailers = trailers,
            Err(error) => answer.error = Some(error),
        }
    }
    answer
}

/// What was read so far.
struct Taken {
    bytes: u64,
    checksum: u64,
    text: Vec<u8>,
    ended: bool,
}

impl Taken {
    fn new() -> Self {
        Self { bytes: 0, checksum: 0xcbf2_9ce4_8422_2325, text: Vec::new(), ended: false }
    }

    fn read(&mut self, body: &IncomingBody, reading: &Reading) -> Result<(), String> {
        let stream = body.stream().map_err(|()| "stream: refused".to_owned())?;
        while self.bytes < reading.bytes_max {
            let piece = reading.piece.min(reading.bytes_max - self.bytes);
            match if reading.looks { stream.read(piece) } else { stream.blocking_read(piece) } {
                Ok(bytes) if bytes.is_empty() => stream.subscribe().block(),
                Ok(bytes) => self.add(&bytes, reading.text),
                Err(StreamError::Closed) => {
                    self.ended = true;
                    return Ok(());
                }
                Err(error) => return Err(broken(&error)),
            }
            pause(reading.pause);
        }
        Ok(())
    }

    fn add(&mut self, bytes: &[u8], text: bool) {
        self.bytes += bytes.len() as u64;
        for byte in bytes {
            self.checksum = (self.checksum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if text {
            self.text.extend_from_slice(bytes);
        }
    }
}

fn trailers(body: IncomingBody) -> Result<Option<Vec<(String, String)>>, String> {
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    match trailers.get() {
        Some(Ok(Ok(fields))) => Ok(fields.map(|fields| pairs(&fields))),
        Some(Ok(Err(code))) => Err(code.to_string()),
        Some(Err(())) | None => Err("trailers: refused".to_owned()),
    }
}

fn pause(time: Duration) {
    if !time.is_zero() {
        std::thread::sleep(time);
    }
}

const PIECE: u64 = 64 << 10;
/// What `blocking-write-and-flush` takes at a time.
const WRITE_BYTES_MAX: usize = 4096;
