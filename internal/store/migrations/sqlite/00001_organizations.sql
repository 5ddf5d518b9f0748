-- +goose Up
-- "KSTL": tells a Keystile store from any other SQLite file.
PRAGMA application_id = 0x4B53544C;

-- Times are microseconds since 1970 UTC; NULL is "none".
-- Lists (scopes, site ids, networks) are one text, separated by single spaces.

CREATE TABLE organizations (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL,
    environment TEXT    NOT NULL,
    tenant_id   TEXT    NOT NULL,
    key_prefix  TEXT    NOT NULL,
    disabled    INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX organizations_tenant_id ON organizations (tenant_id) WHERE tenant_id <> '';

CREATE TABLE sites (
    id              TEXT    NOT NULL PRIMARY KEY,
    organization_id TEXT    NOT NULL REFERENCES organizations (id),
    name            TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX sites_organization_id ON sites (organization_id, id);

CREATE TABLE roles (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
