//! Steps at which a test can end the process, as a power cut would. Outside of tests there is nothing here.

/// Passes one step. With the feature `fault`, and only then, the process ends at the step whose number the variable
/// `CERTOSA_FAULT` holds, counted from 1 since [`begin`].
#[cfg(not(feature = "fault"))]
#[inline(always)]
pub fn point() {}

#[cfg(feature = "fault")]
pub use injected::{begin, point, tamper};

#[cfg(feature = "fault")]
mod injected {
    use std::sync::atomic::{AtomicU64, Ordering};

    static LEFT: AtomicU64 = AtomicU64::new(u64::MAX);

    /// Starts to count.
    pub fn begin() {
        let left = std::env::var("CERTOSA_FAULT").ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
        LEFT.store(left, Ordering::SeqCst);
    }

    pub fn point() {
        if LEFT.load(Ordering::SeqCst) == u64::MAX {
            return;
        }
        if LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
            // No destructor and no handler runs.
            let _does_not_return =
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }

    /// Does to the database what somebody with an editor could do. `bytes` takes the place of `?1`.
    pub async fn tamper(
        state: &crate::State,
        sql: &'static str,
        bytes: &[u8],
    ) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        let crate::State::Sqlite(sqlite) = state;
        Ok(sqlx::query(sql).bind(bytes.to_vec()).execute(sqlite.pool()).await?.rows_affected())
    }
}
