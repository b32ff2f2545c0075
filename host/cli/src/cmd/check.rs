use crate::args::{HouseArgs, Output};
use crate::exit::Exit;
use crate::{opening, output};

/// Checks a manifest and everything that it names, and reports all that is wrong at once.
///
/// It goes as far as starting would: components are read, compiled (out of process) and asked for their
/// tools. Nothing listens and no tool runs.
#[derive(Debug, clap::Args)]
pub struct Check {
    #[command(flatten)]
    house: HouseArgs,
}

pub fn run(args: &Check, format: Output) -> anyhow::Result<Exit> {
    let house = opening::runtime()?.block_on(async { opening::open(opening::check(&args.house)?).await })?;
    let facts = house.facts();
    match format {
        Output::Json => output::say(&serde_json::json!({ "ok": true, "house": facts }).to_string()),
        Output::Text => {
            let manifest = args.house.manifest.display();
            output::say(&format!("{manifest} is right: {} bundles, {} tools", facts.bundles, facts.tools));
            for route in house.routes() {
                let plan = route.plan();
                let patterns = |patterns: &certosa_model::Patterns| {
                    let texts: Vec<_> = patterns.iter().map(certosa_model::Pattern::as_str).collect();
                    if texts.is_empty() { "nobody and nothing".to_owned() } else { texts.join(", ") }
                };
                output::say(&format!(
                    "  {}  tools {}  callers {}",
                    plan.path,
                    patterns(&plan.tools),
                    patterns(&plan.callers)
                ));
            }
            output::say(&format!("  plan {}", facts.plan));
        }
    }
    Ok(Exit::Done)
}
