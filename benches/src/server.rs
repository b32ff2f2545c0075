//! A server as a process: starting it, and what it takes of the machine.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::Done;

const START_WAIT_MAX: Duration = Duration::from_secs(120);
const END_WAIT_MAX: Duration = Duration::from_secs(5);

/// How a server says where it listens.
pub(crate) enum Says {
    /// A line of JSON on its output, with an `address` or a `port`.
    Json,
    /// The same, and where it complains to is none of ours.
    JsonAlone,
    /// A line on its error output that ends in a URL.
    Url,
}

pub(crate) struct Server {
    child: Child,
    pub address: String,
    /// What it says from here on is no matter.
    is_ending: Arc<AtomicBool>,
}

impl Server {
    /// Starts a server that says its address in a line of JSON.
    pub(crate) fn start(command: &mut Command) -> Done<Self> {
        Self::start_saying(command, &Says::Json)
    }

    pub(crate) fn start_saying(command: &mut Command, says: &Says) -> Done<Self> {
        match says {
            Says::Json => command.stdout(Stdio::piped()).stderr(Stdio::piped()),
            Says::JsonAlone => command.stdout(Stdio::piped()),
            Says::Url => command.stderr(Stdio::piped()),
        };
        // From here on the process ends when this value does.
        let mut server = Self::of(command.spawn()?, String::new());
        let output: Option<Box<dyn Read + Send>> = match says {
            Says::Json | Says::JsonAlone => server.child.stdout.take().map(|output| Box::new(output) as _),
            Says::Url => server.child.stderr.take().map(|output| Box::new(output) as _),
        };
        server.pass_on_complaints();
        let (sender, receiver) = mpsc::channel();
        let output = BufReader::new(output.ok_or("no output")?);
        // Reads on to the end, so that the server is never held up by what it says.
        std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let mut said = Vec::new();
        loop {
            let line =
                receiver.recv_timeout(START_WAIT_MAX).map_err(|_| format!("it did not start: {}", said.join("\n")))?;
            if let Some(address) = address(&line, says) {
                server.address = address;
                return Ok(server);
            }
            said.push(line);
        }
    }

    /// A server that does not say its address, because it was told.
    pub(crate) fn start_at(command: &mut Command, address: &str) -> Done<Self> {
        Ok(Self::of(command.spawn()?, address.to_owned()))
    }

    fn of(child: Child, address: String) -> Self {
        Self { child, address, is_ending: Arc::default() }
    }

    #[expect(clippy::print_stderr, reason = "it is what the server printed there")]
    fn pass_on_complaints(&mut self) {
        let Some(complaints) = self.child.stderr.take() else { return };
        let is_ending = Arc::clone(&self.is_ending);
        std::thread::spawn(move || {
            for line in BufReader::new(complaints).lines().map_while(Result::ok) {
                if !is_ending.load(Ordering::Relaxed) {
                    eprintln!("{line}");
                }
            }
        });
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> Done<()> {
        self.ask_to_end()?;
        self.child.wait()?;
        Ok(())
    }

    fn ask_to_end(&self) -> std::io::Result<ExitStatus> {
        self.is_ending.store(true, Ordering::Relaxed);
        Command::new("kill").arg(self.id().to_string()).status()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn resident_mib(&self) -> Done<u64> {
        Ok(self.resident_kib()? >> 10)
    }

    /// Of the process and its children.
    pub(crate) fn resident_kib(&self) -> Done<u64> {
        tree(self.id()).into_iter().map(|process| status_kib(process, "VmRSS:")).sum()
    }

    /// The most that the process ever had resident.
    pub(crate) fn peak_kib(&self) -> Done<u64> {
        status_kib(self.id(), "VmHWM:")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let begun = Instant::now();
        // One that has ended has no number any more that could be asked.
        if matches!(self.child.try_wait(), Ok(None)) && self.ask_to_end().is_ok() {
            while begun.elapsed() < END_WAIT_MAX && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let _ended_before = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A server of ours, until it is asked to end: it ends as a house does, so that a build that counts (`cargo xtask dist`)
/// counts it, too.
pub(crate) async fn until_asked_to_end(serving: impl Future<Output = Done<()>>) -> Done<()> {
    let mut asked = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = serving => ended,
        _ = asked.recv() => Ok(()),
    }
}

fn address(line: &str, says: &Says) -> Option<String> {
    match says {
        Says::Json | Says::JsonAlone => {
            let said: serde_json::Value = serde_json::from_str(line).ok()?;
            let address = said.get("address").and_then(serde_json::Value::as_str).map(str::to_owned);
            address.or_else(|| Some(format!("127.0.0.1:{}", said.get("port")?)))
        }
        Says::Url => Some(line.rsplit_once("http://")?.1.trim_end_matches('/').to_owned()),
    }
}

/// `program` on the first processor; the client keeps to the second.
pub(crate) fn pinned(program: &Path) -> Command {
    pinned_to(0, program)
}

pub(crate) fn pinned_to(processor: u32, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &processor.to_string()]).arg(program);
    command
}

pub(crate) fn pin_to_second_processor() {
    let own = std::process::id().to_string();
    let _one_processor_only = Command::new("taskset").args(["-apc", "1", &own]).output();
}

pub(crate) fn pin_this_thread(processor: u32) -> Done<()> {
    let thread = std::fs::read_link("/proc/thread-self")?;
    let thread = thread.file_name().ok_or("a thread without a number")?;
    let pinned = Command::new("taskset").args(["-pc", &processor.to_string()]).arg(thread).output()?;
    if pinned.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&pinned.stderr).into()) }
}

/// An address that nobody listens on, for a server that has to be told one.
pub(crate) fn free_address() -> Done<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Time that these processes and their children were on a processor.
pub(crate) fn processor_time(processes: &[u32]) -> Done<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    let mut ticks = 0;
    for process in processes.iter().flat_map(|process| tree(*process)) {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        // After the name, which may have anything in it, come the state and numbers; 14 and 15 are user and system.
        let (_, numbers) = stat.rsplit_once(')').ok_or("no stat")?;
        for number in numbers.split_whitespace().skip(11).take(2) {
            ticks += number.parse::<u32>()?;
        }
    }
    Ok(TICK * ticks)
}

fn status_kib(process: u32, field: &str) -> Done<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or_else(|| format!("no {field}"))?;
    Ok(line.split_whitespace().next().ok_or_else(|| format!("no {field}"))?.parse()?)
}

fn tree(process: u32) -> Vec<u32> {
    let mut all = vec![process];
    for task in std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|child| child.parse().ok()).flat_map(tree));
    }
    all
}
