//! What somebody who can write the database, and does not have the KEK, can do: nothing that goes unseen.

use certosa_store::fault::tamper;
use certosa_vault::{Staleness, VaultError, VersionState};
use std::time::Duration;

use crate::support::*;

const COLUMNS: [(&str, &str, &str); 9] = [
    ("versions", "kek_id", "UPDATE versions SET kek_id = ?1"),
    ("versions", "salt", "UPDATE versions SET salt = ?1"),
    ("versions", "wrap_nonce", "UPDATE versions SET wrap_nonce = ?1"),
    ("versions", "wrapped_key", "UPDATE versions SET wrapped_key = ?1"),
    ("versions", "commitment", "UPDATE versions SET commitment = ?1"),
    ("versions", "nonce", "UPDATE versions SET nonce = ?1"),
    ("versions", "ciphertext", "UPDATE versions SET ciphertext = ?1"),
    ("credentials", "rule", "UPDATE credentials SET rule = ?1"),
    ("credentials", "mac", "UPDATE credentials SET mac = ?1"),
];

const HEAD: [(&str, &str); 5] = [
    ("id", "UPDATE vault SET id = ?1"),
    ("kek_id", "UPDATE vault SET kek_id = ?1"),
    ("kek_check", "UPDATE vault SET kek_check = ?1"),
    ("derivation", "UPDATE vault SET derivation = ?1"),
    ("mac", "UPDATE vault SET mac = ?1"),
];

/// Each byte with one bit changed, each shorter one, and one more.
fn variants(whole: &[u8]) -> Vec<Vec<u8>> {
    let flipped = (0..whole.len()).map(|index| {
        let mut changed = whole.to_vec();
        changed[index] ^= 1 << (index % 8);
        changed
    });
    let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
    flipped.chain(cut).chain([[whole, &[0]].concat()]).collect()
}

#[tokio::test]
async fn no_byte_of_a_record_can_be_changed() {
    let (home, _vault) = Home::with_vault().await;
    let tables = home.state.vault().await.unwrap().unwrap();
    let (row, version) = (&tables.credentials[0], &tables.versions[0]);
    for (table, column, sql) in COLUMNS {
        let whole = match column {
            "kek_id" => &version.kek_id,
            "salt" => &version.salt,
            "wrap_nonce" => &version.wrap_nonce,
            "wrapped_key" => &version.wrapped_key,
            "commitment" => &version.commitment,
            "nonce" => &version.nonce,
            "ciphertext" => &version.ciphertext,
            "rule" => &row.rule,
            _ => &row.mac,
        };
        for changed in variants(whole) {
            assert_eq!(tamper(&home.state, sql, &changed).await.unwrap(), 1);
            let error = home.open(kek(1)).await.expect_err(column);
            assert!(said(&error).contains("`github`"), "{table}.{column}: {error}");
        }
        tamper(&home.state, sql, whole).await.unwrap();
        assert!(home.open(kek(1)).await.is_ok(), "{table}.{column} as it was");
    }
}

#[tokio::test]
async fn no_byte_of_the_vaults_own_row_can_be_changed() {
    let (home, _vault) = Home::with_vault().await;
    let head = home.state.vault().await.unwrap().unwrap().head;
    for (column, sql) in HEAD {
        let whole = match column {
            "id" => &head.id,
            "kek_id" => &head.kek_id,
            "kek_check" => &head.kek_check,
            "derivation" => &head.derivation,
            _ => &head.mac,
        };
        for changed in variants(whole) {
            tamper(&home.state, sql, &changed).await.unwrap();
            said(&home.open(kek(1)).await.expect_err(column));
        }
        tamper(&home.state, sql, whole).await.unwrap();
        assert!(home.open(kek(1)).await.is_ok(), "{column} as it was");
    }
    for sql in ["UPDATE vault SET format = 2 + 0 * length(?1)", "UPDATE vault SET generation = -1 + 0 * length(?1)"] {
        tamper(&home.state, sql, b"").await.unwrap();
        let found = certosa_vault::SealedVault::find(&home.state).await;
        assert!(matches!(found, Err(VaultError::Format(2) | VaultError::State(_))), "{sql}");
    }
}

