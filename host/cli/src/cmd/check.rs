use certosa_manifest::Problems;

use crate::args::{HouseArgs, Output};
use crate::exit::Exit;
use crate::{opening, output, words};

/// Checks a manifest and everything that it names, and reports all that is wrong at once.
///
/// It goes as far as starting would: components are read, compiled (out of process) and asked for what they
/// offer. Nothing listens and no tool runs. It is stricter than starting: a bundle that cannot say what it
/// offers, or whose names are hidden by another's, is a mistake here and a warning there. Functions that cannot
/// be tools are a warning in both.
#[derive(Debug, clap::Args)]
pub struct Check {
    #[command(flatten)]
    house: HouseArgs,
}

pub fn run(args: &Check, format: Output) -> anyhow::Result<Exit> {
    let house = opening::runtime()?.block_on(async { opening::look(opening::check(&args.house)?).await })?;
    // A house opens without a bundle that cannot say what it offers. Whoever checks wants to know.
    if let Some(problems) = Problems::new(house.warnings()) {
        return Err(problems.into());
    }
    let facts = house.facts();
    match format {
        Output::Json => {
            let found = serde_json::json!({ "ok": true, "house": facts, "notes": house.notes() });
            output::say(&found.to_string());
        }
        Output::Text => {
            house.notes().iter().for_each(output::warn);
            let manifest = args.house.manifest.display();
            let offered = format!("{} tools, {} prompts, {} resources", facts.tools, facts.prompts, facts.resources);
            output::say(&format!("{manifest} is right: {} bundles, {offered}", facts.bundles));
            for route in house.routes() {
                let plan = route.plan();
                let patterns = |patterns| words::patterns(patterns, "none");
                output::say(&format!(
                    "  {}  tools {}  prompts {}  resources {}  callers {}",
                    plan.path,
                    patterns(&plan.tools),
                    patterns(&plan.prompts),
                    patterns(&plan.resources),
                    patterns(&plan.callers)
                ));
            }
            output::say(&format!("  plan {}", facts.plan));
        }
    }
    Ok(Exit::Done)
}
