//! Building a house from a plan. Nothing is half built: either everything fits, or every misfit is reported.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use certosa_isolate::{self as isolate, COMPONENT_BYTES_MAX, CellError, CodeError, Image, Machine, PoolError, Shape};
use certosa_manifest::{BundlePlan, ComponentSource, Manifest, Path, Plan, Problem, Problems, RoutePlan, ToolNames};
use certosa_model::{CellLimits, Subject, ToolName};
use certosa_store::{Cache, StateFolder, StoreError};

use crate::house::{Bundle, House, LoadedTool, Route};
use crate::line::Line;
use crate::record::Recorder;
use crate::schema::Schema;
use crate::tool::Tool;

/// How to start the child processes that compile components.
#[derive(Debug, Clone)]
pub struct Compilers {
    /// Our own binary.
    pub program: PathBuf,
    /// The argument that makes it compile.
    pub task: &'static str,
}

/// What takes a while.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    Compile { bundle: &'a str, bytes: usize },
}

/// Why a house does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0}")]
    Manifest(Problems),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("could not start the record log")]
    Recorder(#[source] io::Error),
    #[error("could not run the compiler")]
    Compiler(#[source] CodeError),
}

const TOOLS_EXPORT: &str = "certosa:tools/tools@0.1.0";

/// Bounds of the cell that lists a bundle's tools, unless the bundle's own are tighter.
const LIST_CPU_MS_MAX: u32 = 5_000;
const LIST_WALL_MS_MAX: u32 = 10_000;

/// Changes when the form of a cached listing does.
const LISTING_KIND: &str = "tools1";
const CODE_KIND: &str = "code";

impl House {
    /// Loads every component of the plan and opens the house.
    pub async fn open(
        manifest: &Manifest,
        plan: Plan,
        state: &StateFolder,
        compilers: &Compilers,
        progress: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<Self, OpenError> {
        let cache = state.cache()?;
        let mut problems = Vec::new();
        let mut components = Vec::new();
        for (index, bundle) in plan.bundles.iter().enumerate() {
            let path = Path::default().field("bundles").index(index);
            match component(manifest, &path, bundle) {
                Ok(component) => components.push(component),
                Err(mut found) => problems.append(&mut found),
            }
        }
        refuse(problems)?;

        let memory_bytes_max = plan.bundles.iter().map(|bundle| bundle.limits.memory_bytes_max).max().unwrap_or(0);
        let machine = Machine::new(&plan.limits, memory_bytes_max)?;
        let mut loader =
            Loader { manifest, machine: &machine, cache: &cache, compilers, progress, problems: Vec::new() };
        let mut bundles = Vec::new();
        for (index, (plan, component)) in plan.bundles.iter().zip(&components).enumerate() {
            let path = Path::default().field("bundles").index(index);
            bundles.extend(loader.bundle(&path, plan, component).await?);
        }
        refuse(loader.problems)?;

        let routes = routes(manifest, &plan, &bundles)?;
        let recorder = Recorder::start(state.records()?).map_err(OpenError::Recorder)?;
        let longest_ms = bundles.iter().map(|bundle| bundle.limits.wall_ms_max).max().unwrap_or(0);
        let line = Line::new(plan.limits.cells_max as usize, usize::MAX >> 3, Duration::from_millis(longest_ms.into()));
        Ok(Self { plan, machine, bundles, routes, line, recorder })
    }
}

fn refuse(problems: Vec<Problem>) -> Result<(), OpenError> {
    Problems::new(problems).map_or(Ok(()), |problems| Err(OpenError::Manifest(problems)))
}

struct Component {
    bytes: Vec<u8>,
    shape: Shape,
}

/// Reads a component and looks at it from outside: what it is, and what it wants.
fn component(manifest: &Manifest, path: &Path, plan: &BundlePlan) -> Result<Component, Vec<Problem>> {
    let (bytes, place) = match &plan.source {
        ComponentSource::Bytes(bytes) => (Ok(bytes.clone()), path.field("bytes")),
        ComponentSource::File(file) => (read(file), path.field("file")),
    };
    let name = &plan.name;
    let refuse = |message: String| manifest.problem(&place, message);
    let bytes = bytes.map_err(|error| vec![refuse(format!("cannot read the component of {name}: {error}"))])?;
    let shape = isolate::check_shape(&bytes).map_err(|error| {
        let problem = refuse(format!("the component of {name} cannot be used")).found(error.to_string());
        vec![problem.expected("a WebAssembly component")]
    })?;
    let mut problems = Vec::new();
    if let Some(pinned) = plan.pinned.filter(|pinned| *pinned != shape.digest) {
        let problem = manifest.problem(&path.field("digest"), format!("{name} is not the component that was pinned"));
        problems.push(problem.found(shape.digest.to_string()).expected(pinned.to_string()));
    }
    for import in shape.imports.iter().filter(|import| !certosa_syscall::is_granted_to_all(import)) {
        let expected =
            "only the WASI 0.2 base, certosa:tools/progress and certosa:tools/log: nothing more can be granted yet";
        problems.push(refuse(format!("{name} imports what it was not granted")).found(import).expected(expected));
    }
    if !shape.exports.iter().any(|export| export == TOOLS_EXPORT) {
        let found = if shape.exports.is_empty() { "nothing".to_owned() } else { shape.exports.join(", ") };
        problems.push(refuse(format!("{name} exports no tools")).found(found).expected(TOOLS_EXPORT));
    }
    if problems.is_empty() { Ok(Component { bytes, shape }) } else { Err(problems) }
}

fn read(path: &std::path::Path) -> io::Result<Vec<u8>> {
    // Looked at before it is opened: opening a pipe would wait for somebody to write into it.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > COMPONENT_BYTES_MAX {
        return Err(io::Error::other(format!("larger than {} MiB", COMPONENT_BYTES_MAX >> 20)));
    }
    Ok(bytes)
}

struct Loader<'a> {
    manifest: &'a Manifest,
    machine: &'a Machine,
    cache: &'a Cache,
    compilers: &'a Compilers,
    progress: &'a mut (dyn FnMut(Progress<'_>) + Send),
    problems: Vec<Problem>,
}

