use std::io::{self, IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use certosa_manifest::Plan;
use certosa_model::{CredentialName, CredentialRule, Purpose};
use certosa_vault::{KekSource, KvField, Listed, Secret, Vault, VaultError};
use clap::Subcommand;

use crate::args::{HouseArgs, Output};
use crate::exit::{Exit, Refused};
use crate::keys::{self, IfAbsent, Person};
use crate::{opening, output, words};

/// Seals, lists and revokes the credentials of a house
///
/// The manifest has the rules, the vault has the values, and nothing shows a value again.
/// Running houses take up every change before the next use.
///
///   certosa vault set github              asks for the value, without echo
///   pass show github | certosa vault set github
///   certosa vault list
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct VaultArgs {
    #[command(subcommand)]
    action: Action,

    /// The manifest.
    #[arg(short, long, global = true, value_name = "FILE", default_value = "manifest.capnp")]
    manifest: PathBuf,

    /// The folder of the state [default: .certosa beside the manifest].
    #[arg(long, global = true, value_name = "FOLDER")]
    state: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Seals a value under the rule of the manifest. Values from before are revoked at once.
    ///
    /// The value is asked for at the terminal, or read from standard input to its end; one line break at its end is
    /// left out. It is never an argument: other users can read those. A signing key is a seed of 32 raw bytes.
    Set {
        #[arg(value_parser = CredentialName::new)]
        name: CredentialName,
        #[command(flatten)]
        value: NewValue,
    },
    /// Names, rules, versions and last uses. Never a value.
    List,
    /// Seals a new value under the rule that is there.
    Rotate {
        #[arg(value_parser = CredentialName::new)]
        name: CredentialName,
        /// How long the value before can still be used, in seconds: by calls in flight, and if the new one is revoked.
        #[arg(long, value_name = "S", default_value_t = 0)]
        overlap: u64,
        #[command(flatten)]
        value: NewValue,
    },
    /// Takes a value out of use for good, also for calls in flight.
    Revoke {
        #[arg(value_parser = CredentialName::new)]
        name: CredentialName,
        /// One version; all of them if it is left out.
        #[arg(long, value_name = "N")]
        version: Option<u64>,
    },
    /// Removes a credential with all its versions.
    Rm {
        #[arg(value_parser = CredentialName::new)]
        name: CredentialName,
    },
    /// Seals the value again under the rule that the manifest has now.
    Allow {
        #[arg(value_parser = CredentialName::new)]
        name: CredentialName,
    },
    /// Seals the value again under a new data key.
    RotateDataKey {
        #[arg(value_parser = CredentialName::new)]
        name: CredentialName,
    },
    /// Wraps all data keys with the KEK of another source. Running houses use nothing until they are started again.
    RotateKek {
        /// Where the new KEK comes from; afterwards it has to stand in the manifest as `vault.kek`.
        #[arg(long, value_name = "SOURCE", value_parser = str::parse::<KekSource>)]
        to: KekSource,
    },
    /// Does the KEK's source answer, does every value open, is every declared credential there?
    Check,
    /// Goes on from a database that was restored from a backup. What was revoked since then can be used again.
    AcceptRestore,
}

/// Where a value comes from, if not from the terminal or standard input.
#[derive(Debug, clap::Args)]
struct NewValue {
    /// Makes up 32 random bytes, for a credential that signs or authenticates.
    #[arg(long, conflicts_with = "from")]
    generate: bool,
    /// Takes the value from OpenBao or Vault, with the token in BAO_TOKEN or VAULT_TOKEN:
    /// openbao+https://host:port/v1/MOUNT/data/PATH#FIELD
    #[arg(long, value_name = "SOURCE", verbatim_doc_comment, value_parser = str::parse::<KvField>)]
    from: Option<KvField>,
}

pub fn run(args: &VaultArgs, format: Output) -> anyhow::Result<Exit> {
    let house = HouseArgs { manifest: args.manifest.clone(), state: args.state.clone() };
    opening::runtime()?.block_on(async {
        let checked = opening::check(&house)?;
        let plan = &checked.plan;
        if matches!(args.action, Action::AcceptRestore) {
            let vault = keys::accept_restore(&checked).await?;
            tell(format, "accepted", None, &[("credentials", vault.list().len().into())]);
            return Ok(Exit::Done);
        }
        // A name that the manifest does not have is not worth a passphrase.
        let changing = Changing { plan, format };
        if let Action::Set { name, .. } | Action::Allow { name } = &args.action {
            changing.rule(name)?;
        }
        let if_absent = if matches!(args.action, Action::Set { .. }) { IfAbsent::Make } else { IfAbsent::Leave };
        let vault = keys::open_always(&checked, if_absent).await?;
        let Some(vault) = vault else {
            if matches!(args.action, Action::List | Action::Check) {
                return Ok(changing.check(None, Vec::new()));
            }
            let why = "there is no vault in the state folder yet: `certosa vault set NAME` makes it";
            return Err(Refused(why.to_owned()).into());
        };
        changing.act(&args.action, &vault).await
    })
}

struct Changing<'a> {
    plan: &'a Plan,
    format: Output,
}

