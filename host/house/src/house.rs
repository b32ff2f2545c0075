use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use certosa_isolate::PoolFacts;
use certosa_manifest::{Plan, Problem, RoutePlan};
use certosa_model::{Allowance, BundleName, CellLimits, Digest, HouseLimits, Kind, Patterns, Subject};
use certosa_policy::{Caller, Target, decide};
use certosa_syscall::{Errand, Grants};
use certosa_vault::Vault;
use serde::Serialize;
use tokio::sync::Notify;

use crate::call::{Ask, News};
use crate::images::{Component, Images};
use crate::kept::Kept;
use crate::line::Line;
use crate::listings::{Item, Listings, LoadedItem, Names, Place};
use crate::metrics::Counts;
use crate::offer::{Prompt, Resource, ResourceTemplate, Tool};
use crate::record::{Observer, Recorder, RecorderError, Seconds};

/// A house that is open: every component loaded, everything that they offer known.
pub struct House {
    pub(crate) plan: Plan,
    /// As records have it.
    pub(crate) plan_digest: String,
    pub(crate) images: Images,
    /// As many as the plan has, in the same order.
    pub(crate) bundles: Vec<Bundle>,
    /// What bundles listed last. It is only ever replaced as a whole.
    pub(crate) listings: RwLock<Arc<Listings>>,
    /// Held by whoever replaces the listings, until everybody is told. No call takes it.
    pub(crate) replacing: Mutex<()>,
    /// The line of the whole house, behind the bundles' own.
    pub(crate) line: Arc<Line>,
    pub(crate) recorder: Recorder,
    /// Calls of what is not there.
    pub(crate) unknown: Counts,
    /// `None`: the house has no credentials.
    pub(crate) vault: Option<Vault>,
    /// Bundles that could not be listed when the house opened.
    pub(crate) warnings: Vec<Problem>,
    /// What is worth knowing and no mistake.
    pub(crate) notes: Vec<Problem>,
}

pub(crate) struct Bundle {
    /// Its place in the plan.
    pub index: usize,
    pub name: BundleName,
    pub subject: Subject,
    /// The digest of its component, as records have it.
    pub digest: String,
    pub limits: CellLimits,
    /// Bundles of the same one share it.
    pub component: Arc<Component>,
    /// Cells that wait for their next call.
    pub kept: Arc<Kept>,
    pub line: Arc<Line>,
    pub seconds: Seconds,
    pub cpu_us: AtomicU64,
    /// Who breaks off in each call does not fill the log, nor the time of the house.
    pub traces: Allowance,
    /// What it may use outside. `None`: it was granted nothing.
    pub grants: Option<Arc<Grants>>,
    /// Told when the bundle says that its lists have changed. `None`: the manifest does not let them.
    pub stale: Option<Notify>,
}

/// A route of an open house.
#[derive(Clone, Copy)]
pub struct Route<'a> {
    house: &'a House,
    index: usize,
}

/// What a route shows: one request looks at one view, whatever bundles list meanwhile.
#[derive(Clone, Copy)]
pub struct RouteView<'a> {
    route: Route<'a>,
    listings: &'a Listings,
}

/// Which of the lists of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    Tools,
    Prompts,
    Resources,
    Templates,
}

/// A thing as a caller sees it on a route.
#[derive(Clone, Copy, PartialEq)]
pub struct ItemView<'a> {
    /// The name of a tool or a prompt; the address of a resource; the text of a template.
    pub name: &'a str,
    pub bundle: &'a BundleName,
    pub subject: &'a Subject,
    pub offered: Offered<'a>,
}

