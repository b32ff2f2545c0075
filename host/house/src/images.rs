//! What is loaded of components. A house may have thousands of bundles, and what wasmtime knows about a component takes
//! memory. So the components that were called last are ready, a few before anybody calls, and the others are loaded from
//! the cache when somebody calls them.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use certosa_isolate::{
    self as isolate, COMPONENT_BYTES_MAX, CellError, Code, CodeError, Description, Form, Image, ImageError, Machine,
};
use certosa_manifest::ComponentSource;
use certosa_model::{CompileLimits, Digest};
use certosa_store::Cache;

/// How to start the child processes that look at components.
#[derive(Debug, Clone)]
pub struct Compilers {
    /// Our own binary.
    pub program: PathBuf,
    /// The argument that makes it compile.
    pub task: &'static str,
    /// The argument that makes it describe exports.
    pub describe_task: &'static str,
}

pub(crate) struct Images {
    works: Arc<Works>,
    /// Those that are loaded.
    ready: Mutex<Vec<Arc<Component>>>,
    /// Counts what was loaded; a component was used last when as many were.
    turn: AtomicU64,
}

/// What it takes to make an image.
struct Works {
    machine: Machine,
    cache: Cache,
    compilers: Compilers,
}

/// A component of the house. Bundles that are made of the same one share it.
pub(crate) struct Component {
    source: ComponentSource,
    digest: Digest,
    form: Form,
    stack_bytes_max: usize,
    compile: CompileLimits,
    /// Room for the names of tools, where functions are tools.
    name_bytes_max: usize,
    image: Mutex<Option<Arc<Image>>>,
    used: AtomicU64,
    /// Held by whoever loads it.
    loading: tokio::sync::Mutex<()>,
}

/// Why there is no image.
pub(crate) enum Unready {
    Unreadable(io::Error),
    /// It is another one than the house looked at.
    Changed,
    Code(CodeError),
    Image(ImageError),
    /// None of its functions is a tool.
    Empty(Description),
}

/// Components that are ready at the same time because somebody called them.
const READY_MAX: usize = 64;
/// Those that are ready before. Most houses have fewer; in a larger one a bundle that nobody calls takes no more memory
/// than what it offers.
const READY_AT_FIRST: usize = 16;

/// Changes when the form of what is cached does.
const CODE_KIND: &str = "code";
/// The same, and when schemas do.
pub(crate) const DESCRIPTION_KIND: &str = "exports2";

impl Images {
    pub(crate) fn new(machine: Machine, cache: Cache, compilers: Compilers) -> Self {
        let works = Arc::new(Works { machine, cache, compilers });
        Self { works, ready: Mutex::default(), turn: AtomicU64::new(0) }
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.works.machine
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.works.cache
    }

    /// Loads a component. `compiling` is told if its code has to be made first.
    pub(crate) fn load(
        &self,
        component: &Arc<Component>,
        compiling: &mut dyn FnMut(usize),
    ) -> Result<Arc<Image>, Unready> {
        if let Some(image) = component.image() {
            return Ok(image);
        }
        let image = Arc::new(self.works.image(component, compiling)?);
        self.keep(component, &image);
        Ok(image)
    }

    /// The image for a call. It is there, or it is loaded.
    pub(crate) async fn ready(&self, component: &Arc<Component>) -> Result<Arc<Image>, CellError> {
        component.used.store(self.turn.load(Ordering::Relaxed), Ordering::Relaxed);
        if let Some(image) = component.image() {
            return Ok(image);
        }
        let _others_wait = component.loading.lock().await;
        if let Some(image) = component.image() {
            return Ok(image);
        }
        let (works, ours) = (Arc::clone(&self.works), Arc::clone(component));
        let loaded = tokio::task::spawn_blocking(move || works.image(&ours, &mut |_| ())).await;
        let why = match loaded {
            Ok(Ok(image)) => {
                let image = Arc::new(image);
                self.keep(component, &image);
                return Ok(image);
            }
            Ok(Err(why)) => why.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(component = %component.digest, "it could be loaded before and cannot be now: {why}");
        Err(CellError::Host("the component could not be loaded".to_owned()))
    }

    /// Gives back what is more than a house needs before anybody calls.
    pub(crate) fn settle(&self) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = ready.len().min(READY_AT_FIRST);
        for component in ready.drain(kept..) {
            *component.lock() = None;
        }
    }

