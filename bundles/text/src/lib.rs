//! Searching, replacing, comparing and matching of texts the caller brings along.

mod matching;
mod pattern;
mod versions;

use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::Serialize;
use certosa_sdk::{Content, Json, prompt, tool};

/// Searches a text for a regular expression and returns the lines that match, as grep does: `12:` before a line that
/// matches, `11-` before a line around it, `--` between groups.
///
/// Use it to find places in a long text. The syntax is that of Rust's regex: `(?i)error|warn`, `\bfn\s+(\w+)`,
/// `^\d{4}-`, `\p{Lu}`; no look-around and no back-references. A match never spans lines.
#[tool(title = "Search by pattern", read_only, idempotent)]
fn search(
    /// The text, at most 1 MiB.
    text: String,
    /// The regular expression.
    pattern: String,
    /// How many lines to show before and after each match. Default: 0; at most 100.
    context: Option<usize>,
    /// Ignore the case of letters. Default: false.
    ignore_case: Option<bool>,
    /// Stop after this many matching lines. Default: 100; at most 2000.
    limit: Option<usize>,
) -> Result<String, String> {
    let pattern = pattern::compile(&pattern, ignore_case)?;
    let limit = limit.unwrap_or(100).clamp(1, MATCHES_MAX);
    Ok(pattern::search(bounded("text", &text)?, &pattern, context.unwrap_or(0).min(CONTEXT_MAX), limit))
}

/// Replaces what a regular expression matches and returns how often, then the new text.
///
/// In the replacement `$1` or `${name}` stands for a group, `$0` for the whole match, `$$` for a dollar sign; write
/// `${1}0` where a digit or letter follows. `^` and `$` match at lines only with `(?m)`.
#[tool(title = "Replace by pattern", read_only, idempotent)]
fn replace(
    /// The text, at most 1 MiB.
    text: String,
    /// The regular expression, as in `search`; it may match across lines.
    pattern: String,
    /// What to put in the place of each match. Empty deletes it.
    replacement: String,
    /// Ignore the case of letters. Default: false.
    ignore_case: Option<bool>,
    /// Replace at most this many matches, from the beginning. Default: all.
    limit: Option<usize>,
) -> Result<Vec<Content>, String> {
    let pattern = pattern::compile(&pattern, ignore_case)?;
    let text = bounded("text", &text)?;
    let (count, text) = pattern::replace(text, &pattern, &replacement, limit.unwrap_or(usize::MAX))?;
    Ok(match count {
        0 => vec![Content::Text("nothing matched; the text stays as it is".to_owned())],
        1 => vec![Content::Text("1 replacement".to_owned()), Content::Text(text)],
        count => vec![Content::Text(format!("{count} replacements")), Content::Text(text)],
    })
}

/// Compares two texts line by line and returns a unified diff, as `diff -u` does.
///
/// Use it to see what changed between versions of code, configuration or any text with short lines; for prose
/// `compare` is better.
#[tool(title = "Line diff", read_only, idempotent)]
fn diff(
    /// The old text, at most 1 MiB.
    old: String,
    /// The new text, at most 1 MiB.
    new: String,
    /// How many unchanged lines to show around changes. Default: 3; at most 100.
    context: Option<usize>,
    /// What the texts are called in the first lines, such as a file name. Default: `text`.
    name: Option<String>,
    /// Ignore differences in white space. Default: false.
    ignore_whitespace: Option<bool>,
) -> Result<String, String> {
    let (old, new) = (bounded("old", &old)?, bounded("new", &new)?);
    let name = name.as_deref().unwrap_or("text").replace(['\n', '\r'], " ");
    let context = context.unwrap_or(3).min(CONTEXT_MAX);
    Ok(match versions::unified(old, new, context, &name, ignore_whitespace.unwrap_or(false)) {
        same if same.is_empty() => "the texts are the same".to_owned(),
        diff => diff,
    })
}

/// Compares two texts word by word and returns their similarity from 0 to 1 and the new text with its changes marked:
/// `[-removed-]` and `{+added+}`. Long stretches without a change are shortened to `…`.
///
/// Use it for prose, sentences and versions of a document.
#[tool(title = "Word diff and similarity", read_only, idempotent)]
fn compare(
    /// The old text, at most 1 MiB.
    old: String,
    /// The new text, at most 1 MiB.
    new: String,
) -> Result<String, String> {
    Ok(versions::words(bounded("old", &old)?, bounded("new", &new)?))
}

/// Finds the candidates that are most like a query, in spite of typing errors, word order and case.
///
/// Use it to find what somebody meant in a list of names, titles, files or options. 1 is the same text, above 0.8 is
/// close, below 0.4 is usually chance.
#[tool(title = "Best fuzzy matches", read_only, idempotent)]
fn best_matches(
    /// What to look for, at most 200 characters.
    query: String,
    /// What to choose from: at most 10,000 texts of 100,000 bytes in all.
    candidates: Vec<String>,
    /// How many matches to return. Default: 5; at most 100.
    limit: Option<usize>,
) -> Result<Json<Matches>, String> {
    let matches = matching::best(&query, &candidates, limit.unwrap_or(5).clamp(1, BEST_MAX))?;
    Ok(Json(Matches { matches }))
}

#[derive(Serialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
struct Matches {
    /// The best first.
    matches: Vec<matching::Match>,
}

/// Asks for a review of what changed between two versions of a text.
#[prompt(title = "Review changes")]
fn review_changes(
    /// The old text.
    old: String,
    /// The new text.
    new: String,
    /// What the change is meant to do, or what to look at.
    purpose: Option<String>,
) -> Result<String, String> {
    let diff = versions::unified(bounded("old", &old)?, bounded("new", &new)?, 5, "text", false);
    if diff.is_empty() {
        return Err("the texts are the same: there is nothing to review".to_owned());
    }
    let purpose = purpose.map_or(String::new(), |purpose| format!("\n\nThe change is meant to: {purpose}"));
    let fence = versions::fence(&diff);
    Ok(format!(
        "Please review this change. Say first in one sentence what it does, then list problems, the gravest first, each \
         with the line it is about and what to do instead; do not repeat what is fine.{purpose}\n\n\
         {fence}diff\n{diff}{fence}"
    ))
}

fn bounded<'a>(name: &str, text: &'a str) -> Result<&'a str, String> {
    match text.len() {
        ..=TEXT_BYTES_MAX => Ok(text),
        length => Err(format!("`{name}` has {length} bytes; at most {TEXT_BYTES_MAX}, so pass a part of it")),
    }
}

const TEXT_BYTES_MAX: usize = 1 << 20;
const CONTEXT_MAX: usize = 100;
const MATCHES_MAX: usize = 2_000;
const BEST_MAX: usize = 100;

certosa_sdk::bundle!(
    tools: [search, replace, diff, compare, best_matches],
    prompts: [review_changes],
    resources: [],
);
