-- +goose Up

-- Sealed columns: '' (x'') is none.
CREATE TABLE webhooks (
    id              TEXT    NOT NULL PRIMARY KEY,
    application_id  TEXT    NOT NULL REFERENCES applications (id),
    event           TEXT    NOT NULL,
    form            TEXT    NOT NULL,
    url_template    TEXT    NOT NULL,
    description     TEXT    NOT NULL,
    disabled        INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    header_name     TEXT    NOT NULL,
    sealed_header   BLOB    NOT NULL,
    sealed_secret   BLOB    NOT NULL,
    sealed_previous BLOB    NOT NULL,
    previous_until  INTEGER,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX webhooks_application_id ON webhooks (application_id, id);

-- Whose turn it is: one row for each webhook. A server that tells a webhook holds its
-- row until leased_until; claim tells apart who holds it. due_at NULL: nothing waits.
-- failures in a row open the circuit until open_until.
CREATE TABLE webhook_turns (
    webhook_id   TEXT    NOT NULL PRIMARY KEY,
    due_at       INTEGER,
    leased_until INTEGER NOT NULL,
    claim        INTEGER NOT NULL,
    failures     INTEGER NOT NULL,
    open_until   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_turns_due_at ON webhook_turns (due_at) WHERE due_at IS NOT NULL;

-- The outbox and the log in one. due_at NULL: done. session is the digest of the session
-- token that the last attempt carried; x'': none.
CREATE TABLE webhook_deliveries (
    id             TEXT    NOT NULL PRIMARY KEY,
    webhook_id     TEXT    NOT NULL,
    application_id TEXT    NOT NULL,
    event          TEXT    NOT NULL,
    tenant_id      TEXT    NOT NULL,
    status         TEXT    NOT NULL,
    key_id         TEXT    NOT NULL,
    key_expires_at INTEGER,
    url_template   TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    attempts       INTEGER NOT NULL,
    tries_left     INTEGER NOT NULL,
    due_at         INTEGER,
    session        BLOB    NOT NULL,
    last_status    INTEGER NOT NULL,
    last_error     TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    queued_at      INTEGER NOT NULL,
    done_at        INTEGER
) STRICT;
CREATE INDEX webhook_deliveries_webhook_id ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_due_at ON webhook_deliveries (webhook_id, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_created_at ON webhook_deliveries (created_at);

CREATE TABLE webhook_attempts (
    delivery_id TEXT    NOT NULL,
    number      INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    took        INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    error       TEXT    NOT NULL,
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;

-- Which ends were told of, so that each is told once: of an application key (subject its id)
-- or of an authorization (subject application/tenant), by the moment of the end.
CREATE TABLE expiry_notices (
    kind       TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (kind, subject, expires_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX expiry_notices_expires_at ON expiry_notices (expires_at);

CREATE INDEX application_keys_expires_at ON application_keys (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX authorizations_expires_at ON authorizations (expires_at) WHERE expires_at IS NOT NULL;
