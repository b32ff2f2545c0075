//! Messages on standard input and output: one JSON text a line (MCP, "stdio").

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

/// A line of standard input.
pub enum Line {
    Text(Bytes),
    /// It was longer than it may be.
    TooLong,
}

/// What little has to be known of a message to deal with it.
#[derive(Debug, Default, Deserialize)]
pub struct Peek<'a> {
    #[serde(borrow, default)]
    pub id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub method: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    pub params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cancelled<'a> {
    #[serde(borrow, default)]
    request_id: Option<&'a RawValue>,
}

/// How long a reader may take for what is left at the end.
const WRITE_MAX: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(2);
/// Lines that wait to be read or written.
const LINES_MAX: usize = 64;

/// Reads standard input in a thread of its own, until it ends.
pub fn read(bytes_max: usize) -> mpsc::Receiver<Line> {
    let (sender, lines) = mpsc::channel(LINES_MAX);
    thread::spawn(move || {
        let mut input = BufReader::new(io::stdin().lock());
        while let Ok(Some(line)) = next(&mut input, bytes_max) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn next(input: &mut impl BufRead, bytes_max: usize) -> io::Result<Option<Line>> {
    loop {
        let mut text = Vec::new();
        if input.by_ref().take(bytes_max as u64 + 1).read_until(b'\n', &mut text)? == 0 {
            return Ok(None);
        }
        let is_whole = text.ends_with(b"\n");
        if text.len() > bytes_max && !is_whole {
            skip_line(input)?;
            return Ok(Some(Line::TooLong));
        }
        if !text.trim_ascii().is_empty() {
            return Ok(Some(Line::Text(text.trim_ascii().to_vec().into())));
        }
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let available = input.fill_buf()?;
        match available.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                input.consume(end + 1);
                return Ok(());
            }
            None if available.is_empty() => return Ok(()),
            None => {
                let length = available.len();
                input.consume(length);
            }
        }
    }
}

/// Writes to standard output in a thread of its own. It ends when all senders are gone, or the reader is.
pub fn write() -> (mpsc::Sender<Bytes>, thread::JoinHandle<()>) {
    let (sender, mut lines) = mpsc::channel::<Bytes>(LINES_MAX);
    let thread = thread::spawn(move || {
        let mut out = io::stdout().lock();
        while let Some(text) = lines.blocking_recv() {
            let written = out.write_all(&in_one_line(&text)).and_then(|()| out.flush());
            if written.is_err() {
                return;
            }
        }
    });
    (sender, thread)
}

/// Waits until everything was written, or until it is clear that nobody reads it.
pub async fn written(writer: thread::JoinHandle<()>) {
    let until = Instant::now() + WRITE_MAX;
    while !writer.is_finished() && Instant::now() < until {
        tokio::time::sleep(LOOK).await;
    }
}

/// A line break in JSON can only stand between tokens, where a space means the same.
fn in_one_line(text: &[u8]) -> Vec<u8> {
    let space = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
    text.iter().map(space).chain([b'\n']).collect()
}

impl<'a> Peek<'a> {
    pub fn at(text: &'a [u8]) -> Self {
        // A list would be taken for the members in their order.
        let is_object = text.trim_ascii_start().starts_with(b"{");
        is_object.then(|| serde_json::from_slice(text).ok()).flatten().unwrap_or_default()
    }

    pub fn is(&self, method: &str) -> bool {
        self.method.as_deref() == Some(method)
    }

    /// Whether something comes back for it: not for notifications, and not for answers to questions.
    pub fn is_answered(&self) -> bool {
        match (&self.method, self.id) {
            (Some(_), id) => id.is_some(),
            (None, id) => id.is_none() || !(self.result.is_some() || self.error.is_some()),
        }
    }

    /// The id of the request that this message takes back.
    pub fn cancels(&self) -> Option<&'a str> {
        if !self.is("notifications/cancelled") {
            return None;
        }
        let cancelled: Cancelled<'a> = serde_json::from_str(self.params?.get()).ok()?;
        cancelled.request_id.map(RawValue::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_blank_ones_skipped() {
        let mut input = io::Cursor::new(b"\n {\"a\":1}\r\n0123456789abc\nlast".to_vec());
        let mut text = |bytes_max| match next(&mut input, bytes_max).unwrap() {
            Some(Line::Text(text)) => String::from_utf8(text.to_vec()).unwrap(),
            Some(Line::TooLong) => "too long".to_owned(),
            None => "end".to_owned(),
        };
        let read = [text(10), text(10), text(10), text(10)];
        assert_eq!(read, ["{\"a\":1}", "too long", "last", "end"]);
    }

    #[test]
    fn a_peek_finds_what_is_taken_back() {
        let text = br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a b"}}"#;
        assert_eq!(Peek::at(text).cancels(), Some("\"a b\""));
        assert_eq!(Peek::at(br#"{"id":7,"method":"ping"}"#).cancels(), None);
        assert!(Peek::at(b"nonsense").method.is_none() && Peek::at(br#"[{"id":7}]"#).id.is_none());
    }
}
