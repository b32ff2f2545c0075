//! Sealed credentials. Plaintext lives in this crate and at the last step of egress, nowhere else: there is no
//! function that gives a value back to a person.
//!
//! ```text
//! KekSource ── load ──► Kek ─┐
//! State ── SealedVault::find ┴─ open ──► Vault ──┬─ set, rotate, revoke, rm, allow, …   for the operator
//!                                                ├─ open_credential ──► Opened          for egress
//!                                                └─ sign, mac                           for the guest's door
//! ```
//!
//! - [`kek`]: where the key that encrypts keys comes from, and what is refused;
//! - `envelope`: one sealed value, byte by byte as `docs/vault.md` has it;
//! - `snapshot`: all records in memory, sealed, and the codes that hold them together;
//! - `generation`: the file beside the database that tells a restored database from the last one;
//! - [`Vault`]: open, create, refresh; `change`: what the operator does; `usage`: what bundles make use of.
//!
//! Deliberately absent: a way to read a value, a cache of plaintext, a second source of the KEK, and the counting of
//! uses in a minute, which is for whoever sees all uses.

mod change;
mod envelope;
mod generation;
mod kek;
#[cfg(test)]
mod killed;
mod record;
mod rule_json;
mod secret;
#[cfg(test)]
mod size;
mod snapshot;
mod usage;
mod vault;
#[cfg(test)]
mod vectors;

pub use envelope::EnvelopeError;
pub use generation::Staleness;
pub use kek::{
    AbsolutePath, Derivation, FETCHED_BYTES_MAX, Helper, HelperError, Kek, KekError, KekShape, KekSource,
    KekSourceError, KvError, KvField, Made, Outside, Variable,
};
pub use secret::{SECRET_BYTES_MAX, Secret, SecretLength};
pub use snapshot::{Listed, ListedVersion, VersionState};
pub use usage::{Opened, Ticket, UseError, User};
pub use vault::{SealedVault, Vault, VaultError};
