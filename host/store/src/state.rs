//! What changes while a house runs, in a database. One file for each kind of thing that is kept there.

mod sqlite;
pub(crate) mod vault;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

pub use sqlite::Sqlite;

use crate::StateFolder;

/// The database of a house. A closed list: each kind of database has its own SQL, and no code outside of this crate
/// knows any.
#[derive(Debug, Clone)]
pub enum State {
    Sqlite(Sqlite),
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("cannot use {file}")]
    File { file: PathBuf, source: io::Error },
    #[error("{0} can be read or written by others; its mode has to be 0600")]
    Open(PathBuf),
    #[error("{file} was written by a newer certosa: its tables are at step {found}, this one knows {known}")]
    Newer { file: PathBuf, found: i64, known: i64 },
    #[error("the database failed to {doing}")]
    Database { doing: &'static str, source: Box<dyn Error + Send + Sync> },
    #[error("the table `{table}` holds a {column} that no certosa writes; the database was changed from outside")]
    Foreign { table: &'static str, column: &'static str },
    #[error("something else changed the vault in the meantime; nothing was done, try again")]
    Conflict,
}

impl State {
    /// Opens the database in this folder, makes it if there is none, and brings its tables up to date.
    pub async fn open(folder: &StateFolder) -> Result<Self, StateError> {
        Ok(Self::Sqlite(Sqlite::open(folder.path()).await?))
    }

    /// The folder of the state, for what has to lie beside the database.
    pub fn folder(&self) -> &Path {
        let Self::Sqlite(sqlite) = self;
        sqlite.folder()
    }

    /// Ends all connections, so that what is in the log of the database goes into its file.
    pub async fn close(&self) {
        let Self::Sqlite(sqlite) = self;
        sqlite.pool().close().await;
    }
}

/// Names the step that failed.
fn failed<E: Error + Send + Sync + 'static>(doing: &'static str) -> impl FnOnce(E) -> StateError {
    move |source| StateError::Database { doing, source: source.into() }
}
