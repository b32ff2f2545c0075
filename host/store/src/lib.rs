//! What a house keeps on disk: one folder, readable by its owner alone.
//!
//! ```text
//! .certosa/            0700
//!   cache.key          0600, 32 random bytes: the key of the cache's MACs
//!   cache/KIND-DIGEST  what is expensive to make again, each with a MAC
//!   records.jsonl      0600, one line for each call
//!   state.db           0600, what changes: the sealed vault (with -wal and -shm beside it)
//! ```

mod cache;
#[doc(hidden)]
pub mod fault;
mod state;

pub use cache::Cache;
pub use state::vault::{CredentialRow, VaultChange, VaultEdit, VaultHead, VaultTables, VersionRow};
pub use state::{State, StateError};

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The state folder of one house.
#[derive(Debug)]
pub struct StateFolder(PathBuf);

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot use the state folder {folder}")]
    Folder { folder: PathBuf, source: io::Error },
    #[error("the state folder {0} can be read or written by others; its mode has to be 0700")]
    Open(PathBuf),
    #[error("cannot use {file}")]
    File { file: PathBuf, source: io::Error },
}

impl StateFolder {
    /// Opens the folder, and makes it first if there is none.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Folder { folder: folder.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let mode = fs::metadata(folder).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(StoreError::Open(folder.to_owned()));
        }
        Ok(Self(folder.to_owned()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The cache in this folder.
    pub fn cache(&self) -> Result<Cache, StoreError> {
        Cache::open(&self.0)
    }

    /// The record log, open for appending. A line that was cut off by a crash is ended first.
    pub fn records(&self) -> Result<File, StoreError> {
        let file = self.0.join("records.jsonl");
        open_log(&file).map_err(|source| StoreError::File { file, source })
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    let mut log = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let bytes = log.metadata()?.len();
    if bytes > 0 {
        let mut last = [0];
        File::open(path)?.read_exact_at(&mut last, bytes - 1)?;
        if last != *b"\n" {
            log.write_all(b"\n")?;
        }
    }
    Ok(log)
}
