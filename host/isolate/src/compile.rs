//! Compiling a component to machine code, out of process: the parent's half and the child's. Code that takes
//! a compiler long, or much memory, is the component's fault and stays in the child.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use certosa_confine::{Cage, Job, JobError};
use certosa_model::Digest;
use wasmtime::Engine;

use crate::pool::code_config;

/// The largest component that is accepted.
pub const COMPONENT_BYTES_MAX: u64 = 128 << 20;

const WALL_MS_MAX: u64 = 180_000;
const CPU_S_MAX: u64 = 300;
const MEMORY_BYTES_MAX: u64 = 8 << 30;
const CODE_BYTES_MAX: u64 = 1 << 30;

/// Why a component did not become code.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    #[error("the component is not valid: {0}")]
    Invalid(String),
    #[error("compiling the component {0}")]
    Costly(JobError),
    #[error("the exports cannot be described: {0}")]
    Exports(String),
    #[error("could not run the compiler")]
    Job(#[source] JobError),
}

impl CodeError {
    /// A child that takes too much has been given too much; everything else is our own fault.
    pub(crate) fn of_job(error: JobError) -> Self {
        match error {
            JobError::Slow(_) | JobError::Large(_) => Self::Costly(error),
            error => Self::Job(error),
        }
    }
}

/// Compiles `component` in a child of `program` (our own binary), which runs [`compile_in_child`] when its
/// only argument is `task`.
pub fn compile(component: &[u8], program: &Path, task: &str) -> Result<Vec<u8>, CodeError> {
    let job = Job {
        program,
        args: vec![task.into()],
        env: Vec::new(),
        input: component,
        wall_ms_max: WALL_MS_MAX,
        output_bytes_max: CODE_BYTES_MAX,
    };
    let finished = job.run().map_err(CodeError::of_job)?;
    if finished.success {
        return Ok(finished.output);
    }
    let said = finished.errors.trim();
    Err(CodeError::Invalid(match said {
        "" => format!("the compiler gave up ({})", finished.status),
        said => said.to_owned(),
    }))
}

/// The child's half: a component on standard input, its code on standard output.
pub fn compile_in_child() -> io::Result<()> {
    Cage { folder: None, memory_bytes_max: MEMORY_BYTES_MAX, cpu_s_max: CPU_S_MAX }.enter()?;
    let mut component = Vec::new();
    io::stdin().take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut component)?;
    let code = Engine::new(&code_config())
        .and_then(|engine| engine.precompile_component(&component))
        .map_err(|error| io::Error::other(format!("{error:#}")))?;
    io::stdout().write_all(&code)
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
