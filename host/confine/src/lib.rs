//! Work on hostile input in a child process of our own binary that may do very little.
//!
//! Both compilers of the house (Cap'n Proto text, WebAssembly) accept input that can make them slow, large
//! or wrong. They run in a [`Job`]: the parent gives the child its input and bounds time and output; the
//! child, before it looks at the input, shuts itself into a [`Cage`]: memory, processor time, size of files,
//! no core dump, and through Landlock (Linux 5.13 and later) no file outside of one folder.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus,
};
use rustix::process::{Resource, Rlimit, setrlimit};

/// What the child may do. It applies to the calling process, for good.
pub struct Cage<'a> {
    /// The only folder whose files it may read and write. `None`: no files at all.
    pub folder: Option<&'a Path>,
    pub memory_bytes_max: u64,
    pub cpu_s_max: u64,
}

/// A run of `program` with these arguments.
pub struct Job<'a> {
    pub program: &'a Path,
    pub args: Vec<OsString>,
    /// The child's whole environment.
    pub env: Vec<(&'static str, OsString)>,
    pub input: &'a [u8],
    pub wall_ms_max: u64,
    pub output_bytes_max: u64,
}

/// How a job ended by itself.
pub struct Finished {
    pub success: bool,
    pub output: Vec<u8>,
    /// The beginning of what it wrote to standard error.
    pub errors: String,
    /// Such as "signal: 24 (SIGXCPU)"; for messages.
    pub status: ExitStatus,
}

#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("could not start {program}")]
    Start { program: String, source: io::Error },
    #[error("took longer than {0} ms")]
    Slow(u64),
    #[error("wrote more than {0} bytes")]
    Large(u64),
    #[error("could not talk to the child process")]
    Pipe(#[from] io::Error),
}

const ERRORS_BYTES_MAX: u64 = 64 << 10;
/// Left to itself the allocator sets aside as much address space at once as some children have.
const ALLOCATOR: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "32MiB");

impl Cage<'_> {
    /// Shuts the calling process in. Says whether the kernel also guards the files.
    pub fn enter(&self) -> io::Result<bool> {
        for (resource, bound) in [
            (Resource::Core, 0),
            (Resource::As, self.memory_bytes_max),
            (Resource::Cpu, self.cpu_s_max),
            (Resource::Fsize, 64 << 20),
        ] {
            setrlimit(resource, Rlimit { current: Some(bound), maximum: Some(bound) })?;
        }
        self.guard_files().map_err(io::Error::other)
    }

    fn guard_files(&self) -> Result<bool, landlock::RulesetError> {
        let abi = ABI::V4;
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .create()?;
        // The embedded compiler opens `/` as its root before it opens anything below: it may look at the
        // directory itself, and at no file in it.
        if let Some((folder, root)) =
            self.folder.and_then(|folder| Some((PathFd::new(folder).ok()?, PathFd::new("/").ok()?)))
        {
            rules = rules
                .add_rule(PathBeneath::new(folder, AccessFs::from_all(abi)))?
                .add_rule(PathBeneath::new(root, AccessFs::ReadDir))?;
        }
        Ok(rules.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
    }
}

impl Job<'_> {
    /// Runs the child to its end, or ends it when it goes past a bound.
    pub fn run(self) -> Result<Finished, JobError> {
        let mut child = Command::new(self.program)
            .args(&self.args)
            .env_clear()
            .env(ALLOCATOR.0, ALLOCATOR.1)
            .envs(self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| JobError::Start { program: self.program.display().to_string(), source })?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let ended = thread::scope(|scope| {
            scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(self.input)));
            let output = scope.spawn(move || read_some(stdout, self.output_bytes_max + 1));
            let errors = scope.spawn(move || read_some(stderr, ERRORS_BYTES_MAX));
            let status = wait(&mut child, self.wall_ms_max);
            if !matches!(status, Ok(Some(_))) {
                let _already_gone = child.kill();
                let _reaped = child.wait();
            }
            let join = |thread: thread::ScopedJoinHandle<'_, Vec<u8>>| thread.join().unwrap_or_default();
            (status, join(output), join(errors))
        });
        let (status, output, errors) = ended;
        if output.len() as u64 > self.output_bytes_max {
            return Err(JobError::Large(self.output_bytes_max));
        }
        let status = status?.ok_or(JobError::Slow(self.wall_ms_max))?;
        let errors = String::from_utf8_lossy(&errors).into_owned();
        Ok(Finished { success: status.success(), output, errors, status })
    }
}

/// Reads up to `bytes_max` bytes and closes the pipe, so that a child that writes more dies of it.
fn read_some(pipe: Option<impl Read>, bytes_max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let _what_came_counts = pipe.take(bytes_max).read_to_end(&mut bytes);
    }
    bytes
}

fn wait(child: &mut Child, wall_ms_max: u64) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + Duration::from_millis(wall_ms_max);
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}