impl Loader<'_> {
    /// Loads one bundle; `None` after noting what is wrong with it.
    async fn bundle(
        &mut self,
        path: &Path,
        plan: &BundlePlan,
        component: &Component,
    ) -> Result<Option<Bundle>, OpenError> {
        let Some(image) = self.image(path, plan, component)? else { return Ok(None) };
        let Some(tools) = self.tools(path, plan, component, &image).await else { return Ok(None) };
        let wait = Duration::from_millis(plan.limits.wall_ms_max.into());
        Ok(Some(Bundle {
            name: plan.name.clone(),
            digest: component.shape.digest,
            limits: plan.limits,
            image,
            line: Line::new(plan.limits.concurrency_max, plan.limits.queue_max, wait),
            tools,
        }))
    }

    fn image(&mut self, path: &Path, plan: &BundlePlan, component: &Component) -> Result<Option<Image>, OpenError> {
        let key = isolate::code_digest(component.shape.digest);
        let kept = self.cache.load(CODE_KIND, key).and_then(|code| self.machine.image(&code).ok());
        if kept.is_some() {
            return Ok(kept);
        }
        (self.progress)(Progress::Compile { bundle: plan.name.as_str(), bytes: component.bytes.len() });
        let code = match isolate::compile(&component.bytes, &self.compilers.program, self.compilers.task) {
            Ok(code) => code,
            Err(error @ CodeError::Job(_)) => return Err(OpenError::Compiler(error)),
            Err(error) => return Ok(self.note(path, plan, &error.to_string())),
        };
        match self.machine.image(&code) {
            Ok(image) => {
                self.keep(CODE_KIND, key, &code);
                Ok(Some(image))
            }
            Err(error) => Ok(self.note(path, plan, &error.to_string())),
        }
    }

    async fn tools(
        &mut self,
        path: &Path,
        plan: &BundlePlan,
        component: &Component,
        image: &Image,
    ) -> Option<Vec<LoadedTool>> {
        let digest = component.shape.digest;
        let kept = self.cache.load(LISTING_KIND, digest).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let tools: Vec<Tool> = match kept {
            Some(tools) => tools,
            None => {
                let limits = CellLimits {
                    cpu_ms_max: plan.limits.cpu_ms_max.min(LIST_CPU_MS_MAX),
                    wall_ms_max: plan.limits.wall_ms_max.min(LIST_WALL_MS_MAX),
                    ..plan.limits
                };
                let listed = match self.machine.list(image, &limits).await.result {
                    Ok(listed) => listed,
                    Err(error) => return self.note(path, plan, &listing_error(&error)),
                };
                match Tool::check_all(listed) {
                    Ok(tools) => {
                        self.keep(LISTING_KIND, digest, &serde_json::to_vec(&tools).unwrap_or_default());
                        tools
                    }
                    Err(wrong) => return self.note(path, plan, &wrong.join("; ")),
                }
            }
        };
        tools.into_iter().map(|tool| self.tool(path, plan, tool)).collect()
    }

    fn tool(&mut self, path: &Path, plan: &BundlePlan, tool: Tool) -> Option<LoadedTool> {
        let schemas = Schema::of_object(&tool.input_schema)
            .and_then(|input| Ok((input, tool.output_schema.as_deref().map(Schema::of_object).transpose()?)));
        match (ToolName::new(&tool.name), schemas) {
            (Ok(name), Ok((input, output))) => {
                Some(LoadedTool { subject: Subject::of_tool(&plan.name, &name), tool, input, output })
            }
            (name, schemas) => {
                let why = [name.err().map(|why| why.to_string()), schemas.err()];
                self.note(path, plan, &why.into_iter().flatten().collect::<Vec<_>>().join("; "))
            }
        }
    }

    fn note<T>(&mut self, path: &Path, plan: &BundlePlan, found: &str) -> Option<T> {
        let message = format!("the component of {} cannot be used", plan.name);
        self.problems.push(self.manifest.problem(path, message).found(found));
        None
    }

    /// A cache that cannot be written makes the next start slow, and nothing else.
    fn keep(&self, kind: &str, digest: certosa_model::Digest, content: &[u8]) {
        if let Err(error) = self.cache.save(kind, digest, content) {
            tracing::warn!("the cache cannot be written: {error}");
        }
    }
}

