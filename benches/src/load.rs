//! The client: connections that send one call after the other, on one thread. It has to be cheaper than the cheapest
//! server, so a request is written once, and an answer that is the last one but for its number is not parsed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Done;
use crate::call::{Call, FIRST_ID, Template, check};
use crate::http::Answer;
use crate::server::{pin_to_second_processor, processor_time};

const BUFFER: usize = 64 << 10;

#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub connections: usize,
    pub warm_up: Duration,
    pub time: Duration,
}

#[derive(Clone, Copy, Serialize)]
pub(crate) struct Figures {
    pub per_second: f64,
    pub p50_us: u32,
    pub p99_us: u32,
    /// Time on the processor over time: whoever comes close to 1 is what limits the figures.
    pub server_busy: f64,
    pub client_busy: f64,
    /// Time on the processor for each call: what other work on the machine hardly moves.
    pub server_us: f64,
    pub client_us: f64,
}

impl Load {
    /// Loads the server at `address`, which these processes are, and counts the right answers after a warm-up.
    pub(crate) fn run(&self, address: &str, call: &Call, processes: &[u32]) -> Done<Figures> {
        pin_to_second_processor();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let ids = Arc::new(AtomicU64::new(FIRST_ID));
            let from = Instant::now() + self.warm_up;
            let until = from + self.time;
            let mut workers = Vec::new();
            for _ in 0..self.connections {
                let connection = Connection::open(address, call).await?;
                workers.push(tokio::spawn(connection.run(Arc::clone(&ids), from, until)));
            }
            let busy = tokio::spawn(busy(processes.to_vec(), from, until));
            let mut times = Vec::new();
            for worker in workers {
                times.append(&mut worker.await?.map_err(|error| format!("a call failed: {error}"))?);
            }
            let (server_busy, client_busy) = busy.await??;
            times.sort_unstable();
            let at = |share: f64| {
                let place = (times.len() as f64 * share) as usize;
                times.get(place).copied().unwrap_or_default()
            };
            let per_second = times.len() as f64 / self.time.as_secs_f64();
            let [server_us, client_us] = [server_busy, client_busy].map(|busy| busy * 1e6 / per_second);
            let (p50_us, p99_us) = (at(0.5), at(0.99));
            Ok(Figures { per_second, p50_us, p99_us, server_busy, client_busy, server_us, client_us })
        })
    }
}

/// The share of the time that the server and this thread were on a processor.
async fn busy(processes: Vec<u32>, from: Instant, until: Instant) -> Done<(f64, f64)> {
    let now = || -> Done<_> { Ok((processor_time(&processes)?, own_time()?, Instant::now())) };
    tokio::time::sleep_until(from.into()).await;
    let (server, client, started) = now()?;
    tokio::time::sleep_until(until.into()).await;
    let (server_after, client_after, ended) = now()?;
    let share = |time: Duration| time.as_secs_f64() / (ended - started).as_secs_f64();
    Ok((share(server_after.saturating_sub(server)), share(client_after.saturating_sub(client))))
}

/// Time that this thread was on a processor.
pub(crate) fn own_time() -> Done<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(stat.split_whitespace().next().ok_or("no schedstat")?.parse()?))
}

struct Connection {
    stream: TcpStream,
    request: Template,
    buffer: Vec<u8>,
    last: Option<Last>,
}

/// The last answer. Most servers write the same one again, with another number in it.
struct Last {
    /// Where its headers end: a date may be among them.
    head: usize,
    rest: Template,
}

impl Connection {
    async fn open(address: &str, call: &Call) -> Done<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = Template::new(&call.request(address, FIRST_ID), FIRST_ID);
        Ok(Self { stream, request, buffer: vec![0; BUFFER], last: None })
    }

    /// The microseconds of each call that was started between `from` and `until`.
    async fn run(mut self, ids: Arc<AtomicU64>, from: Instant, until: Instant) -> Done<Vec<u32>> {
        let mut times = Vec::new();
        let mut started = Instant::now();
        while started < until {
            self.exchange(ids.fetch_add(1, Ordering::Relaxed)).await?;
            let ended = Instant::now();
            if started >= from {
                times.push(u32::try_from((ended - started).as_micros()).unwrap_or(u32::MAX));
            }
            started = ended;
        }
        Ok(times)
    }

    async fn exchange(&mut self, id: u64) -> Done<()> {
        self.request.set(id);
        self.stream.write_all(&self.request.bytes).await?;
        if let Some(last) = &mut self.last {
            last.rest.set(id);
        }
        let mut filled = 0;
        loop {
            let read = self.stream.read(self.buffer.get_mut(filled..).ok_or("the answer is too long")?).await?;
            if read == 0 {
                return Err("the connection was closed".into());
            }
            filled += read;
            let bytes = self.buffer.get(..filled).unwrap_or_default();
            if self.last.as_ref().is_some_and(|last| last.is(bytes)) {
                return Ok(());
            }
            if let Some(answer) = Answer::parse(bytes)? {
                check(&answer, id)?;
                let (_, rest) = bytes.split_at(answer.head.len());
                self.last = Some(Last { head: answer.head.len(), rest: Template::new(rest, id) });
                return Ok(());
            }
        }
    }
}

impl Last {
    fn is(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.head + self.rest.bytes.len()
            && bytes.starts_with(b"HTTP/1.1 200 ")
            && bytes.get(self.head - 4..self.head) == Some(b"\r\n\r\n")
            && bytes.ends_with(&self.rest.bytes)
    }
}

/// Two floors that were busy for this share of the time, and come this close to each other, were taken on a machine that
/// did nothing else from the first to the second. How fast it was at that time does not matter to a ratio.
pub(crate) const CALM: f64 = 0.9;

/// Whether nothing else was done between these floors.
pub(crate) fn is_calm([before, after]: &[Figures; 2]) -> bool {
    let (less, more) = (before.per_second.min(after.per_second), before.per_second.max(after.per_second));
    less >= CALM * more && [before, after].iter().all(|floor| floor.server_busy.max(floor.client_busy) >= CALM)
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<_> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

impl Figures {
    /// The round in the middle, by throughput.
    pub(crate) fn median(rounds: &[Self]) -> Option<Self> {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        sorted.get(sorted.len() / 2).copied()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { per_second, p50_us, p99_us, server_busy, client_busy, server_us, client_us } = self;
        let (server, client) = (server_busy * 100.0, client_busy * 100.0);
        write!(f, "{per_second:>8.0}/s  p50 {p50_us:>6} µs  p99 {p99_us:>6} µs  ")?;
        write!(f, "server {server_us:>6.1} µs {server:>3.0} %  client {client_us:>4.1} µs {client:>3.0} %")
    }
}