    /// Keeps an image ready, and gives the one back that was not used for longest.
    fn keep(&self, component: &Arc<Component>, image: &Arc<Image>) {
        *component.lock() = Some(Arc::clone(image));
        component.used.store(self.turn.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.push(Arc::clone(component));
        if ready.len() <= READY_MAX {
            return;
        }
        let used = |other: &Arc<Component>| other.used.load(Ordering::Relaxed);
        let others = ready.iter().enumerate().filter(|(_, other)| !Arc::ptr_eq(other, component));
        if let Some((index, _)) = others.min_by_key(|(_, other)| used(other)) {
            // Cells that are at work in it keep it until they end.
            *ready.swap_remove(index).lock() = None;
        }
    }
}

impl Component {
    pub(crate) fn new(
        source: ComponentSource,
        digest: Digest,
        form: Form,
        (stack_bytes_max, compile): (usize, CompileLimits),
        name_bytes_max: usize,
    ) -> Self {
        let (image, used, loading) = (Mutex::default(), AtomicU64::new(0), tokio::sync::Mutex::default());
        Self { source, digest, form, stack_bytes_max, compile, name_bytes_max, image, used, loading }
    }

    pub(crate) fn form(&self) -> Form {
        self.form
    }

    fn image(&self) -> Option<Arc<Image>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Image>>> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes that were looked at. They are read again when they are needed.
    fn bytes(&self) -> Result<Cow<'_, [u8]>, Unready> {
        let bytes = bytes(&self.source).map_err(Unready::Unreadable)?;
        if Digest::of(&bytes) == self.digest { Ok(bytes) } else { Err(Unready::Changed) }
    }
}

impl Works {
    fn image(&self, component: &Component, compiling: &mut dyn FnMut(usize)) -> Result<Image, Unready> {
        if let Some(image) = self.kept(component) {
            return Ok(image);
        }
        let bytes = component.bytes()?;
        compiling(bytes.len());
        let Compilers { program, task, .. } = &self.compilers;
        let code = isolate::compile(&bytes, program, task, component.compile).map_err(Unready::Code)?;
        let image = self.link(component, Code::Bytes(&code))?;
        self.keep(CODE_KIND, isolate::code_digest(component.digest), &code);
        // From the file it takes less memory.
        Ok(self.kept(component).unwrap_or(image))
    }

    /// The image of code that is in the cache and can be used.
    fn kept(&self, component: &Component) -> Option<Image> {
        let code = self.cache.load_file(CODE_KIND, isolate::code_digest(component.digest))?;
        self.link(component, Code::File(code)).ok()
    }

    fn link(&self, component: &Component, code: Code<'_>) -> Result<Image, Unready> {
        let Component { stack_bytes_max, name_bytes_max, .. } = *component;
        let image = match component.form {
            Form::Typed => {
                let description = self.description(component)?;
                self.machine.typed_image(code, stack_bytes_max, &description, name_bytes_max)
            }
            Form::World | Form::Nothing => self.machine.image(code, stack_bytes_max),
        };
        image.map_err(Unready::Image)
    }

    /// What a typed component exports. Its code was compiled before, so it is a valid component.
    fn description(&self, component: &Component) -> Result<Description, Unready> {
        let kept = self.cache.load(DESCRIPTION_KIND, component.digest);
        let description: Description = match kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            Some(description) => description,
            None => {
                let Compilers { program, describe_task, .. } = &self.compilers;
                let described = isolate::describe(&component.bytes()?, program, describe_task, component.compile);
                let description = described.map_err(Unready::Code)?;
                self.keep(DESCRIPTION_KIND, component.digest, &serde_json::to_vec(&description).unwrap_or_default());
                description
            }
        };
        if description.functions.is_empty() { Err(Unready::Empty(description)) } else { Ok(description) }
    }

    fn keep(&self, kind: &str, digest: Digest, content: &[u8]) {
        keep(&self.cache, kind, digest, content);
    }
}

/// A cache that cannot be written makes the next start slow, and nothing else.
pub(crate) fn keep(cache: &Cache, kind: &str, digest: Digest, content: &[u8]) {
    if let Err(error) = cache.save(kind, digest, content) {
        tracing::warn!("the cache cannot be written: {error}");
    }
}

pub(crate) fn bytes(source: &ComponentSource) -> io::Result<Cow<'_, [u8]>> {
    match source {
        ComponentSource::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
        ComponentSource::File(file) => read(file).map(Cow::Owned),
    }
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

impl std::fmt::Display for Unready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::Changed => f.write_str("it is not the component any more that the house was opened with"),
            Self::Code(error) => error.fmt(f),
            Self::Image(error) => error.fmt(f),
            Self::Empty(_) => f.write_str("none of its functions is a tool"),
        }
    }
}
