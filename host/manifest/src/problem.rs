use std::fmt;

use serde::Serialize;

/// One thing that is wrong with a manifest, or with what it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where it stands in the text, if it has a place there.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// What is wrong, in a few words.
    pub message: String,
    pub found: Option<String>,
    pub expected: Option<String>,
}

/// A place in a text file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
    /// How many characters of the line are meant; at least 1.
    pub width: usize,
    /// The line itself, or the part of a long one around the place.
    #[serde(skip)]
    pub text: String,
    /// Where in `text` the place begins, counted from 0.
    #[serde(skip)]
    pub indent: usize,
}

const SHOWN_BEFORE: usize = 120;
const SHOWN_AFTER: usize = 120;

/// Everything that is wrong, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Place {
    /// The place at `column` of `line`, `width` characters wide.
    pub(crate) fn new(file: &str, line: usize, column: usize, width: usize, text: &str) -> Self {
        let start = (column - 1).saturating_sub(SHOWN_BEFORE);
        let text: String = text.chars().skip(start).take(SHOWN_BEFORE + SHOWN_AFTER).collect();
        let indent = column - 1 - start;
        let width = width.min(text.chars().count().saturating_sub(indent)).max(1);
        Self { file: file.to_owned(), line, column, width, text, indent }
    }
}

impl Problem {
    pub fn new(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into(), found: None, expected: None }
    }

    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }
}

impl Problems {
    /// No more are collected than anybody reads.
    pub(crate) const MAX: usize = 100;

    /// At least one problem is what makes this an error.
    pub fn new(mut problems: Vec<Problem>) -> Option<Self> {
        let has_more = problems.len() > Self::MAX;
        problems.truncate(Self::MAX);
        problems.sort_by_key(|p| p.place.as_ref().map(|place| (place.file.clone(), place.line, place.column)));
        problems.dedup();
        if has_more {
            problems.push(Problem::new("there are more problems, which are told when these are mended"));
        }
        (!problems.is_empty()).then_some(Self(problems))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            None => write!(f, "error: {}", self.message)?,
            Some(place) => {
                writeln!(f, "{}:{}:{}: {}", place.file, place.line, place.column, self.message)?;
                let number = place.line.to_string();
                let margin = " ".repeat(number.len());
                writeln!(f, " {margin} |")?;
                writeln!(f, " {number} | {}", place.text)?;
                let indent = place.text.chars().take(place.indent).map(|c| if c == '\t' { c } else { ' ' });
                write!(f, " {margin} | {}{}", indent.collect::<String>(), "^".repeat(place.width))?;
            }
        }
        if let Some(found) = &self.found {
            write!(f, "\n   found:    {found}")?;
        }
        if let Some(expected) = &self.expected {
            write!(f, "\n   expected: {expected}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
