//! Hostile guests, one behaviour each, and beside them the honest call that stays just inside the limit. The
//! tests of the host run them; no house that serves people should.

mod offers;

use std::hint::black_box;
use std::time::{Duration, Instant};

use certosa_sdk::serde_json::Value;
use certosa_sdk::{
    Call, Content, Form, Hints, IntoOutcome as _, Level, Outcome, Question, QuestionKind, Questions, Refusal, Tool,
    ToolInfo, ToolResult, tool,
};

/// Computes without end.
#[tool]
fn spin() -> String {
    let mut number = 0u64;
    loop {
        number = black_box(number.wrapping_add(1));
    }
}

/// Computes for some time and returns.
#[tool]
fn compute(
    /// For how long.
    ms: u32,
) -> String {
    work(Duration::from_millis(ms.into()));
    "computed".to_owned()
}

/// Computes in pieces, and waits for as short as it can in between.
#[tool]
fn pulse(
    /// How long each piece is.
    us: u32,
    /// How many there are.
    count: u32,
) -> String {
    for _ in 0..count {
        work(Duration::from_micros(us.into()));
        std::thread::sleep(Duration::from_nanos(1));
    }
    "computed".to_owned()
}

fn work(time: Duration) {
    let end = Instant::now() + time;
    let mut number = 0u64;
    while Instant::now() < end {
        for _ in 0..1000 {
            number = black_box(number.wrapping_add(1));
        }
    }
}

/// Waits for some time and returns.
#[tool]
fn sleep(
    /// For how long.
    ms: u32,
) -> String {
    std::thread::sleep(Duration::from_millis(ms.into()));
    "slept".to_owned()
}

/// Takes memory and keeps it.
#[tool]
fn hoard(
    /// How much.
    mib: u32,
) -> String {
    let mut hoard = Vec::new();
    for _ in 0..mib {
        hoard.push(black_box(vec![1u8; 1 << 20]));
    }
    format!("holding {} MiB", hoard.len())
}

/// Calls itself.
#[tool]
fn recurse(
    /// How deep.
    depth: u32,
) -> String {
    format!("came back from {}", descend(depth))
}

/// The host's stack is what runs out first: a level keeps hardly anything in the guest's own memory.
#[inline(never)]
fn descend(depth: u32) -> u32 {
    let next: fn(u32) -> u32 = black_box(descend);
    if depth == 0 { 0 } else { next(depth - 1).rotate_left(depth).wrapping_mul(3) }
}

/// Returns much.
#[tool]
fn flood(
    /// How much.
    kib: u32,
) -> String {
    "x".repeat((kib as usize) << 10)
}

/// Returns many small pieces.
#[tool]
fn crumbs(
    /// How many pieces of one byte.
    count: u32,
) -> Vec<Content> {
    (0..count).map(|_| Content::Text("x".to_owned())).collect()
}

/// Writes log messages, to the client and to standard error.
#[tool]
fn chatter(
    call: &Call,
    /// How many of each.
    count: u32,
) -> String {
    for number in 0..count {
        call.log(Level::Info, &format!("message {number}"));
        eprintln!("line {number}");
    }
    "said".to_owned()
}

/// Holds many streams at the same time, and waits for each.
#[tool]
fn streams(
    /// How many.
    count: u32,
) -> String {
    let streams: Vec<_> = (0..count).map(|_| wasip2::cli::stderr::get_stderr()).collect();
    streams.iter().for_each(|stream| stream.subscribe().block());
    format!("held {} streams", streams.len())
}

/// Reports progress, with some time in between.
#[tool]
fn steps(
    call: &Call,
    /// How many steps.
    count: u32,
    /// Time between two steps.
    ms: u32,
) -> String {
    for step in 0..=count {
        call.progress(step.into(), Some(count.into()), None);
        std::thread::sleep(Duration::from_millis(ms.into()));
    }
    "done".to_owned()
}

/// Panics.
#[tool]
fn panic() -> String {
    panic!("the probe panics on purpose")
}

/// Ends its own process.
#[tool]
fn exit() -> String {
    std::process::exit(7)
}

