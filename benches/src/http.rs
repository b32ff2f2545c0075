//! As much of HTTP as the benches need: whole answers that have a length or come in chunks.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::Done;

const ANSWER_BYTES_MAX: usize = 16 << 20;
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Answer {
    /// The status line and the headers, with the empty line that ends them.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer that `bytes` are; none as long as it is not whole.
    pub(crate) fn parse(bytes: &[u8]) -> Done<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let (head, rest) = bytes.split_at(end + 4);
        let answer = Self { head: str::from_utf8(head)?.to_owned(), body: Vec::new() };
        let body = match answer.header("content-length") {
            Some(length) => rest.get(..length.parse()?).map(<[u8]>::to_vec),
            None if answer.header("transfer-encoding") == Some("chunked") => unchunked(rest)?,
            None => return Err(format!("an answer without a length: {}", answer.head).into()),
        };
        Ok(body.map(|body| Self { body, ..answer }))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn is_success(&self) -> bool {
        self.head.starts_with("HTTP/1.1 2")
    }

    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.head, String::from_utf8_lossy(&self.body))
    }
}

/// Puts the chunks together; none as long as the last one is not there.
fn unchunked(mut rest: &[u8]) -> Done<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let (size, after) = rest.split_at(end);
        let size = usize::from_str_radix(str::from_utf8(size)?.trim(), 16)?;
        let Some(chunk) = after.get(2..2 + size) else { return Ok(None) };
        let Some(next) = after.get(4 + size..) else { return Ok(None) };
        if size == 0 {
            return Ok(Some(body));
        }
        body.extend_from_slice(chunk);
        rest = next;
    }
}

/// A connection that waits for each answer.
pub(crate) struct Client {
    stream: TcpStream,
    address: String,
}

impl Client {
    pub(crate) fn connect(address: &str) -> Done<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
        Ok(Self { stream, address: address.to_owned() })
    }

    /// Sends JSON with these headers, each with its line end; anything but success is a failure.
    pub(crate) fn post(&mut self, path: &str, headers: &str, body: &str) -> Done<Answer> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{headers}Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.send((head + body).as_bytes())
    }

    /// Sends these bytes and waits for the whole answer.
    pub(crate) fn send(&mut self, request: &[u8]) -> Done<Answer> {
        self.stream.write_all(request)?;
        let mut bytes = Vec::new();
        let mut part = vec![0; 64 << 10];
        loop {
            self.read(&mut bytes, &mut part)?;
            if let Some(answer) = Answer::parse(&bytes)? {
                return if answer.is_success() { Ok(answer) } else { Err(answer.text().into()) };
            }
        }
    }

    /// Opens a stream of events, of which only the head is read.
    pub(crate) fn listen(&mut self, path: &str, headers: &str) -> Done<()> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n", self.address);
        self.stream.write_all(format!("{head}{headers}\r\n").as_bytes())?;
        let mut bytes = Vec::new();
        let mut part = vec![0; 4 << 10];
        while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
            self.read(&mut bytes, &mut part)?;
        }
        if bytes.starts_with(b"HTTP/1.1 200 ") { Ok(()) } else { Err(String::from_utf8_lossy(&bytes).into()) }
    }

    fn read(&mut self, bytes: &mut Vec<u8>, part: &mut [u8]) -> Done<()> {
        let read = self.stream.read(part)?;
        bytes.extend_from_slice(part.get(..read).unwrap_or_default());
        match read {
            0 => Err("the connection was closed".into()),
            _ if bytes.len() > ANSWER_BYTES_MAX => Err("the answer does not end".into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;

    #[test]
    fn an_answer_has_a_length_or_comes_in_chunks() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(Answer::parse(plain).unwrap().unwrap().body, b"hello");
        assert!(Answer::parse(&plain[..plain.len() - 1]).unwrap().is_none());
        let chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        assert_eq!(Answer::parse(chunks).unwrap().unwrap().body, b"hello");
        assert!(Answer::parse(&chunks[..chunks.len() - 1]).unwrap().is_none());
        assert!(Answer::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