impl Changing<'_> {
    async fn act(&self, action: &Action, vault: &Vault) -> anyhow::Result<Exit> {
        let done = |what: &str, name: &CredentialName, more: &[(&str, serde_json::Value)]| {
            tell(self.format, what, Some(name), more);
            Ok(Exit::Done)
        };
        match action {
            Action::Set { name, value } => {
                let rule = self.rule(name)?;
                let value = value.get(name, &rule, self.plan).await?;
                let version = vault.set(name.clone(), rule.clone(), value).await?;
                let mut more = vec![("version", version.into()), ("rule", words::rule(&rule).into())];
                more.extend(public_key(vault, name));
                done("sealed", name, &more)
            }
            Action::Rotate { name, overlap, value } => {
                let known = known(vault, name)?;
                let value = value.get(name, &known.rule, self.plan).await?;
                let version = vault.rotate(name.clone(), value, Duration::from_secs(*overlap)).await?;
                let mut more = vec![("version", version.into()), ("overlap_s", (*overlap).into())];
                more.extend(public_key(vault, name));
                done("rotated", name, &more)
            }
            Action::Revoke { name, version } => {
                vault.revoke(name.clone(), *version).await?;
                done("revoked", name, version.map(|version| ("version", version.into())).as_slice())
            }
            Action::Rm { name } => {
                vault.rm(name.clone()).await?;
                done("removed", name, &[])
            }
            Action::Allow { name } => {
                let (before, rule) = (known(vault, name)?.rule, self.rule(name)?);
                vault.allow(name.clone(), rule.clone()).await?;
                let (before, after) = (words::rule(&before), words::rule(&rule));
                done("sealed again", name, &[("before", before.into()), ("now", after.into())])
            }
            Action::RotateDataKey { name } => {
                vault.rotate_data_key(name.clone()).await?;
                done("sealed again", name, &[])
            }
            Action::RotateKek { to } => self.rotate_kek(vault, to).await,
            Action::List => {
                self.list(&vault.list());
                Ok(Exit::Done)
            }
            Action::Check => Ok(self.check(Some(vault), vault.check().await?)),
            Action::AcceptRestore => Ok(Exit::Done),
        }
    }

    /// The rule that the manifest has for a credential.
    fn rule(&self, name: &CredentialName) -> anyhow::Result<CredentialRule> {
        let declared = self.plan.credentials.iter().find(|plan| plan.name == *name);
        let names = || {
            let names: Vec<_> = self.plan.credentials.iter().map(|plan| plan.name.as_str()).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        let declared = declared.ok_or_else(|| {
            let names = names();
            Refused(format!(
                "the manifest declares no credential {name}, and so no rule to seal it with; it has {names}"
            ))
        })?;
        Ok(declared.rule.clone())
    }

    async fn rotate_kek(&self, vault: &Vault, to: &KekSource) -> anyhow::Result<Exit> {
        let (kek, made) = to.load_new(&mut Person::new(self.plan)).await?;
        keys::tell_made(&made);
        vault.rotate_kek(kek).await?;
        tell(self.format, "rotated the KEK", None, &[("to", to.to_string().into())]);
        output::complain("name this source in the manifest (vault.kek), and start running houses again");
        Ok(Exit::Done)
    }

    fn list(&self, all: &[Listed]) {
        for listed in all {
            match self.format {
                Output::Json => output::say(&words::listed_json(listed).to_string()),
                Output::Text => words::listed(listed).iter().for_each(|line| output::say(line)),
            }
        }
        if all.is_empty() && self.format == Output::Text {
            output::complain("the vault is empty: `certosa vault set NAME` seals the first value");
        }
    }

    /// Tells what is missing or does not open.
    fn check(&self, vault: Option<&Vault>, odd: Vec<VaultError>) -> Exit {
        let listed = vault.map(Vault::list).unwrap_or_default();
        let usable = |name: &CredentialName| listed.iter().any(|listed| listed.name == *name && listed.has_value());
        let missing: Vec<_> =
            self.plan.credentials.iter().map(|plan| &plan.name).filter(|name| !usable(name)).collect();
        let odd: Vec<_> = odd.into_iter().map(|error| format!("{:#}", anyhow::Error::from(error))).collect();
        let is_good = missing.is_empty() && odd.is_empty();
        match self.format {
            Output::Json => {
                let missing: Vec<_> = missing.iter().map(|name| name.as_str()).collect();
                let found = serde_json::json!({ "ok": is_good, "credentials": listed.len(), "missing": missing, "broken": odd });
                output::say(&found.to_string());
            }
            Output::Text => {
                odd.iter().for_each(|why| output::complain(&format!("broken: {why}")));
                missing.iter().for_each(|name| output::complain(&format!("missing: {name}: certosa vault set {name}")));
                if is_good {
                    output::say(&format!("the KEK's source answers, and all {} credentials open", listed.len()));
                }
            }
        }
        if is_good { Exit::Done } else { Exit::Wrong }
    }
}

