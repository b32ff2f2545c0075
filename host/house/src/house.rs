use std::collections::HashMap;

use certosa_isolate::{Image, Machine, PoolFacts};
use certosa_manifest::{Plan, Problem, RoutePlan};
use certosa_model::{BundleName, CellLimits, Change, Digest, HouseLimits, Kind, Patterns, Subject};
use certosa_policy::{Caller, Target, decide};
use serde::Serialize;

use crate::call::News;
use crate::line::Line;
use crate::metrics::Counts;
use crate::offer::{Prompt, Resource, ResourceTemplate, Tool};
use crate::record::{Observer, Recorder, RecorderError, Seconds};
use crate::schema::Schema;
use crate::uri::Template;

/// A house that is open: every component loaded, everything that they offer known.
pub struct House {
    pub(crate) plan: Plan,
    pub(crate) machine: Machine,
    pub(crate) bundles: Vec<Bundle>,
    /// As many as the plan has, in the same order.
    pub(crate) routes: Vec<Route>,
    /// The line of the whole house, behind the bundles' own.
    pub(crate) line: Line,
    pub(crate) recorder: Recorder,
    /// Calls of what is not there.
    pub(crate) unknown: Counts,
    /// What is wrong with single bundles and does not keep the house from opening.
    pub(crate) warnings: Vec<Problem>,
    /// What is worth knowing and no mistake.
    pub(crate) notes: Vec<Problem>,
}

pub(crate) struct Bundle {
    pub name: BundleName,
    pub digest: Digest,
    pub limits: CellLimits,
    pub image: Image,
    pub line: Line,
    pub items: Vec<LoadedItem>,
    pub seconds: Seconds,
}

/// One thing that a bundle offers.
pub(crate) struct LoadedItem {
    pub subject: Subject,
    pub item: Item,
    pub counts: Counts,
}

pub(crate) enum Item {
    Tool(LoadedTool),
    Prompt(Prompt),
    Resource(Resource),
    Template(ResourceTemplate, Template),
}

pub(crate) struct LoadedTool {
    pub tool: Tool,
    pub input: Schema,
    pub output: Option<Schema>,
}

/// What things are called on a route.
#[derive(Default)]
pub(crate) struct Route {
    pub tools: Names,
    pub prompts: Names,
    /// By address.
    pub resources: Names,
    /// By the text of the template.
    pub templates: Names,
}

/// Names on a route, and what they stand for.
#[derive(Default)]
pub(crate) struct Names {
    /// Sorted by name.
    pub places: Vec<Place>,
    /// From a name to places. There may be several of which the route shows at most one.
    pub by_name: HashMap<Box<str>, Vec<usize>>,
}

/// A name, and the bundle and the item that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub name: Box<str>,
    pub bundle: usize,
    pub item: usize,
}

/// A route of an open house.
#[derive(Clone, Copy)]
pub struct RouteView<'a> {
    house: &'a House,
    index: usize,
}

/// Which of the lists of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    Tools,
    Prompts,
    Resources,
    Templates,
}

/// A thing as a caller sees it on a route.
#[derive(Clone, Copy)]
pub struct ItemView<'a> {
    /// The name of a tool or a prompt; the address of a resource; the text of a template.
    pub name: &'a str,
    pub bundle: &'a BundleName,
    pub subject: &'a Subject,
    pub offered: Offered<'a>,
}

/// A thing as its bundle offers it.
#[derive(Debug, Clone, Copy)]
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

    pub fn routes(&self) -> impl Iterator<Item = RouteView<'_>> {
        (0..self.routes.len()).map(|index| RouteView { house: self, index })
    }

    /// The route with exactly this path.
    pub fn route(&self, path: &str) -> Option<RouteView<'_>> {
        self.routes().find(|route| route.plan().path == path)
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
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// What is worth knowing and no mistake: functions of typed components that are no tools.
    pub fn notes(&self) -> &[Problem] {
        &self.notes
    }

    pub fn facts(&self) -> Facts {
        let count = |is: fn(&Item) -> bool| {
            self.bundles.iter().flat_map(|bundle| &bundle.items).filter(|item| is(&item.item)).count()
        };
        Facts {
            bundles: self.bundles.len(),
            tools: count(|item| matches!(item, Item::Tool(_))),
            prompts: count(|item| matches!(item, Item::Prompt(_))),
            resources: count(|item| matches!(item, Item::Resource(_) | Item::Template(..))),
            plan: self.plan.digest,
            warnings: self.warnings.len(),
            pool: self.machine.facts(),
        }
    }
}