#[tokio::test]
async fn what_is_not_sealed_with_a_value_is_bound_to_it_all_the_same() {
    for (sql, named) in [
        ("UPDATE versions SET state = 'active', retires_at = NULL WHERE version = 1 OR length(?1)", true),
        ("UPDATE versions SET retires_at = retires_at + 1 + length(?1) WHERE version = 1", true),
        ("UPDATE versions SET created = created + 1 + length(?1)", true),
        ("UPDATE versions SET version = version + 10 + length(?1)", true),
        ("UPDATE versions SET state = 'gone' WHERE length(?1) = 0", true),
        ("DELETE FROM versions WHERE version = 2 AND length(?1) = 0", true),
        ("DELETE FROM versions WHERE version = 1 AND length(?1) = 0", true),
        ("UPDATE credentials SET created = created + 1 + length(?1)", true),
        ("UPDATE credentials SET rule_json = replace(rule_json, 'api', 'evil') WHERE length(?1) = 0", true),
        ("UPDATE vault SET generation = generation + 1 + length(?1)", false),
        ("UPDATE vault SET generation = generation - 1 + length(?1)", false),
        ("DELETE FROM credentials WHERE length(?1) = 0", false),
    ] {
        let (home, vault) = Home::with_vault().await;
        vault.rotate(name("github"), secret(b"next"), Duration::from_secs(600)).await.unwrap();
        assert!(tamper(&home.state, sql, b"").await.unwrap() > 0, "{sql}");
        let error = home.open(kek(1)).await.expect_err(sql);
        assert_eq!(said(&error).contains("`github`"), named, "{sql}: {error}");
    }
}

#[tokio::test]
async fn records_cannot_be_exchanged() {
    let (home, vault) = Home::with_vault().await;
    vault.set(name("gitlab"), rule("api.example.com"), secret(b"another")).await.unwrap();
    for sql in [
        // The sealed bytes alone, then everything but the names.
        "UPDATE versions SET (salt, wrap_nonce, wrapped_key, commitment, nonce, ciphertext) = \
         (SELECT salt, wrap_nonce, wrapped_key, commitment, nonce, ciphertext FROM versions AS other \
          WHERE other.name <> versions.name) WHERE name = 'github' AND length(?1) = 0",
        "UPDATE versions SET name = iif(name = 'github', 'gitlab', 'github'), version = version + iif(name = 'github', \
         1, 2) WHERE length(?1) = 0",
        "UPDATE credentials SET mac = (SELECT mac FROM credentials AS other WHERE other.name <> credentials.name) \
         WHERE length(?1) = 0",
    ] {
        let (before, mark) = (home.state.vault().await.unwrap(), std::fs::read(home.file("vault.generation")).unwrap());
        assert!(tamper(&home.state, sql, b"").await.unwrap() > 0);
        let error = home.open(kek(1)).await.expect_err(sql);
        assert!(said(&error).contains("`git"), "{error}");
        // As it was, for the next.
        let before = before.unwrap();
        let edits = before.credentials.iter().map(|row| certosa_store::VaultEdit::Remove(row.name.clone()));
        let rows = before.credentials.iter().cloned().map(certosa_store::VaultEdit::PutCredential);
        let versions = before.versions.iter().cloned().map(certosa_store::VaultEdit::PutVersion);
        let edits = edits.chain(rows).chain(versions).collect();
        let change =
            certosa_store::VaultChange { from: Some(before.head.generation), head: before.head.clone(), edits };
        home.state.change_vault(&change).await.unwrap();
        std::fs::write(home.file("vault.generation"), mark).unwrap();
        assert!(home.open(kek(1)).await.is_ok());
    }
}

