//! jq in a cell: the caller's filter runs over the caller's JSON, on the jaq libraries as they are. Whatever
//! the filter does, it cannot leave the cell.

use certosa_sdk::serde_json::value::RawValue;
use certosa_sdk::tool;
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Val, read};

const RESULTS_MAX: usize = 10_000;

/// Runs a jq filter over a JSON value and returns every result on a line of its own.
///
/// Use it to select, reshape, count, sort or group JSON instead of reading all of it. Examples of filters:
/// `.items | length`, `[.[] | select(.price > 10) | {name, price}]`, `group_by(.kind) | map({(.[0].kind): length}) | add`,
/// `to_entries[] | "\(.key)=\(.value)"`.
#[tool(title = "Query JSON with jq", read_only, idempotent)]
#[expect(clippy::boxed_local, reason = "what is raw has no size that is known")]
fn query(
    /// The jq filter (jq 1.7 syntax; no modules, no input/output functions).
    filter: String,
    /// The JSON value to run it over.
    input: Box<RawValue>,
    /// Write results that are strings as plain text instead of JSON. Default: false.
    raw: Option<bool>,
) -> Result<String, String> {
    let input = read::parse_single(input.get().as_bytes()).map_err(|error| format!("input: {error}"))?;
    let arena = Arena::default();
    let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let program = File { code: filter.as_str(), path: () };
    let modules = Loader::new(defs).load(&arena, program).map_err(|errors| explain_syntax(&filter, errors))?;
    let funs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let compiled = Compiler::default().with_funs(funs).compile(modules).map_err(explain_names)?;

    let context = Ctx::<data::JustLut<Val>>::new(&compiled.lut, Vars::new([]));
    let mut lines = Vec::new();
    for result in compiled.id.run((context, input)).map(unwrap_valr) {
        let value = result.map_err(|error| format!("the filter failed: {error}"))?;
        if lines.len() == RESULTS_MAX {
            return Err(format!("more than {RESULTS_MAX} results; narrow the filter, for example with limit(100; …)"));
        }
        lines.push(shown(&value, raw.unwrap_or(false)));
    }
    Ok(lines.join("\n"))
}

fn shown(value: &Val, raw: bool) -> String {
    match value {
        Val::TStr(text) if raw => String::from_utf8_lossy(text).into_owned(),
        value => value.to_string(),
    }
}

fn explain_syntax(filter: &str, errors: load::Errors<&str, ()>) -> String {
    let place = |part: &str| load::span(filter, part).start;
    let mut said = Vec::new();
    for (_, error) in errors {
        match error {
            load::Error::Io(errors) => said.extend(errors.iter().map(|(path, why)| format!("{path}: {why}"))),
            load::Error::Lex(errors) => {
                said.extend(
                    errors
                        .iter()
                        .map(|(expected, at)| format!("expected {} at character {}", expected.as_str(), place(at))),
                );
            }
            load::Error::Parse(errors) => {
                said.extend(
                    errors
                        .iter()
                        .map(|(expected, at)| format!("expected {} at character {}", expected.as_str(), place(at))),
                );
            }
        }
    }
    format!("the filter is not jq: {}", said.join("; "))
}

fn explain_names(errors: jaq_core::compile::Errors<&str, ()>) -> String {
    let names = errors.iter().flat_map(|(_, errors)| errors);
    let names: Vec<_> = names.map(|(name, kind)| format!("undefined {} {name}", kind.as_str())).collect();
    format!("the filter cannot be run: {}", names.join("; "))
}

certosa_sdk::bundle!(query);
