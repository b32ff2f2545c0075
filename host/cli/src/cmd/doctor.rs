use certosa_house::Lack;
use certosa_manifest::{BundlePlan, CredentialPlan, Plan};
use certosa_model::{Purpose, Reach};
use certosa_vault::{Listed, Vault};
use serde_json::json;

use crate::args::{HouseArgs, Output};
use crate::exit::Exit;
use crate::keys::{self, IfAbsent};
use crate::{opening, output, words};

/// Explains what each bundle may reach and use, and what is missing.
///
/// No component is read and no bundle sends anything. The exit code is 3 if something is missing.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    #[command(flatten)]
    house: HouseArgs,
}

/// A credential of a bundle, and why it cannot be used, if it cannot.
struct Found<'a> {
    plan: &'a CredentialPlan,
    missing: Option<String>,
}

pub fn run(args: &Doctor, format: Output) -> anyhow::Result<Exit> {
    let checked = opening::check(&args.house)?;
    let opened = opening::runtime()?.block_on(keys::open(&checked, IfAbsent::Leave));
    let listed = opened.as_ref().map(|vault| vault.as_ref().map(Vault::list).unwrap_or_default());
    let mut is_good = true;
    for bundle in &checked.plan.bundles {
        let found: Vec<_> =
            credentials(&checked.plan, bundle).map(|plan| look(plan, bundle, listed.as_deref().ok())).collect();
        is_good &= found.iter().all(|found| found.missing.is_none());
        match format {
            Output::Json => tell_json(bundle, &found),
            Output::Text => tell(bundle, &found),
        }
    }
    // What bundles may reach can be told all the same.
    opened?;
    Ok(if is_good { Exit::Done } else { Exit::Wrong })
}

fn credentials<'a>(plan: &'a Plan, bundle: &'a BundlePlan) -> impl Iterator<Item = &'a CredentialPlan> {
    plan.credentials.iter().filter(|credential| certosa_house::is_for(&credential.rule.allowed_subs, &bundle.name))
}

/// `None`: the vault stays sealed.
fn look<'a>(plan: &'a CredentialPlan, bundle: &BundlePlan, listed: Option<&[Listed]>) -> Found<'a> {
    let Some(listed) = listed else {
        return Found { plan, missing: Some("the vault stays sealed, for the reason below".to_owned()) };
    };
    let known = listed.iter().find(|listed| listed.name == plan.name);
    let missing = match (Lack::of(plan, known), &plan.rule.purpose) {
        (Some(lack), _) => {
            let what = match lack {
                Lack::Value => "has no value".to_owned(),
                Lack::Version => "was revoked or has retired".to_owned(),
                Lack::Rule(sealed) => format!("was sealed as: {}", words::rule(sealed)),
            };
            Some(format!("it {what}: {}", lack.remedy(plan)))
        }
        (None, Purpose::Send { reach, .. }) => unreachable(reach, bundle),
        (None, _) => None,
    };
    Found { plan, missing }
}

/// Why a credential that is sent never gets there.
fn unreachable(reach: &Reach, bundle: &BundlePlan) -> Option<String> {
    let Some(egress) = &bundle.egress else { return Some("the bundle has no `egress`, so nothing is sent".to_owned()) };
    let overlap = reach.hosts.iter().any(|wanted| {
        let own = egress.reach.hosts.iter();
        own.clone().any(|own| own == wanted || fits(own, wanted) || fits(wanted, own))
    });
    let hosts: Vec<_> = reach.hosts.iter().map(|host| host.as_str()).collect();
    if !overlap {
        return Some(format!(
            "the bundle may reach none of its hosts: egress.to.hosts = [\"{}\"]",
            hosts.join("\", \"")
        ));
    }
    let (field, wanted) = apart(reach, &egress.reach)?;
    Some(format!("the bundle may reach none of its {field}: egress.to.{field} = [{wanted}]"))
}

/// The field in which a credential and a bundle have nothing in common, and what the credential has there.
fn apart(wanted: &Reach, own: &Reach) -> Option<(&'static str, String)> {
    let words = |words: Vec<&str>| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    if !wanted.schemes.iter().any(|scheme| own.schemes.contains(scheme)) {
        return Some(("schemes", words(wanted.schemes.iter().map(|scheme| scheme.as_str()).collect())));
    }
    if !wanted.ports.iter().any(|port| own.ports.contains(port)) {
        return Some(("ports", wanted.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")));
    }
    if !wanted.methods.iter().any(|method| own.methods.contains(method)) {
        return Some(("methods", words(wanted.methods.iter().map(|method| method.as_str()).collect())));
    }
    let is_common = wanted.paths.iter().any(|wanted| own.paths.iter().any(|own| meet(own.as_str(), wanted.as_str())));
    (!is_common).then(|| ("paths", words(wanted.paths.iter().map(|path| path.as_str()).collect())))
}

/// Whether there is a path that fits both patterns.
fn meet(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (None, None) | (Some("**"), Some(_)) | (Some(_), Some("**")) => return true,
            (Some("*"), Some(segment)) | (Some(segment), Some("*")) if !segment.is_empty() => {}
            (one, other) if one == other => {}
            _ => return false,
        }
    }
}

fn fits(pattern: &certosa_model::HostPattern, host: &certosa_model::HostPattern) -> bool {
    certosa_model::Host::new(host.as_str()).is_ok_and(|host| pattern.matches(&host))
}

fn tell(bundle: &BundlePlan, found: &[Found<'_>]) {
    output::say(bundle.name.as_str());
    match &bundle.egress {
        None => output::say("  reaches    nothing"),
        Some(egress) => {
            output::say(&format!("  reaches    {}", words::reach(&egress.reach)));
            if !egress.addresses.is_empty() {
                let ranges: Vec<_> = egress.addresses.iter().map(ToString::to_string).collect();
                output::say(&format!("             also at {}, which are not global", ranges.join(", ")));
            }
        }
    }
    for Found { plan, missing } in found {
        output::say(&format!("  uses       {}: {}", plan.name, words::rule(&plan.rule)));
        if let Some(missing) = missing {
            output::say(&format!("  missing    {}: {missing}", plan.name));
        }
    }
}

fn tell_json(bundle: &BundlePlan, found: &[Found<'_>]) {
    let credentials: Vec<_> = found
        .iter()
        .map(|Found { plan, missing }| {
            json!({ "name": plan.name.as_str(), "rule": words::rule(&plan.rule), "missing": missing })
        })
        .collect();
    let reaches = bundle.egress.as_ref().map(|egress| words::reach(&egress.reach));
    let addresses: Vec<_> =
        bundle.egress.iter().flat_map(|egress| &egress.addresses).map(ToString::to_string).collect();
    let line = json!({
        "bundle": bundle.name.as_str(), "reaches": reaches, "addresses": addresses, "credentials": credentials,
    });
    output::say(&line.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_paths_meet_or_do_not() {
        for (one, other) in [("/**", "/a/*"), ("/a/*/c", "/*/b/c"), ("/a/**", "/a/"), ("/a", "/a"), ("/*", "/*")] {
            assert!(meet(one, other) && meet(other, one), "{one} {other}");
        }
        for (one, other) in [("/a/**", "/a"), ("/a/*", "/a/b/c"), ("/a", "/b"), ("/*", "/"), ("/a/*", "/b/**")] {
            assert!(!meet(one, other) && !meet(other, one), "{one} {other}");
        }
    }
}
