use std::error::Error as _;
use std::fmt;

use certosa_egress::{EgressError, Gate, GuestError};
use certosa_model::CredentialName;
use certosa_vault::{UseError, VaultError};

/// Why a request was not sent, or a credential not used. For the operator: a guest learns that it was refused.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The bundle has no `egress`.
    NoEgress,
    Egress(EgressError),
    /// Several credentials fit, and the guest named none.
    Several(Vec<CredentialName>),
    /// The manifest grants no credential of this name to this call.
    NotGranted(String),
    /// The credential that the guest named may not go there: the field that does not allow it.
    Elsewhere(CredentialName, &'static str),
    TooOften(CredentialName, u32),
    Vault(CredentialName, UseError),
    /// The vault has to be read again and cannot be.
    Sealed(VaultError),
}

impl Refused {
    /// Does not change: alerts may rest on it.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoEgress => "egress",
            Self::Egress(error) => error.code(),
            Self::Several(_) => "several",
            Self::NotGranted(_) => "allowedSubs",
            Self::Elsewhere(_, field) => field,
            Self::TooOften(..) => "perMinuteMax",
            Self::Vault(_, UseError::NotAllowed(field)) => field,
            Self::Vault(_, UseError::Absent | UseError::Revoked) => "absent",
            Self::Vault(..) => "record",
            Self::Sealed(_) => "vault",
        }
    }

    /// What would allow it, if it is for the operator to allow.
    pub(crate) fn remedy(&self) -> Option<String> {
        match self {
            Self::Egress(error) => error.remedy().map(|line| format!("{line} in {}", place(error))),
            Self::NoEgress => Some("egress = (to = (hosts = [\"…\"])) of the bundle".to_owned()),
            Self::TooOften(name, _) => Some(format!("a higher perMinuteMax of the credential {name}")),
            Self::Vault(name, UseError::NotAllowed(_)) => Some(format!("certosa vault allow {name}")),
            Self::Vault(name, UseError::Absent | UseError::Revoked) => Some(format!("certosa vault set {name}")),
            _ => None,
        }
    }

    pub(crate) fn guest(&self) -> GuestError {
        match self {
            Self::Egress(error) => error.guest(),
            _ => GuestError::HttpRequestDenied,
        }
    }
}

/// Whose line it is.
fn place(error: &EgressError) -> &'static str {
    match error {
        EgressError::Refused(refusal) if matches!(refusal.by, Gate::Credential(_)) => "`send.to` of the credential",
        EgressError::Refused(_) => "`egress.to` of the bundle",
        _ => "`egress` of the bundle",
    }
}

impl From<EgressError> for Refused {
    fn from(error: EgressError) -> Self {
        Self::Egress(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEgress => f.write_str("a request of a bundle that may reach nothing"),
            Self::Egress(error) => {
                write!(f, "{error}")?;
                let mut cause = error.source();
                while let Some(source) = cause {
                    write!(f, ": {source}")?;
                    cause = source.source();
                }
                Ok(())
            }
            Self::Several(names) => {
                let names: Vec<_> = names.iter().map(CredentialName::as_str).collect();
                write!(
                    f,
                    "several credentials may go with this request ({}), and the bundle named none",
                    names.join(", ")
                )
            }
            Self::NotGranted(name) => write!(f, "no credential `{name}` is granted to this call"),
            Self::Elsewhere(name, field) => write!(f, "`{field}` of the credential {name} does not allow this request"),
            Self::TooOften(name, most) => write!(f, "the credential {name} was used {most} times in the last minute"),
            Self::Vault(name, why) => write!(f, "the credential {name} cannot be used: {why}"),
            Self::Sealed(why) => write!(f, "the vault cannot be read: {why}"),
        }
    }
}
