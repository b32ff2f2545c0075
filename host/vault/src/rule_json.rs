//! A rule as people read it in the database. What counts are its bytes.

use certosa_model::{CredentialRule, Injection, Patterns, Purpose};
use serde_json::{Value, json};

pub(crate) fn rule_json(rule: &CredentialRule) -> String {
    let purpose = match &rule.purpose {
        Purpose::Sign { context } => json!({ "sign": { "context": context } }),
        Purpose::Mac { context } => json!({ "mac": { "context": context } }),
        Purpose::Send { reach, injection } => json!({ "send": {
            "schemes": reach.schemes.iter().map(|scheme| scheme.as_str()).collect::<Vec<_>>(),
            "hosts": reach.hosts,
            "ports": reach.ports,
            "methods": reach.methods,
            "paths": reach.paths,
            "injection": injection_json(injection),
        } }),
    };
    json!({
        "allowedSubs": patterns_json(&rule.allowed_subs),
        "allowedCallers": rule.allowed_callers.as_ref().map(patterns_json),
        "purpose": purpose,
        "perMinuteMax": rule.per_minute_max,
    })
    .to_string()
}

fn patterns_json(patterns: &Patterns) -> Value {
    patterns.iter().map(|pattern| pattern.as_str()).collect()
}

fn injection_json(injection: &Injection) -> Value {
    match injection {
        Injection::Bearer => json!("bearer"),
        Injection::Basic { user } => json!({ "basic": { "user": user } }),
        Injection::Header { name, prefix } => json!({ "header": { "name": name, "prefix": prefix } }),
        Injection::Query { name } => json!({ "query": { "name": name } }),
        Injection::JsonField { name } => json!({ "jsonField": { "name": name } }),
        Injection::FormField { name } => json!({ "formField": { "name": name } }),
    }
}
