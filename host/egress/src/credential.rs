use certosa_model::{CredentialName, Injection, Reach};

/// A credential that may go into requests. What it is worth is behind [`Secret`].
pub struct Credential {
    pub name: CredentialName,
    /// Where it may be sent: the narrower one of its sealed rule and the manifest.
    pub reach: Reach,
    pub injection: Injection,
    pub secret: Box<dyn Secret>,
}

/// A value that is lent for the time of a call, and kept by nobody who gets it.
pub trait Secret: Send + Sync {
    /// Calls `with` once, or says that there is no value.
    fn expose(&self, with: &mut dyn FnMut(&[u8])) -> Result<(), SecretUnavailable>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the vault did not give the value")]
pub struct SecretUnavailable;
