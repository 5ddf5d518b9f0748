-- +goose Up
-- api_keys and api_key_secrets have named unique indexes and no primary key,
-- and no foreign key between them: a bulk import into empty tables drops the
-- indexes and builds them last. The store writes both in one transaction.

CREATE TABLE api_keys (
    id                 TEXT    NOT NULL,
    organization_id    TEXT    NOT NULL REFERENCES organizations (id),
    name               TEXT    NOT NULL,
    environment        TEXT    NOT NULL,
    permitted_site_ids TEXT    NOT NULL,
    scopes             TEXT    NOT NULL,
    allowed_ips        TEXT    NOT NULL,
    rate               TEXT    NOT NULL,
    rate_algorithm     TEXT    NOT NULL,
    hint               TEXT    NOT NULL,
    expires_at         INTEGER,
    revoked_at         INTEGER,
    last_used_at       INTEGER,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX api_keys_id ON api_keys (id);
CREATE INDEX api_keys_organization_id ON api_keys (organization_id, id);

CREATE TABLE api_key_secrets (
    digest     BLOB    NOT NULL,
    key_id     TEXT    NOT NULL,
    pepper_id  TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;
CREATE UNIQUE INDEX api_key_secrets_digest ON api_key_secrets (digest);
CREATE INDEX api_key_secrets_key_id ON api_key_secrets (key_id);

-- organization_id is '' for a global token.
CREATE TABLE admin_tokens (
    id              TEXT    NOT NULL PRIMARY KEY,
    organization_id TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    scopes          TEXT    NOT NULL,
    bootstrap       INTEGER NOT NULL CHECK (bootstrap IN (0, 1)),
    digest          BLOB    NOT NULL,
    pepper_id       TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    first_used_at   INTEGER,
    expires_at      INTEGER,
    revoked_at      INTEGER
) STRICT;
CREATE UNIQUE INDEX admin_tokens_digest ON admin_tokens (digest);
CREATE INDEX admin_tokens_organization_id ON admin_tokens (organization_id, id);

CREATE TABLE peppers (
    id         TEXT    NOT NULL PRIMARY KEY,
    sealed     BLOB    NOT NULL,
    is_current INTEGER NOT NULL CHECK (is_current IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE keysets (
    name       TEXT    NOT NULL PRIMARY KEY,
    sealed     BLOB    NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
