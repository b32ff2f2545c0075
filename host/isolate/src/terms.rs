//! What a call is held to on both sides of the guest.

use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use certosa_syscall::guest::Outcome;
use tokio::sync::Semaphore;

/// What a bundle said of one of its tools. It is run on the time of the call: bundles write it, and it may take long.
pub trait Terms: Send + Sync {
    /// Whether it takes these arguments, which nobody has looked at before.
    fn takes(&self, arguments: &str) -> Result<Held<'_>, Breach>;

    /// Whether it may give this.
    fn gives(&self, outcome: &Outcome) -> Result<Held<'_>, Breach>;
}

/// Something that was read, and the check of it in so much time; `None` where nothing is to be checked.
pub type Held<'a> = Option<Box<dyn Fn(Duration) -> Result<(), Breach> + Send + 'a>>;

/// Why a call does not keep to the terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breach {
    Wrong(String),
    /// To find out would take longer than there is time.
    Long,
}

/// What a check gets at first. Most take a thousandth of it.
const FIRST: Duration = Duration::from_millis(1);
/// What has taken so long is put where it is in nobody's way: the lanes go by the clock.
const LONG: Duration = Duration::from_millis(1);

/// The checks of a bundle that take long: as many at a time as there are processors, so that nobody else waits for them.
pub(crate) struct Turns(Semaphore);

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(available_parallelism().map_or(1, NonZero::get)))
    }

    /// Checks what is held in so much time, which is estimated. What takes longer than most gives way, and begins again where
    /// the lanes put what is long. It does not give way a second time: that thread does nothing else meanwhile.
    pub(crate) async fn check(&self, time: Duration, held: Result<Held<'_>, Breach>) -> Result<(), Breach> {
        let Some(check) = held? else { return Ok(()) };
        let (started, mut first) = (Instant::now(), FIRST);
        while started.elapsed() < LONG {
            match check(time.min(first)) {
                Err(Breach::Long) if time > first => first *= 2,
                checked => return checked,
            }
        }
        tokio::task::yield_now().await;
        let _turn = self.0.acquire().await;
        tokio::task::block_in_place(|| check(time))
    }
}
