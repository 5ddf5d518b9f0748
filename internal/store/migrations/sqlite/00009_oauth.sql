-- +goose Up

-- Clients of the authorization server. application_id is NULL for those that registered themselves.
CREATE TABLE oauth_clients (
    id                        TEXT    NOT NULL PRIMARY KEY,
    application_id            TEXT    REFERENCES applications (id),
    name                      TEXT    NOT NULL,
    public                    INTEGER NOT NULL CHECK (public IN (0, 1)),
    jwks                      TEXT    NOT NULL,
    redirect_uris             TEXT    NOT NULL,
    post_logout_redirect_uris TEXT    NOT NULL,
    grant_types               TEXT    NOT NULL,
    scopes                    TEXT    NOT NULL,
    audiences                 TEXT    NOT NULL,
    serves                    TEXT    NOT NULL,
    token_format              TEXT    NOT NULL,
    first_party               INTEGER NOT NULL CHECK (first_party IN (0, 1)),
    id_token_algorithm        TEXT    NOT NULL,
    pairwise                  INTEGER NOT NULL CHECK (pairwise IN (0, 1)),
    dpop                      INTEGER NOT NULL CHECK (dpop IN (0, 1)),
    pushed_only               INTEGER NOT NULL CHECK (pushed_only IN (0, 1)),
    created_at                INTEGER NOT NULL,
    updated_at                INTEGER NOT NULL,
    revoked_at                INTEGER,
    last_used_at              INTEGER
) STRICT;
CREATE UNIQUE INDEX oauth_clients_application_id ON oauth_clients (application_id);

CREATE TABLE oauth_secrets (
    id         TEXT    NOT NULL PRIMARY KEY,
    client_id  TEXT    NOT NULL REFERENCES oauth_clients (id),
    purpose    TEXT    NOT NULL,
    digest     BLOB    NOT NULL,
    pepper_id  TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;
CREATE INDEX oauth_secrets_client_id ON oauth_secrets (client_id, id);

-- What a user allowed a client: resource is '' for this server's own gateway.
CREATE TABLE oauth_consents (
    user_id    TEXT    NOT NULL,
    client_id  TEXT    NOT NULL,
    resource   TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, client_id, resource)
) STRICT, WITHOUT ROWID;

-- One authorization of a client. Its codes and tokens end with it.
CREATE TABLE oauth_grants (
    id               TEXT    NOT NULL PRIMARY KEY,
    client_id        TEXT    NOT NULL,
    user_id          TEXT    NOT NULL,
    session_id       TEXT    NOT NULL,
    scopes           TEXT    NOT NULL,
    audiences        TEXT    NOT NULL,
    methods          TEXT    NOT NULL,
    authenticated_at INTEGER NOT NULL,
    nonce            TEXT    NOT NULL,
    thumbprint       TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    revoked_at       INTEGER
) STRICT;
CREATE INDEX oauth_grants_user_id ON oauth_grants (user_id, client_id);
CREATE INDEX oauth_grants_expires_at ON oauth_grants (expires_at);

CREATE TABLE oauth_codes (
    digest           BLOB    NOT NULL PRIMARY KEY,
    pepper_id        TEXT    NOT NULL,
    grant_id         TEXT    NOT NULL,
    client_id        TEXT    NOT NULL,
    user_id          TEXT    NOT NULL,
    session_id       TEXT    NOT NULL,
    scopes           TEXT    NOT NULL,
    audiences        TEXT    NOT NULL,
    methods          TEXT    NOT NULL,
    authenticated_at INTEGER NOT NULL,
    nonce            TEXT    NOT NULL,
    thumbprint       TEXT    NOT NULL,
    redirect_uri     TEXT    NOT NULL,
    challenge        TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    consumed_at      INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX oauth_codes_expires_at ON oauth_codes (expires_at);

-- Every access token that was issued: the row is the record of it. grant_id is '' where nobody authorized it,
-- and parent is the id of the token that it was exchanged for.
CREATE TABLE oauth_tokens (
    digest     BLOB    NOT NULL PRIMARY KEY,
    id         TEXT    NOT NULL,
    pepper_id  TEXT    NOT NULL,
    grant_id   TEXT    NOT NULL,
    client_id  TEXT    NOT NULL,
    user_id    TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,
    audiences  TEXT    NOT NULL,
    thumbprint TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    parent     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX oauth_tokens_parent ON oauth_tokens (parent) WHERE parent <> '';
CREATE INDEX oauth_tokens_expires_at ON oauth_tokens (expires_at);

CREATE TABLE oauth_refresh_tokens (
    digest      BLOB    NOT NULL PRIMARY KEY,
    pepper_id   TEXT    NOT NULL,
    grant_id    TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    consumed_at INTEGER,
    successor   BLOB    NOT NULL,
    answer      BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX oauth_refresh_tokens_expires_at ON oauth_refresh_tokens (expires_at);

-- Authorization requests that clients pushed. parameters is a form.
CREATE TABLE oauth_requests (
    digest     BLOB    NOT NULL PRIMARY KEY,
    pepper_id  TEXT    NOT NULL,
    client_id  TEXT    NOT NULL,
    parameters TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX oauth_requests_expires_at ON oauth_requests (expires_at);

-- Devices that wait for a user. user_id is '' until one has decided.
CREATE TABLE oauth_devices (
    digest           BLOB    NOT NULL PRIMARY KEY,
    pepper_id        TEXT    NOT NULL,
    user_code        TEXT    NOT NULL,
    client_id        TEXT    NOT NULL,
    scopes           TEXT    NOT NULL,
    audiences        TEXT    NOT NULL,
    thumbprint       TEXT    NOT NULL,
    state            TEXT    NOT NULL,
    user_id          TEXT    NOT NULL,
    session_id       TEXT    NOT NULL,
    methods          TEXT    NOT NULL,
    authenticated_at INTEGER NOT NULL,
    polled_at        INTEGER NOT NULL,
    poll_interval    INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX oauth_devices_user_code ON oauth_devices (user_code);
CREATE INDEX oauth_devices_expires_at ON oauth_devices (expires_at);
