use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

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

    /// Calls `with` once, or says that there is no value. After [`SecretUnavailable::Unsettled`] it is worth another try
    /// when [`settle`](Self::settle) is done.
    fn expose(&self, with: &mut dyn FnMut(&[u8])) -> Result<(), SecretUnavailable>;

    /// Finds out whether there still is a value.
    fn settle(&self) -> BoxFuture<'_, Result<(), SecretUnavailable>> {
        std::future::ready(Err(SecretUnavailable::Absent)).boxed()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretUnavailable {
    #[error("the vault did not give the value")]
    Absent,
    #[error("it was used as often as it may be")]
    TooOften,
    #[error("nobody knows at the moment whether it may still be used")]
    Unsettled,
}
