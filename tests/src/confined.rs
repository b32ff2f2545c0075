//! What the children of a house may do: each bound holds in a real child, and 90 % of it is enough; and the children
//! that read what strangers wrote have bounds before they read anything.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use certosa_confine::{Cage, Finished, Job, JobError};

use crate::egress::until;
use crate::support::certosa;

/// Of the children here.
const MEMORY_MIB_MAX: u64 = 1024;
const CPU_S_MAX: u64 = 2;
const OUTPUT_KIB_MAX: u64 = 1024;
/// Of all children (`Cage::enter`).
const FILE_MIB_MAX: u64 = 64;

/// Runs [`child`] within these bounds, which does `act` with `amount`.
fn job(act: &str, amount: impl ToString, folder: &Path, wall_ms_max: u64) -> Result<Finished, JobError> {
    Job {
        program: &env::current_exe().unwrap(),
        args: ["--exact", "confined::child", "--ignored", "--nocapture"].map(Into::into).to_vec(),
        env: vec![
            ("CONFINED_ACT", act.into()),
            ("CONFINED_AMOUNT", amount.to_string().into()),
            ("CONFINED_FOLDER", folder.into()),
        ],
        input: &[],
        wall_ms_max,
        output_bytes_max: OUTPUT_KIB_MAX << 10,
    }
    .run()
}

#[test]
#[ignore = "the others here run it in a process of its own"]
fn child() {
    let Ok(act) = env::var("CONFINED_ACT") else { return };
    let amount = env::var("CONFINED_AMOUNT").unwrap();
    let number = || amount.parse::<usize>().unwrap();
    let folder = env::var("CONFINED_FOLDER").unwrap();
    let cage = Cage { folder: Some(Path::new(&folder)), memory_bytes_max: MEMORY_MIB_MAX << 20, cpu_s_max: CPU_S_MAX };
    assert!(cage.enter().unwrap(), "this kernel guards no files");
    match act.as_str() {
        "hold" => drop(std::hint::black_box(Vec::<u8>::with_capacity(number() << 20))),
        "spin" => {
            let started = Instant::now();
            while started.elapsed() < Duration::from_millis(number() as u64) {
                std::hint::spin_loop();
            }
        }
        "sleep" => thread::sleep(Duration::from_millis(number() as u64)),
        "write" => fs::write(Path::new(&folder).join("file"), vec![0; number() << 20]).unwrap(),
        "say" => std::io::stdout().write_all(&vec![b'.'; number() << 10]).unwrap(),
        "read" => drop(fs::read(&amount).unwrap()),
        "connect" => drop(std::net::TcpStream::connect(&amount).unwrap()),
        act => panic!("{act}"),
    }
}

/// It came to its end.
fn is_done(job: Result<Finished, JobError>) -> bool {
    job.unwrap().success
}

/// It ended by itself or was ended by the system, with this in what it said or in how it ended.
fn ended(with: &str, job: Result<Finished, JobError>) {
    let job = job.unwrap();
    let said = format!("{} {} {}", job.status, job.errors, String::from_utf8_lossy(&job.output));
    assert!(!job.success && said.contains(with), "{said}");
}

#[test]
fn memory_files_and_time_of_a_child_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let job = |act: &str, amount: u64| job(act, amount, folder.path(), 60_000);
    ended("memory allocation of", job("hold", MEMORY_MIB_MAX + 1));
    // The program itself and its threads are in the sum.
    assert!(is_done(job("hold", MEMORY_MIB_MAX / 2)));
    ended("SIGXFSZ", job("write", FILE_MIB_MAX + 1));
    assert!(is_done(job("write", FILE_MIB_MAX * 9 / 10)));
    let started = Instant::now();
    ended("SIG", job("spin", 50_000));
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert!(is_done(job("spin", CPU_S_MAX * 900)));
}

#[test]
fn a_child_that_takes_long_or_says_much_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    assert!(matches!(job("sleep", 60_000, folder.path(), 5_000), Err(JobError::Slow(5_000))));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(is_done(job("sleep", 1_000, folder.path(), 5_000)));
    let say = |kib: u64| job("say", kib, folder.path(), 60_000);
    assert!(matches!(say(OUTPUT_KIB_MAX + 1), Err(JobError::Large(_))));
    assert!(is_done(say(OUTPUT_KIB_MAX * 9 / 10)));
}

#[test]
fn a_child_has_no_files_and_no_network() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&folder, &other] {
        fs::write(dir.path().join("file"), "text").unwrap();
    }
    let file = |dir: &tempfile::TempDir| job("read", dir.path().join("file").display(), folder.path(), 60_000);
    ended("PermissionDenied", file(&other));
    assert!(is_done(file(&folder)));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    ended("PermissionDenied", job("connect", listener.local_addr().unwrap(), folder.path(), 60_000));
    assert!(std::net::TcpStream::connect(listener.local_addr().unwrap()).is_ok());
}

#[test]
fn the_children_that_read_components_are_shut_in_before_they_read() {
    for task in ["internal-compile-component", "internal-describe-component", "internal-print-wit"] {
        let (cpu_s_max, memory_bytes_max) = (123, 1_u64 << 30);
        // What it reads has no end, so it waits.
        let mut child = Waiting(
            certosa(&[task, &cpu_s_max.to_string(), &memory_bytes_max.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        child.0.stdin.as_mut().unwrap().write_all(b"\0asm").unwrap();
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", child.0.id())).unwrap();
        let has = |line: &str, bound: u64| {
            let limits = read("limits");
            let line = limits.lines().find_map(|found| found.strip_prefix(line)).unwrap().to_owned();
            let bounds: Vec<_> = line.split_whitespace().take(2).map(str::to_owned).collect();
            bounds == [bound.to_string(), bound.to_string()]
        };
        // Guarding files is the last step, and shows as this.
        until("it is shut in", || read("status").lines().any(|line| line == "NoNewPrivs:\t1"));
        assert!(has("Max address space", memory_bytes_max), "{task}: {}", read("limits"));
        assert!(has("Max cpu time", cpu_s_max), "{task}: {}", read("limits"));
        assert!(has("Max file size", FILE_MIB_MAX << 20), "{task}: {}", read("limits"));
        assert!(has("Max core file size", 0), "{task}: {}", read("limits"));
    }
}

/// Ends with the test.
struct Waiting(Child);

impl Drop for Waiting {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}
