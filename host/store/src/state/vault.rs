use std::fmt;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, Transaction};

use super::{State, StateError, failed};
use crate::fault;

/// The row of the vault itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultHead {
    pub id: Vec<u8>,
    pub format: u64,
    pub generation: u64,
    pub kek_id: Vec<u8>,
    pub kek_check: Vec<u8>,
    pub derivation: Vec<u8>,
    pub mac: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialRow {
    pub name: String,
    pub rule: Vec<u8>,
    pub rule_json: String,
    /// Milliseconds since 1970, as are all times here.
    pub created: u64,
    pub mac: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct VersionRow {
    pub name: String,
    pub version: u64,
    pub kek_id: Vec<u8>,
    pub salt: Vec<u8>,
    pub wrap_nonce: Vec<u8>,
    pub wrapped_key: Vec<u8>,
    pub commitment: Vec<u8>,
    pub nonce: Vec<u8>,
    pub ciphertext: Vec<u8>,
    pub state: String,
    pub created: u64,
    pub retires_at: Option<u64>,
    pub last_used: Option<u64>,
}

/// All that is kept of a vault, as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultTables {
    pub head: VaultHead,
    /// In the order of their names.
    pub credentials: Vec<CredentialRow>,
    /// In the order of names and versions.
    pub versions: Vec<VersionRow>,
}

/// A change of the vault: all of it happens, or none.
#[derive(Debug)]
pub struct VaultChange {
    /// The generation that the change was made from; `None`: there is no vault yet.
    pub from: Option<u64>,
    pub head: VaultHead,
    pub edits: Vec<VaultEdit>,
}

#[derive(Debug)]
pub enum VaultEdit {
    PutCredential(CredentialRow),
    PutVersion(VersionRow),
    RemoveVersion(String, u64),
    /// The credential of this name with all its versions.
    Remove(String),
}

const HEAD: &str = "SELECT id, format, generation, kek_id, kek_check, derivation, mac FROM vault";

type Result<T> = std::result::Result<T, StateError>;

impl State {
    /// The vault, if there is one.
    pub async fn vault(&self) -> Result<Option<VaultTables>> {
        let Self::Sqlite(sqlite) = self;
        let reading = || failed("read the vault");
        let mut transaction = sqlite.pool().begin().await.map_err(reading())?;
        let head = sqlx::query(HEAD).fetch_optional(&mut *transaction).await.map_err(reading())?;
        let Some(head) = head else { return Ok(None) };
        let credentials = sqlx::query("SELECT name, rule, rule_json, created, mac FROM credentials ORDER BY name")
            .fetch_all(&mut *transaction)
            .await
            .map_err(reading())?;
        let versions = sqlx::query(
            "SELECT name, version, kek_id, salt, wrap_nonce, wrapped_key, commitment, nonce, ciphertext, state, \
             created, retires_at, last_used FROM versions ORDER BY name, version",
        )
        .fetch_all(&mut *transaction)
        .await
        .map_err(reading())?;
        Ok(Some(VaultTables {
            head: head_of(&head)?,
            credentials: credentials.iter().map(credential_of).collect::<Result<_>>()?,
            versions: versions.iter().map(version_of).collect::<Result<_>>()?,
        }))
    }

    /// Its first row alone.
    pub async fn vault_head(&self) -> Result<Option<VaultHead>> {
        let Self::Sqlite(sqlite) = self;
        let head = sqlx::query(HEAD).fetch_optional(sqlite.pool()).await.map_err(failed("read the vault"))?;
        head.as_ref().map(head_of).transpose()
    }

    /// Makes a change in one transaction, if the vault is still at the generation that it was made from.
    pub async fn change_vault(&self, change: &VaultChange) -> Result<()> {
        let Self::Sqlite(sqlite) = self;
        let writing = || failed("change the vault");
        let mut transaction = sqlite.pool().begin_with("BEGIN IMMEDIATE").await.map_err(writing())?;
        fault::point();
        if !put_head(&mut transaction, change).await.map_err(writing())? {
            return Err(StateError::Conflict);
        }
        for edit in &change.edits {
            fault::point();
            apply(&mut transaction, edit).await.map_err(writing())?;
        }
        fault::point();
        transaction.commit().await.map_err(writing())?;
        fault::point();
        self.put_away().await;
        Ok(())
    }

    /// Puts the log of the database into its file and empties it: otherwise each would still hold what the other one has
    /// overwritten. The change is made whether or not this succeeds; if somebody reads for too long, the next change does
    /// it, or whoever closes the database last.
    async fn put_away(&self) {
        let State::Sqlite(sqlite) = self;
        let _or_later = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(sqlite.pool()).await;
    }

