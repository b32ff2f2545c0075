//! Addresses of resources (RFC 3986), and templates of them (RFC 6570) with the two expressions that can be
//! read backwards without a guess: `{name}` for a part without a slash, `{+name}` for any part.

use std::collections::HashSet;

pub(crate) const BYTES_MAX: usize = 2048;
/// Each is looked for in every address that is read or announced.
const EXPRESSIONS_MAX: usize = 16;

/// A scheme, a colon and something printable after it.
pub(crate) fn is_absolute(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let mut letters = scheme.bytes();
    uri.len() <= BYTES_MAX
        && letters.next().is_some_and(|b| b.is_ascii_alphabetic())
        && letters.all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        && !rest.is_empty()
        && rest.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b))
}

/// A template whose URIs can be recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    /// What stands in front of the first expression.
    start: String,
    /// The expressions, each with what stands behind it.
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    variable: String,
    slashes: bool,
    end: String,
}

impl Template {
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        if text.matches('{').count() > EXPRESSIONS_MAX {
            return Err(format!("has more than {EXPRESSIONS_MAX} expressions"));
        }
        let mut pieces = text.split('{');
        let start = pieces.next().unwrap_or_default().to_owned();
        let mut parts = Vec::<Part>::new();
        let mut names = HashSet::new();
        for piece in pieces {
            let (expression, end) = piece.split_once('}').ok_or("has a { without a }")?;
            let slashes = expression.starts_with('+');
            let variable = expression.strip_prefix('+').unwrap_or(expression);
            let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if variable.is_empty() || variable.len() > 64 || !variable.bytes().all(is_name) {
                return Err("has an expression that is neither {name} nor {+name}, which alone can be read backwards"
                    .to_owned());
            }
            if !names.insert(variable.to_owned()) {
                return Err(format!("has {{{variable}}} twice"));
            }
            if parts.last().is_some_and(|part| part.end.is_empty()) {
                return Err("has two expressions with nothing between them".to_owned());
            }
            parts.push(Part { variable: variable.to_owned(), slashes, end: end.to_owned() });
        }
        // Where the expressions are, any letter may stand: the rest has to make up a URI with them.
        let sample = parts.iter().fold(start.clone(), |text, part| text + "x" + &part.end);
        match (parts.is_empty(), is_absolute(&sample), start.contains(':')) {
            (true, ..) => Err("has no expression such as {name}: it is a resource".to_owned()),
            (_, true, true) => Ok(Self { start, parts }),
            _ => Err(format!("is no template of absolute URIs of at most {BYTES_MAX} bytes")),
        }
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| part.variable.as_str())
    }

    /// What `uri` has in the places of the expressions, if it is one of this template. Every expression takes
    /// as little as it can, and the last one all that is left.
    pub(crate) fn read(&self, uri: &str) -> Option<Vec<(String, String)>> {
        let mut rest = uri.strip_prefix(self.start.as_str()).filter(|_| is_absolute(uri))?;
        let mut found = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            let is_last = index + 1 == self.parts.len();
            let length = match (is_last, part.end.as_str()) {
                (true, end) => rest.len().checked_sub(end.len()).filter(|_| rest.ends_with(end))?,
                (false, end) => rest.find(end)?,
            };
            let (value, tail) = rest.split_at_checked(length)?;
            if value.is_empty() || (!part.slashes && value.contains('/')) {
                return None;
            }
            found.push((part.variable.clone(), decode(value)?));
            rest = tail.strip_prefix(part.end.as_str())?;
        }
        Some(found)
    }
}

/// Undoes percent-encoding (RFC 3986, section 2.1).
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || char::from(rest.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(if byte == b'%' { digit()? << 4 | digit()? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_absolute() {
        for good in ["test://static-text", "a:b", "x-y.z+1:/%20", "urn:isbn:0451450523"] {
            assert!(is_absolute(good), "{good}");
        }
        for bad in ["", "no-scheme", ":x", "1a:b", "a:", "a:b c", "a:\u{e4}", "a:b\n", "a:{b}", &"a:".repeat(1100)] {
            assert!(!is_absolute(bad), "{bad}");
        }
    }

    #[test]
    fn templates_are_read_backwards() {
        let template = Template::new("test://template/{id}/data").unwrap();
        let read = |template: &Template, uri| {
            template.read(uri).map(|found| found.into_iter().map(|(_, value)| value).collect::<Vec<_>>())
        };
        assert_eq!(read(&template, "test://template/1%2F2/data").unwrap(), ["1/2"]);
        for other in ["test://template//data", "test://template/1/2/data", "test://template/1/datax", "test://", "%"] {
            assert_eq!(read(&template, other), None, "{other}");
        }
        let template = Template::new("file:///{+path}.{end}").unwrap();
        assert_eq!(read(&template, "file:///a/b.c.txt").unwrap(), ["a/b", "c.txt"]);
        for bad in ["a%zz", "a%+4", "a%4", "a b", "a\n", "ä"] {
            assert!(template.read(&format!("file:///{bad}.txt")).is_none(), "{bad:?}");
        }
        assert_eq!(template.variables().collect::<Vec<_>>(), ["path", "end"]);
    }

    #[test]
    fn what_cannot_be_read_backwards_is_refused() {
        for bad in ["test://x", "a:{", "a:{}", "a:{x}{y}", "a:{x*}", "a:{?x}", "a:{x}/{x}", "{x}:a", "{x}", "a:{x y}"] {
            assert!(Template::new(bad).is_err(), "{bad}");
        }
        let many = |count| (0..count).map(|n| format!("{{x{n}}}-")).fold("a:".to_owned(), |text, part| text + &part);
        assert!(Template::new(&many(EXPRESSIONS_MAX)).is_ok());
        assert!(Template::new(&many(EXPRESSIONS_MAX + 1)).is_err());
    }
}
