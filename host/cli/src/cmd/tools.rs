use anyhow::Context as _;
use certosa_house::{House, List, Offered, Route};
use certosa_model::Subject;
use certosa_policy::Caller;

use crate::args::{HouseArgs, Output};
use crate::exit::Exit;
use crate::{opening, output};

/// Lists the tools that a caller sees on a route, as an MCP client would.
#[derive(Debug, clap::Args)]
pub struct Tools {
    #[command(flatten)]
    house: HouseArgs,

    #[command(flatten)]
    who: Who,
}

/// As whom, and by which way.
#[derive(Debug, clap::Args)]
pub struct Who {
    /// The route [default: the first one of the manifest].
    #[arg(long, value_name = "PATH")]
    route: Option<String>,

    /// The caller, as a subject; whoever can run this command is the operator and may try any.
    #[arg(long = "as", value_name = "SUBJECT", default_value = "anonymous/loopback")]
    caller: String,
}

impl Who {
    pub fn caller(&self) -> anyhow::Result<Caller> {
        let subject = Subject::new(&self.caller).with_context(|| format!("{:?} is not a subject", self.caller))?;
        Ok(Caller::identified(subject))
    }

    pub fn route<'h>(&self, house: &'h House) -> anyhow::Result<Route<'h>> {
        match &self.route {
            None => house.routes().next().context("the manifest declares no route"),
            Some(path) => house.route(path).with_context(|| format!("there is no route {path}")),
        }
    }
}

pub fn run(args: &Tools, format: Output) -> anyhow::Result<Exit> {
    let house = opening::runtime()?.block_on(async { opening::look(opening::check(&args.house)?).await })?;
    let (caller, route) = (args.who.caller()?, args.who.route(&house)?);
    let listings = house.listings();
    for view in route.view(&listings).items(List::Tools, &caller) {
        let Offered::Tool(tool) = view.offered else { continue };
        match format {
            Output::Text => {
                let first = tool.description.lines().next().unwrap_or("");
                output::say(&format!("{:<28} {first}", view.name));
            }
            Output::Json => {
                let line = serde_json::json!({
                    "name": view.name,
                    "subject": view.subject,
                    "bundle": view.bundle,
                    "title": tool.title,
                    "description": tool.description,
                    "inputSchema": serde_json::from_str::<serde_json::Value>(&tool.input_schema)?,
                });
                output::say(&line.to_string());
            }
        }
    }
    Ok(Exit::Done)
}
