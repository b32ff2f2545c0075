//! What bundles offer at one moment, and what it is called on the routes.

use std::collections::HashMap;
use std::sync::Arc;

use certosa_isolate::Pace;
use certosa_manifest::{Path, Plan, Problem};
use certosa_model::{Kind, Subject};

use crate::checks::Schemas;
use crate::house::{List, Offered};
use crate::metrics::Counts;
use crate::offer::{Prompt, Resource, ResourceTemplate, Tool};
use crate::routes;
use crate::uri::Template;

/// What all bundles of a house offer. It never changes: when a bundle lists something else, the house has new
/// listings, and who looks at the old ones sees them to the end.
pub struct Listings {
    /// Of each bundle what it offers, in the order of the plan.
    pub(crate) bundles: Vec<Arc<[LoadedItem]>>,
    /// As many as the plan has, in the same order.
    pub(crate) routes: Vec<RouteNames>,
    /// Names that nobody sees, because another bundle has them too or because they are too long.
    pub(crate) hidden: Vec<Problem>,
}

/// One thing that a bundle offers.
pub(crate) struct LoadedItem {
    pub subject: Subject,
    pub item: Item,
    /// Shared with the same thing in the listings before and after.
    pub counts: Arc<Counts>,
    /// Of its last calls.
    pub pace: Pace,
}

pub(crate) enum Item {
    Tool(LoadedTool),
    Prompt(Prompt),
    Resource(Resource),
    Template(ResourceTemplate, Template),
}

pub(crate) struct LoadedTool {
    pub tool: Tool,
    /// What a typed component takes and gives is said by its types alone.
    pub schemas: Option<Arc<Schemas>>,
}

/// What things are called on a route.
#[derive(Default)]
pub(crate) struct RouteNames {
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

impl Listings {
    /// Names what the bundles offer. `problem` says where in the manifest something stands.
    pub(crate) fn new(
        plan: &Plan,
        bundles: Vec<Arc<[LoadedItem]>>,
        problem: &dyn Fn(&Path, String) -> Problem,
    ) -> Self {
        let mut hidden = Vec::new();
        let routes = routes::name(plan, &bundles, problem, &mut hidden);
        Self { bundles, routes, hidden }
    }

    /// The same, but that one bundle offers `items` now. `None`: that is what it offered before.
    pub(crate) fn with(&self, plan: &Plan, bundle: usize, mut items: Vec<LoadedItem>) -> Option<Self> {
        let mut bundles = self.bundles.clone();
        let place = bundles.get_mut(bundle)?;
        if sorted(place) == sorted(&items) {
            return None;
        }
        let before: HashMap<_, _> = place.iter().map(|loaded| (loaded.key(), &loaded.counts)).collect();
        for loaded in &mut items {
            if let Some(counts) = before.get(&loaded.key()) {
                loaded.counts = Arc::clone(counts);
            }
        }
        *place = items.into();
        // The manifest's text is not kept, so these have no place in it.
        Some(Self::new(plan, bundles, &|_, message| Problem::new(message)))
    }

    /// Everything that is offered.
    pub(crate) fn items(&self) -> impl Iterator<Item = &LoadedItem> {
        self.bundles.iter().flat_map(|items| items.iter())
    }

    /// Whether a bundle has a resource or a template that `uri` belongs to.
    pub(crate) fn has(&self, bundle: usize, uri: &str) -> bool {
        self.bundles.get(bundle).into_iter().flat_map(|items| items.iter()).any(|loaded| match &loaded.item {
            Item::Resource(resource) => resource.uri == uri,
            Item::Template(_, template) => template.read(uri).is_some(),
            Item::Tool(_) | Item::Prompt(_) => false,
        })
    }
}

/// What is offered, in an order that does not depend on that of the listing.
fn sorted(items: &[LoadedItem]) -> Vec<(List, &Subject, Offered<'_>)> {
    let mut all: Vec<_> = items.iter().map(|item| (item.item.list(), &item.subject, item.item.offered())).collect();
    all.sort_by(|a, b| (a.0, a.1.as_str()).cmp(&(b.0, b.1.as_str())));
    all
}

impl LoadedItem {
    /// Its name inside its bundle.
    pub(crate) fn name(&self) -> &str {
        self.subject.as_str().rsplit('/').next().unwrap_or_default()
    }

    /// What no other item of a house has.
    fn key(&self) -> (Kind, Subject) {
        (self.item.kind(), self.subject.clone())
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

    /// Of a tool.
    pub(crate) fn schemas(&self) -> Option<Arc<Schemas>> {
        match self {
            Self::Tool(tool) => tool.schemas.clone(),
            Self::Prompt(_) | Self::Resource(_) | Self::Template(..) => None,
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

    pub(crate) fn offered(&self) -> Offered<'_> {
        match self {
            Self::Tool(loaded) => Offered::Tool(&loaded.tool),
            Self::Prompt(prompt) => Offered::Prompt(prompt),
            Self::Resource(resource) => Offered::Resource(resource),
            Self::Template(template, _) => Offered::Template(template),
        }
    }
}

impl RouteNames {
    pub(crate) fn of(&self, list: List) -> &Names {
        match list {
            List::Tools => &self.tools,
            List::Prompts => &self.prompts,
            List::Resources => &self.resources,
            List::Templates => &self.templates,
        }
    }
}
