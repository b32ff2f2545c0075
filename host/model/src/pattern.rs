use std::fmt;

use crate::Subject;
use crate::subject::{SUBJECT_BYTES_MAX, SUBJECT_SEGMENTS_MAX, SubjectError, check_segment};

/// A subject in which `*` stands for one whole segment and `**`, last only, for one or more.
///
/// This is the one matcher of the house: routes, tools, callers and every later grant ask it.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    shape: Shape,
}

/// Most patterns are compared at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// No star: one subject.
    Exact,
    /// `**` at the end and no other star.
    Below,
    /// Segment by segment.
    Segments,
}

/// Patterns of which one has to match. An empty list matches nothing: deny by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patterns(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("'**' may only be the last segment, after the kind")]
    DoubleStar,
    #[error("'*' stands for a whole segment and cannot be part of one")]
    PartialStar,
    #[error(transparent)]
    Subject(#[from] SubjectError),
}

impl Pattern {
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.len() > SUBJECT_BYTES_MAX {
            return Err(SubjectError::Length.into());
        }
        let count = text.split('/').count();
        if !(2..=SUBJECT_SEGMENTS_MAX).contains(&count) {
            return Err(SubjectError::Segments.into());
        }
        let mut kind = "";
        for (index, segment) in text.split('/').enumerate() {
            match segment {
                "**" if index == 0 || index + 1 < count => return Err(PatternError::DoubleStar),
                "**" => {}
                "*" if index > 0 => {}
                _ if segment.contains('*') => return Err(PatternError::PartialStar),
                _ => check_segment(index, kind, segment)?,
            }
            if index == 0 {
                kind = segment;
            }
        }
        let shape = match text.find('*') {
            None => Shape::Exact,
            Some(star) if text.get(star..) == Some("**") => Shape::Below,
            Some(_) => Shape::Segments,
        };
        Ok(Self { text: text.into(), shape })
    }

    /// Whether `subject` fits. Takes time linear in the length of both: there is no backtracking.
    pub fn matches(&self, subject: &Subject) -> bool {
        match self.shape {
            Shape::Exact => *self.text == *subject.as_str(),
            // What stands before the stars ends with a slash, and a subject has no empty segment.
            Shape::Below => self.text.strip_suffix("**").is_some_and(|above| subject.as_str().starts_with(above)),
            Shape::Segments => self.matches_segments(subject),
        }
    }

    fn matches_segments(&self, subject: &Subject) -> bool {
        let mut segments = subject.segments();
        for wanted in self.text.split('/') {
            match (wanted, segments.next()) {
                ("**", found) => return found.is_some(),
                ("*", Some(_)) => {}
                (_, Some(found)) if found == wanted => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Patterns {
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Self(patterns)
    }

    pub fn matches(&self, subject: &Subject) -> bool {
        self.0.iter().any(|pattern| pattern.matches(subject))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether each of `others` is one of these.
    pub fn cover(&self, others: &Self) -> bool {
        others.0.iter().all(|other| self.0.contains(other))
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, subject: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(&Subject::new(subject).unwrap())
    }

    #[test]
    fn a_pattern_matches_whole_segments() {
        assert!(matches("bundle/hello/greet", "bundle/hello/greet"));
        assert!(matches("bundle/*/greet", "bundle/hello/greet"));
        assert!(matches("bundle/hello/*", "bundle/hello/greet"));
        assert!(matches("bundle/**", "bundle/hello/greet"));
        assert!(matches("bundle/hello/**", "bundle/hello/greet"));

        assert!(!matches("bundle/hello/greet", "bundle/hello/Greet"));
        assert!(!matches("bundle/hello", "bundle/hello/greet"));
        assert!(!matches("bundle/*", "bundle/hello/greet"));
        assert!(!matches("bundle/hello/**", "bundle/hello"), "** is one or more");
        assert!(!matches("bundle/hell/**", "bundle/hello/greet"));
        assert!(!matches("user/**", "bundle/hello/greet"));
    }

    #[test]
    fn odd_patterns_are_refused() {
        for (text, why) in [
            ("**", PatternError::Subject(SubjectError::Segments)),
            ("*/hello", PatternError::PartialStar),
            ("**/greet", PatternError::DoubleStar),
            ("bundle/**/greet", PatternError::DoubleStar),
            ("bundle/a*b", PatternError::PartialStar),
            ("bundle/***", PatternError::PartialStar),
            ("bundle/Hello", PatternError::Subject(SubjectError::Bundle)),
            ("bundle/hello/%2a", PatternError::Subject(SubjectError::Segment)),
        ] {
            assert_eq!(Pattern::new(text), Err(why), "{text}");
        }
    }

    #[test]
    fn an_empty_list_denies() {
        assert!(!Patterns::default().matches(&Subject::anonymous_loopback()));
    }

    #[test]
    fn a_long_pattern_is_quick() {
        let pattern = format!("bundle/{}", ["*"; 7].join("/"));
        let subject = format!("bundle/{}", vec!["a".repeat(30); 7].join("/"));
        assert!(matches(&pattern, &subject));
    }
}
