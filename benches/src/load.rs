//! The client: connections that send one call after the other, on one thread.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Done;

pub(crate) struct Load {
    pub connections: usize,
    pub seconds: u64,
}

#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub per_second: f64,
    p50_us: u64,
    p99_us: u64,
}

const WARM_UP: Duration = Duration::from_millis(500);

impl Load {
    /// Loads the server at `address` and counts the right answers after a warm-up.
    pub(crate) fn run(&self, address: &str) -> Done<Figures> {
        pin_to_second_processor();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let ids = Arc::new(AtomicU64::new(1));
            let from = Instant::now() + WARM_UP;
            let until = from + Duration::from_secs(self.seconds);
            let mut workers = Vec::new();
            for _ in 0..self.connections {
                workers.push(tokio::spawn(connection(address.to_owned(), Arc::clone(&ids), from, until)));
            }
            let mut times = Vec::new();
            for worker in workers {
                times.append(&mut worker.await?.map_err(|error| format!("a call failed: {error}"))?);
            }
            times.sort_unstable();
            let at = |share: f64| {
                let place = (times.len() as f64 * share) as usize;
                times.get(place).copied().unwrap_or_default()
            };
            Ok(Figures { per_second: times.len() as f64 / self.seconds as f64, p50_us: at(0.5), p99_us: at(0.99) })
        })
    }
}

/// One call on a connection of its own.
pub(crate) fn one_call(address: &str) -> Done<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request(address, 1).as_bytes()).await?;
        let mut buffer = vec![0; 64 << 10];
        let answer = answer(&mut stream, &mut buffer).await?;
        if answer.contains(&text(1)) { Ok(()) } else { Err(answer.to_owned().into()) }
    })
}

async fn connection(address: String, ids: Arc<AtomicU64>, from: Instant, until: Instant) -> Result<Vec<u64>, String> {
    let mut stream = TcpStream::connect(&address).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let mut times = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let started = Instant::now();
        if started >= until {
            return Ok(times);
        }
        let id = ids.fetch_add(1, Ordering::Relaxed);
        let request = request(&address, id);
        stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        let answer = answer(&mut stream, &mut buffer).await?;
        if !answer.starts_with("HTTP/1.1 200 ")
            || !answer.contains(&format!("\"id\":{id},"))
            || !answer.contains(&text(id))
        {
            return Err(answer.to_owned());
        }
        if started >= from {
            times.push(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }
}

/// Reads one response with a Content-Length.
async fn answer<'b>(stream: &mut TcpStream, buffer: &'b mut [u8]) -> Result<&'b str, String> {
    let mut filled = 0;
    loop {
        let read = stream.read(buffer.get_mut(filled..).ok_or("too long")?).await.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the connection was closed".to_owned());
        }
        filled += read;
        let text = str::from_utf8(buffer.get(..filled).unwrap_or_default()).unwrap_or_default();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|n| n.parse().ok());
            if body.len() >= length.unwrap_or(usize::MAX) {
                return str::from_utf8(buffer.get(..filled).unwrap_or_default()).map_err(|error| error.to_string());
            }
        }
    }
}

fn text(id: u64) -> String {
    format!("the text of call {id}")
}

pub(crate) fn request(address: &str, id: u64) -> String {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
    let text = text(id);
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"hello_echo","arguments":{{"text":"{text}"}},{meta}}}}}"#
    );
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: hello_echo\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn pin_to_second_processor() {
    let own = std::process::id().to_string();
    let _one_processor_only = std::process::Command::new("taskset").args(["-apc", "1", &own]).output();
}

impl Figures {
    /// The round in the middle, by throughput.
    pub(crate) fn median(rounds: &[Self]) -> Self {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        sorted.get(sorted.len() / 2).copied().unwrap_or(Self { per_second: 0.0, p50_us: 0, p99_us: 0 })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8.0}/s  p50 {:>5} µs  p99 {:>5} µs", self.per_second, self.p50_us, self.p99_us)
    }
}
