//! A rule as people read it in the database. What counts are its bytes, but it is compared with them, so it has to come out
//! the same wherever this was built: members are written in the order in which they stand here, by name.

use certosa_model::{CredentialRule, HostPattern, Injection, Method, PathPattern, Patterns, Purpose};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleForm<'a> {
    allowed_callers: Option<Vec<&'a str>>,
    allowed_subs: Vec<&'a str>,
    per_minute_max: Option<u32>,
    purpose: PurposeForm<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum PurposeForm<'a> {
    Mac {
        context: &'a str,
    },
    Send {
        hosts: &'a [HostPattern],
        injection: InjectionForm<'a>,
        methods: &'a [Method],
        paths: &'a [PathPattern],
        ports: &'a [u16],
        schemes: Vec<&'static str>,
    },
    Sign {
        context: &'a str,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum InjectionForm<'a> {
    Bearer,
    Basic { user: &'a str },
    Header { name: &'a str, prefix: &'a str },
    Query { name: &'a str },
    JsonField { name: &'a str },
    FormField { name: &'a str },
}

pub(crate) fn rule_json(rule: &CredentialRule) -> String {
    let form = RuleForm {
        allowed_callers: rule.allowed_callers.as_ref().map(texts),
        allowed_subs: texts(&rule.allowed_subs),
        per_minute_max: rule.per_minute_max,
        purpose: purpose(&rule.purpose),
    };
    // Strings, numbers and arrays of them have a form in JSON.
    serde_json::to_string(&form).unwrap_or_default()
}

fn texts(patterns: &Patterns) -> Vec<&str> {
    patterns.iter().map(|pattern| pattern.as_str()).collect()
}

fn purpose(purpose: &Purpose) -> PurposeForm<'_> {
    match purpose {
        Purpose::Sign { context } => PurposeForm::Sign { context },
        Purpose::Mac { context } => PurposeForm::Mac { context },
        Purpose::Send { reach, injection } => PurposeForm::Send {
            hosts: &reach.hosts,
            injection: match injection {
                Injection::Bearer => InjectionForm::Bearer,
                Injection::Basic { user } => InjectionForm::Basic { user },
                Injection::Header { name, prefix } => InjectionForm::Header { name, prefix },
                Injection::Query { name } => InjectionForm::Query { name },
                Injection::JsonField { name } => InjectionForm::JsonField { name },
                Injection::FormField { name } => InjectionForm::FormField { name },
            },
            methods: &reach.methods,
            paths: &reach.paths,
            ports: &reach.ports,
            schemes: reach.schemes.iter().map(|scheme| scheme.as_str()).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use certosa_model::Pattern;

    use super::*;

    #[test]
    fn every_build_writes_the_same_text() {
        let text = r#"{"allowedCallers":null,"allowedSubs":["bundle/**"],"perMinuteMax":null,"purpose":{"send":{"hosts":["a.example"],"injection":"bearer","methods":["GET"],"paths":["/v1/**"],"ports":[443],"schemes":["https"]}}}"#;
        let mut rule = crate::vectors::rule("a.example");
        assert_eq!(rule_json(&rule), text);
        rule.allowed_callers = Some(Patterns::new(vec![Pattern::new("anonymous/loopback").unwrap()]));
        rule.per_minute_max = Some(60);
        if let Purpose::Send { injection, .. } = &mut rule.purpose {
            *injection = Injection::Header { name: "x-key".to_owned(), prefix: "Token ".to_owned() };
        }
        let text = text
            .replace(r#""allowedCallers":null"#, r#""allowedCallers":["anonymous/loopback"]"#)
            .replace(r#""perMinuteMax":null"#, r#""perMinuteMax":60"#)
            .replace(r#""bearer""#, r#"{"header":{"name":"x-key","prefix":"Token "}}"#);
        assert_eq!(rule_json(&rule), text);
        rule.purpose = Purpose::Sign { context: "a".to_owned() };
        assert!(rule_json(&rule).ends_with(r#""purpose":{"sign":{"context":"a"}}}"#));
    }
}
