//! A KEK from another program: a password manager, the keyring of the desktop, the tools of a cloud.

use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use zeroize::Zeroizing;

use super::Kek;
use super::source::{AbsolutePath, KekError, KekSourceError};

/// A program and its arguments. No shell reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper {
    program: AbsolutePath,
    args: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    #[error("it could not be run")]
    Run(#[from] io::Error),
    #[error("it did not end within {0} s")]
    Slow(u64),
    #[error("it wrote more than {0} bytes")]
    Large(usize),
    #[error("it ended with {0}; what it wrote is not shown, because it may be the KEK: run it by hand")]
    Status(ExitStatus),
    #[error("it was not waited for")]
    Lost,
}

const WALL: Duration = Duration::from_secs(10);
const OUTPUT_BYTES_MAX: usize = 4 << 10;
const ARGS_MAX: usize = 32;
const ARGS_BYTES_MAX: usize = 4 << 10;
/// All that a helper finds in its environment, if it is there: where its user's files are, and the way to the keyring
/// of the session.
const ENVIRONMENT: [&str; 3] = ["HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];

impl Helper {
    pub(super) fn new(text: &str) -> Result<Self, KekSourceError> {
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        let program = AbsolutePath::new(path)?;
        let args = query.map_or_else(|| Some(Vec::new()), |query| query.split('&').map(argument).collect());
        let args: Vec<_> = args.ok_or(KekSourceError::Arguments)?;
        if args.len() > ARGS_MAX || args.iter().map(String::len).sum::<usize>() > ARGS_BYTES_MAX {
            return Err(KekSourceError::Arguments);
        }
        Ok(Self { program, args })
    }

    pub(super) fn program(&self) -> &Path {
        self.program.as_path()
    }

    /// Runs it on a thread that may wait.
    pub(super) async fn run(&self) -> Result<Kek, KekError> {
        let helper = self.clone();
        let output = tokio::task::spawn_blocking(move || helper.output(WALL)).await;
        let program = || PathBuf::from(self.program());
        let output = output.unwrap_or(Err(HelperError::Lost));
        let output = output.map_err(|source| KekError::Helper { program: program(), source })?;
        Kek::parse(&output)
            .map_err(|source| KekError::Shape { from: format!("the output of {}", program().display()), source })
    }

    fn output(&self, wall: Duration) -> Result<Zeroizing<Vec<u8>>, HelperError> {
        let end = Instant::now() + wall;
        let mut child = Command::new(self.program())
            .args(&self.args)
            .env_clear()
            .envs(ENVIRONMENT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let output = match child.stdout.take() {
            Some(pipe) => read(pipe, end),
            None => Err(HelperError::Lost),
        };
        let ended = output.and_then(|output| has_ended(&child, end).map(|()| output));
        // It is not reaped yet, so the number still means it and whatever it left behind.
        if let Some(group) = pid(&child) {
            let _nobody_is_left = kill_process_group(group, Signal::KILL);
        }
        let status = child.wait()?;
        let output = ended.map_err(|error| match error {
            HelperError::Slow(_) => HelperError::Slow(wall.as_secs()),
            other => other,
        })?;
        if status.success() { Ok(output) } else { Err(HelperError::Status(status)) }
    }
}

/// What it writes until it closes the pipe.
fn read(mut pipe: ChildStdout, end: Instant) -> Result<Zeroizing<Vec<u8>>, HelperError> {
    // All at once, because a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(vec![0; OUTPUT_BYTES_MAX + 1]);
    let mut length = 0;
    while length <= OUTPUT_BYTES_MAX {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(HelperError::Slow(0));
        }
        let time = Timespec::try_from(left).map_err(|_| HelperError::Lost)?;
        let ready = match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&time)) {
            Err(rustix::io::Errno::INTR) => continue,
            ready => ready.map_err(io::Error::from)?,
        };
        if ready == 0 {
            continue;
        }
        match pipe.read(bytes.get_mut(length..).unwrap_or_default()) {
            Ok(0) => {
                bytes.truncate(length);
                return Ok(bytes);
            }
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(HelperError::Large(OUTPUT_BYTES_MAX))
}

/// Waits for its end without reaping it.
fn has_ended(child: &Child, end: Instant) -> Result<(), HelperError> {
    let pid = pid(child).ok_or(HelperError::Lost)?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    loop {
        if waitid(WaitId::Pid(pid), options).map_err(io::Error::from)?.is_some() {
            return Ok(());
        }
        if Instant::now() >= end {
            return Err(HelperError::Slow(0));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// `arg=TEXT`, in which `%XX` is a byte. Nothing else is replaced.
fn argument(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix("arg=")?.bytes();
    let mut bytes = Vec::new();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
                bytes.push(u8::from_str_radix(str::from_utf8(&digits).ok().filter(|_| is_hex)?, 16).ok()?);
            }
            0 | b'#' => return None,
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, wall_ms: u64) -> (Result<Zeroizing<Vec<u8>>, HelperError>, Duration) {
        let helper = Helper { program: AbsolutePath::new("/bin/sh").unwrap(), args: vec!["-c".into(), script.into()] };
        let start = Instant::now();
        (helper.output(Duration::from_millis(wall_ms)), start.elapsed())
    }

    #[test]
    fn output_and_nothing_else_is_taken() {
        assert_eq!(**shell("echo key; echo noise >&2", 5000).0.unwrap(), *b"key\n");
        let (failed, _) = shell("echo planted; exit 3", 5000);
        let error = failed.unwrap_err();
        assert!(matches!(error, HelperError::Status(_)) && !format!("{error} {error:?}").contains("planted"));
        assert!(matches!(
            Helper::new("/no/such/program").unwrap().output(WALL),
            Err(HelperError::Run(error)) if error.kind() == io::ErrorKind::NotFound
        ));
        assert!(shell("read line && echo got", 5000).0.is_err(), "there is no input");
    }

    #[test]
    fn helpers_that_hang_or_leave_others_behind_are_ended() {
        for script in ["exec sleep 60", "sleep 60 & wait", "sleep 60 & echo key", "exec 1>&-; sleep 60"] {
            let (ended, took) = shell(script, 300);
            assert!(matches!(ended, Err(HelperError::Slow(_))), "{script}");
            assert!(took < Duration::from_secs(5), "{script} took {took:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let (ended, _) = shell(&format!("(sleep 1; echo late > {}) >&- & echo key", mark.display()), 5000);
        assert_eq!(**ended.unwrap(), *b"key\n");
        thread::sleep(Duration::from_millis(1500));
        assert!(!mark.exists(), "what it left behind was ended");
    }

    #[test]
    fn a_gigabyte_is_not_taken() {
        let (ended, took) = shell("exec head -c 1073741824 /dev/zero", 10_000);
        assert!(matches!(ended, Err(HelperError::Large(OUTPUT_BYTES_MAX))));
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(shell("exec head -c 4096 /dev/zero", 5000).0.unwrap().len(), OUTPUT_BYTES_MAX);
        assert!(matches!(shell("exec head -c 4097 /dev/zero", 5000).0, Err(HelperError::Large(_))));
    }

    #[test]
    fn arguments_reach_the_program_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let text = format!(
            "/usr/bin/printf?arg=%25s|&arg=$(touch {0})&arg=`touch {0}`&arg=; touch {0}&arg=%26& arg",
            mark.display()
        );
        assert_eq!(Helper::new(&text), Err(KekSourceError::Arguments));
        let helper = Helper::new(text.strip_suffix("& arg").unwrap()).unwrap();
        let output = helper.output(WALL).unwrap();
        let mark_shown = mark.display();
        let wanted = format!("$(touch {mark_shown})|`touch {mark_shown}`|; touch {mark_shown}|&|");
        assert_eq!(str::from_utf8(&output).unwrap(), wanted);
        assert!(!mark.exists());
    }

    #[test]
    fn the_environment_is_almost_empty() {
        let output = Helper::new("/usr/bin/env").unwrap().output(WALL).unwrap();
        for line in str::from_utf8(&output).unwrap().lines() {
            let (name, _) = line.split_once('=').unwrap();
            assert!(ENVIRONMENT.contains(&name), "{name}");
        }
    }
}