/// A thing as its bundle offers it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Offered<'a> {
    Tool(&'a Tool),
    Prompt(&'a Prompt),
    Resource(&'a Resource),
    Template(&'a ResourceTemplate),
}

/// What the operator may want to know about an open house.
#[derive(Debug, Serialize)]
pub struct Facts {
    pub bundles: usize,
    pub tools: usize,
    pub prompts: usize,
    pub resources: usize,
    pub plan: Digest,
    /// How many bundles could not be listed, and names are hidden by others; `certosa check` tells which.
    pub warnings: usize,
    #[serde(flatten)]
    pub pool: PoolFacts,
}

impl House {
    pub fn limits(&self) -> &HouseLimits {
        &self.plan.limits
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn routes(&self) -> impl Iterator<Item = Route<'_>> {
        (0..self.plan.routes.len()).map(|index| Route { house: self, index })
    }

    /// The route with exactly this path.
    pub fn route(&self, path: &str) -> Option<Route<'_>> {
        self.routes().find(|route| route.plan().path == path)
    }

    /// What bundles offer now.
    pub fn listings(&self) -> Arc<Listings> {
        Arc::clone(&self.listings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether calls can be answered.
    pub fn ready(&self) -> Result<(), RecorderError> {
        self.recorder.check()
    }

    /// Closes the house. An error means that calls were answered whose records are not on disk.
    pub fn close(&self) -> Result<(), RecorderError> {
        self.recorder.close()
    }

    /// Tells `observer` of every call from now on.
    pub fn observe(&self, observer: Box<dyn Observer>) {
        self.recorder.observe(observer);
    }

    /// What is wrong with single bundles: they could not be listed, or names of theirs are hidden by others'.
    pub fn warnings(&self) -> Vec<Problem> {
        [self.warnings.as_slice(), &self.listings().hidden].concat()
    }

    /// What is worth knowing and no mistake: functions of typed components that are no tools.
    pub fn notes(&self) -> &[Problem] {
        &self.notes
    }

    pub fn facts(&self) -> Facts {
        let listings = self.listings();
        let count = |is: fn(&Item) -> bool| listings.items().filter(|loaded| is(&loaded.item)).count();
        Facts {
            bundles: self.bundles.len(),
            tools: count(|item| matches!(item, Item::Tool(_))),
            prompts: count(|item| matches!(item, Item::Prompt(_))),
            resources: count(|item| matches!(item, Item::Resource(_) | Item::Template(..))),
            plan: self.plan.digest,
            warnings: self.warnings.len() + listings.hidden.len(),
            pool: self.images.machine().facts(),
        }
    }
}

impl Bundle {
    /// The way outside of one call, if the bundle was granted any.
    pub(crate) fn errand(&self, loaded: &LoadedItem, caller: &Caller) -> Option<Arc<Errand>> {
        let grants = Arc::clone(self.grants.as_ref()?);
        Some(Arc::new(Errand::new(grants, loaded.subject.clone(), caller.subject().clone())))
    }
}

impl List {
    pub const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];
}

impl<'a> Route<'a> {
    #[expect(clippy::indexing_slicing, reason = "a route is only made where there is one")]
    pub fn plan(self) -> &'a RoutePlan {
        &self.house.plan.routes[self.index]
    }

    /// Its place among the routes of the house.
    pub fn index(self) -> usize {
        self.index
    }

    /// What the route shows of `listings`, which are those of the same house.
    pub fn view(self, listings: &'a Listings) -> RouteView<'a> {
        RouteView { route: self, listings }
    }
}

impl<'a> RouteView<'a> {
    pub fn plan(self) -> &'a RoutePlan {
        self.route.plan()
    }

    /// What `caller` may have here, by name. It is the decision of the call, asked beforehand.
    pub fn items(self, list: List, caller: &'a Caller) -> impl Iterator<Item = ItemView<'a>> {
        self.all_items(list).filter(move |item| self.shows(caller, item.offered.kind(), item.subject))
    }

    /// All that has a name here, by name, whoever may have it. For the house's own preparations; nobody outside
    /// is shown this.
    pub fn all_items(self, list: List) -> impl Iterator<Item = ItemView<'a>> {
        let places = self.names(list).into_iter().flat_map(|names| &names.places);
        places.filter_map(move |place| self.at(place)).map(|(place, bundle, loaded)| view(place, bundle, loaded))
    }

    /// What the route grants to those who may use it.
    pub fn granted_items(self, list: List) -> impl Iterator<Item = ItemView<'a>> {
        self.all_items(list).filter(move |item| granted(self.plan(), item.offered.kind()).matches(item.subject))
    }

    /// The one that is called `name` here, if `caller` may have it.
    pub fn item(self, list: List, caller: &Caller, name: &str) -> Option<ItemView<'a>> {
        let mut named = self.named(list, name);
        named
            .find(|(_, _, loaded)| self.shows(caller, loaded.item.kind(), &loaded.subject))
            .map(|(place, bundle, loaded)| view(place, bundle, loaded))
    }

    /// Whether `caller` may read the resource at `uri`: one that is listed, or one of a template.
    pub fn may_read(self, caller: &Caller, uri: &str) -> bool {
        self.source(caller, &Ask::Resource { uri }).is_some()
    }

    /// The bundle that answers when `caller` asks for this.
    pub fn source(self, caller: &Caller, ask: &Ask<'_>) -> Option<&'a BundleName> {
        self.find(ask, |(bundle, loaded, _)| {
            self.shows(caller, loaded.item.kind(), &loaded.subject).then_some(&bundle.name)
        })
    }

    fn shows(self, caller: &Caller, kind: Kind, subject: &Subject) -> bool {
        decide(&self.route.house.plan, caller, &Target { route: self.plan(), kind, subject }).is_ok()
    }

    /// What is called `name` here. Nothing is decided yet.
    fn named(self, list: List, name: &str) -> impl Iterator<Item = (&'a Place, &'a Bundle, &'a LoadedItem)> + use<'a> {
        let names = self.names(list);
        let places = names.and_then(|names| names.by_name.get(name)).into_iter().flatten();
        places.filter_map(move |index| self.at(names?.places.get(*index)?))
    }

    /// The first of all that may be meant by `ask` for which `take` returns something. Nothing is decided here.
    pub(crate) fn find<T>(self, ask: &Ask<'_>, mut take: impl FnMut(Readable<'a>) -> Option<T>) -> Option<T> {
        let (list, name) = match *ask {
            Ask::Resource { uri } => return self.readable(uri).find_map(take),
            Ask::Tool { name, .. } => (List::Tools, name),
            Ask::Prompt { name, .. } | Ask::CompletePrompt { name, .. } => (List::Prompts, name),
            Ask::CompleteTemplate { template, .. } => (List::Templates, template),
        };
        self.named(list, name).find_map(|(_, bundle, loaded)| take((bundle, loaded, Vec::new())))
    }

    /// What clients should be told of the resources that `bundle` says have changed: of those that are its own.
    pub(crate) fn news(self, bundle: &Bundle, mut uris: Vec<String>) -> Option<News> {
        uris.retain(|uri| self.listings.has(bundle.index, uri));
        (!uris.is_empty()).then(|| News { bundle: bundle.name.clone(), uris })
    }

    /// The resources and templates that `uri` belongs to, with the values of the variables: those that are
    /// listed first.
    fn readable(self, uri: &str) -> impl Iterator<Item = Readable<'a>> {
        let listed = self.named(List::Resources, uri).map(|(_, bundle, loaded)| (bundle, loaded, Vec::new()));
        let places = self.names(List::Templates).into_iter().flat_map(|names| &names.places);
        let templates =
            places.filter_map(move |place| self.at(place)).filter_map(move |(_, bundle, loaded)| match &loaded.item {
                Item::Template(_, template) => Some((bundle, loaded, template.read(uri)?)),
                _ => None,
            });
        listed.chain(templates)
    }

    fn at(self, place: &'a Place) -> Option<(&'a Place, &'a Bundle, &'a LoadedItem)> {
        let bundle = self.route.house.bundles.get(place.bundle)?;
        Some((place, bundle, self.listings.bundles.get(place.bundle)?.get(place.item)?))
    }

    fn names(self, list: List) -> Option<&'a Names> {
        Some(self.listings.routes.get(self.route.index)?.of(list))
    }
}

/// The patterns of a route for things of this kind.
pub(crate) fn granted(route: &RoutePlan, kind: Kind) -> &Patterns {
    match kind {
        Kind::Tool => &route.tools,
        Kind::Prompt => &route.prompts,
        Kind::Resource => &route.resources,
    }
}

/// A resource, or a template with the values of its variables.
pub(crate) type Readable<'a> = (&'a Bundle, &'a LoadedItem, Vec<(String, String)>);

fn view<'a>(place: &'a Place, bundle: &'a Bundle, loaded: &'a LoadedItem) -> ItemView<'a> {
    ItemView { name: &place.name, bundle: &bundle.name, subject: &loaded.subject, offered: loaded.item.offered() }
}

impl Offered<'_> {
    fn kind(&self) -> Kind {
        match self {
            Self::Tool(_) => Kind::Tool,
            Self::Prompt(_) => Kind::Prompt,
            Self::Resource(_) | Self::Template(_) => Kind::Resource,
        }
    }
}
