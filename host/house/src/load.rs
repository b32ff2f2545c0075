//! Building a house from a plan. Nothing is half built: either everything fits, or every misfit is reported.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use certosa_isolate::{
    self as isolate, CellError, CodeError, Description, Form, Image, Machine, Pace, PoolError, Shape, ShapeError,
};
use certosa_manifest::{BundlePlan, ComponentSource, Manifest, Path, Plan, Problem, Problems};
use certosa_model::{Allowance, BundleName, CellLimits, Digest, Limit, Reuse, Subject, TOOL_NAME_BYTES_MAX, ToolName};
use certosa_store::{StateFolder, StoreError};
use certosa_syscall::Need;
use certosa_syscall::guest::{self, EXPORTS};
use certosa_vault::Vault;
use tokio::sync::Notify;

use crate::checks::Schemas;
use crate::house::{Bundle, House};
use crate::images::{self, Compilers, Component, DESCRIPTION_KIND, Images, Unready};
use crate::kept::Kept;
use crate::line::{Bounds, Line};
use crate::listings::{Item, Listings, LoadedItem, LoadedTool};
use crate::metrics::{self, Counts};
use crate::offer::Offer;
use crate::outbound::{self, Outbound, is_for};
use crate::record::Recorder;
use crate::routes;
use crate::uri::Template;

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

/// Bounds of the cell that lists what a bundle offers, unless the bundle's own are tighter.
const LIST_CPU_MS_MAX: u32 = 5_000;
const LIST_WALL_MS_MAX: u32 = 10_000;

/// What the schemas of a bundle may take of the house, if that is more than its cells may have.
const SCHEMAS_BYTES_LEAST: usize = 16 << 20;

/// Changes when the form of a cached listing does.
const LISTING_KIND: &str = "offer2";
/// Exports that are no tools and are named in one message.
const SKIPPED_MAX: usize = 10;

