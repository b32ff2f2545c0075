//! Rules and credentials in words, for people, and as JSON for programs.

use std::time::{Duration, SystemTime};

use certosa_model::{CredentialRule, Injection, Patterns, Purpose, Reach};
use certosa_vault::{Listed, ListedVersion, VersionState};
use serde_json::{Value, json};

/// A rule in one line.
pub fn rule(rule: &CredentialRule) -> String {
    let CredentialRule { allowed_subs, allowed_callers, purpose, per_minute_max } = rule;
    let callers =
        allowed_callers.as_ref().map(|callers| format!(" for {}", patterns(callers, "nobody"))).unwrap_or_default();
    let rate = per_minute_max.map(|rate| format!(", {rate} a minute")).unwrap_or_default();
    let what = match purpose {
        Purpose::Send { reach: to, injection } => format!("{} to {}", injected(injection), reach(to)),
        Purpose::Sign { context } => format!("signs {context:?}"),
        Purpose::Mac { context } => format!("authenticates {context:?}"),
    };
    format!("{}{callers}: {what}{rate}", patterns(allowed_subs, "nobody"))
}

/// Where requests may go, in one line: `GET, HEAD https://api.example.com:443/**`.
pub fn reach(reach: &Reach) -> String {
    let Reach { schemes, hosts, ports, methods, paths } = reach;
    let join = |texts: Vec<&str>| if texts.is_empty() { "nothing".to_owned() } else { texts.join(", ") };
    let several = |text: String| if text.contains(", ") { format!("{{{text}}}") } else { text };
    let schemes = several(join(schemes.iter().map(|scheme| scheme.as_str()).collect()));
    let hosts = several(join(hosts.iter().map(|host| host.as_str()).collect()));
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    let ports = several(join(ports.iter().map(String::as_str).collect()));
    let paths = several(join(paths.iter().map(|path| path.as_str()).collect()));
    format!("{} {schemes}://{hosts}:{ports}{paths}", join(methods.iter().map(|method| method.as_str()).collect()))
}

/// A credential in a few lines.
pub fn listed(listed: &Listed) -> Vec<String> {
    let mut lines = vec![listed.name.to_string(), format!("  rule       {}", rule(&listed.rule))];
    for version in &listed.versions {
        let ListedVersion { number, state, created, last_used } = version;
        let until = match state {
            VersionState::Retiring { until } => format!(" until {}", time(*until)),
            VersionState::Active | VersionState::Revoked => String::new(),
        };
        let used = last_used.map_or_else(|| "never used".to_owned(), |used| format!("last used {}", time(used)));
        lines.push(format!("  version {number:<3}{}{until}, sealed {}, {used}", state.as_str(), time(*created)));
    }
    lines
}

pub fn listed_json(listed: &Listed) -> Value {
    let versions = listed.versions.iter().map(|version| {
        let until = match version.state {
            VersionState::Retiring { until } => Some(time(until)),
            VersionState::Active | VersionState::Revoked => None,
        };
        json!({
            "number": version.number,
            "state": version.state.as_str(),
            "until": until,
            "sealed": time(version.created),
            "lastUsed": version.last_used.map(time),
        })
    });
    json!({
        "name": listed.name.as_str(),
        "rule": rule(&listed.rule),
        "allowedSubs": listed.rule.allowed_subs.iter().map(|pattern| pattern.as_str()).collect::<Vec<_>>(),
        "created": time(listed.created),
        "versions": versions.collect::<Vec<_>>(),
    })
}

/// Patterns in one line; `none` stands for an empty list.
pub fn patterns(patterns: &Patterns, none: &str) -> String {
    let texts: Vec<_> = patterns.iter().map(certosa_model::Pattern::as_str).collect();
    if texts.is_empty() { none.to_owned() } else { texts.join(", ") }
}

fn injected(injection: &Injection) -> String {
    match injection {
        Injection::Bearer => "bearer token".to_owned(),
        Injection::Basic { user } => format!("password of {user:?}"),
        Injection::Header { name, .. } => format!("header {name}"),
        Injection::Query { name } => format!("query parameter {name}"),
        Injection::JsonField { name } => format!("JSON member {name}"),
        Injection::FormField { name } => format!("form field {name}"),
    }
}

/// Milliseconds since 1970, as RFC 3339 has it.
fn time(ms: u64) -> String {
    humane(SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms)))
}

fn humane(time: Option<SystemTime>) -> String {
    let stamp = time.and_then(|time| jiff::Timestamp::try_from(time).ok());
    stamp.map_or_else(|| "unknown".to_owned(), |stamp| format!("{stamp:.0}"))
}
