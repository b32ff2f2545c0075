use std::sync::Arc;

use certosa_model::{CredentialName, Injection, Reach};

/// A credential that may go into requests. What it is worth is behind [`Secret`].
pub struct Credential {
    pub name: CredentialName,
    /// Where the manifest lets it be sent. Its value may have a rule of its own, and both have to allow.
    pub reach: Arc<Reach>,
    pub injection: Injection,
    pub secret: Box<dyn Secret>,
}

/// A value that is lent for the time of a call, and kept by nobody who gets it.
pub trait Secret: Send + Sync {
    /// Where the rule that was sealed with the value lets it be sent, if there is one.
    fn reach(&self) -> Option<&Reach> {
        None
    }

    /// Calls `with` once, or says that there is no value.
    fn expose(&self, with: &mut dyn FnMut(&[u8])) -> Result<(), SecretUnavailable>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretUnavailable {
    #[error("the vault did not give the value")]
    Absent,
    #[error("it was used as often as it may be")]
    TooOften,
}
