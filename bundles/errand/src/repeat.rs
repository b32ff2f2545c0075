//! The same exchange many times, and how long that takes: for the bench.

use std::time::{Duration, Instant};

use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::{Deserialize, Serialize};
use wasip2::io::streams::StreamError;

use crate::ask::{Ask, answered, broken};

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Repeat {
    #[serde(flatten)]
    ask: Ask,
    /// After this time no further request is sent.
    ms: u64,
}

#[derive(Serialize)]
#[serde(crate = "certosa_sdk::serde")]
pub struct Repeated {
    count: usize,
    /// Of all bodies together.
    bytes: u64,
    micros: u64,
    /// The exchange in the middle.
    p50_micros: u64,
    /// What ended it before its time.
    error: Option<String>,
}

const PIECE: u64 = 64 << 10;

pub fn repeat(repeat: Repeat) -> Repeated {
    let (begun, time) = (Instant::now(), Duration::from_millis(repeat.ms));
    let (mut times, mut bytes, mut error) = (Vec::new(), 0, None);
    let mut since = begun;
    while error.is_none() && since - begun < time {
        match exchange(&repeat.ask) {
            Ok(read) => bytes += read,
            Err(why) => error = Some(why),
        }
        let now = Instant::now();
        times.push(micros(now - since));
        since = now;
    }
    times.sort_unstable();
    let p50_micros = times.get(times.len() / 2).copied().unwrap_or_default();
    Repeated { count: times.len(), bytes, micros: micros(since - begun), p50_micros, error }
}

fn exchange(ask: &Ask) -> Result<u64, String> {
    let begun = ask.begin(false)?;
    let response = answered(&begun.response)?;
    if response.status() != 200 {
        return Err(format!("status {}", response.status()));
    }
    let body = response.consume().map_err(|()| "consume: refused".to_owned())?;
    let stream = body.stream().map_err(|()| "stream: refused".to_owned())?;
    let mut read = 0;
    loop {
        match stream.blocking_read(PIECE) {
            Ok(bytes) => read += bytes.len() as u64,
            Err(StreamError::Closed) => return Ok(read),
            Err(error) => return Err(broken(&error)),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
