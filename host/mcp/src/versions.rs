//! The protocol versions.

use std::fmt;

/// A version of MCP that we speak; a later one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// The first with Streamable HTTP, and the only one with batches.
    V2025_03_26,
    V2025_06_18,
    V2025_11_25,
    /// The stateless era: no handshake, every request says what it needs to.
    V2026_07_28,
}

/// All versions, as `server/discover` and errors name them: newest first.
pub(crate) const SUPPORTED: &str = r#"["2026-07-28","2025-11-25","2025-06-18","2025-03-26"]"#;

impl Version {
    pub const ALL: [Self; 4] = [Self::V2026_07_28, Self::V2025_11_25, Self::V2025_06_18, Self::V2025_03_26];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// Whether it is of the era of `initialize` and sessions.
    pub fn is_legacy(self) -> bool {
        self < Self::V2026_07_28
    }

    /// The version that a client of the older era gets: its own, if we speak it, or else our newest.
    pub(crate) fn negotiate(wanted: &str) -> Self {
        Self::parse(wanted).filter(|version| version.is_legacy()).unwrap_or(Self::V2025_11_25)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_versions_is_the_versions() {
        let listed: Vec<String> = serde_json::from_str(SUPPORTED).unwrap();
        assert_eq!(listed, Version::ALL.map(Version::as_str));
        assert!(Version::ALL.is_sorted_by(|newer, older| newer > older));
        assert_eq!(Version::negotiate("2026-07-28"), Version::V2025_11_25, "not by a handshake");
        assert_eq!(Version::negotiate("2024-11-05"), Version::V2025_11_25);
        assert_eq!(Version::negotiate("2025-03-26"), Version::V2025_03_26);
    }
}
