//! A line of the record log, field by field what `docs/records.md` explains.

use std::iter::repeat;
use std::time::SystemTime;

use certosa_model::{Kind, Limit, Subject, TraceParent, Usage};
use certosa_syscall::Seen;
use jiff::Timestamp;

use crate::call::Way;

/// One call.
#[derive(Debug)]
pub struct Entry<'a> {
    pub started: SystemTime,
    pub way: Way,
    pub caller: &'a Subject,
    pub route: &'a str,
    pub kind: Kind,
    /// What it is called on the route.
    pub name: &'a str,
    pub bundle: Option<&'a str>,
    /// The digest of the component.
    pub component: Option<&'a str>,
    /// The digest of the plan.
    pub plan: &'a str,
    pub outcome: Outcome,
    /// The limit that ended the call, or why it was refused.
    pub reason: Option<String>,
    /// The caller's place in a trace.
    pub parent: Option<TraceParent>,
    pub usage: Usage,
    /// What it used and tried outside.
    pub seen: Seen,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The tool reported an error.
    ToolError,
    InputRequired,
    /// The house or the bundle refused the call; no result was made.
    Refused,
    Limit,
    Trap,
    /// The caller went away; the cell was dropped.
    Cancelled,
    Fault,
}

impl Entry<'_> {
    /// Appends the line. There is one for every call, so it is written member by member: through `Serialize` it took
    /// five times as many instructions (docs/performance.md).
    pub(crate) fn write(&self, line: &mut Vec<u8>) -> serde_json::Result<()> {
        let start = line.len();
        let written = self.members(line);
        // Half a line is none.
        if written.is_err() {
            line.truncate(start);
        }
        written
    }

    fn members(&self, line: &mut Vec<u8>) -> serde_json::Result<()> {
        // Words of ours need no escapes.
        let ours = |line: &mut Vec<u8>, parts: &[&str]| parts.iter().for_each(|part| line.extend(part.as_bytes()));
        let time = written(self.started);
        ours(line, &[r#"{"time":""#, &time, r#"","signed":false,"way":""#, self.way.as_str(), r#"","caller":"#]);
        text(line, self.caller.as_str())?;
        ours(line, &[r#","route":"#]);
        text(line, self.route)?;
        ours(line, &[r#","kind":""#, self.kind.as_str(), r#"","name":"#]);
        text(line, self.name)?;
        ours(line, &[r#","bundle":"#]);
        or_null(line, self.bundle)?;
        match self.component {
            Some(component) => ours(line, &[r#","component":""#, component, "\""]),
            None => ours(line, &[r#","component":null"#]),
        }
        ours(line, &[r#","plan":""#, self.plan, r#"","outcome":""#, self.outcome.as_str(), r#"","reason":"#]);
        or_null(line, self.reason.as_deref())?;
        if let Some(parent) = &self.parent {
            ours(line, &[r#","trace":""#, &parent.trace_id().to_string(), "\""]);
        }
        let Usage { cpu_us, wall_us, memory_bytes, output_bytes, events_dropped } = self.usage;
        for (name, number) in [
            (r#","cpu_us":"#, cpu_us),
            (r#","wall_us":"#, wall_us),
            (r#","memory_bytes":"#, memory_bytes as u64),
            (r#","output_bytes":"#, output_bytes as u64),
            (r#","events_dropped":"#, events_dropped.into()),
        ] {
            ours(line, &[name]);
            serde_json::to_writer(&mut *line, &number)?;
        }
        let Seen { credentials, refused } = &self.seen;
        for (name, before) in credentials.iter().zip(std::iter::once(r#","credentials":[""#).chain(repeat(r#"",""#))) {
            ours(line, &[before, name.as_str()]);
        }
        if !credentials.is_empty() {
            ours(line, &[r#""]"#]);
        }
        if *refused > 0 {
            ours(line, &[r#","refused":"#, &refused.to_string()]);
        }
        ours(line, &["}\n"]);
        Ok(())
    }
}

/// What others wrote, as a JSON string.
fn text(line: &mut Vec<u8>, text: &str) -> serde_json::Result<()> {
    serde_json::to_writer(line, text)
}

fn or_null(line: &mut Vec<u8>, text: Option<&str>) -> serde_json::Result<()> {
    serde_json::to_writer(line, &text)
}

/// The time as records have it: RFC 3339, UTC, milliseconds.
pub(crate) fn written(time: SystemTime) -> String {
    format!("{:.3}", Timestamp::try_from(time).unwrap_or_default())
}

impl Outcome {
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::ToolError,
        Self::InputRequired,
        Self::Refused,
        Self::Limit,
        Self::Trap,
        Self::Cancelled,
        Self::Fault,
    ];

    /// Its name in records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::ToolError => "tool-error",
            Self::InputRequired => "input-required",
            Self::Refused => "refused",
            Self::Limit => "limit",
            Self::Trap => "trap",
            Self::Cancelled => "cancelled",
            Self::Fault => "fault",
        }
    }

    pub(crate) fn of_limit(limit: Limit) -> Self {
        // A full line is a refusal: nothing ran.
        if limit == Limit::Concurrency { Self::Refused } else { Self::Limit }
    }
}

#[cfg(test)]
mod tests {
    use certosa_model::CredentialName;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_line_is_json_whatever_stands_in_it() {
        let caller = Subject::anonymous_loopback();
        let mut entry = Entry {
            started: SystemTime::UNIX_EPOCH,
            way: Way::Stdio,
            caller: &caller,
            route: "/mcp",
            kind: Kind::Resource,
            name: "a\"\\\n\u{1}\u{2028}ü://",
            bundle: Some("probe"),
            component: Some("sha256:00"),
            plan: "sha256:11",
            outcome: Outcome::ToolError,
            reason: Some("\"}\n{\"signed\":true}".to_owned()),
            parent: TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            usage: Usage { cpu_us: u64::MAX, wall_us: 2, memory_bytes: 3, output_bytes: 4, events_dropped: 5 },
            seen: Seen {
                credentials: ["github", "stripe.2"].map(|name| CredentialName::new(name).unwrap()).into(),
                refused: 3,
            },
        };
        let mut line = Vec::new();
        entry.write(&mut line).unwrap();
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1), "one line");
        let written: Value = serde_json::from_slice(&line).unwrap();
        let expected = json!({
            "time": "1970-01-01T00:00:00.000Z", "signed": false, "way": "stdio", "caller": "anonymous/loopback",
            "route": "/mcp", "kind": "resource", "name": entry.name, "bundle": "probe", "component": "sha256:00",
            "plan": "sha256:11", "outcome": "tool-error", "reason": entry.reason,
            "trace": "4bf92f3577b34da6a3ce929d0e0e4736", "cpu_us": u64::MAX, "wall_us": 2, "memory_bytes": 3,
            "output_bytes": 4, "events_dropped": 5, "credentials": ["github", "stripe.2"], "refused": 3,
        });
        assert_eq!(written, expected);

        (entry.bundle, entry.component, entry.reason, entry.parent) = (None, None, None, None);
        entry.seen = Seen::default();
        let second = line.len();
        entry.write(&mut line).unwrap();
        let written: Value = serde_json::from_slice(&line[second..]).unwrap();
        let mut expected = expected;
        ["bundle", "component", "reason"].into_iter().for_each(|name| expected[name] = Value::Null);
        for name in ["trace", "credentials", "refused"] {
            expected.as_object_mut().unwrap().remove(name);
        }
        assert_eq!(written, expected);
    }
}