/// Counts its calls in a global, which a fresh cell never lets it.
#[tool]
fn count() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static CALLS: AtomicU32 = AtomicU32::new(0);
    (CALLS.fetch_add(1, Ordering::Relaxed) + 1).to_string()
}

/// Tries to reach everything outside of the cell and says what it got hold of.
#[tool]
fn reach() -> String {
    let mut reached = Vec::new();
    for path in ["/", ".", "/etc/passwd", "/proc/self/environ", "../../etc/passwd"] {
        if std::fs::metadata(path).is_ok() || std::fs::read(path).is_ok() {
            reached.push(format!("file {path}"));
        }
    }
    if std::fs::write("/tmp/certosa-probe", "here").is_ok() {
        reached.push("writing a file".to_owned());
    }
    reached.extend(std::env::vars().map(|(name, _)| format!("variable {name}")));
    reached.extend(std::env::args().map(|arg| format!("argument {arg}")));
    for address in ["127.0.0.1:22", "127.0.0.1:8787", "169.254.169.254:80", "[::1]:80"] {
        match std::net::TcpStream::connect(address) {
            Ok(_) => reached.push(format!("connection to {address}")),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                reached.push(format!("the network: {address} refused"));
            }
            Err(_) => {}
        }
    }
    if std::net::TcpListener::bind("127.0.0.1:0").is_ok() {
        reached.push("listening".to_owned());
    }
    if std::net::UdpSocket::bind("127.0.0.1:0").is_ok() {
        reached.push("a UDP socket".to_owned());
    }
    if std::net::ToSocketAddrs::to_socket_addrs("localhost:80").is_ok() {
        reached.push("name lookup".to_owned());
    }
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
        reached.push("standard input".to_owned());
    }
    if reached.is_empty() { "nothing".to_owned() } else { reached.join(", ") }
}

/// Asks for a name and greets with the answer. Works only if its state came back as it was.
#[tool]
fn ask(call: &Call) -> Result<Outcome, String> {
    let Some(answer) = call.answer::<Value>("name") else {
        let schema = r#"{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}"#.to_owned();
        let form = Form { message: "What is your name?".to_owned(), schema };
        let question = Question { id: "name".to_owned(), kind: QuestionKind::Form(form) };
        return Ok(Outcome::InputRequired(Questions { ask: vec![question], state: Some(b"asked".to_vec()) }));
    };
    match (answer["content"]["name"].as_str(), call.state()) {
        (Some(name), Some(b"asked")) => format!("Hello, {name}!").into_outcome().map_err(|_| "no outcome".to_owned()),
        (_, state) => Err(format!("cannot greet with {answer} and the state {state:?}")),
    }
}

/// A tool that promises structured content and breaks its word in a way of the caller's choice.
#[allow(non_camel_case_types, reason = "named as the tool is")]
struct lie {}

impl Tool for lie {
    const NAME: &'static str = "lie";

    fn describe() -> ToolInfo {
        ToolInfo {
            name: "lie".to_owned(),
            title: None,
            description: "Promises {\"n\": integer} and returns what it is told to.".to_owned(),
            input_schema: r#"{"type":"object","properties":{"structured":{"type":"string"}}}"#.to_owned(),
            output_schema: Some(
                r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#.to_owned(),
            ),
            hints: Hints::empty(),
        }
    }

    fn call(call: &Call) -> Result<Outcome, Refusal> {
        let arguments: Value = call.arguments()?;
        let structured = arguments["structured"].as_str().map(str::to_owned);
        Ok(Outcome::Done(ToolResult { content: Vec::new(), structured, is_error: false }))
    }
}

certosa_sdk::bundle!(
    tools: [
        spin, compute, pulse, sleep, hoard, recurse, flood, crumbs, chatter, streams, steps, panic, exit, count, reach, ask, lie,
        offers::touch, offers::touch_many, offers::touch_and_panic, offers::announce, offers::ask_all,
    ],
    prompts: [offers::asking, offers::picky, offers::panicking],
    resources: [offers::secret, offers::numbers, offers::tree],
);
