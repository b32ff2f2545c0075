-- The sealed vault. To the database it is bytes; docs/vault.md says what they mean.

CREATE TABLE vault (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  id         BLOB    NOT NULL,
  format     INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  kek_id     BLOB    NOT NULL,
  kek_check  BLOB    NOT NULL,
  derivation BLOB    NOT NULL, -- how a KEK comes from a passphrase; empty for other sources
  mac        BLOB    NOT NULL  -- over this row and the codes of all credentials
) STRICT;

CREATE TABLE credentials (
  name      TEXT    PRIMARY KEY,
  rule      BLOB    NOT NULL, -- canonical, as it is sealed
  rule_json TEXT    NOT NULL, -- the same for people
  created   INTEGER NOT NULL, -- milliseconds since 1970, as are all times here
  mac       BLOB    NOT NULL  -- over this row and its versions
) STRICT;

CREATE TABLE versions (
  name        TEXT    NOT NULL REFERENCES credentials (name) ON DELETE CASCADE,
  version     INTEGER NOT NULL,
  kek_id      BLOB    NOT NULL,
  salt        BLOB    NOT NULL,
  wrap_nonce  BLOB    NOT NULL,
  wrapped_key BLOB    NOT NULL,
  commitment  BLOB    NOT NULL,
  nonce       BLOB    NOT NULL,
  ciphertext  BLOB    NOT NULL,
  state       TEXT    NOT NULL,
  created     INTEGER NOT NULL,
  retires_at  INTEGER,
  last_used   INTEGER,
  PRIMARY KEY (name, version)
) STRICT;
