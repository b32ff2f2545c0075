//! Names on the routes. Two things of one name cannot both be shown: the one that is declared later is
//! hidden, and the operator is told.

use std::collections::HashMap;
use std::sync::Arc;

use certosa_manifest::{Manifest, Path, Plan, Problem, RoutePlan, ToolNames};
use certosa_model::{BundleName, Kind, Pattern, ToolName};

use crate::house::{List, granted};
use crate::listings::{Item, LoadedItem, Names, Place, RouteNames};

/// Names what the bundles offer on every route, and notes what is hidden.
pub(crate) fn name(
    plan: &Plan,
    bundles: &[Arc<[LoadedItem]>],
    problem: &dyn Fn(&Path, String) -> Problem,
    hidden: &mut Vec<Problem>,
) -> Vec<RouteNames> {
    let mut routes = Vec::new();
    for (index, route) in plan.routes.iter().enumerate() {
        let path = Path::default().field("routes").index(index);
        let naming = Naming { problem, path, plan, route, bundles };
        let mut names = |list| naming.names(list, hidden);
        let [tools, prompts, resources, templates] = List::ALL.map(&mut names);
        routes.push(RouteNames { tools, prompts, resources, templates });
    }
    routes
}

/// Patterns that fit nothing that there is: slips of the pen.
pub(crate) fn unused_patterns(manifest: &Manifest, plan: &Plan, bundles: &[Arc<[LoadedItem]>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, route) in plan.routes.iter().enumerate() {
        let path = Path::default().field("routes").index(index);
        for (kind, field, patterns) in [
            (Kind::Tool, "tools", &route.tools),
            (Kind::Prompt, "prompts", &route.prompts),
            (Kind::Resource, "resources", &route.resources),
        ] {
            let offered = || bundles.iter().flat_map(|items| items.iter()).filter(move |item| item.item.kind() == kind);
            for (index, pattern) in patterns.iter().enumerate() {
                // A pattern for everything is no slip, even where there is nothing yet.
                let is_open = pattern.as_str() == "bundle/**" || may_fit_later(plan, pattern);
                if is_open || offered().any(|item| pattern.matches(&item.subject)) {
                    continue;
                }
                let known: Vec<_> = offered().map(|item| item.subject.as_str()).collect();
                let expected = match known.is_empty() {
                    true => format!("none: no bundle here offers {field}"),
                    false => format!("one that fits some of {}", known.join(", ")),
                };
                let message = format!("a pattern that fits no {}", kind.as_str());
                let problem = manifest.problem(&path.field(field).index(index), message);
                problems.push(problem.found(format!("{:?}", pattern.as_str())).expected(expected));
            }
        }
    }
    problems
}

/// Whether a bundle may list something later that the pattern fits.
fn may_fit_later(plan: &Plan, pattern: &Pattern) -> bool {
    let bundle = pattern.as_str().split('/').nth(1).unwrap_or_default();
    let is_meant = |name: &BundleName| matches!(bundle, "*" | "**") || bundle == name.as_str();
    plan.bundles.iter().any(|plan| plan.lists_change && is_meant(&plan.name))
}

struct Naming<'a> {
    problem: &'a dyn Fn(&Path, String) -> Problem,
    path: Path,
    plan: &'a Plan,
    route: &'a RoutePlan,
    bundles: &'a [Arc<[LoadedItem]>],
}

impl Naming<'_> {
    fn names(&self, list: List, hidden: &mut Vec<Problem>) -> Names {
        let mut places = Vec::new();
        let mut shown = HashMap::<Box<str>, &LoadedItem>::new();
        for (bundle_index, (items, bundle)) in self.bundles.iter().zip(&self.plan.bundles).enumerate() {
            let items = items.iter().enumerate().filter(|(_, loaded)| loaded.item.list() == list);
            for (item_index, loaded) in items {
                let Some(name) = self.name(&bundle.name, &loaded.item) else {
                    hidden.push(self.too_long(&bundle.name, loaded));
                    continue;
                };
                if self.shows(loaded) {
                    if let Some(first) = shown.get(&name) {
                        hidden.push(self.hidden(&name, first, loaded));
                        continue;
                    }
                    shown.insert(name.clone(), loaded);
                }
                places.push(Place { name, bundle: bundle_index, item: item_index });
            }
        }
        places.sort();
        let mut by_name = HashMap::<Box<str>, Vec<usize>>::new();
        for (index, place) in places.iter().enumerate() {
            by_name.entry(place.name.clone()).or_default().push(index);
        }
        Names { places, by_name }
    }

    fn name(&self, bundle: &BundleName, item: &Item) -> Option<Box<str>> {
        let name = match item {
            Item::Resource(resource) => return Some(resource.uri.as_str().into()),
            Item::Template(template, _) => return Some(template.uri_template.as_str().into()),
            Item::Tool(loaded) => &loaded.tool.name,
            Item::Prompt(prompt) => &prompt.name,
        };
        let bare = ToolName::new(name).ok()?;
        let name = match self.route.names {
            ToolNames::Bare => bare,
            ToolNames::Prefixed => bare.prefixed(bundle)?,
        };
        Some(name.as_str().into())
    }

    fn shows(&self, loaded: &LoadedItem) -> bool {
        granted(self.route, loaded.item.kind()).matches(&loaded.subject)
    }

    fn too_long(&self, bundle: &BundleName, loaded: &LoadedItem) -> Problem {
        let (kind, route) = (loaded.item.kind().as_str(), &self.route.path);
        let message = format!("a {kind} whose name is too long for clients is hidden on the route {route}");
        let problem = (self.problem)(&self.path, message).found(format!("{bundle}_{}", loaded.name()));
        problem.expected("at most 64 characters together with the bundle's name")
    }

    fn hidden(&self, name: &str, first: &LoadedItem, second: &LoadedItem) -> Problem {
        let kind = second.item.kind();
        let (first, second, route) = (&first.subject, &second.subject, &self.route.path);
        let message = format!("{first} hides {second} on the route {route}: both are called {name}");
        let expected = match kind {
            Kind::Resource => "addresses of their own, or a narrower `resources`",
            Kind::Tool | Kind::Prompt => "one for each name: narrow the patterns, or use prefixed names",
        };
        (self.problem)(&self.path, message).expected(expected)
    }
}
