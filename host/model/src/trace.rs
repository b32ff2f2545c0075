use std::fmt;

/// Where a call stands in somebody's trace: `traceparent` of W3C Trace Context, which MCP carries in `_meta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    pub sampled: bool,
}

/// The id of a trace: 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 16]);

impl TraceParent {
    /// Reads `00-<32 hex>-<16 hex>-<2 hex>`. Later versions may have more at the end; what is not valid is no
    /// trace, as the specification has it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_lower = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let fits = |text: &str, digits: usize| text.len() == digits && is_lower(text);
        if !fits(version, 2) || version == "ff" || !fits(flags, 2) || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let (mut found, mut flag) = (Self { trace: [0; 16], span: [0; 8], sampled: false }, [0; 1]);
        hex::decode_to_slice(Some(trace).filter(|text| is_lower(text))?, &mut found.trace).ok()?;
        hex::decode_to_slice(Some(span).filter(|text| is_lower(text))?, &mut found.span).ok()?;
        hex::decode_to_slice(flags, &mut flag).ok()?;
        found.sampled = flag[0] & 1 == 1;
        (found.trace != [0; 16] && found.span != [0; 8]).then_some(found)
    }

    pub fn trace_id(&self) -> TraceId {
        TraceId(self.trace)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl serde::Serialize for TraceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_or_ignored() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = TraceParent::parse(good).unwrap();
        assert_eq!(parent.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(parent.sampled);
        assert!(TraceParent::parse(&format!("{}-extra", good.replacen("00", "01", 1))).is_some());
        for bad in [
            "",
            "00",
            &good.to_uppercase(),
            &format!("{good}-extra"),
            &good.replacen("00", "ff", 1),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }
}
