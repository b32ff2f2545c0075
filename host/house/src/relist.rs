//! Bundles whose lists may change are asked again when they say that they did: `listsChange` in the manifest.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use certosa_isolate::CellError;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use crate::house::{Bundle, House};
use crate::line::{Full, Patience};
use crate::listings::{Listings, LoadedItem};
use crate::load::{check, listing_error, listing_limits, load};

/// Time between two listings of a bundle, at least.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The pause is this many times as long as the listing took, so that listing is never most of what a house does.
const PAUSE_SHARE: u32 = 10;
const WHY_BYTES_MAX: usize = 2 << 10;
const WARNINGS_MAX: usize = 10;

/// Who is told of new listings. Nobody is told of older ones after newer ones.
type Told = Arc<dyn Fn(Arc<Listings>) + Send + Sync>;

impl House {
    /// Lists bundles again that say that their lists have changed, and tells `told` what comes of it. It goes on
    /// until it is dropped; without it the listings stay as they are.
    pub async fn follow(self: Arc<Self>, told: impl Fn(Arc<Listings>) + Send + Sync + 'static) {
        let told: Told = Arc::new(told);
        let mut following = JoinSet::new();
        for bundle in self.bundles.iter().filter(|bundle| bundle.stale.is_some()) {
            following.spawn(Arc::clone(&self).follow_one(bundle.index, Arc::clone(&told)));
        }
        while following.join_next().await.is_some() {}
    }

    async fn follow_one(self: Arc<Self>, index: usize, told: Told) {
        let Some(bundle) = self.bundles.get(index) else { return };
        let Some(stale) = &bundle.stale else { return };
        loop {
            // What is said from here on, also while the listing runs, is remembered as one thing for the next turn.
            stale.notified().await;
            let Ok(took) = self.list_again(bundle, &told).await else {
                tracing::debug!(bundle = bundle.name.as_str(), "too many calls wait for it to be listed: later again");
                stale.notify_one();
                sleep(PAUSE_MIN).await;
                continue;
            };
            sleep(PAUSE_MIN.max(took * PAUSE_SHARE)).await;
        }
    }

    /// Lists a bundle in a cell that takes its places as any other, and says how long that took.
    async fn list_again(self: &Arc<Self>, bundle: &Bundle, told: &Told) -> Result<Duration, Full> {
        // The bundle is its own caller, and takes its turn.
        let (own, house) = (&bundle.line, &self.line);
        let mut patience = Patience::new(bundle.limits.wall_ms_max);
        let first = own.enter(&bundle.subject, &mut patience).await?;
        let places = (first, house.enter(&bundle.subject, &mut patience).await?);
        let started = Instant::now();
        let listed = match self.images.ready(&bundle.component).await {
            Ok(image) => self.images.machine().list(&image, &listing_limits(&bundle.limits)).await.result,
            Err(error) => Err(error),
        };
        drop(places);
        match listed {
            Ok(listed) => {
                // Schemas may take their time to be made ready.
                let (name, form, limits) = (bundle.name.clone(), bundle.component.form(), bundle.limits);
                let made = move || load(&name, form, check(listed, form, &limits)?);
                match self.images.machine().aside(made).await {
                    Some(Ok(items)) => {
                        let (house, index, told) = (Arc::clone(self), bundle.index, Arc::clone(told));
                        let _always_done = spawn_blocking(move || house.replace(index, items, &told)).await;
                    }
                    Some(Err(why)) => warn(bundle, "bundle", &why),
                    // The house closes.
                    None => {}
                }
            }
            Err(error @ CellError::Host(_)) => warn(bundle, "host", &listing_error(&error, &bundle.limits)),
            Err(error) => warn(bundle, "bundle", &listing_error(&error, &bundle.limits)),
        }
        Ok(started.elapsed())
    }

    /// Lets what a bundle lists now take the place of what it listed before, if it says anything else.
    fn replace(&self, index: usize, items: Vec<LoadedItem>, told: &Told) {
        let Some(bundle) = self.bundles.get(index) else { return };
        let _one_at_a_time = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.listings();
        let Some(after) = before.with(&self.plan, index, items) else { return };
        tracing::info!(bundle = bundle.name.as_str(), "its lists have changed");
        warn_of_hidden(&before, &after);
        let after = Arc::new(after);
        *self.listings.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&after);
        told(after);
    }
}

fn warn(bundle: &Bundle, fault: &str, why: &str) {
    let why = why.get(..why.floor_char_boundary(WHY_BYTES_MAX)).unwrap_or(why);
    tracing::warn!(bundle = bundle.name.as_str(), fault, "its lists stay as they were, it could not be listed: {why}");
}

/// Warns of names that were not hidden before.
fn warn_of_hidden(before: &Listings, after: &Listings) {
    let known: HashSet<_> = before.hidden.iter().map(|hidden| hidden.message.as_str()).collect();
    let mut new = after.hidden.iter().filter(|hidden| !known.contains(hidden.message.as_str()));
    new.by_ref().take(WARNINGS_MAX).for_each(|hidden| tracing::warn!("{}", hidden.message));
    let more = new.count();
    if more > 0 {
        tracing::warn!("and {more} more names are hidden");
    }
}
