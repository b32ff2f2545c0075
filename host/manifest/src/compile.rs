//! Running the embedded Cap'n Proto compiler, out of process: the parent's half and the child's.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path as FilePath;

use certosa_confine::{Cage, Finished, Job, JobError};

use crate::manifest::Manifest;
use crate::problem::{Place, Problem, Problems};
use crate::sources::Sources;

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The text is wrong.
    #[error("{0}")]
    Text(Problems),
    #[error("could not prepare the compiler")]
    Stage(#[from] io::Error),
    #[error("could not run the compiler")]
    Job(#[from] JobError),
}

const WALL_MS_MAX: u64 = 20_000;
const CPU_S_MAX: u64 = 15;
const MEMORY_BYTES_MAX: u64 = 2 << 30;
const OUTPUT_BYTES_MAX: u64 = 160 << 20;

impl Sources {
    /// Compiles the sources in a child of `program` (our own binary), which runs [`compile_in_child`] when
    /// its first argument is `task`. The child sees a copy of exactly the files that were read.
    pub fn compile(self, program: &FilePath, task: &str) -> Result<Manifest, CompileError> {
        let stage = tempfile::Builder::new().prefix("certosa-manifest-").tempdir()?;
        let stage_path = stage.path().canonicalize()?;
        let root = stage_path.join("root");
        for (path, bytes) in self.files() {
            let copy = root.join(path);
            fs::create_dir_all(copy.parent().unwrap_or(&root))?;
            fs::write(copy, bytes)?;
        }
        fs::create_dir(stage_path.join("tmp"))?;
        fs::create_dir(stage_path.join("lib"))?;
        fs::write(stage_path.join("lib/certosa.capnp"), certosa_schema::TEXT)?;

        let finished = Job {
            program,
            args: vec![task.into(), stage_path.clone().into(), self.main().into()],
            env: vec![("TMPDIR", OsString::from(stage_path.join("tmp")))],
            input: &[],
            wall_ms_max: WALL_MS_MAX,
            output_bytes_max: OUTPUT_BYTES_MAX,
        }
        .run()
        .map_err(|error| match error {
            // A text that makes the compiler slow or its output huge is the text's fault.
            JobError::Slow(_) | JobError::Large(_) => {
                CompileError::Text(Problem::new(format!("compiling the manifest {error}")).into())
            }
            error => error.into(),
        })?;
        if !finished.success {
            return Err(CompileError::Text(self.explain(&finished, &root)));
        }
        Manifest::of_request(self, &finished.output).map_err(CompileError::Text)
    }

    /// The compiler's own errors, in our form and with the paths that the operator knows.
    fn explain(&self, finished: &Finished, root: &FilePath) -> Problems {
        // The compiler sees the file system from its root, and prints paths without the first slash.
        let prefix = format!("{}/", root.display()).trim_start_matches('/').to_owned();
        let problems = finished
            .errors
            .lines()
            .filter_map(|line| self.explain_line(line.trim_start_matches('/').strip_prefix(&prefix)?));
        Problems::new(problems.collect()).unwrap_or_else(|| {
            let said = finished.errors.replace(&prefix, "");
            let problem = Problem::new(format!("the compiler gave up ({})", finished.status));
            Problem { found: Some(said.trim().to_owned()).filter(|said| !said.is_empty()), ..problem }.into()
        })
    }

    /// Reads `FILE:LINE:COLUMN[-COLUMN]: error: MESSAGE`; a range may also be `LINE:COLUMN-LINE:COLUMN`.
    fn explain_line(&self, line: &str) -> Option<Problem> {
        let (position, message) = line.split_once(": error: ")?;
        let mut parts = position.splitn(3, ':');
        let (file, row, columns) = (parts.next()?, parts.next()?.parse::<usize>().ok()?, parts.next()?);
        let mut columns = columns.split('-');
        let first = columns.next()?.parse::<usize>().ok()?;
        let last = columns.next().and_then(|column| column.parse().ok()).unwrap_or(first + 1);
        let text = self.text(FilePath::new(file)).lines().nth(row.checked_sub(1)?).unwrap_or("");
        let place = Place::new(file, row, first.max(1), last.saturating_sub(first), text);
        Some(Problem::new(message).at(Some(place)))
    }
}

/// The child's half: compiles `main` in the staged folder and writes the CodeGeneratorRequest to standard
/// output. Errors go to standard error, where the compiler writes its own.
pub fn compile_in_child(stage: &FilePath, main: &FilePath) -> io::Result<()> {
    Cage { folder: Some(stage), memory_bytes_max: MEMORY_BYTES_MAX, cpu_s_max: CPU_S_MAX }.enter()?;
    std::env::set_current_dir(stage.join("root"))?;
    let request = capnpc_embedded::CompileCommand::new()
        .file(main)
        .import_path(stage.join("lib"))
        .compile()
        .map_err(io::Error::other)?;
    io::stdout().write_all(&request)
}
