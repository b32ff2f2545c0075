use std::borrow::Borrow;

/// Tool names are at most this long, together with their prefix: some clients refuse longer ones.
pub const TOOL_NAME_BYTES_MAX: usize = 64;
const BUNDLE_NAME_BYTES_MAX: usize = 40;

/// The name of a bundle: `[a-z0-9][a-z0-9._-]*`, at most 40 characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BundleName(Box<str>);

/// The name of a tool inside its bundle: `[A-Za-z0-9_-]+`, at most 64 characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ToolName(Box<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("1 to 40 characters: a lower-case letter or a digit, then lower-case letters, digits, '.', '_' or '-'")]
    Bundle,
    #[error("1 to 64 characters out of A-Z a-z 0-9 _ -")]
    Tool,
}

impl BundleName {
    pub fn new(text: &str) -> Result<Self, NameError> {
        let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        match text.as_bytes() {
            [first, tail @ ..]
                if text.len() <= BUNDLE_NAME_BYTES_MAX
                    && (first.is_ascii_lowercase() || first.is_ascii_digit())
                    && tail.iter().copied().all(rest) =>
            {
                Ok(Self(text.into()))
            }
            _ => Err(NameError::Bundle),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ToolName {
    pub fn new(text: &str) -> Result<Self, NameError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (1..=TOOL_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Tool)
        }
    }

    /// The name that clients see: `bundle_tool`. `None` when both together are too long.
    pub fn prefixed(&self, bundle: &BundleName) -> Option<Self> {
        Self::new(&format!("{}_{}", bundle.0.replace('.', "_"), self.0)).ok()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ToolName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

shown_as_text!(BundleName, ToolName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundle_names_are_lower_case_and_plain() {
        for good in ["a", "0", "hello", "a.b-c_d", &"x".repeat(40)] {
            assert!(BundleName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Hello", "-a", ".a", "a/b", "a b", "ä", "a\0", &"x".repeat(41)] {
            assert_eq!(BundleName::new(bad), Err(NameError::Bundle), "{bad:?}");
        }
    }

    #[test]
    fn tool_names_fit_every_client() {
        for good in ["a", "Get-Issue_2", &"x".repeat(64)] {
            assert!(ToolName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a.b", "a/b", "a b", "naïve", &"x".repeat(65)] {
            assert_eq!(ToolName::new(bad), Err(NameError::Tool), "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_replaces_dots_and_counts_towards_the_length() {
        let tool = ToolName::new(&"t".repeat(58)).unwrap();
        let prefixed = tool.prefixed(&BundleName::new("a.b.c").unwrap()).unwrap();
        assert!(prefixed.as_str().starts_with("a_b_c_ttt"));
        assert_eq!(tool.prefixed(&BundleName::new("abcdef").unwrap()), None);
    }
}
