-- +goose Up

-- One chain an organisation; '' is the global chain.
CREATE TABLE audit_events (
    organization_id TEXT    NOT NULL,
    seq             INTEGER NOT NULL,
    at              INTEGER NOT NULL,
    actor           TEXT    NOT NULL,
    action          TEXT    NOT NULL,
    target          TEXT    NOT NULL,
    detail          TEXT    NOT NULL,
    request_id      TEXT    NOT NULL,
    prev_hash       BLOB    NOT NULL,
    hash            BLOB    NOT NULL,
    PRIMARY KEY (organization_id, seq)
) STRICT;

-- The end of every chain. Its row is the lock of everything in the chain.
CREATE TABLE audit_heads (
    chain TEXT    NOT NULL PRIMARY KEY,
    seq   INTEGER NOT NULL,
    hash  BLOB    NOT NULL
) STRICT;

-- One chain for all recorded decisions.
CREATE TABLE audit_decisions (
    seq             INTEGER NOT NULL PRIMARY KEY,
    at              INTEGER NOT NULL,
    request_id      TEXT    NOT NULL,
    organization_id TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    credential_id   TEXT    NOT NULL,
    route_id        TEXT    NOT NULL,
    point           TEXT    NOT NULL,
    method          TEXT    NOT NULL,
    path            TEXT    NOT NULL,
    client_addr     TEXT    NOT NULL,
    allowed         INTEGER NOT NULL CHECK (allowed IN (0, 1)),
    observed        INTEGER NOT NULL CHECK (observed IN (0, 1)),
    reason          TEXT    NOT NULL,
    cause           TEXT    NOT NULL,
    prev_hash       BLOB    NOT NULL,
    hash            BLOB    NOT NULL
) STRICT;
CREATE INDEX audit_decisions_organization_id ON audit_decisions (organization_id, seq);

CREATE TABLE changes (
    revision INTEGER NOT NULL PRIMARY KEY,
    kind     TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    at       INTEGER NOT NULL
) STRICT;

-- One row. revision is the newest change, purged the newest that was deleted.
CREATE TABLE feed_head (
    id       INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL,
    purged   INTEGER NOT NULL
) STRICT;
INSERT INTO feed_head (id, revision, purged) VALUES (1, 0, 0);

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- Servers that use a PostgreSQL store; times are the database's own. A SQLite
-- store is leased by a lock of the operating system and leaves this empty.
CREATE TABLE server_leases (
    id            TEXT    NOT NULL PRIMARY KEY,
    holder        TEXT    NOT NULL,
    exclusive     INTEGER NOT NULL CHECK (exclusive IN (0, 1)),
    machine       TEXT    NOT NULL,
    pid           INTEGER NOT NULL,
    process_start TEXT    NOT NULL,
    expires_at    INTEGER NOT NULL
) STRICT;