#[tokio::test]
async fn a_record_of_yesterday_cannot_be_put_back() {
    let (home, vault) = Home::with_vault().await;
    let before = home.state.vault().await.unwrap().unwrap();
    vault.allow(name("github"), rule("other.example.com")).await.unwrap();
    let after = home.state.vault().await.unwrap().unwrap();
    // Rule, value and code as they were, all of one piece, beside the head of today.
    let rows = before.credentials.into_iter().map(certosa_store::VaultEdit::PutCredential);
    let edits = rows.chain(before.versions.into_iter().map(certosa_store::VaultEdit::PutVersion)).collect();
    let from = Some(after.head.generation);
    home.state.change_vault(&certosa_store::VaultChange { from, head: after.head, edits }).await.unwrap();
    assert!(matches!(home.open(kek(1)).await, Err(VaultError::Changed)));
}

#[tokio::test]
async fn a_whole_vault_of_yesterday_is_not_taken_up_by_a_house_that_runs() {
    let (home, vault) = Home::with_vault().await;
    let file = home.file("vault.generation");
    let (before, old) = (home.state.vault().await.unwrap().unwrap(), std::fs::read(&file).unwrap());
    vault.revoke(name("github"), None).await.unwrap();
    // All of it is as it was, in the database that the house has open, and the file beside it, too.
    let rows = before.credentials.into_iter().map(certosa_store::VaultEdit::PutCredential);
    let edits = rows.chain(before.versions.into_iter().map(certosa_store::VaultEdit::PutVersion)).collect();
    let from = Some(home.state.vault().await.unwrap().unwrap().head.generation);
    home.state.change_vault(&certosa_store::VaultChange { from, head: before.head, edits }).await.unwrap();
    std::fs::write(&file, old).unwrap();
    assert!(vault.changed());
    let error = vault.refresh().await.unwrap_err();
    assert!(matches!(error, VaultError::Stale(Staleness::Older { database: 1, file: 2 })), "{error}");
    assert!(opens(&vault, "github").is_err());
}

#[tokio::test]
async fn a_name_out_of_a_changed_database_is_shown_escaped() {
    let (home, _vault) = Home::with_vault().await;
    let sql = "INSERT INTO credentials SELECT char(27) || '[2J' || char(10) || hex(zeroblob(1000)), rule, rule_json, \
               created, mac FROM credentials WHERE length(?1) = 0";
    tamper(&home.state, sql, b"").await.unwrap();
    let error = home.open(kek(1)).await.unwrap_err().to_string();
    assert!(error.len() < 400 && !error.contains(['\u{1b}', '\n']), "{error}");
}

#[tokio::test]
async fn nothing_is_left_of_what_was_revoked() {
    let (home, vault) = Home::with_vault().await;
    let sealed = home.state.vault().await.unwrap().unwrap().versions.remove(0);
    vault.revoke(name("github"), None).await.unwrap();
    assert_eq!(vault.list()[0].versions[0].state, VersionState::Revoked);
    // While it is open, as beside a house that runs: what is in its log is left, too.
    let found = |part: &[u8]| {
        let files = ["state.db", "state.db-wal"].map(|file| std::fs::read(home.file(file)).unwrap_or_default());
        files.iter().any(|bytes| bytes.windows(part.len()).any(|window| window == part))
    };
    for part in [&sealed.wrapped_key, &sealed.ciphertext, &sealed.salt] {
        assert!(!found(part));
    }
    assert!(found(b"github"), "its name stays");
}

#[tokio::test]
async fn values_are_nowhere_in_the_files_and_in_no_debug_output() {
    let (home, vault) = Home::with_vault().await;
    let opened = open_for(&vault, "github", "api.example.com").unwrap();
    let tables = home.state.vault().await.unwrap();
    let shown = format!("{vault:?} {opened:?} {:?} {:?} {:?} {:?}", vault.list(), tables, kek(1), secret(PLANTED));
    let planted = str::from_utf8(PLANTED).unwrap();
    let as_numbers = format!("{PLANTED:?}");
    assert!(!shown.contains(planted) && !shown.contains(as_numbers.trim_matches(['[', ']'])), "{shown}");
    let bytes = home.database().await;
    assert!(!bytes.windows(PLANTED.len()).any(|window| window == PLANTED));
}
