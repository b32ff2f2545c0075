//! Connections that wait for the next request. None is ever shared between two bundles, or between two credentials.

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use certosa_model::{BundleName, CredentialName, Host, Scheme};

use crate::line::Line;
use crate::policy::{Policy, Target};

/// How many connections wait, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct PoolLimits {
    /// For one bundle, credential and origin.
    pub idle_per_key_max: usize,
    /// For all together.
    pub idle_max: usize,
    pub idle_ms_max: u32,
}

/// What two requests have to have in common to share a connection.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key {
    bundle: BundleName,
    credential: Option<CredentialName>,
    is_secure: bool,
    host: Host,
    port: u16,
}

pub(crate) struct Pool {
    limits: PoolLimits,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    lines: HashMap<Key, VecDeque<Idle>>,
    count: usize,
    is_swept: bool,
}

struct Idle {
    line: Line,
    since: Instant,
}

impl Default for PoolLimits {
    fn default() -> Self {
        // As many as a bundle has exchanges at the same time if its manifest does not say otherwise.
        Self { idle_per_key_max: 64, idle_max: 512, idle_ms_max: 90_000 }
    }
}

impl Key {
    pub(crate) fn of(target: &Target) -> Self {
        Self {
            bundle: target.policy.bundle.clone(),
            credential: target.credential.as_ref().map(|credential| credential.name.clone()),
            is_secure: target.origin.scheme == Scheme::Https,
            host: target.origin.host.clone(),
            port: target.origin.port,
        }
    }
}

impl Hash for Key {
    /// Of what tells most keys apart.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bundle.hash(state);
        self.host.hash(state);
    }
}

impl Pool {
    pub(crate) fn new(limits: PoolLimits) -> Arc<Self> {
        Arc::new(Self { limits, kept: Mutex::default() })
    }

    /// The connection that was used last, if there is one that still stands. Its address was looked at when it was
    /// made; it is looked at again because the policy may have changed since.
    pub(crate) async fn take(&self, key: &Key, policy: &Policy) -> Option<Line> {
        while let Some(mut line) = self.pop(key, policy) {
            if line.is_usable().await {
                return Some(line);
            }
        }
        None
    }

    fn pop(&self, key: &Key, policy: &Policy) -> Option<Line> {
        let mut kept = self.lock();
        loop {
            let mut idle = kept.lines.get_mut(key)?.pop_back()?;
            let is_good = idle.since.elapsed() < self.idle_max()
                && !idle.line.is_closed()
                && policy.allows_address(idle.line.peer().ip());
            match idle.line.share().filter(|_| is_good) {
                Some(shared) => {
                    idle.since = Instant::now();
                    kept.lines.get_mut(key)?.push_back(idle);
                    return Some(shared);
                }
                None => {
                    kept.count -= 1;
                    if is_good {
                        return Some(idle.line);
                    }
                }
            }
        }
    }

    pub(crate) fn put(self: &Arc<Self>, key: Key, line: Line) {
        if line.is_closed() {
            return;
        }
        let mut kept = self.lock();
        let Kept { lines, count, .. } = &mut *kept;
        let newest = (*count >= self.limits.idle_max).then(|| key.bundle.clone());
        let here = lines.entry(key).or_default();
        if here.len() >= self.limits.idle_per_key_max && here.pop_front().is_some() {
            *count -= 1;
        }
        if self.limits.idle_per_key_max > 0 {
            here.push_back(Idle { line, since: Instant::now() });
            *count += 1;
        }
        if let Some(newest) = newest
            && *count > self.limits.idle_max
            && drop_one(lines, &newest)
        {
            *count -= 1;
        }
        if !std::mem::replace(&mut kept.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), self.idle_max()));
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().count
    }

    fn idle_max(&self) -> Duration {
        Duration::from_millis(self.limits.idle_ms_max.into())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops the connection that has waited for longest of those of the bundle that has the most: whoever has few keeps them.
/// Of two with as many, `newest` keeps its own.
fn drop_one(lines: &mut HashMap<Key, VecDeque<Idle>>, newest: &BundleName) -> bool {
    // So what is gone through is no more than what waits.
    lines.retain(|_, idle| !idle.is_empty());
    let mut counts: HashMap<&BundleName, usize> = HashMap::new();
    for (key, idle) in &*lines {
        *counts.entry(&key.bundle).or_default() += idle.len();
    }
    let most = counts.into_iter().max_by_key(|(bundle, count)| (*count, *bundle != newest));
    let Some(most) = most.map(|(bundle, _)| bundle.clone()) else { return false };
    let theirs = lines.iter_mut().filter(|(key, _)| key.bundle == most).map(|(_, idle)| idle);
    let longest = theirs.min_by_key(|idle| idle.front().map(|idle| idle.since));
    longest.and_then(VecDeque::pop_front).is_some()
}

/// Drops what has waited for too long, until there is nothing left to look at.
async fn sweep(pool: Weak<Pool>, idle_max: Duration) {
    loop {
        tokio::time::sleep((idle_max / 4).max(Duration::from_millis(10))).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut kept = pool.lock();
        for lines in kept.lines.values_mut() {
            lines.retain(|idle| idle.since.elapsed() < idle_max && !idle.line.is_closed());
        }
        kept.lines.retain(|_, lines| !lines.is_empty());
        kept.count = kept.lines.values().map(VecDeque::len).sum();
        if kept.count == 0 {
            kept.is_swept = false;
            return;
        }
    }
}