impl House {
    /// Loads every component of the plan and opens the house.
    pub async fn open(
        manifest: &Manifest,
        plan: Plan,
        state: &StateFolder,
        compilers: &Compilers,
        vault: Option<Vault>,
        progress: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<Self, OpenError> {
        let cache = state.cache()?;
        let mut problems = Vec::new();
        let (mut components, mut shapes) = (Vec::new(), Shapes::new());
        for (index, bundle) in plan.bundles.iter().enumerate() {
            match look_at(manifest, &plan, index, bundle, &mut shapes) {
                Ok(component) => components.push(component),
                Err(mut found) => problems.append(&mut found),
            }
        }
        let outbound = Outbound::new(manifest, &plan, vault).map_err(|mut found| problems.append(&mut found)).ok();
        refuse(problems)?;

        let machine = Machine::new(cells(&plan), plan.bundles.iter().map(|bundle| &bundle.limits))?;
        let images = Images::new(machine, cache, compilers.clone());
        let mut loader = Loader {
            manifest,
            images: &images,
            outbound: outbound.as_ref(),
            progress,
            components: HashMap::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
        };
        let (mut bundles, mut items) = (Vec::new(), Vec::new());
        for (index, (plan, component)) in plan.bundles.iter().zip(&components).enumerate() {
            if let Some((bundle, offered)) = loader.bundle(index, plan, component).await? {
                bundles.push(bundle);
                items.push(offered.into());
            }
        }
        refuse(loader.problems)?;
        images.settle();
        let (warnings, mut notes) = (loader.warnings, loader.notes);
        let vault = outbound.and_then(|outbound| outbound.vault);
        if let Some(vault) = &vault {
            notes.append(&mut outbound::notes(manifest, &plan, vault));
        }
        // Where a bundle could not be listed, nobody knows what its patterns are for.
        if warnings.is_empty() {
            refuse(routes::unused_patterns(manifest, &plan, &items))?;
        }
        let listings = Listings::new(&plan, items, &|path, message| manifest.problem(path, message));
        let recorder = Recorder::start(state.records()?).map_err(OpenError::Recorder)?;
        let cells_max = plan.limits.cells_max as usize;
        let line = Arc::new(Line::new(Bounds {
            running_max: cells_max,
            caller_running_max: cells_max,
            waiting_max: bundles.iter().map(|bundle| bundle.limits.concurrency_max).sum(),
        }));
        Ok(Self {
            plan_digest: plan.digest.to_string(),
            plan,
            images,
            bundles,
            listings: RwLock::new(Arc::new(listings)),
            replacing: Mutex::default(),
            line,
            recorder,
            vault,
            unknown: Counts::default(),
            warnings,
            notes,
        })
    }
}

/// How many cells there can be at the same time: those that run, and those that wait for their next call.
fn cells(plan: &Plan) -> u32 {
    let kept = plan.bundles.iter().filter(|bundle| bundle.reuse != Reuse::Once);
    let kept = kept.map(|bundle| u32::try_from(bundle.limits.concurrency_max).unwrap_or(u32::MAX));
    kept.fold(plan.limits.cells_max, u32::saturating_add)
}

fn refuse(problems: Vec<Problem>) -> Result<(), OpenError> {
    Problems::new(problems).map_or(Ok(()), |problems| Err(OpenError::Manifest(problems)))
}

/// A component that was looked at.
struct LookedAt {
    path: Path,
    shape: Arc<Shape>,
}

/// The shapes of files, which several bundles may be made from.
type Shapes<'a> = HashMap<&'a std::path::Path, Arc<Shape>>;

/// Reads a component and looks at it from outside: what it is, and what it wants.
fn look_at<'a>(
    manifest: &Manifest,
    house: &Plan,
    index: usize,
    plan: &'a BundlePlan,
    shapes: &mut Shapes<'a>,
) -> Result<LookedAt, Vec<Problem>> {
    let path = Path::default().field("bundles").index(index);
    let place = match &plan.source {
        ComponentSource::Bytes(_) => path.field("bytes"),
        ComponentSource::File(_) => path.field("file"),
    };
    let name = &plan.name;
    let refuse = |message: String| manifest.problem(&place, message);
    let shape = shape(plan, shapes).map_err(|error| match error {
        Unreadable::File(error) => vec![refuse(format!("cannot read the component of {name}: {error}"))],
        Unreadable::Component(error) => {
            let problem = refuse(format!("the component of {name} cannot be used")).found(error.to_string());
            vec![problem.expected("a WebAssembly component")]
        }
    })?;
    let mut problems = Vec::new();
    if let Some(pinned) = plan.pinned.filter(|pinned| *pinned != shape.digest) {
        let problem = manifest.problem(&path.field("digest"), format!("{name} is not the component that was pinned"));
        problems.push(problem.found(shape.digest.to_string()).expected(pinned.to_string()));
    }
    let is_named = || house.credentials.iter().any(|credential| is_for(&credential.rule.allowed_subs, name));
    for import in &shape.imports {
        let expected = match certosa_syscall::need(import) {
            Need::Nothing => continue,
            Need::Egress if plan.egress.is_some() => continue,
            Need::Credential if is_named() => continue,
            Need::Egress => "`egress` of the bundle, which says what it may reach".to_owned(),
            Need::Credential => format!("a credential whose `allowedSubs` has \"bundle/{name}/**\""),
            Need::Door => "the WASI 0.2 base, wasi:http/outgoing-handler 0.2, and certosa:tools 0.1.0".to_owned(),
        };
        problems.push(refuse(format!("{name} imports what it was not granted")).found(import).expected(expected));
    }
    if shape.form() == Form::Nothing {
        let found = if shape.exports.is_empty() { "nothing".to_owned() } else { shape.exports.join(", ") };
        problems.push(refuse(format!("{name} offers nothing")).found(found).expected(usable_exports()));
    }
    if problems.is_empty() { Ok(LookedAt { path, shape }) } else { Err(problems) }
}

/// Why a component has no shape.
enum Unreadable {
    File(io::Error),
    Component(ShapeError),
}

/// What a component looks like from outside. A file is read once, however many bundles are made from it.
fn shape<'a>(plan: &'a BundlePlan, shapes: &mut Shapes<'a>) -> Result<Arc<Shape>, Unreadable> {
    let file = match &plan.source {
        ComponentSource::File(file) => Some(&**file),
        ComponentSource::Bytes(_) => None,
    };
    if let Some(shape) = file.and_then(|file| shapes.get(file)) {
        return Ok(Arc::clone(shape));
    }
    let bytes = images::bytes(&plan.source).map_err(Unreadable::File)?;
    let shape = Arc::new(isolate::check_shape(&bytes).map_err(Unreadable::Component)?);
    if let Some(file) = file {
        shapes.insert(file, Arc::clone(&shape));
    }
    Ok(shape)
}

fn usable_exports() -> String {
    format!("{}, or functions of its own that take and return plain values", EXPORTS.join(" or "))
}

struct Loader<'a> {
    manifest: &'a Manifest,
    images: &'a Images,
    outbound: Option<&'a Outbound>,
    progress: &'a mut (dyn FnMut(Progress<'_>) + Send),
    components: HashMap<ComponentKey, Arc<Component>>,
    /// These keep the house from opening.
    problems: Vec<Problem>,
    /// These do not: the bundle is left out, or offers nothing.
    warnings: Vec<Problem>,
    /// These are no mistakes: functions of typed components that are no tools.
    notes: Vec<Problem>,
}