fn known(vault: &Vault, name: &CredentialName) -> anyhow::Result<Listed> {
    let known = vault.list().into_iter().find(|listed| listed.name == *name);
    let absent = || Refused(format!("the vault has no value for {name}: certosa vault set {name}"));
    Ok(known.ok_or_else(absent)?)
}

impl NewValue {
    async fn get(&self, name: &CredentialName, rule: &CredentialRule, plan: &Plan) -> anyhow::Result<Secret> {
        if let Some(field) = &self.from {
            return Ok(field.value(&mut Person::new(plan)).await?);
        }
        if self.generate {
            if matches!(rule.purpose, Purpose::Send { .. }) {
                let why = "--generate is for credentials that sign or authenticate: what is sent, the other side has \
                           to know";
                return Err(Refused(why.to_owned()).into());
            }
            return Ok(Secret::random()?);
        }
        if io::stdin().is_terminal() {
            return keys::secret(&format!("the value of {name}: ")).context("no value was read");
        }
        Self::read(rule)
    }

    /// All of standard input, without a line break at its end.
    fn read(rule: &CredentialRule) -> anyhow::Result<Secret> {
        let mut bytes = Vec::new();
        // One byte more than fits, so that what is too long is refused and not cut.
        io::stdin()
            .take(certosa_vault::SECRET_BYTES_MAX as u64 + 3)
            .read_to_end(&mut bytes)
            .context("no value was read")?;
        if !matches!(rule.purpose, Purpose::Sign { .. }) || bytes.len() != 32 {
            without_line_break(&mut bytes);
        }
        Ok(Secret::new(bytes)?)
    }
}

fn without_line_break(bytes: &mut Vec<u8>) {
    if bytes.pop_if(|last| *last == b'\n').is_some() {
        bytes.pop_if(|last| *last == b'\r');
    }
}

/// What others need to verify the signatures of a credential.
fn public_key(vault: &Vault, name: &CredentialName) -> Option<(&'static str, serde_json::Value)> {
    let key = vault.public_key(name).ok()?;
    Some(("public_key", key.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()))
}

fn tell(format: Output, what: &str, name: Option<&CredentialName>, more: &[(&str, serde_json::Value)]) {
    match format {
        Output::Json => {
            let mut said = serde_json::Map::from_iter([("done".to_owned(), what.into())]);
            said.extend(name.map(|name| ("name".to_owned(), name.as_str().into())));
            said.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
            output::say(&serde_json::Value::Object(said).to_string());
        }
        Output::Text => {
            let name = name.map(|name| format!(" {name}")).unwrap_or_default();
            let shown = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let more: String = more.iter().map(|(key, value)| format!("\n  {key:<11} {}", shown(value))).collect();
            output::say(&format!("{what}{name}{more}"));
        }
    }
}
