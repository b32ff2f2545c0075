//! What a call is held to on both sides of the guest.

use std::time::Duration;

use certosa_syscall::guest::Outcome;

/// What a bundle said of one of its tools. It is run on the time of the call: bundles write it, and it may take long.
pub trait Terms: Send + Sync {
    /// Whether it takes these arguments, which nobody has looked at before.
    fn takes(&self, arguments: &str, time: Duration) -> Result<(), Breach>;

    /// Whether it may give this.
    fn gives(&self, outcome: &Outcome, time: Duration) -> Result<(), Breach>;
}

/// Why a call does not keep to the terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breach {
    Wrong(String),
    /// To find out would take longer than there is time.
    Long,
}

/// What a check may take in the way of others. Most take a thousandth of it.
const FIRST: Duration = Duration::from_millis(2);

/// Checks something in so much time. What takes longer than most gives way, and begins again where the lanes put what is
/// long.
pub(crate) async fn held(time: Duration, check: impl Fn(Duration) -> Result<(), Breach>) -> Result<(), Breach> {
    match check(time.min(FIRST)) {
        Err(Breach::Long) if time > FIRST => {}
        checked => return checked,
    }
    tokio::task::yield_now().await;
    check(time)
}
