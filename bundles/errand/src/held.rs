//! Exchanges that are not brought to an end.

use std::collections::BTreeMap;
use std::mem::forget;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::{Deserialize, Serialize};
use wasip2::http::types::{FutureIncomingResponse, IncomingBody, IncomingResponse};
use wasip2::io::streams::{InputStream, StreamError};

use crate::ask::{Answer, Ask, answered, broken, pairs};
use crate::transfer::{failed, write};

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Hoard {
    #[serde(flatten)]
    ask: Ask,
    /// How many exchanges.
    count: u32,
    /// How long they are kept.
    ms: u64,
}

#[derive(Serialize, Default)]
#[serde(crate = "certosa_sdk::serde")]
pub struct Hoarded {
    /// How many requests were taken.
    begun: u32,
    /// How many of those were answered in time.
    answered: u32,
    /// How many of those came to nothing or were not even taken, by the text of the error.
    errors: BTreeMap<String, u32>,
}

pub fn hoard(hoard: Hoard) -> Hoarded {
    let end = Instant::now() + Duration::from_millis(hoard.ms);
    let mut found = Hoarded::default();
    let mut begun = Vec::new();
    for _ in 0..hoard.count {
        match hoard.ask.begin(false) {
            Ok(one) => begun.push(one.response),
            Err(error) => *found.errors.entry(error).or_default() += 1,
        }
    }
    found.begun = u32::try_from(begun.len()).unwrap_or(u32::MAX);
    let mut responses = Vec::new();
    loop {
        begun.retain(|response| waiting(response, &mut responses, &mut found));
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return found;
        }
        std::thread::sleep(left.min(LOOK));
    }
}

/// Whether there is no answer yet; one that is there is kept.
fn waiting(response: &FutureIncomingResponse, kept: &mut Vec<IncomingResponse>, found: &mut Hoarded) -> bool {
    // A host may bring a response on only while somebody waits for it.
    if !response.subscribe().ready() {
        return true;
    }
    let Some(answer) = response.get() else { return true };
    match answer.map_or_else(|()| Err("taken before".to_owned()), |answer| answer.map_err(|code| code.to_string())) {
        Ok(response) => {
            found.answered += 1;
            kept.push(response);
        }
        Err(error) => *found.errors.entry(error).or_default() += 1,
    }
    false
}

#[derive(Serialize, Default)]
#[serde(crate = "certosa_sdk::serde")]
pub struct Left {
    begun: bool,
    error: Option<String>,
}

pub fn begin_and_leave(ask: Ask) -> Left {
    let begun = match ask.begin(true) {
        Ok(begun) => begun,
        Err(error) => return Left { begun: false, error: Some(error) },
    };
    let stream = begun.body.as_ref().and_then(|body| body.write().ok());
    let text = ask.body.as_deref().unwrap_or("x");
    let error = stream.as_ref().and_then(|stream| write(stream, text.as_bytes()).err());
    // Dropping them would tell the host that it is over.
    forget((stream, begun));
    Left { begun: true, error: error.map(|error| broken(&error)) }
}

/// Dropped in this order: nothing outlives what it is a part of.
struct Kept {
    stream: InputStream,
    _body: IncomingBody,
    _response: IncomingResponse,
}

static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

pub fn keep(ask: Ask) -> Answer {
    match kept(&ask) {
        Ok((kept, answer)) => {
            *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
            answer
        }
        Err(error) => failed(error),
    }
}

fn kept(ask: &Ask) -> Result<(Kept, Answer), String> {
    let begun = ask.begin(false)?;
    let response = answered(&begun.response)?;
    let body = response.consume().map_err(|()| "consume: refused".to_owned())?;
    let stream = body.stream().map_err(|()| "stream: refused".to_owned())?;
    let answer =
        Answer { status: Some(response.status()), headers: Some(pairs(&response.headers())), ..Answer::default() };
    Ok((Kept { stream, _body: body, _response: response }, answer))
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Take {
    /// How many bytes are read at most. Default: 64 KiB.
    read_max: Option<u64>,
}

/// What one read brings: the stream stays where it is.
pub fn take(take: Take) -> Answer {
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(kept) = kept.as_ref() else { return failed("nothing is kept".to_owned()) };
    match kept.stream.blocking_read(take.read_max.unwrap_or(64 << 10)) {
        Ok(bytes) => Answer {
            bytes: bytes.len() as u64,
            body: Some(String::from_utf8_lossy(&bytes).into_owned()),
            ..Answer::default()
        },
        Err(StreamError::Closed) => failed("closed".to_owned()),
        Err(error) => failed(broken(&error)),
    }
}

/// How often it is looked whether there are answers.
const LOOK: Duration = Duration::from_millis(5);
