//! Who is told of what: the streams of clients that listen, and what bundles say has changed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use certosa_house::{Ask, House, List, News};
use certosa_model::Lists;
use certosa_policy::Caller;
use tokio::sync::mpsc;

use crate::catalog::Catalog;
use crate::params::Filter;
use crate::rpc::{notification, quoted};

#[derive(Default)]
pub(crate) struct Hub {
    listeners: Mutex<HashMap<Box<str>, Listener>>,
    numbers: AtomicU64,
}

struct Listener {
    caller: Arc<Caller>,
    route: Box<str>,
    wants: Wants,
    notices: mpsc::Sender<Notice>,
}

/// What a listener wants to be told of.
pub(crate) enum Wants {
    /// What it said when it began to listen.
    Filter(Filter),
    /// All lists, and the resources that the session subscribed to.
    Session(Subscriptions),
}

/// The resources that a session subscribed to.
pub(crate) type Subscriptions = Arc<Mutex<HashSet<String>>>;

/// Something that a listener is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    Tools,
    Prompts,
    Resources,
    Resource(String),
}

/// A place among the listeners, given up when it is dropped.
pub(crate) struct Place<'a> {
    hub: &'a Hub,
    key: Box<str>,
    notices: mpsc::Receiver<Notice>,
}

/// Notices that wait for one slow listener. What does not fit is lost, as a notice to a client that is not
/// there is.
const NOTICES_MAX: usize = 64;

impl Hub {
    /// Begins to listen. Someone who listened under the same key before is told nothing more.
    pub(crate) fn join(&self, key: &str, caller: Arc<Caller>, route: Box<str>, wants: Wants) -> Place<'_> {
        let (sender, notices) = mpsc::channel(NOTICES_MAX);
        self.lock().insert(key.into(), Listener { caller, route, wants, notices: sender });
        Place { hub: self, key: key.into(), notices }
    }

    /// A number that nobody had before.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells of resources that have other contents those who subscribed to them and may read them.
    pub(crate) fn updated(&self, house: &House, catalog: &Catalog, news: &News) {
        for listener in self.lock().values() {
            let Some(route) = house.route(&listener.route) else { continue };
            for uri in news.uris.iter().filter(|uri| listener.wants.uri(uri)) {
                let source = catalog.view(route).source(&listener.caller, &Ask::Resource { uri });
                if source == Some(&news.bundle) {
                    listener.tell(Notice::Resource(uri.clone()));
                }
            }
        }
    }

    /// Tells those who listen which of their lists are others now. Who does not see what has changed is not told.
    pub(crate) fn lists_changed(&self, house: &House, before: &Catalog, after: &Catalog) {
        let mut seers = Vec::<Seer>::new();
        for listener in self.lock().values() {
            if seers.iter().all(|seer| !seer.is(listener)) {
                seers.push(Seer { caller: Arc::clone(&listener.caller), route: listener.route.clone() });
            }
        }
        // Compared without the lock: calls with news take it, and lists may be long.
        let changed: Vec<_> = seers.iter().map(|seer| (seer, seer.compare(house, before, after))).collect();
        for listener in self.lock().values() {
            let Some((_, changed)) = changed.iter().find(|(seer, _)| seer.is(listener)) else { continue };
            let wanted = listener.wants.lists();
            for (is_told, notice) in [
                (wanted.tools && changed.tools, Notice::Tools),
                (wanted.prompts && changed.prompts, Notice::Prompts),
                (wanted.resources && changed.resources, Notice::Resources),
            ] {
                if is_told {
                    listener.tell(notice);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    fn tell(&self, notice: Notice) {
        let _full_or_gone = self.notices.try_send(notice);
    }
}

/// Someone who sees lists. Most listeners are the same caller on the same route.
struct Seer {
    caller: Arc<Caller>,
    route: Box<str>,
}

impl Seer {
    fn is(&self, listener: &Listener) -> bool {
        self.route == listener.route && self.caller == listener.caller
    }

    /// Which lists are others than before.
    fn compare(&self, house: &House, before: &Catalog, after: &Catalog) -> Lists {
        let Some(route) = house.route(&self.route) else { return Lists::default() };
        let (before, after) = (before.view(route), after.view(route));
        let differs = |list: List| !before.items(list, &self.caller).eq(after.items(list, &self.caller));
        Lists {
            tools: differs(List::Tools),
            prompts: differs(List::Prompts),
            resources: differs(List::Resources) || differs(List::Templates),
        }
    }
}

impl Wants {
    fn uri(&self, uri: &str) -> bool {
        match self {
            Self::Filter(filter) => filter.resource_subscriptions.contains(uri),
            Self::Session(subscribed) => subscribed.lock().unwrap_or_else(PoisonError::into_inner).contains(uri),
        }
    }

    fn lists(&self) -> Lists {
        match self {
            Self::Filter(filter) => Lists {
                tools: filter.tools_list_changed,
                prompts: filter.prompts_list_changed,
                resources: filter.resources_list_changed,
            },
            Self::Session(_) => Lists { tools: true, prompts: true, resources: true },
        }
    }
}

impl Place<'_> {
    /// The next notice; `None` when somebody else has taken the place.
    pub(crate) async fn next(&mut self) -> Option<Notice> {
        self.notices.recv().await
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // Somebody else may have this key by now, and then our channel is closed already.
        let mut listeners = self.hub.lock();
        if !self.notices.is_closed() {
            listeners.remove(&self.key);
        }
    }
}

impl Notice {
    /// The notification; `meta` is JSON text for `_meta`.
    pub(crate) fn write(&self, meta: Option<&str>) -> Bytes {
        let mut members = meta.map(|meta| format!(r#""_meta":{meta}"#)).into_iter().collect::<Vec<_>>();
        let method = match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resources => "notifications/resources/list_changed",
            Self::Resource(uri) => {
                members.push(format!(r#""uri":{}"#, quoted(uri)));
                "notifications/resources/updated"
            }
        };
        notification(method, &format!("{{{}}}", members.join(",")))
    }
}