fn listing_error(error: &CellError) -> String {
    match error {
        CellError::Limit(limit, bound) => {
            format!("listing its tools went past a limit: {} = {bound}", limit.field())
        }
        CellError::Trap(seen, trace) => format!("listing its tools: {seen}\n{}", trace.trim_end()),
        CellError::Refused(refusal) => format!("listing its tools was refused: {refusal:?}"),
        CellError::Host(why) => why.clone(),
    }
}

/// Names the tools on every route and checks that the names and the patterns are unambiguous.
fn routes(manifest: &Manifest, plan: &Plan, bundles: &[Bundle]) -> Result<Vec<Route>, OpenError> {
    let mut problems = Vec::new();
    let mut routes = Vec::new();
    for (index, route_plan) in plan.routes.iter().enumerate() {
        let path = Path::default().field("routes").index(index);
        unused_patterns(manifest, &path, route_plan, bundles, &mut problems);
        routes.push(route(manifest, &path, route_plan, bundles, &mut problems));
    }
    refuse(problems)?;
    Ok(routes)
}

fn route(manifest: &Manifest, path: &Path, plan: &RoutePlan, bundles: &[Bundle], problems: &mut Vec<Problem>) -> Route {
    let mut tools = Vec::new();
    for (bundle_index, bundle) in bundles.iter().enumerate() {
        for (tool_index, loaded) in bundle.tools.iter().enumerate() {
            let bare = ToolName::new(&loaded.tool.name).ok();
            let name = match plan.names {
                ToolNames::Bare => bare,
                ToolNames::Prefixed => bare.and_then(|bare| bare.prefixed(&bundle.name)),
            };
            match name {
                Some(name) => tools.push((name, bundle_index, tool_index)),
                None => {
                    let found = format!("{}_{}", bundle.name, loaded.tool.name);
                    let problem = manifest.problem(path, "a tool whose name is too long for clients").found(found);
                    problems.push(problem.expected("at most 64 characters together with the bundle's name"));
                }
            }
        }
    }
    tools.sort();
    let mut by_name = HashMap::<ToolName, Vec<usize>>::new();
    for (place, (name, ..)) in tools.iter().enumerate() {
        by_name.entry(name.clone()).or_default().push(place);
    }
    for (name, places) in &by_name {
        let shown: Vec<String> = places
            .iter()
            .filter_map(|place| {
                let (_, bundle, tool) = tools.get(*place)?;
                bundles.get(*bundle)?.tools.get(*tool)
            })
            .filter(|loaded| plan.tools.matches(&loaded.subject))
            .map(|loaded| loaded.subject.to_string())
            .collect();
        if shown.len() > 1 {
            let problem = manifest.problem(path, format!("several tools are called {name} on this route"));
            problems.push(
                problem
                    .found(shown.join(" and "))
                    .expected("one tool for each name: narrow `tools`, or use prefixed names"),
            );
        }
    }
    Route { tools, by_name }
}

/// A pattern that fits none of the tools there are is a slip of the pen.
fn unused_patterns(
    manifest: &Manifest,
    path: &Path,
    plan: &RoutePlan,
    bundles: &[Bundle],
    problems: &mut Vec<Problem>,
) {
    for (index, pattern) in plan.tools.iter().enumerate() {
        let mut subjects = bundles.iter().flat_map(|bundle| &bundle.tools).map(|loaded| &loaded.subject);
        if !subjects.any(|subject| pattern.matches(subject)) {
            let known: Vec<_> =
                bundles.iter().flat_map(|bundle| &bundle.tools).map(|tool| tool.subject.as_str()).collect();
            let problem = manifest.problem(&path.field("tools").index(index), "a pattern that fits no tool");
            let expected = format!("one that fits some of {}", known.join(", "));
            problems.push(problem.found(format!("{:?}", pattern.as_str())).expected(expected));
        }
    }
}