impl Bundle {
    /// What clients should be told of the changes that the bundle announced.
    pub(crate) fn news(&self, mut changes: Vec<Change>) -> Option<News> {
        let has = |uri: &str| {
            self.items.iter().any(|loaded| match &loaded.item {
                Item::Resource(resource) => resource.uri == uri,
                Item::Template(_, template) => template.read(uri).is_some(),
                Item::Tool(_) | Item::Prompt(_) => false,
            })
        };
        changes.retain(|change| match change {
            Change::Resource(uri) => has(uri),
            Change::Lists(_) => true,
        });
        (!changes.is_empty()).then(|| News { bundle: self.name.clone(), changes })
    }
}

impl LoadedItem {
    /// Its name inside its bundle.
    pub(crate) fn name(&self) -> &str {
        self.subject.as_str().rsplit('/').next().unwrap_or_default()
    }
}

impl Item {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Tool(_) => Kind::Tool,
            Self::Prompt(_) => Kind::Prompt,
            Self::Resource(_) | Self::Template(..) => Kind::Resource,
        }
    }

    pub(crate) fn list(&self) -> List {
        match self {
            Self::Tool(_) => List::Tools,
            Self::Prompt(_) => List::Prompts,
            Self::Resource(_) => List::Resources,
            Self::Template(..) => List::Templates,
        }
    }

    fn offered(&self) -> Offered<'_> {
        match self {
            Self::Tool(loaded) => Offered::Tool(&loaded.tool),
            Self::Prompt(prompt) => Offered::Prompt(prompt),
            Self::Resource(resource) => Offered::Resource(resource),
            Self::Template(template, _) => Offered::Template(template),
        }
    }
}

impl List {
    pub const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];
}

impl Route {
    pub(crate) fn names(&self, list: List) -> &Names {
        match list {
            List::Tools => &self.tools,
            List::Prompts => &self.prompts,
            List::Resources => &self.resources,
            List::Templates => &self.templates,
        }
    }
}

impl<'a> RouteView<'a> {
    #[expect(clippy::indexing_slicing, reason = "a view is only made for a route that is there")]
    pub fn plan(&self) -> &'a RoutePlan {
        &self.house.plan.routes[self.index]
    }

    #[expect(clippy::indexing_slicing, reason = "a view is only made for a route that is there")]
    fn route(&self) -> &'a Route {
        &self.house.routes[self.index]
    }

    /// What `caller` may have here, by name. It is the decision of the call, asked beforehand.
    pub fn items(self, list: List, caller: &'a Caller) -> impl Iterator<Item = ItemView<'a>> {
        self.all_items(list).filter(move |item| self.shows(caller, item.offered.kind(), item.subject))
    }

    /// All that has a name here, by name, whoever may have it. For the house's own preparations; nobody outside
    /// is shown this.
    pub fn all_items(self, list: List) -> impl Iterator<Item = ItemView<'a>> {
        let places = self.route().names(list).places.iter();
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
        self.source(caller, uri).is_some()
    }

    /// The bundle that `caller` reads the resource at `uri` from.
    pub fn source(self, caller: &Caller, uri: &str) -> Option<&'a BundleName> {
        let mut readable = self.readable(uri);
        let (bundle, ..) = readable.find(|(_, loaded, _)| self.shows(caller, Kind::Resource, &loaded.subject))?;
        Some(&bundle.name)
    }

    fn shows(self, caller: &Caller, kind: Kind, subject: &Subject) -> bool {
        decide(&self.house.plan, caller, &Target { route: self.plan(), kind, subject }).is_ok()
    }

    /// What is called `name` here. Nothing is decided yet.
    pub(crate) fn named(
        self,
        list: List,
        name: &str,
    ) -> impl Iterator<Item = (&'a Place, &'a Bundle, &'a LoadedItem)> + use<'a> {
        let names = self.route().names(list);
        let places = names.by_name.get(name).into_iter().flatten();
        places.filter_map(move |index| self.at(names.places.get(*index)?))
    }

    /// The resources and templates that `uri` belongs to, with the values of the variables: those that are
    /// listed first.
    pub(crate) fn readable(self, uri: &str) -> impl Iterator<Item = Readable<'a>> {
        let listed = self.named(List::Resources, uri).map(|(_, bundle, loaded)| (bundle, loaded, Vec::new()));
        let places = self.route().templates.places.iter().filter_map(move |place| self.at(place));
        let templates = places.filter_map(move |(_, bundle, loaded)| match &loaded.item {
            Item::Template(_, template) => Some((bundle, loaded, template.read(uri)?)),
            _ => None,
        });
        listed.chain(templates)
    }

    fn at(self, place: &'a Place) -> Option<(&'a Place, &'a Bundle, &'a LoadedItem)> {
        let bundle = self.house.bundles.get(place.bundle)?;
        Some((place, bundle, bundle.items.get(place.item)?))
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
