use std::fmt::Write as _;

use regex::{Regex, RegexBuilder};

pub fn compile(pattern: &str, ignore_case: Option<bool>) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("the pattern is longer than {PATTERN_BYTES_MAX} bytes"));
    }
    RegexBuilder::new(pattern)
        .case_insensitive(ignore_case.unwrap_or(false))
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .nest_limit(NESTING_MAX)
        .build()
        .map_err(|error| format!("the pattern cannot be used: {error}"))
}

/// The matching lines and those around them, as grep writes them.
pub fn search(text: &str, pattern: &Regex, context: usize, limit: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut found: Vec<usize> = Vec::new();
    let mut more = false;
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| pattern.is_match(line)) {
        if found.len() == limit {
            more = true;
            break;
        }
        found.push(at);
    }
    let mut shown = match (found.len(), more) {
        (0, false) => return format!("no line matches, of {}", lines.len()),
        (1, true) => "the first matching line, of more\n".to_owned(),
        (count, true) => format!("the first {count} matching lines, of more\n"),
        (1, false) => "1 matching line\n".to_owned(),
        (count, false) => format!("{count} matching lines\n"),
    };
    let mut next = 0;
    let mut matches = found.iter().copied().peekable();
    while let Some(at) = matches.next() {
        let from = at.saturating_sub(context).max(next);
        if context > 0 && next > 0 && from > next {
            shown.push_str("--\n");
        }
        let until = (at + context + 1).min(matches.peek().copied().unwrap_or(usize::MAX));
        for (number, line) in lines.iter().enumerate().take(until).skip(from) {
            let sign = if number == at { ':' } else { '-' };
            writeln!(shown, "{}{sign} {}", number + 1, cut(line)).unwrap_or_default();
            if shown.len() > OUTPUT_BYTES_MAX {
                shown.push_str("… cut here: too much to show; narrow the pattern or use less context");
                return shown;
            }
        }
        next = until.min(lines.len());
    }
    shown
}

/// How often something was replaced, and the new text.
pub fn replace(text: &str, pattern: &Regex, replacement: &str, limit: usize) -> Result<(usize, String), String> {
    let (mut new, mut end, mut count) = (String::with_capacity(text.len()), 0, 0);
    for groups in pattern.captures_iter(text).take(limit) {
        let Some(whole) = groups.get(0) else { continue };
        new.push_str(text.get(end..whole.start()).unwrap_or_default());
        groups.expand(replacement, &mut new);
        (end, count) = (whole.end(), count + 1);
        if new.len() > REPLACED_BYTES_MAX {
            return Err(format!("the new text is longer than {REPLACED_BYTES_MAX} bytes; replace less"));
        }
    }
    new.push_str(text.get(end..).unwrap_or_default());
    Ok((count, new))
}

/// A line that is not longer than people and models read.
fn cut(line: &str) -> String {
    match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((at, _)) => format!("{} …", line.get(..at).unwrap_or_default()),
        None => line.to_owned(),
    }
}

const PATTERN_BYTES_MAX: usize = 4_000;
const COMPILED_BYTES_MAX: usize = 4 << 20;
const NESTING_MAX: u32 = 50;
const LINE_CHARS_MAX: usize = 500;
const OUTPUT_BYTES_MAX: usize = 200_000;
const REPLACED_BYTES_MAX: usize = 3 << 20;
