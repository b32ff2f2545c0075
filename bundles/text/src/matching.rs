use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::Serialize;
use strsim::{normalized_levenshtein, sorensen_dice};

#[derive(Serialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Match {
    candidate: String,
    /// Its place in `candidates`, from 0.
    index: usize,
    /// From 0 to 1.
    score: f64,
}

/// The candidates most like the query, the best first.
pub fn best(query: &str, candidates: &[String], limit: usize) -> Result<Vec<Match>, String> {
    let query = query.trim().to_lowercase();
    let letters: usize = candidates.iter().map(String::len).sum();
    match (query.chars().count(), candidates.len(), letters) {
        (0, ..) => return Err("`query` is empty".to_owned()),
        (length, ..) if length > QUERY_CHARS_MAX => {
            return Err(format!("`query` has {length} characters; at most {QUERY_CHARS_MAX}"));
        }
        (_, 0, _) => return Err("`candidates` is empty: there is nothing to choose from".to_owned()),
        (_, count, _) if count > CANDIDATES_MAX => {
            return Err(format!("{count} candidates are too many; at most {CANDIDATES_MAX}"));
        }
        (.., letters) if letters > LETTERS_MAX => {
            return Err(format!("the candidates have {letters} bytes in all; at most {LETTERS_MAX}"));
        }
        _ => {}
    }
    let mut scored: Vec<(usize, f64)> =
        candidates.iter().enumerate().map(|(index, text)| (index, likeness(&query, text))).collect();
    scored.retain(|(_, score)| *score > 0.0);
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    let best = scored.into_iter().take(limit).filter_map(|(index, score)| {
        let candidate = candidates.get(index)?.clone();
        Some(Match { candidate, index, score: (score * 1000.0).round() / 1000.0 })
    });
    Ok(best.collect())
}

/// Letters in order find typing errors, sorted words and pairs of letters find words in another order, and what
/// contains the query is close in any case.
fn likeness(query: &str, candidate: &str) -> f64 {
    let candidate = candidate.trim().to_lowercase();
    let contained = if candidate.contains(query) {
        CONTAINED + (1.0 - CONTAINED) * query.len() as f64 / candidate.len().max(1) as f64
    } else {
        0.0
    };
    normalized_levenshtein(query, &candidate)
        .max(normalized_levenshtein(&sorted(query), &sorted(&candidate)))
        .max(sorensen_dice(query, &candidate))
        .max(contained)
}

/// The words of a text in the order of the alphabet.
fn sorted(text: &str) -> String {
    let mut words: Vec<_> =
        text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words.join(" ")
}

const CONTAINED: f64 = 0.8;
const QUERY_CHARS_MAX: usize = 200;
const CANDIDATES_MAX: usize = 10_000;
const LETTERS_MAX: usize = 100_000;
