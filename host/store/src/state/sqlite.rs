use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::{StateError, failed};

/// SQLite in one file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    pool: SqlitePool,
    folder: PathBuf,
}

/// The steps that lead from an empty file to the tables of today. Never changed, only added to.
const MIGRATIONS: &[(i64, &str)] = &[(1, include_str!("../../migrations/sqlite/0001_vault.sql"))];
/// Each connection has a thread; one writes, the others read beside it.
const CONNECTIONS_MAX: u32 = 4;
const IDLE: Duration = Duration::from_secs(60);
/// How long a writer waits for another one.
const BUSY: Duration = Duration::from_secs(5);

/// How many rows the thread of a connection reads ahead: with the 50 of sqlx it is woken up for each few of them.
const ROWS: usize = 4096;

impl Sqlite {
    pub(super) async fn open(folder: &Path) -> Result<Self, StateError> {
        let file = folder.join("state.db");
        guard(&file)?;
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode only FULL makes a commit outlive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .row_buffer_size(ROWS)
            // What is deleted is overwritten.
            .pragma("secure_delete", "ON");
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .min_connections(0)
            .idle_timeout(IDLE)
            .connect_with(options)
            .await
            .map_err(failed("open"))?;
        let found = migrate(&pool).await.map_err(failed("bring its tables up to date"))?;
        let known = MIGRATIONS.iter().map(|(version, _)| *version).max().unwrap_or_default();
        if found > known {
            return Err(StateError::Newer { file, found, known });
        }
        Ok(Self { pool, folder: folder.to_owned() })
    }

    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Makes the file for its owner alone. SQLite gives the files beside it the mode of the database.
fn guard(file: &Path) -> Result<(), StateError> {
    let found = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(file);
    let metadata = found.and_then(|file| file.metadata());
    let metadata = metadata.map_err(|source| StateError::File { file: file.to_owned(), source })?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(StateError::Open(file.to_owned()));
    }
    Ok(())
}

/// All steps that are missing, or none: in one transaction. Returns the step at which the tables were, or are.
async fn migrate(pool: &SqlitePool) -> Result<i64, sqlx::Error> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY) STRICT")
        .execute(&mut *transaction)
        .await?;
    let mut at: i64 =
        sqlx::query_scalar("SELECT ifnull(max(version), 0) FROM migrations").fetch_one(&mut *transaction).await?;
    for (version, sql) in MIGRATIONS.iter().copied() {
        if version > at {
            sqlx::raw_sql(sql).execute(&mut *transaction).await?;
            sqlx::query("INSERT INTO migrations (version) VALUES (?1)")
                .bind(version)
                .execute(&mut *transaction)
                .await?;
            at = version;
        }
    }
    transaction.commit().await?;
    Ok(at)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{State, StateFolder};

    async fn open(path: &Path) -> Result<State, StateError> {
        State::open(&StateFolder::open(path).unwrap()).await
    }

    #[tokio::test]
    async fn the_database_belongs_to_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = open(&folder.path().join("state")).await.unwrap();
        for name in ["state.db", "state.db-wal", "state.db-shm"] {
            let mode = fs::metadata(state.folder().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let State::Sqlite(sqlite) = &state;
        for (pragma, value) in [("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1)] {
            let sql = sqlx::AssertSqlSafe(format!("PRAGMA {pragma}"));
            let found: i64 = sqlx::query_scalar(sql).fetch_one(sqlite.pool()).await.unwrap();
            assert_eq!(found, value, "{pragma}");
        }
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(sqlite.pool()).await.unwrap();
        assert_eq!(mode, "wal");
        state.close().await;

        let file = folder.path().join("state/state.db");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(open(&folder.path().join("state")).await, Err(StateError::Open(_))));
    }

    #[tokio::test]
    async fn tables_are_made_once_and_those_of_tomorrow_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        for _ in 0..2 {
            let state = open(&path).await.unwrap();
            assert!(state.vault().await.unwrap().is_none());
            state.close().await;
        }
        let State::Sqlite(sqlite) = open(&path).await.unwrap();
        sqlx::query("INSERT INTO migrations (version) VALUES (99)").execute(sqlite.pool()).await.unwrap();
        sqlite.pool().close().await;
        assert!(matches!(open(&path).await, Err(StateError::Newer { found: 99, known: 1, .. })));
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let made = StateFolder::open(&path).unwrap();
        let file = made.path().join("state.db");
        fs::write(&file, "not a database, and long enough to be looked at as one".repeat(40)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(open(&path).await, Err(StateError::Database { .. })));
    }
}
