//! Tokens of Cap'n Proto text, with their places. The embedded compiler decides what a text means; this
//! only has to agree with it on where words, strings and brackets begin and end.

/// A token and the bytes of the text that it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    pub start: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    /// A string in double quotes, quotes included, or a `` ` `` line.
    Text,
    /// Any other single character.
    Mark,
}

impl Token<'_> {
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    pub fn is(&self, text: &str) -> bool {
        self.kind != Kind::Text && self.text == text
    }
}

/// All tokens of `text`. Comments and white space are gone; an unfinished string ends with its line.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let start = text.len() - rest.len();
        let (kind, length) = match first {
            c if c.is_whitespace() => (None, c.len_utf8()),
            '#' => (None, line_length(rest)),
            '`' => (Some(Kind::Text), line_length(rest)),
            '"' => (Some(Kind::Text), string_length(rest)),
            c if is_word(c) => (Some(Kind::Word), rest.find(|c| !is_word(c)).unwrap_or(rest.len())),
            c => (Some(Kind::Mark), c.len_utf8()),
        };
        let (token, tail) = rest.split_at(length);
        if let Some(kind) = kind {
            tokens.push(Token { kind, text: token, start });
        }
        rest = tail;
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn line_length(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return index,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        tokens(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn words_strings_and_marks_come_apart() {
        assert_eq!(
            texts("const a :B.C = (d = \"e\\\"#f\", # no\n g = [1,-2.5]);"),
            [
                "const",
                "a",
                ":",
                "B",
                ".",
                "C",
                "=",
                "(",
                "d",
                "=",
                "\"e\\\"#f\"",
                ",",
                "g",
                "=",
                "[",
                "1",
                ",",
                "-",
                "2",
                ".",
                "5",
                "]",
                ")",
                ";"
            ]
        );
    }

    #[test]
    fn an_unfinished_string_does_not_swallow_the_file() {
        assert_eq!(texts("a = \"b\nc"), ["a", "=", "\"b", "c"]);
    }

    #[test]
    fn any_text_has_tokens_within_it() {
        for text in ["", "\"", "`", "\\", "é\"é", "\"\\", "#", "\u{0}"] {
            for token in tokens(text) {
                assert_eq!(&text[token.start..token.end()], token.text);
            }
        }
    }
}
