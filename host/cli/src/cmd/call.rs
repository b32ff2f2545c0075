use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use certosa_house::{Ask, CallError, Way};
use certosa_model::{Event, LogLevel};
use certosa_syscall::Hearing;
use certosa_syscall::guest::{Askable, Content, Outcome, ResourceBody};
use tokio::sync::mpsc;

use crate::args::{HouseArgs, Output};
use crate::cmd::tools::Who;
use crate::exit::Exit;
use crate::{opening, output};

/// Calls a tool in this process, without a server
///
/// Everything else is the same as over HTTP: policy, limits and record included.
///
///   certosa call hello_greet '{"name": "Ana"}'
///   certosa call jq_query - < arguments.json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Call {
    /// The tool, as the route calls it: bundle_tool.
    tool: String,

    /// Its arguments, a JSON object; `-` reads them from standard input.
    #[arg(default_value = "{}")]
    arguments: String,

    /// The manifest.
    #[arg(short, long, value_name = "FILE", default_value = "manifest.capnp")]
    manifest: PathBuf,

    /// The folder for the cache and the records [default: .certosa beside the manifest].
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,

    #[command(flatten)]
    who: Who,
}

const EVENTS_MAX: usize = 64;

pub fn run(args: &Call, format: Output) -> anyhow::Result<Exit> {
    let arguments = match args.arguments.as_str() {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read the arguments")?;
            text
        }
        text => text.to_owned(),
    };
    let house = HouseArgs { manifest: args.manifest.clone(), state: args.state.clone() };
    let result = opening::runtime()?.block_on(async {
        let house = opening::open(opening::check(&house)?).await?;
        let caller = args.who.caller()?;
        let listings = house.listings();
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let telling = tokio::spawn(tell(events));
        let call = certosa_house::Call {
            way: Way::Cli,
            caller: &caller,
            route: args.who.route(&house)?.view(&listings),
            ask: Ask::Tool { name: &args.tool, arguments: &arguments },
            answers: Vec::new(),
            state: None,
            askable: Askable::empty(),
            hearing: Hearing { progress: true, log: Some(LogLevel::Info), events: Some(sender) },
            trace: None,
        };
        let recorded = tokio::select! {
            recorded = house.call(call) => recorded?,
            never = house.follow_vault() => match never {},
        };
        house.note_uses().await;
        telling.await?;
        // One call, one record: there is no answer before it is written.
        house.close()?;
        anyhow::Ok(recorded.into_inner().result)
    })?;
    match format {
        Output::Json => output::say(&certosa_mcp::render_result(&result)),
        Output::Text => match &result {
            Ok(Outcome::Tool(done)) => done.content.iter().for_each(|content| output::say(&shown(content))),
            Ok(_) => output::say(&certosa_mcp::render_result(&result)),
            Err(error) => output::complain(&format!("error: {error}")),
        },
    }
    Ok(match &result {
        Ok(Outcome::Tool(done)) if done.is_error => Exit::ToolError,
        Ok(_) => Exit::Done,
        Err(CallError::Limit(..) | CallError::Bundle(_)) => Exit::Ended,
        Err(CallError::Host(_)) => Exit::Machine,
        Err(_) => Exit::Refused,
    })
}

async fn tell(mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        match event {
            Event::Log { level, data } => output::complain(&format!("{}: {data}", level.as_str())),
            Event::Progress(progress) => {
                let total = progress.total.map(|total| format!(" of {total}")).unwrap_or_default();
                let message = progress.message.map(|text| format!(": {text}")).unwrap_or_default();
                output::complain(&format!("progress {}{total}{message}", progress.done));
            }
        }
    }
}

fn shown(content: &Content) -> String {
    match content {
        Content::Text(text) => text.clone(),
        Content::Image(media) => format!("[image, {}, {} bytes]", media.mime_type, media.data.len()),
        Content::Audio(media) => format!("[audio, {}, {} bytes]", media.mime_type, media.data.len()),
        Content::Link(link) => format!("[{}]({})", link.name, link.uri),
        Content::Resource(resource) => match &resource.body {
            ResourceBody::Text(text) => format!("{}:\n{text}", resource.uri),
            ResourceBody::Blob(bytes) => format!("[{}, {} bytes]", resource.uri, bytes.len()),
        },
    }
}