/// What an image depends on: the component, the depth of its stack, and of a typed one the room for names.
type ComponentKey = (Digest, usize, Option<usize>);

/// Why there is no image.
enum Unusable {
    /// The component is at fault.
    Component(Box<Problem>),
    /// This machine is.
    Machine(CodeError),
}

impl Loader<'_> {
    /// Loads one bundle and what it offers; `None` after noting what is wrong with it.
    async fn bundle(
        &mut self,
        index: usize,
        plan: &BundlePlan,
        looked_at: &LookedAt,
    ) -> Result<Option<(Bundle, Vec<LoadedItem>)>, OpenError> {
        let path = &looked_at.path;
        let component = self.component(plan, looked_at);
        let image = match self.image(plan, path, &component) {
            Ok(image) => image,
            Err(Unusable::Machine(error)) => return Err(OpenError::Compiler(error)),
            Err(Unusable::Component(problem)) => {
                self.problems.push(*problem);
                return Ok(None);
            }
        };
        for skipped in image.skipped() {
            let message = format!("{} of {} is no tool", skipped.export, plan.name);
            self.notes.push(self.manifest.problem(path, message).found(&skipped.reason));
        }
        // One bundle that cannot say what it offers does not spoil the others.
        let items = match self.items(plan, looked_at, &image).await {
            Ok(items) => items,
            Err(why) => {
                let message = format!("{} offers nothing, because it could not say what it offers", plan.name);
                self.warnings.push(self.manifest.problem(path, message).found(why));
                Vec::new()
            }
        };
        let CellLimits { concurrency_max, caller_concurrency_max, queue_max, .. } = plan.limits;
        let idle_max = Duration::from_millis(plan.reuse_idle_ms_max.into());
        let bundle = Bundle {
            index,
            name: plan.name.clone(),
            subject: Subject::of_bundle(&plan.name),
            digest: looked_at.shape.digest.to_string(),
            limits: plan.limits,
            component,
            kept: Kept::new(plan.reuse, concurrency_max, idle_max),
            line: Arc::new(Line::new(Bounds {
                running_max: concurrency_max,
                caller_running_max: caller_concurrency_max,
                waiting_max: queue_max,
            })),
            seconds: metrics::seconds(),
            cpu_us: AtomicU64::new(0),
            traces: Allowance::of_warnings(),
            grants: self.outbound.and_then(|outbound| outbound.grants(plan)),
            stale: plan.lists_change.then(Notify::new),
        };
        Ok(Some((bundle, items)))
    }

    /// The component of a bundle. Bundles of the same one share it.
    fn component(&mut self, plan: &BundlePlan, looked_at: &LookedAt) -> Arc<Component> {
        let Shape { digest, .. } = *looked_at.shape;
        let (form, stack_bytes_max) = (looked_at.shape.form(), plan.limits.stack_bytes_max);
        let name_bytes_max = name_bytes_max(&plan.name);
        let key = (digest, stack_bytes_max, (form == Form::Typed).then_some(name_bytes_max));
        let limits = (stack_bytes_max, plan.compile);
        let new = || Component::new(plan.source.clone(), digest, form, limits, name_bytes_max);
        Arc::clone(self.components.entry(key).or_insert_with(|| Arc::new(new())))
    }

    fn image(&mut self, plan: &BundlePlan, path: &Path, component: &Arc<Component>) -> Result<Arc<Image>, Unusable> {
        let progress = &mut *self.progress;
        let mut compiling = |bytes| progress(Progress::Compile { bundle: plan.name.as_str(), bytes });
        self.images.load(component, &mut compiling).map_err(|why| match why {
            Unready::Code(error @ CodeError::Job(_)) => Unusable::Machine(error),
            Unready::Empty(description) => {
                let problem = self.manifest.problem(path, format!("{} offers nothing", plan.name));
                Unusable::Component(Box::new(problem.found(skipped(&description)).expected(usable_exports())))
            }
            why => {
                let message = format!("the component of {} cannot be used", plan.name);
                Unusable::Component(Box::new(self.manifest.problem(path, message).found(why.to_string())))
            }
        })
    }

    async fn items(
        &self,
        plan: &BundlePlan,
        looked_at: &LookedAt,
        image: &Arc<Image>,
    ) -> Result<Vec<LoadedItem>, String> {
        let form = looked_at.shape.form();
        // What may be different the next time is not kept.
        if plan.lists_change {
            return load(&plan.name, form, self.list(plan, form, image).await?);
        }
        // With other limits the bundle may not be able to say what it offers. What a typed one offers depends on how
        // it is described, and on the room for its names.
        let limits = format!("{:?} {DESCRIPTION_KIND} {}", plan.limits, name_bytes_max(&plan.name));
        let digest = Digest::of_parts([looked_at.shape.digest.to_string().as_bytes(), limits.as_bytes()]);
        let kept = self.images.cache().load(LISTING_KIND, digest).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let offer: Offer = match kept {
            Some(offer) => offer,
            None => {
                let offer = self.list(plan, form, image).await?;
                images::keep(
                    self.images.cache(),
                    LISTING_KIND,
                    digest,
                    &serde_json::to_vec(&offer).unwrap_or_default(),
                );
                offer
            }
        };
        load(&plan.name, form, offer)
    }

    async fn list(&self, plan: &BundlePlan, form: Form, image: &Arc<Image>) -> Result<Offer, String> {
        let end = self.images.machine().list(image, &listing_limits(&plan.limits)).await;
        let listed = end.result.map_err(|error| listing_error(&error, &plan.limits))?;
        check(listed, form, &plan.limits)
    }
}

