-- +goose Up

-- Whether a second factor is asked for: required, optional, off; '' is not stated.
ALTER TABLE organizations ADD COLUMN mfa TEXT NOT NULL DEFAULT '';
ALTER TABLE roles ADD COLUMN mfa TEXT NOT NULL DEFAULT '';

CREATE TABLE users (
    id                   TEXT    NOT NULL PRIMARY KEY,
    organization_id      TEXT    NOT NULL REFERENCES organizations (id),
    username             TEXT    NOT NULL,
    email                TEXT    NOT NULL,
    name                 TEXT    NOT NULL,
    role_id              TEXT             REFERENCES roles (id),
    admin_role           TEXT    NOT NULL,
    customer_ids         TEXT    NOT NULL,
    group_id             TEXT    NOT NULL,
    skin_id              TEXT    NOT NULL,
    mfa                  TEXT    NOT NULL,
    must_change_password INTEGER NOT NULL CHECK (must_change_password IN (0, 1)),
    disabled             INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    last_login_at        INTEGER,
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL
) STRICT;
CREATE INDEX users_organization_id ON users (organization_id, id);
CREATE INDEX users_role_id ON users (role_id);

-- What users sign in with, usernames and e-mail addresses alike, in canonical
-- form: nobody's name is another's address. skeleton is what names have in
-- common that look alike.
CREATE TABLE user_names (
    name     TEXT NOT NULL PRIMARY KEY,
    skeleton TEXT NOT NULL,
    user_id  TEXT NOT NULL REFERENCES users (id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX user_names_skeleton ON user_names (skeleton);
CREATE INDEX user_names_user_id ON user_names (user_id);

-- '' is a key of nobody's; no foreign key, for bulk imports.
ALTER TABLE api_keys ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
CREATE INDEX api_keys_user_id ON api_keys (user_id) WHERE user_id <> '';

-- claims is a JSON object of texts.
CREATE TABLE identity_providers (
    name            TEXT    NOT NULL PRIMARY KEY,
    organization_id TEXT    NOT NULL REFERENCES organizations (id),
    roles           TEXT    NOT NULL,
    issuer          TEXT    NOT NULL,
    audience        TEXT    NOT NULL,
    algorithms      TEXT    NOT NULL,
    jwks_url        TEXT    NOT NULL,
    jwks            TEXT    NOT NULL,
    public_key      TEXT    NOT NULL,
    sealed_secret   BLOB    NOT NULL,
    claims          TEXT    NOT NULL,
    create_users    INTEGER NOT NULL CHECK (create_users IN (0, 1)),
    disabled        INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX identity_providers_organization_id ON identity_providers (organization_id, name);
