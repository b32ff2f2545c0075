//! The protocol versions.

/// The stateless era: no handshake, every request says what it needs to.
pub const MODERN: &str = "2026-07-28";

/// The era of `initialize` and sessions, newest first.
pub const LEGACY: [&str; 2] = ["2025-11-25", "2025-06-18"];

/// All versions, as `server/discover` and errors name them.
pub(crate) const SUPPORTED: &str = r#"["2026-07-28","2025-11-25","2025-06-18"]"#;

/// What a house offers, in both eras. Of prompts and resources it has none yet, and says so when asked.
pub(crate) const CAPABILITIES: &str = r#"{"tools":{},"prompts":{},"resources":{},"logging":{}}"#;

/// The version that a client of the older era gets: its own, if we speak it, or else our newest.
pub(crate) fn negotiate(wanted: &str) -> &'static str {
    LEGACY.into_iter().find(|version| *version == wanted).unwrap_or(LEGACY[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_versions_is_the_versions() {
        let listed: Vec<String> = serde_json::from_str(SUPPORTED).unwrap();
        assert_eq!(listed.first().map(String::as_str), Some(MODERN));
        assert_eq!(listed[1..], LEGACY);
    }
}