    /// Notes when versions were last used. It is no change of the vault: nothing is decided by it.
    pub async fn note_uses(&self, uses: &[(String, u64, u64)]) -> Result<()> {
        let Self::Sqlite(sqlite) = self;
        let writing = || failed("note when credentials were used");
        let mut transaction = sqlite.pool().begin_with("BEGIN IMMEDIATE").await.map_err(writing())?;
        for (name, version, time) in uses {
            sqlx::query(
                "UPDATE versions SET last_used = max(ifnull(last_used, 0), ?3) WHERE name = ?1 AND version = ?2",
            )
            .bind(name)
            .bind(integer(*version))
            .bind(integer(*time))
            .execute(&mut *transaction)
            .await
            .map_err(writing())?;
        }
        transaction.commit().await.map_err(writing())
    }
}

/// Writes the head. Whether the vault was where the change began: the check and the write are one statement.
async fn put_head(
    transaction: &mut Transaction<'_, Sqlite>,
    change: &VaultChange,
) -> std::result::Result<bool, sqlx::Error> {
    let head = &change.head;
    let sql = match change.from {
        None => {
            "INSERT INTO vault (one, id, format, generation, kek_id, kek_check, derivation, mac) \
             VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING"
        }
        Some(_) => {
            "UPDATE vault SET id = ?1, format = ?2, generation = ?3, kek_id = ?4, kek_check = ?5, derivation = ?6, \
             mac = ?7 WHERE generation = ?8"
        }
    };
    let mut query = sqlx::query(sql)
        .bind(head.id.as_slice())
        .bind(integer(head.format))
        .bind(integer(head.generation))
        .bind(head.kek_id.as_slice())
        .bind(head.kek_check.as_slice())
        .bind(head.derivation.as_slice())
        .bind(head.mac.as_slice());
    if let Some(from) = change.from {
        query = query.bind(integer(from));
    }
    Ok(query.execute(&mut **transaction).await?.rows_affected() == 1)
}

async fn apply(transaction: &mut Transaction<'_, Sqlite>, edit: &VaultEdit) -> std::result::Result<(), sqlx::Error> {
    let query = match edit {
        VaultEdit::Remove(name) => sqlx::query("DELETE FROM credentials WHERE name = ?1").bind(name.as_str()),
        VaultEdit::RemoveVersion(name, version) => sqlx::query("DELETE FROM versions WHERE name = ?1 AND version = ?2")
            .bind(name.as_str())
            .bind(integer(*version)),
        VaultEdit::PutCredential(row) => sqlx::query(
            "INSERT INTO credentials (name, rule, rule_json, created, mac) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (name) DO UPDATE SET rule = ?2, rule_json = ?3, created = ?4, mac = ?5",
        )
        .bind(row.name.as_str())
        .bind(row.rule.as_slice())
        .bind(row.rule_json.as_str())
        .bind(integer(row.created))
        .bind(row.mac.as_slice()),
        // When it was last used is noted apart.
        VaultEdit::PutVersion(row) => sqlx::query(
            "INSERT INTO versions (name, version, kek_id, salt, wrap_nonce, wrapped_key, commitment, nonce, \
             ciphertext, state, created, retires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
             ON CONFLICT (name, version) DO UPDATE SET kek_id = ?3, salt = ?4, wrap_nonce = ?5, wrapped_key = ?6, \
             commitment = ?7, nonce = ?8, ciphertext = ?9, state = ?10, created = ?11, retires_at = ?12",
        )
        .bind(row.name.as_str())
        .bind(integer(row.version))
        .bind(row.kek_id.as_slice())
        .bind(row.salt.as_slice())
        .bind(row.wrap_nonce.as_slice())
        .bind(row.wrapped_key.as_slice())
        .bind(row.commitment.as_slice())
        .bind(row.nonce.as_slice())
        .bind(row.ciphertext.as_slice())
        .bind(row.state.as_str())
        .bind(integer(row.created))
        .bind(row.retires_at.map(integer)),
    };
    query.execute(&mut **transaction).await?;
    Ok(())
}

fn head_of(row: &SqliteRow) -> Result<VaultHead> {
    let from = Columns("vault", row);
    Ok(VaultHead {
        id: from.at(0, "id")?,
        format: from.count(1, "format")?,
        generation: from.count(2, "generation")?,
        kek_id: from.at(3, "kek_id")?,
        kek_check: from.at(4, "kek_check")?,
        derivation: from.at(5, "derivation")?,
        mac: from.at(6, "mac")?,
    })
}

fn credential_of(row: &SqliteRow) -> Result<CredentialRow> {
    let from = Columns("credentials", row);
    Ok(CredentialRow {
        name: from.at(0, "name")?,
        rule: from.at(1, "rule")?,
        rule_json: from.at(2, "rule_json")?,
        created: from.count(3, "created")?,
        mac: from.at(4, "mac")?,
    })
}

