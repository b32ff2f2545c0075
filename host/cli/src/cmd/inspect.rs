use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use certosa_house::Offer;
use certosa_isolate::{Code, CodeError, Description, Form, Machine, Shape, Skipped, check_shape, compile, describe};
use certosa_model::{CellLimits, CompileLimits, TOOL_NAME_BYTES_MAX};
use certosa_syscall::Need;

use crate::args::Output;
use crate::exit::Exit;
use crate::{opening, output};

/// Looks at a component before it is trusted with anything: digest, imports, exports, tools.
///
/// Listing the tools runs the component's `list-tools` in a cell with tight limits; nothing else of it runs, and
/// of a component whose functions are its tools nothing at all.
#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// The component.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,

    /// Print its world as WIT text and stop.
    #[arg(long)]
    wit: bool,
}

const CELL: CellLimits = CellLimits {
    memory_bytes_max: 256 << 20,
    cpu_ms_max: 5_000,
    wall_ms_max: 10_000,
    output_bytes_max: 8 << 20,
    stack_bytes_max: 512 << 10,
    handles_max: 1024,
    logs_max: 0,
    random_bytes_max: 64 << 10,
    concurrency_max: 1,
    caller_concurrency_max: 1,
    queue_max: 1,
};

pub fn run(args: &Inspect, format: Output) -> anyhow::Result<Exit> {
    let file = args.file.display();
    let bytes = fs::read(&args.file).with_context(|| format!("cannot read {file}"))?;
    let shape = match check_shape(&bytes) {
        Ok(shape) => shape,
        Err(error) => return Ok(unusable(&error.to_string(), format)),
    };
    if args.wit {
        return Ok(match usable(opening::wit(&bytes)?)? {
            Ok(text) => {
                output::say(text.trim_end());
                Exit::Done
            }
            Err(why) => unusable(&why, format),
        });
    }
    let found = offer(&bytes, &shape)?;
    match format {
        Output::Text => describe_all(&shape, &found),
        Output::Json => {
            let not_granted: Vec<_> = not_granted(&shape).collect();
            let (offer, why) = (found.offer.as_ref().ok(), found.offer.as_ref().err());
            let found = serde_json::json!({
                "component": shape, "notGranted": not_granted, "offer": offer, "skipped": found.skipped, "unusable": why,
            });
            output::say(&found.to_string());
        }
    }
    Ok(if found.offer.is_ok() { Exit::Done } else { Exit::Wrong })
}

struct Found {
    /// What the component offers, or why a house could not use it.
    offer: Result<Offer, String>,
    /// Exports that are no tools.
    skipped: Vec<Skipped>,
}

impl Found {
    fn unusable(why: impl ToString) -> Self {
        Self { offer: Err(why.to_string()), skipped: Vec::new() }
    }
}

fn offer(bytes: &[u8], shape: &Shape) -> anyhow::Result<Found> {
    if let Some(import) = not_granted(shape).next() {
        return Ok(Found::unusable(format!("it imports {import}, which no manifest can grant yet")));
    }
    let compilers = opening::compilers()?;
    let code = match usable(compile(bytes, &compilers.program, compilers.task, CompileLimits::default()))? {
        Ok(code) => code,
        Err(why) => return Ok(Found::unusable(why)),
    };
    let described = match shape.form() {
        Form::Nothing => return Ok(Found::unusable("none of its exports is for a house")),
        Form::World => None,
        Form::Typed => {
            match usable(describe(bytes, &compilers.program, compilers.describe_task, CompileLimits::default()))? {
                Ok(described) => Some(described),
                Err(why) => return Ok(Found::unusable(why)),
            }
        }
    };
    listed(&code, described)
}

/// What a component says that it offers, or what was found in it.
fn listed(code: &[u8], described: Option<Description>) -> anyhow::Result<Found> {
    let machine = Machine::new(1, [&CELL])?;
    let image = match &described {
        None => machine.image(Code::Bytes(code), CELL.stack_bytes_max),
        Some(described) => machine.typed_image(Code::Bytes(code), CELL.stack_bytes_max, described, TOOL_NAME_BYTES_MAX),
    };
    let image = match image {
        Ok(image) => Arc::new(image),
        Err(error) => return Ok(Found::unusable(error)),
    };
    let schemas_bytes_max = if described.is_some() { usize::MAX } else { CELL.memory_bytes_max };
    let listed = opening::runtime()?.block_on(machine.list(&image, &CELL));
    let offer = match listed.result {
        Ok(listed) if described.is_some() && listed.tools.is_empty() => {
            Err("none of its exports can be a tool".to_owned())
        }
        Ok(listed) => Offer::check(listed, schemas_bytes_max).map_err(|wrong| wrong.join("; ")),
        Err(error) => Err(format!("listing what it offers failed: {error:?}")),
    };
    Ok(Found { offer, skipped: image.skipped().to_vec() })
}

/// Tells what is wrong with the component from what is wrong with this machine.
fn usable<T>(made: Result<T, CodeError>) -> anyhow::Result<Result<T, String>> {
    match made {
        Err(error @ CodeError::Job(_)) => Err(error.into()),
        made => Ok(made.map_err(|error| error.to_string())),
    }
}

fn not_granted(shape: &Shape) -> impl Iterator<Item = &String> {
    shape.imports.iter().filter(|import| certosa_syscall::need(import) == Need::Door)
}

fn unusable(why: &str, format: Output) -> Exit {
    match format {
        Output::Text => output::complain(&format!("error: {why}")),
        Output::Json => output::say(&serde_json::json!({ "unusable": why }).to_string()),
    }
    Exit::Wrong
}

fn describe_all(shape: &Shape, found: &Found) {
    output::say(&format!("digest   {}", shape.digest));
    output::say(&format!("size     {} KiB", shape.bytes.div_ceil(1024)));
    output::say("imports");
    for import in &shape.imports {
        let note = match certosa_syscall::need(import) {
            Need::Nothing => "",
            Need::Egress => "   ← needs `egress` in the manifest",
            Need::Credential => "   ← needs a credential for it in the manifest",
            Need::Door => "   ← cannot be granted",
        };
        output::say(&format!("  {import}{note}"));
    }
    output::say("exports");
    for export in &shape.exports {
        output::say(&format!("  {export}"));
    }
    match &found.offer {
        Err(why) => output::say(&format!("no house can use it: {why}")),
        Ok(Offer { tools, prompts, resources, templates }) => {
            let optional = |text: &Option<String>| text.clone().unwrap_or_default();
            list("tools", tools.iter().map(|tool| (tool.name.as_str(), tool.description.clone())));
            list("prompts", prompts.iter().map(|prompt| (prompt.name.as_str(), optional(&prompt.description))));
            list("resources", resources.iter().map(|found| (found.uri.as_str(), optional(&found.description))));
            let templates = templates.iter().map(|found| (found.uri_template.as_str(), optional(&found.description)));
            list("templates", templates);
        }
    }
    list("skipped", found.skipped.iter().map(|skipped| (skipped.export.as_str(), skipped.reason.clone())));
}

fn list<'a>(what: &str, items: impl Iterator<Item = (&'a str, String)>) {
    let mut items = items.peekable();
    if items.peek().is_some() {
        output::say(what);
    }
    for (name, description) in items {
        output::say(&format!("  {name:<20} {}", description.lines().next().unwrap_or("")));
    }
}