/// Checks what a bundle with these limits listed. The house keeps the schemas of one that speaks our world.
pub(crate) fn check(listed: guest::Offer, form: Form, limits: &CellLimits) -> Result<Offer, String> {
    let schemas_bytes_max =
        if form == Form::World { limits.memory_bytes_max.max(SCHEMAS_BYTES_LEAST) } else { usize::MAX };
    Offer::check(listed, schemas_bytes_max).map_err(|wrong| wrong.join("; "))
}

/// Bounds of the cell that lists what a bundle with these limits offers.
pub(crate) fn listing_limits(limits: &CellLimits) -> CellLimits {
    CellLimits {
        cpu_ms_max: limits.cpu_ms_max.min(LIST_CPU_MS_MAX),
        wall_ms_max: limits.wall_ms_max.min(LIST_WALL_MS_MAX),
        ..*limits
    }
}

/// How long the names of a bundle's tools may be, so that clients take them together with the bundle's own.
fn name_bytes_max(bundle: &BundleName) -> usize {
    TOOL_NAME_BYTES_MAX.saturating_sub(bundle.as_str().len() + 1)
}

/// What a component has that is no tool, in one line.
fn skipped(description: &Description) -> String {
    let mut texts: Vec<_> =
        description.skipped.iter().take(SKIPPED_MAX).map(|it| format!("{} ({})", it.export, it.reason)).collect();
    let rest = description.skipped.len().saturating_sub(SKIPPED_MAX) + description.skipped_besides;
    if rest > 0 {
        texts.push(format!("{rest} others"));
    }
    if texts.is_empty() { "no function".to_owned() } else { texts.join(", ") }
}

/// Makes a listing ready for calls: schemas compiled, templates parsed, everything with its subject.
pub(crate) fn load(bundle: &BundleName, form: Form, offer: Offer) -> Result<Vec<LoadedItem>, String> {
    let named = |name: &str, item: Item| {
        let name = ToolName::new(name).map_err(|why| why.to_string())?;
        Ok::<_, String>(LoadedItem {
            subject: Subject::of_item(bundle, &name),
            item,
            counts: Arc::default(),
            pace: Pace::default(),
        })
    };
    let mut items = Vec::new();
    for tool in offer.tools {
        let schemas = (form == Form::World).then(|| Schemas::of(&tool)).transpose()?.map(Arc::new);
        items.push(named(&tool.name.clone(), Item::Tool(LoadedTool { tool, schemas }))?);
    }
    for prompt in offer.prompts {
        items.push(named(&prompt.name.clone(), Item::Prompt(prompt))?);
    }
    for resource in offer.resources {
        items.push(named(&resource.name.clone(), Item::Resource(resource))?);
    }
    for template in offer.templates {
        let parsed = Template::new(&template.uri_template)?;
        items.push(named(&template.name.clone(), Item::Template(template, parsed))?);
    }
    Ok(items)
}

/// Why a bundle with these limits could not be listed.
pub(crate) fn listing_error(error: &CellError, limits: &CellLimits) -> String {
    match error {
        CellError::Limit(limit, bound) => {
            let listing = listing_limits(limits);
            let is_ours = match limit {
                Limit::Cpu => listing.cpu_ms_max < limits.cpu_ms_max,
                Limit::Wall => listing.wall_ms_max < limits.wall_ms_max,
                _ => false,
            };
            let set_by = if is_ours { "the house, for listings" } else { "the operator" };
            format!("listing went past a limit: {} = {bound}, set by {set_by}", limit.field())
        }
        CellError::Trap(seen, trace) => format!("{seen}\n{trace}").trim_end().to_owned(),
        CellError::Refused(refusal) => format!("it refused: {refusal:?}"),
        CellError::Broke(why) | CellError::Host(why) => why.clone(),
    }
}
