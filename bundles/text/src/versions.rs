use std::time::Duration;

use similar::{ChangeTag, TextDiff, WhitespaceMode};

/// A unified diff; empty if nothing differs.
pub fn unified(old: &str, new: &str, context: usize, name: &str, ignore_whitespace: bool) -> String {
    let mode = if ignore_whitespace { WhitespaceMode::IgnoreAll } else { WhitespaceMode::Exact };
    let diff = TextDiff::configure().timeout(TIME_MAX).whitespace_mode(mode).diff_lines(old, new);
    diff.unified_diff().context_radius(context).header(&format!("old/{name}"), &format!("new/{name}")).to_string()
}

/// The similarity of two texts, and the new one with its changes marked.
pub fn words(old: &str, new: &str) -> String {
    let diff = TextDiff::configure().timeout(TIME_MAX).diff_unicode_words(old, new);
    let mut marked = Marked::default();
    for change in diff.iter_all_changes() {
        marked.push(change.tag(), change.value());
    }
    marked.finish()
}

/// A fence of Markdown that nothing in the text can close.
pub fn fence(text: &str) -> String {
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// Pieces of two texts, as they are put together: runs of one kind, and how many words of each.
#[derive(Default)]
struct Marked {
    text: String,
    run: Option<(ChangeTag, String)>,
    same: usize,
    removed: usize,
    added: usize,
    changed: bool,
}

impl Marked {
    fn push(&mut self, tag: ChangeTag, piece: &str) {
        self.changed |= tag != ChangeTag::Equal;
        if piece.chars().any(char::is_alphanumeric) {
            match tag {
                ChangeTag::Equal => self.same += 1,
                ChangeTag::Delete => self.removed += 1,
                ChangeTag::Insert => self.added += 1,
            }
        }
        match &mut self.run {
            Some((kind, text)) if *kind == tag => text.push_str(piece),
            _ => {
                self.end_run(false);
                self.run = Some((tag, piece.to_owned()));
            }
        }
    }

    fn end_run(&mut self, last: bool) {
        match self.run.take() {
            None => {}
            Some((ChangeTag::Delete, text)) => self.text.extend(["[-", &text, "-]"]),
            Some((ChangeTag::Insert, text)) => self.text.extend(["{+", &text, "+}"]),
            Some((ChangeTag::Equal, text)) => shorten(&mut self.text, &text, last),
        }
    }

    fn finish(mut self) -> String {
        self.end_run(true);
        let Self { text, same, removed, added, changed, .. } = self;
        if !changed {
            return "similarity 1.000: the texts are the same".to_owned();
        }
        let all = (2 * same + removed + added).max(1);
        let similarity = 2.0 * same as f64 / all as f64;
        format!("similarity {similarity:.3}: {same} words the same, {removed} removed, {added} added\n\n{text}")
    }
}

/// Appends an unchanged run: only its ends, if it is long.
fn shorten(to: &mut String, run: &str, last: bool) {
    let nth = |count: usize| run.char_indices().nth(count).map(|(at, _)| at);
    let tail = run.char_indices().rev().nth(SAME_CHARS_MAX).map(|(at, _)| at);
    let (Some(head), Some(tail)) = (nth(SAME_CHARS_MAX), tail) else { return to.push_str(run) };
    if tail <= head {
        return to.push_str(run);
    }
    if !to.is_empty() {
        to.push_str(run.get(..head).unwrap_or_default());
    }
    to.push_str(" … ");
    if !last {
        to.push_str(run.get(tail..).unwrap_or_default());
    }
}

const TIME_MAX: Duration = Duration::from_millis(800);
const SAME_CHARS_MAX: usize = 150;
