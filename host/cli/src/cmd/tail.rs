use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;

use crate::args::Output;
use crate::exit::Exit;
use crate::output;

/// Shows calls as they are recorded
///
/// Who called what, how it ended and how long it took. Arguments and results are not
/// recorded and so cannot be shown; the address of a resource is, and so are the words
/// in which a bundle refuses a call.
///
///   certosa tail                        the last 10 calls, and every one from now on
///   certosa tail -n 100 --no-follow     the last 100
///   certosa tail --failed -o json       what went wrong, one JSON object a line
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Tail {
    /// The manifest of the house; its state folder has the records.
    #[arg(value_name = "FILE", default_value = "manifest.capnp")]
    manifest: PathBuf,

    /// The state folder [default: .certosa beside the manifest].
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,

    /// How many calls of the past to show first.
    #[arg(short = 'n', long, value_name = "CALLS", default_value_t = 10)]
    lines: usize,

    /// Ends after the calls of the past.
    #[arg(long)]
    no_follow: bool,

    /// Only calls that did not end with a result: tool errors, refusals, limits, traps.
    #[arg(long)]
    failed: bool,

    /// Only calls of this bundle.
    #[arg(long, value_name = "NAME")]
    bundle: Option<String>,
}

const RECORDS: &str = "records.jsonl";
/// How much of the past is looked at.
const PAST_BYTES_MAX: u64 = 8 << 20;
const LOOK: Duration = Duration::from_millis(100);

#[derive(Deserialize)]
struct Record<'a> {
    time: &'a str,
    way: &'a str,
    caller: &'a str,
    kind: &'a str,
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
    bundle: Option<&'a str>,
    outcome: &'a str,
    #[serde(borrow)]
    reason: Option<std::borrow::Cow<'a, str>>,
    cpu_us: u64,
    wall_us: u64,
    memory_bytes: u64,
}

pub fn run(args: &Tail, format: Output) -> anyhow::Result<Exit> {
    let beside = || args.manifest.parent().map(|folder| folder.join(".certosa")).unwrap_or_default();
    let path = args.state.clone().unwrap_or_else(beside).join(RECORDS);
    let file = File::open(&path).with_context(|| {
        format!("cannot read {}: has a house been opened with this manifest, or is --state missing?", path.display())
    })?;
    let mut reader = BufReader::new(file);
    for line in past(args, &mut reader)? {
        if !show(&line, format) {
            return Ok(Exit::Done);
        }
    }
    if args.no_follow {
        return Ok(Exit::Done);
    }
    let mut line = Vec::new();
    loop {
        // A line may be half written when it is read for the first time.
        match reader.read_until(b'\n', &mut line).context("cannot read the records")? {
            0 => thread::sleep(LOOK),
            _ if !line.ends_with(b"\n") => {}
            _ => {
                let text = String::from_utf8_lossy(&line);
                if args.wants(&text) && !show(text.trim_end(), format) {
                    return Ok(Exit::Done);
                }
                line.clear();
            }
        }
    }
}

/// The last lines of what is there, and the reader at its end.
fn past(args: &Tail, reader: &mut BufReader<File>) -> anyhow::Result<VecDeque<String>> {
    let length = reader.get_ref().metadata()?.len();
    let start = length.saturating_sub(PAST_BYTES_MAX);
    reader.seek(SeekFrom::Start(start))?;
    let mut text = Vec::new();
    reader.take(length - start).read_to_end(&mut text)?;
    // What comes after the last line break is read again when it is whole.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    reader.seek(SeekFrom::Start(start + whole as u64))?;
    let text = String::from_utf8_lossy(text.get(..whole).unwrap_or_default());
    let skipped = usize::from(start > 0);
    let mut last = VecDeque::new();
    for line in text.lines().skip(skipped).filter(|line| args.wants(line)) {
        if last.len() >= args.lines {
            last.pop_front();
        }
        if args.lines > 0 {
            last.push_back(line.to_owned());
        }
    }
    Ok(last)
}

impl Tail {
    fn wants(&self, line: &str) -> bool {
        let Ok(record) = serde_json::from_str::<Record<'_>>(line) else { return false };
        let failed = !matches!(record.outcome, "done" | "input-required");
        (failed || !self.failed) && self.bundle.as_deref().is_none_or(|bundle| record.bundle == Some(bundle))
    }
}

/// Shows a call and says whether anybody reads it.
fn show(line: &str, format: Output) -> bool {
    let record = match (format, serde_json::from_str::<Record<'_>>(line)) {
        (Output::Text, Ok(record)) => record,
        _ => return output::say_if_heard(line),
    };
    let is_good = matches!(record.outcome, "done" | "input-required");
    let time = record.time.get(11..23).unwrap_or(record.time);
    let took = format!("{:.1} ms", record.wall_us as f64 / 1000.0);
    let memory = record.memory_bytes >> 10;
    let reason = record.reason.map(|reason| format!("  {}", in_one_line(&reason))).unwrap_or_default();
    let name = in_one_line(&record.name);
    let name = if record.kind == "tool" { name } else { format!("{} {name}", record.kind) };
    let (caller, way) = (record.caller, record.way);
    let cpu = format!("{:.1}", record.cpu_us as f64 / 1000.0);
    let mark = match (is_good, std::io::stdout().is_terminal()) {
        (true, _) => "",
        (false, true) => "✗ ",
        (false, false) => "! ",
    };
    output::say_if_heard(&format!(
        "{time}  {mark}{:<14}  {name:<28}  {took:>10}  {cpu:>6} ms cpu  {memory:>6} KiB  {caller} ({way}){reason}",
        record.outcome
    ))
}

/// Callers and bundles choose names and reasons: they can neither begin a line nor steer what shows it.
fn in_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}
