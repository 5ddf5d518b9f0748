-- +goose Up

-- What an organisation asks of one-time signed requests: microseconds (0: the
-- server's default), and the accepted forms ('': all).
ALTER TABLE organizations ADD COLUMN onetime_clock_window INTEGER NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN onetime_forms TEXT NOT NULL DEFAULT '';

CREATE TABLE signing_keys (
    id                 TEXT    NOT NULL PRIMARY KEY,
    organization_id    TEXT    NOT NULL REFERENCES organizations (id),
    name               TEXT    NOT NULL,
    environment        TEXT    NOT NULL,
    api_key            TEXT    NOT NULL,
    algorithm          TEXT    NOT NULL,
    public_key         TEXT    NOT NULL,
    sealed_secret      BLOB    NOT NULL,
    permitted_site_ids TEXT    NOT NULL,
    scopes             TEXT    NOT NULL,
    allowed_ips        TEXT    NOT NULL,
    rate               TEXT    NOT NULL,
    rate_algorithm     TEXT    NOT NULL,
    expires_at         INTEGER,
    revoked_at         INTEGER,
    last_used_at       INTEGER,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX signing_keys_api_key ON signing_keys (api_key);
CREATE INDEX signing_keys_organization_id ON signing_keys (organization_id, id);

-- Every api_key there ever was. Rows are never deleted: a name that meant one
-- caller must not come to mean another.
CREATE TABLE signing_key_names (
    api_key        TEXT    NOT NULL PRIMARY KEY,
    signing_key_id TEXT    NOT NULL,
    taken_at       INTEGER NOT NULL
) STRICT;

-- The shared ledger of one-time requests: what was spent, kept until a time on
-- the store's clock.
CREATE TABLE spent_nonces (
    nonce      BLOB    NOT NULL PRIMARY KEY,
    keep_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_nonces_keep_until ON spent_nonces (keep_until);

-- One row; 0 is none. Tokens good until floor or less may be forgotten. Tokens
-- stamped up to refuse_until may have been spent without being known here.
CREATE TABLE nonce_bounds (
    id           INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    floor        INTEGER NOT NULL,
    refuse_until INTEGER NOT NULL
) STRICT;
INSERT INTO nonce_bounds (id, floor, refuse_until) VALUES (1, 0, 0);
