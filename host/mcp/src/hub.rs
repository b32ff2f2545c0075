//! Who is told of what: the streams of clients that listen, and what bundles say has changed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use certosa_house::{House, List, News, RouteView};
use certosa_model::{BundleName, Change, Lists};
use certosa_policy::Caller;
use tokio::sync::mpsc;

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

    /// Tells everybody who listens and may know.
    pub(crate) fn publish(&self, house: &House, news: &News) {
        let listeners = self.lock();
        let mut seen = Seen { bundle: &news.bundle, lists: Vec::new() };
        for listener in listeners.values() {
            let Some(route) = house.route(&listener.route) else { continue };
            for notice in listener.notices_of(route, news, &mut seen) {
                let _full_or_gone = listener.notices.try_send(notice);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    fn notices_of<'a>(&'a self, route: RouteView<'_>, news: &News, seen: &mut Seen<'a>) -> Vec<Notice> {
        let mut notices = Vec::new();
        for change in &news.changes {
            match change {
                Change::Resource(uri)
                    if self.wants.uri(uri) && route.source(&self.caller, uri) == Some(&news.bundle) =>
                {
                    notices.push(Notice::Resource(uri.clone()));
                }
                Change::Resource(_) => {}
                Change::Lists(lists) => {
                    let (wanted, sees) = (self.wants.lists(), seen.by(route, self));
                    let told = [
                        (lists.tools && wanted.tools && sees.tools, Notice::Tools),
                        (lists.prompts && wanted.prompts && sees.prompts, Notice::Prompts),
                        (lists.resources && wanted.resources && sees.resources, Notice::Resources),
                    ];
                    notices.extend(told.into_iter().filter_map(|(told, notice)| told.then_some(notice)));
                }
            }
        }
        notices
    }
}

/// On which lists each caller sees something of a bundle: who sees nothing is not told that it changed. Most
/// listeners are the same caller on the same route, so it is found out once for all of them.
struct Seen<'a> {
    bundle: &'a BundleName,
    lists: Vec<(&'a str, &'a Caller, Lists)>,
}

impl<'a> Seen<'a> {
    fn by(&mut self, route: RouteView<'_>, listener: &'a Listener) -> Lists {
        let key = (&*listener.route, &*listener.caller);
        if let Some((.., lists)) = self.lists.iter().find(|(route, caller, _)| (*route, *caller) == key) {
            return *lists;
        }
        let has = |list: List| route.items(list, key.1).any(|item| item.bundle == self.bundle);
        let lists = Lists {
            tools: has(List::Tools),
            prompts: has(List::Prompts),
            resources: has(List::Resources) || has(List::Templates),
        };
        self.lists.push((key.0, key.1, lists));
        lists
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
