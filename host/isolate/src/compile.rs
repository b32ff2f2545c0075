//! Compiling a component to machine code, out of process: the parent's half and the child's. Code that takes
//! a compiler long, or much memory, is the component's fault and stays in the child.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use certosa_confine::{Cage, Job, JobError};
use certosa_model::{CompileLimits, Digest};
use wasmtime::Engine;

use crate::pool::code_config;

/// The largest component that is accepted.
pub const COMPONENT_BYTES_MAX: u64 = 128 << 20;

const CODE_BYTES_MAX: u64 = 1 << 30;
/// A child uses several processors at once.
const CPU_PER_WALL: u64 = 2;

/// Why a component did not become code.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// It may be as good as any.
    #[error("{what} takes more than it may: {field} = {bound}, set by {set_by}")]
    Costly { what: &'static str, field: &'static str, bound: u64, set_by: &'static str },
    #[error("the code of the component is too large: it {0}, and that is set by the house")]
    Large(JobError),
    #[error("the exports cannot be described: {0}")]
    Exports(String),
    #[error("could not run the compiler")]
    Job(#[source] JobError),
}

/// A child of our own binary that looks at a component.
pub(crate) struct Reader<'a> {
    pub program: &'a Path,
    /// The argument that makes it do its part; the bounds that it sets itself follow.
    pub task: &'a str,
    /// What it does, for messages.
    pub what: &'static str,
    /// Of the bundle.
    pub limits: CompileLimits,
    /// The house's own for this, if they are tighter.
    pub house: CompileLimits,
    pub output_bytes_max: u64,
}

impl Reader<'_> {
    /// What the child made of the component, or what it said about it.
    pub(crate) fn run(&self, component: &[u8]) -> Result<Result<Vec<u8>, String>, CodeError> {
        let wall_ms_max = self.limits.wall_ms_max.min(self.house.wall_ms_max);
        let memory_bytes_max = self.limits.memory_bytes_max.min(self.house.memory_bytes_max);
        let cpu_s_max = (u64::from(wall_ms_max) * CPU_PER_WALL).div_ceil(1000);
        let job = Job {
            program: self.program,
            args: vec![self.task.into(), cpu_s_max.to_string().into(), memory_bytes_max.to_string().into()],
            env: Vec::new(),
            input: component,
            wall_ms_max: wall_ms_max.into(),
            output_bytes_max: self.output_bytes_max,
        };
        let finished = job.run().map_err(|error| match error {
            JobError::Slow(_) => self.out_of(CompileLimits::TIME),
            JobError::Large(_) => CodeError::Large(error),
            error => CodeError::Job(error),
        })?;
        if finished.success {
            return Ok(Ok(finished.output));
        }
        if matches!(finished.status.signal(), Some(SIGXCPU | SIGKILL)) {
            return Err(self.out_of(CompileLimits::TIME));
        }
        let said = finished.errors.trim();
        if OUT_OF_MEMORY.iter().any(|sign| said.contains(sign)) {
            return Err(self.out_of(CompileLimits::MEMORY));
        }
        Ok(Err(if said.is_empty() { format!("its reader gave up ({})", finished.status) } else { said.to_owned() }))
    }

    fn out_of(&self, field: &'static str) -> CodeError {
        let bound = |limits: &CompileLimits| match field {
            CompileLimits::MEMORY => limits.memory_bytes_max >> 20,
            _ => limits.wall_ms_max.into(),
        };
        let (own, house) = (bound(&self.limits), bound(&self.house));
        let set_by = if own <= house { "the operator" } else { "the house" };
        CodeError::Costly { what: self.what, field, bound: own.min(house), set_by }
    }
}

const SIGKILL: i32 = 9;
/// A process that has used up its time on the processor.
const SIGXCPU: i32 = 24;
/// What a process says that gets no more memory: in its allocator, or where it asks the system for pages or threads.
const OUT_OF_MEMORY: [&str; 4] = ["memory allocation of", "(os error 12)", "(os error 11)", "ThreadPoolBuildError"];

/// Compiles `component` in a child of `program` (our own binary), which runs [`compile_in_child`] when its
/// first argument is `task`.
pub fn compile(component: &[u8], program: &Path, task: &str, limits: CompileLimits) -> Result<Vec<u8>, CodeError> {
    let house = CompileLimits { wall_ms_max: u32::MAX, memory_bytes_max: u64::MAX };
    let reader = Reader { program, task, what: "compiling it", limits, house, output_bytes_max: CODE_BYTES_MAX };
    reader.run(component)?.map_err(CodeError::Invalid)
}

/// The child's half: a component on standard input, its code on standard output. `bounds` are the arguments after the
/// task.
pub fn compile_in_child(bounds: impl Iterator<Item = OsString>) -> io::Result<()> {
    let component = component(bounds)?;
    let code = Engine::new(&code_config())
        .and_then(|engine| engine.precompile_component(&component))
        .map_err(|error| io::Error::other(format!("{error:#}")))?;
    io::stdout().write_all(&code)
}

/// Shuts the child in and reads the component that it is to look at.
pub(crate) fn component(mut bounds: impl Iterator<Item = OsString>) -> io::Result<Vec<u8>> {
    let mut bound = || bounds.next().and_then(|bound| bound.to_str()?.parse().ok());
    let (Some(cpu_s_max), Some(memory_bytes_max)) = (bound(), bound()) else {
        return Err(io::Error::other("two bounds are expected: seconds on the processor, and bytes of memory"));
    };
    Cage { folder: None, memory_bytes_max, cpu_s_max }.enter()?;
    let mut component = Vec::new();
    io::stdin().take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut component)?;
    Ok(component)
}

/// Identifies the code that compiling `component` gives: by this version of the compiler, with these
/// settings, for this processor.
pub fn code_digest(component: Digest) -> Digest {
    let mut engine_hash = DefaultHasher::new();
    if let Ok(engine) = Engine::new(&code_config()) {
        engine.precompile_compatibility_hash().hash(&mut engine_hash);
    }
    Digest::of_parts([component.to_hex().as_bytes(), &engine_hash.finish().to_be_bytes()])
}
