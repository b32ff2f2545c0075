use std::collections::HashMap;

use certosa_isolate::{Image, Machine, PoolFacts};
use certosa_manifest::{Plan, RoutePlan};
use certosa_model::{BundleName, CellLimits, Digest, HouseLimits, Subject, ToolName};
use certosa_policy::{Caller, Target, decide};
use serde::Serialize;

use crate::line::Line;
use crate::record::{Recorder, RecorderError};
use crate::schema::Schema;
use crate::tool::Tool;

/// A house that is open: every component loaded, every tool known.
pub struct House {
    pub(crate) plan: Plan,
    pub(crate) machine: Machine,
    pub(crate) bundles: Vec<Bundle>,
    /// As many as the plan has, in the same order.
    pub(crate) routes: Vec<Route>,
    /// The line of the whole house, behind the bundles' own.
    pub(crate) line: Line,
    pub(crate) recorder: Recorder,
}

pub(crate) struct Bundle {
    pub name: BundleName,
    pub digest: Digest,
    pub limits: CellLimits,
    pub image: Image,
    pub line: Line,
    pub tools: Vec<LoadedTool>,
}

pub(crate) struct LoadedTool {
    pub tool: Tool,
    pub subject: Subject,
    pub input: Schema,
    pub output: Option<Schema>,
}

/// What the tools are called on a route.
pub(crate) struct Route {
    /// Sorted by name.
    pub tools: Vec<Place>,
    /// From a name to places in `tools`. There may be several of which the route shows at most one.
    pub by_name: HashMap<ToolName, Vec<usize>>,
}

/// A name on a route, and the bundle and tool that it stands for.
pub(crate) type Place = (ToolName, usize, usize);

/// A route of an open house.
#[derive(Clone, Copy)]
pub struct RouteView<'a> {
    house: &'a House,
    index: usize,
}

/// A tool as a caller sees it on a route.
#[derive(Clone, Copy)]
pub struct ToolView<'a> {
    pub name: &'a ToolName,
    pub bundle: &'a BundleName,
    pub subject: &'a Subject,
    pub tool: &'a Tool,
}

/// What the operator may want to know about an open house.
#[derive(Debug, Serialize)]
pub struct Facts {
    pub bundles: usize,
    pub tools: usize,
    pub plan: Digest,
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

    pub fn facts(&self) -> Facts {
        Facts {
            bundles: self.bundles.len(),
            tools: self.bundles.iter().map(|bundle| bundle.tools.len()).sum(),
            plan: self.plan.digest,
            pool: self.machine.facts(),
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

    /// The tools that `caller` may call here, by name. It is the decision of the call, asked beforehand.
    pub fn tools(self, caller: &'a Caller) -> impl Iterator<Item = ToolView<'a>> {
        self.all_tools().filter(move |tool| self.shows(caller, tool.subject))
    }

    /// All tools that have a name here, by name, whoever may call them. For the house's own preparations;
    /// nobody outside is shown this.
    pub fn all_tools(self) -> impl Iterator<Item = ToolView<'a>> {
        self.route().tools.iter().filter_map(move |(name, bundle, tool)| {
            let bundle = self.house.bundles.get(*bundle)?;
            let tool = bundle.tools.get(*tool)?;
            Some(ToolView { name, bundle: &bundle.name, subject: &tool.subject, tool: &tool.tool })
        })
    }

    /// The tool that is called `name` here, if `caller` may call it.
    pub fn tool(self, caller: &Caller, name: &str) -> Option<ToolView<'a>> {
        let (place, bundle, tool) = self.places(name).find(|(_, _, tool)| self.shows(caller, &tool.subject))?;
        Some(ToolView { name: &place.0, bundle: &bundle.name, subject: &tool.subject, tool: &tool.tool })
    }

    fn shows(self, caller: &Caller, tool: &Subject) -> bool {
        decide(&self.house.plan, caller, &Target { route: self.plan(), tool }).is_ok()
    }

    /// The tools that are called `name` here. Nothing is decided yet.
    pub(crate) fn named(self, name: &str) -> impl Iterator<Item = (&'a Bundle, &'a LoadedTool)> {
        self.places(name).map(|(_, bundle, tool)| (bundle, tool))
    }

    fn places(self, name: &str) -> impl Iterator<Item = (&'a Place, &'a Bundle, &'a LoadedTool)> {
        let places = self.route().by_name.get(name).into_iter().flatten();
        places.filter_map(move |index| {
            let place = self.route().tools.get(*index)?;
            let bundle = self.house.bundles.get(place.1)?;
            Some((place, bundle, bundle.tools.get(place.2)?))
        })
    }
}