fn version_of(row: &SqliteRow) -> Result<VersionRow> {
    let from = Columns("versions", row);
    Ok(VersionRow {
        name: from.at(0, "name")?,
        version: from.count(1, "version")?,
        kek_id: from.at(2, "kek_id")?,
        salt: from.at(3, "salt")?,
        wrap_nonce: from.at(4, "wrap_nonce")?,
        wrapped_key: from.at(5, "wrapped_key")?,
        commitment: from.at(6, "commitment")?,
        nonce: from.at(7, "nonce")?,
        ciphertext: from.at(8, "ciphertext")?,
        state: from.at(9, "state")?,
        created: from.count(10, "created")?,
        retires_at: from.time(11, "retires_at")?,
        last_used: from.time(12, "last_used")?,
    })
}

/// The columns of one row, by their places in the query.
struct Columns<'a>(&'static str, &'a SqliteRow);

impl<'a> Columns<'a> {
    fn at<T>(&self, index: usize, column: &'static str) -> Result<T>
    where
        T: sqlx::Decode<'a, Sqlite> + sqlx::Type<Sqlite>,
    {
        self.1.try_get(index).map_err(|_| StateError::Foreign { table: self.0, column })
    }

    fn count(&self, index: usize, column: &'static str) -> Result<u64> {
        let value: i64 = self.at(index, column)?;
        u64::try_from(value).map_err(|_| StateError::Foreign { table: self.0, column })
    }

    fn time(&self, index: usize, column: &'static str) -> Result<Option<u64>> {
        let value: Option<i64> = self.at(index, column)?;
        value.map(u64::try_from).transpose().map_err(|_| StateError::Foreign { table: self.0, column })
    }
}

/// SQLite has no larger numbers, and 2^63 milliseconds or generations do not come about.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Without the sealed bytes, which say nothing to anybody.
impl fmt::Debug for VersionRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VersionRow")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateFolder;

    fn head(generation: u64) -> VaultHead {
        let bytes = |byte| vec![byte; 16];
        VaultHead {
            id: bytes(1),
            format: 1,
            generation,
            kek_id: bytes(2),
            kek_check: bytes(3),
            derivation: Vec::new(),
            mac: bytes(4),
        }
    }

    fn version(name: &str, version: u64) -> VersionRow {
        let bytes = |byte| vec![byte; 12];
        VersionRow {
            name: name.into(),
            version,
            kek_id: bytes(1),
            salt: bytes(2),
            wrap_nonce: bytes(3),
            wrapped_key: bytes(4),
            commitment: bytes(5),
            nonce: bytes(6),
            ciphertext: bytes(7),
            state: "active".into(),
            created: 8,
            retires_at: Some(9),
            last_used: None,
        }
    }

    fn credential(name: &str) -> CredentialRow {
        CredentialRow { name: name.into(), rule: vec![1], rule_json: "{}".into(), created: 1, mac: vec![2] }
    }

    #[tokio::test]
    async fn a_change_happens_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&StateFolder::open(&folder.path().join("state")).unwrap()).await.unwrap();
        let change = |from, generation, edits| VaultChange { from, head: head(generation), edits };
        state.change_vault(&change(None, 0, vec![])).await.unwrap();
        assert!(matches!(state.change_vault(&change(None, 0, vec![])).await, Err(StateError::Conflict)));

        let edits = || vec![VaultEdit::PutCredential(credential("a")), VaultEdit::PutVersion(version("a", 1))];
        state.change_vault(&change(Some(0), 1, edits())).await.unwrap();
        state.note_uses(&[("a".into(), 1, 77), ("gone".into(), 1, 78)]).await.unwrap();
        let tables = state.vault().await.unwrap().unwrap();
        assert_eq!((tables.head, tables.credentials), (head(1), vec![credential("a")]));
        assert_eq!(tables.versions, [VersionRow { last_used: Some(77), ..version("a", 1) }]);

        let before = state.vault().await.unwrap();
        let stale = change(Some(0), 1, vec![VaultEdit::Remove("a".into())]);
        assert!(matches!(state.change_vault(&stale).await, Err(StateError::Conflict)));
        let broken = change(Some(1), 2, vec![VaultEdit::Remove("a".into()), VaultEdit::PutVersion(version("b", 1))]);
        assert!(matches!(state.change_vault(&broken).await, Err(StateError::Database { .. })), "no credential `b`");
        assert_eq!(state.vault().await.unwrap(), before);

        state.change_vault(&change(Some(1), 2, vec![VaultEdit::Remove("a".into())])).await.unwrap();
        let tables = state.vault().await.unwrap().unwrap();
        assert!(tables.credentials.is_empty() && tables.versions.is_empty());
    }
}
