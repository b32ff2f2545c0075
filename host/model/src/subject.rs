use std::sync::Arc;

use crate::{BundleName, ToolName};

pub const SUBJECT_SEGMENTS_MAX: usize = 8;
pub const SUBJECT_BYTES_MAX: usize = 255;

/// Who or what: `kind/name[/part…]`, as in `bundle/hello/greet`, `user/ana` or `anonymous/loopback`.
///
/// The kind, and the second segment of a bundle, are `[a-z0-9][a-z0-9._-]*`. All other segments are
/// case-sensitive: unreserved characters of RFC 3986 stand for themselves and every other byte is written
/// `%XX` with upper-case digits. There is exactly one spelling of each subject, so comparing bytes compares
/// subjects. `.` and `..` are no segments.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    #[error("a subject has 2 to 8 segments, separated by '/'")]
    Segments,
    #[error("a subject has at most 255 bytes")]
    Length,
    #[error("the kind of a subject is [a-z0-9][a-z0-9._-]*")]
    Kind,
    #[error("the name in a bundle subject is [a-z0-9][a-z0-9._-]*")]
    Bundle,
    #[error("a segment holds A-Z a-z 0-9 - . _ ~ and %XX for every other byte, and is not '.' or '..'")]
    Segment,
}

impl Subject {
    pub fn new(text: &str) -> Result<Self, SubjectError> {
        if text.len() > SUBJECT_BYTES_MAX {
            return Err(SubjectError::Length);
        }
        let count = text.split('/').count();
        if !(2..=SUBJECT_SEGMENTS_MAX).contains(&count) {
            return Err(SubjectError::Segments);
        }
        let mut kind = "";
        for (index, segment) in text.split('/').enumerate() {
            check_segment(index, kind, segment)?;
            if index == 0 {
                kind = segment;
            }
        }
        Ok(Self(text.into()))
    }

    /// The subject of a bundle itself: `bundle/NAME`.
    pub fn of_bundle(bundle: &BundleName) -> Self {
        Self(format!("bundle/{bundle}").into())
    }

    /// The subject of a tool, a prompt or a resource: `bundle/NAME/ITEM`. Both names are already within the grammar.
    pub fn of_item(bundle: &BundleName, item: &ToolName) -> Self {
        Self(format!("bundle/{bundle}/{item}").into())
    }

    /// A caller on a loopback address who showed no credentials.
    pub fn anonymous_loopback() -> Self {
        Self("anonymous/loopback".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn segments(&self) -> std::str::Split<'_, char> {
        self.0.split('/')
    }
}

/// Checks the segment at `index` of a subject whose first segment is `kind`.
pub(crate) fn check_segment(index: usize, kind: &str, segment: &str) -> Result<(), SubjectError> {
    match index {
        0 if !is_plain(segment) => Err(SubjectError::Kind),
        1 if kind == "bundle" && !is_plain(segment) => Err(SubjectError::Bundle),
        _ if !is_canonical(segment) => Err(SubjectError::Segment),
        _ => Ok(()),
    }
}

fn is_plain(segment: &str) -> bool {
    let starts = segment.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    starts && segment.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

fn is_canonical(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if is_unreserved(byte) {
            continue;
        }
        let (b'%', Some(high), Some(low)) = (byte, bytes.next(), bytes.next()) else { return false };
        let (Some(high), Some(low)) = (upper_hex(high), upper_hex(low)) else { return false };
        if is_unreserved(high << 4 | low) {
            return false;
        }
    }
    !matches!(segment, "" | "." | "..")
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn upper_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

shown_as_text!(Subject);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_have_one_spelling() {
        for good in [
            "bundle/hello",
            "bundle/hello/greet",
            "user/Ana",
            "user/https%3A%2F%2Fid.example/Ana%20B",
            "anonymous/loopback",
            "a/b/c/d/e/f/g/h",
        ] {
            assert!(Subject::new(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("bundle", SubjectError::Segments),
            ("", SubjectError::Segments),
            ("a/b/c/d/e/f/g/h/i", SubjectError::Segments),
            ("User/ana", SubjectError::Kind),
            ("/ana", SubjectError::Kind),
            ("bundle/Hello", SubjectError::Bundle),
            ("bundle/hello/", SubjectError::Segment),
            ("bundle/hello/..", SubjectError::Segment),
            ("bundle/hello/a%2f", SubjectError::Segment),
            ("bundle/hello/%41", SubjectError::Segment),
            ("bundle/hello/%4", SubjectError::Segment),
            ("bundle/hello/*", SubjectError::Segment),
            ("user/ünï", SubjectError::Segment),
            ("user/a b", SubjectError::Segment),
        ] {
            assert_eq!(Subject::new(bad), Err(why), "{bad:?}");
        }
        assert_eq!(Subject::new(&format!("user/{}", "x".repeat(251))), Err(SubjectError::Length));
    }
}
