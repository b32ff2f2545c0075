use crate::lex::{Kind, Token, tokens};
use crate::problem::Place;

/// One step from a value to a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Field(&'static str),
    Index(usize),
}

/// The way from the manifest to a value in it, such as `routes[0].tools[1]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

impl Path {
    pub fn field(&self, name: &'static str) -> Self {
        self.with(Step::Field(name))
    }

    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

/// Finds the place of `path` in the constant `name` of `text`. Where the value is not written out (it is a
/// default, or the constant refers to another one), it is the place of the innermost value that is.
pub(crate) fn locate(file: &str, text: &str, name: &str, path: &Path) -> Option<Place> {
    let tokens = tokens(text);
    let start = tokens.windows(2).position(|pair| match pair {
        [word, constant] => word.is("const") && constant.is(name),
        _ => false,
    })?;
    let value = start + tokens.get(start..)?.iter().position(|token| token.is("="))? + 1;
    let (from, to) = narrow(&tokens, value, &path.0);
    let first = tokens.get(from)?;
    let last = tokens.get(to.checked_sub(1)?).filter(|last| last.start >= first.start).unwrap_or(first);
    Some(place(file, text, first.start, last.end()))
}

/// The tokens of the value at `steps` below the value that starts at `value`.
fn narrow(tokens: &[Token<'_>], value: usize, steps: &[Step]) -> (usize, usize) {
    let whole = (value, end_of_value(tokens, value));
    let Some((step, rest)) = steps.split_first() else { return whole };
    let mut index = 0;
    let mut at = value + 1;
    let (open, close) = match step {
        Step::Field(_) => ("(", ")"),
        Step::Index(_) => ("[", "]"),
    };
    if !tokens.get(value).is_some_and(|token| token.is(open)) {
        return whole;
    }
    while tokens.get(at).is_some_and(|token| !token.is(close)) {
        let found = match step {
            Step::Index(wanted) => index == *wanted,
            Step::Field(name) => {
                let named = tokens.get(at).is_some_and(|token| token.is(name));
                if tokens.get(at + 1).is_some_and(|token| token.is("=")) {
                    at += 2;
                }
                named
            }
        };
        if found {
            return narrow(tokens, at, rest);
        }
        at = end_of_value(tokens, at) + 1;
        index += 1;
    }
    (value, value + 1)
}

/// The token after the value that starts at `at`: a comma, a closing bracket or the semicolon.
fn end_of_value(tokens: &[Token<'_>], mut at: usize) -> usize {
    let mut depth = 0usize;
    while let Some(token) = tokens.get(at) {
        if token.kind == Kind::Mark {
            match token.text {
                "(" | "[" => depth += 1,
                ")" | "]" | "," | ";" if depth == 0 => break,
                ")" | "]" => depth -= 1,
                _ => {}
            }
        }
        at += 1;
    }
    at
}

/// The place of the bytes `start..end`, cut to the first line.
pub(crate) fn place(file: &str, text: &str, start: usize, end: usize) -> Place {
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line_text = text.get(line_start..).unwrap_or("").lines().next().unwrap_or("");
    let column = before.get(line_start..).unwrap_or("").chars().count() + 1;
    let meant = text.get(start..end).unwrap_or("").lines().next().unwrap_or("");
    let line = before.matches('\n').count() + 1;
    Place::new(file, line, column, meant.chars().count(), line_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
using C = import \"/certosa.capnp\";
const other :Text = \"x\";
const house :C.Manifest = (
  listen = \"127.0.0.1:0\",
  bundles = [
    (name = \"a\", file = \"a.wasm\"), # (
    (name = \"b\", limits = (cpuMsMax = 0)),
  ],
  routes = .theRoutes,
);
";

    fn found(path: &Path) -> (usize, usize, String) {
        let place = locate("m", TEXT, "house", path).unwrap();
        let meant = place.text.chars().skip(place.indent).take(place.width).collect();
        (place.line, place.column, meant)
    }

    #[test]
    fn a_path_leads_to_its_text() {
        let root = Path::default();
        assert_eq!(found(&root.field("listen")), (4, 12, "\"127.0.0.1:0\"".to_owned()));
        let second = root.field("bundles").index(1);
        assert_eq!(found(&second.field("name")), (7, 13, "\"b\"".to_owned()));
        assert_eq!(found(&second.field("limits").field("cpuMsMax")), (7, 39, "0".to_owned()));
    }

    #[test]
    fn what_is_not_written_out_is_shown_at_its_parent() {
        let root = Path::default();
        let limits = root.field("bundles").index(0).field("limits").field("cpuMsMax");
        assert_eq!(found(&limits).0, 6);
        assert_eq!(found(&root.field("routes").index(0).field("path")), (9, 12, ".theRoutes".to_owned()));
    }
}
