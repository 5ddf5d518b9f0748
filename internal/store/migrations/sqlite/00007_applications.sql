-- +goose Up

CREATE TABLE applications (
    id              TEXT    NOT NULL PRIMARY KEY,
    organization_id TEXT    NOT NULL REFERENCES organizations (id),
    name            TEXT    NOT NULL,
    description     TEXT    NOT NULL,
    homepage        TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    environment     TEXT    NOT NULL,
    permissions     TEXT    NOT NULL,
    launch_url      TEXT    NOT NULL,
    review          TEXT    NOT NULL,
    review_comment  TEXT    NOT NULL,
    reviewed_as     TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX applications_organization_id ON applications (organization_id, id);
CREATE INDEX applications_review ON applications (review, id);

CREATE TABLE application_keys (
    id             TEXT    NOT NULL PRIMARY KEY,
    application_id TEXT    NOT NULL REFERENCES applications (id),
    digest         BLOB    NOT NULL,
    pepper_id      TEXT    NOT NULL,
    hint           TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER,
    revoked_at     INTEGER,
    last_used_at   INTEGER
) STRICT;
CREATE UNIQUE INDEX application_keys_digest ON application_keys (digest);
CREATE INDEX application_keys_application_id ON application_keys (application_id, id);

-- A row stays when the tenant withdraws: its generation must not begin again. One
-- that only asks is withdrawn and has requested_at.
CREATE TABLE authorizations (
    application_id TEXT    NOT NULL REFERENCES applications (id),
    tenant_id      TEXT    NOT NULL REFERENCES organizations (id),
    permissions    TEXT    NOT NULL,
    granted_by     TEXT    NOT NULL,
    generation     INTEGER NOT NULL,
    expires_at     INTEGER,
    withdrawn_at   INTEGER,
    requested_at   INTEGER,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (application_id, tenant_id)
) STRICT;
CREATE INDEX authorizations_tenant_id ON authorizations (tenant_id, application_id);

-- Session tokens of embedded applications. user_id is '' where nobody launched it.
CREATE TABLE partner_sessions (
    digest         BLOB    NOT NULL PRIMARY KEY,
    pepper_id      TEXT    NOT NULL,
    application_id TEXT    NOT NULL,
    tenant_id      TEXT    NOT NULL,
    generation     INTEGER NOT NULL,
    user_id        TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    consumed_at    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX partner_sessions_expires_at ON partner_sessions (expires_at);

CREATE TABLE temporary_keys (
    digest         BLOB    NOT NULL PRIMARY KEY,
    id             TEXT    NOT NULL,
    pepper_id      TEXT    NOT NULL,
    application_id TEXT    NOT NULL,
    tenant_id      TEXT    NOT NULL,
    generation     INTEGER NOT NULL,
    user_id        TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX temporary_keys_expires_at ON temporary_keys (expires_at);
