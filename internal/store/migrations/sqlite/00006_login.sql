-- +goose Up

-- The hash of a user's password as a PHC string, and its scheme and cost, which
-- say how long a failure has to take.
CREATE TABLE passwords (
    user_id    TEXT    NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    hash       TEXT    NOT NULL,
    class      TEXT    NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX passwords_class ON passwords (class);

-- last_step is the newest TOTP step accepted, or a passkey's signature counter.
CREATE TABLE factors (
    id            TEXT    NOT NULL PRIMARY KEY,
    user_id       TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind          TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    sealed        BLOB    NOT NULL,
    credential_id BLOB,
    last_step     INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    last_used_at  INTEGER
) STRICT;
CREATE INDEX factors_user_id ON factors (user_id, id);
CREATE UNIQUE INDEX factors_totp ON factors (user_id) WHERE kind = 'totp';
CREATE UNIQUE INDEX factors_credential_id ON factors (credential_id) WHERE credential_id IS NOT NULL;

-- One row for each code that is left.
CREATE TABLE recovery_codes (
    digest     BLOB    NOT NULL PRIMARY KEY,
    pepper_id  TEXT    NOT NULL,
    user_id    TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX recovery_codes_user_id ON recovery_codes (user_id);

-- change_due: every factor is proven, and a new password is waited for.
CREATE TABLE challenges (
    digest        BLOB    NOT NULL PRIMARY KEY,
    pepper_id     TEXT    NOT NULL,
    user_id       TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    door          TEXT    NOT NULL,
    methods       TEXT    NOT NULL,
    provider_name TEXT    NOT NULL,
    sealed        BLOB    NOT NULL,
    failures      INTEGER NOT NULL,
    change_due    INTEGER NOT NULL CHECK (change_due IN (0, 1)),
    client_addr   TEXT    NOT NULL,
    user_agent    TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    consumed_at   INTEGER,
    answer_key    BLOB    NOT NULL,
    answer        BLOB    NOT NULL
) STRICT;
CREATE INDEX challenges_user_id ON challenges (user_id);
CREATE INDEX challenges_expires_at ON challenges (expires_at);

CREATE TABLE sessions (
    id               TEXT    NOT NULL PRIMARY KEY,
    user_id          TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    organization_id  TEXT    NOT NULL,
    door             TEXT    NOT NULL,
    methods          TEXT    NOT NULL,
    authenticated_at INTEGER NOT NULL,
    api_key_id       TEXT    NOT NULL,
    provider_name    TEXT    NOT NULL,
    client_addr      TEXT    NOT NULL,
    user_agent       TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    last_used_at     INTEGER,
    expires_at       INTEGER NOT NULL,
    revoked_at       INTEGER
) STRICT;
CREATE INDEX sessions_user_id ON sessions (user_id, id);
CREATE INDEX sessions_organization_id ON sessions (organization_id, id);
CREATE INDEX sessions_api_key_id ON sessions (api_key_id) WHERE api_key_id <> '';
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- Failed attempts to sign in. key is a digest of what is counted; whatever names
-- are tried, those of nobody share a bounded number of keys.
CREATE TABLE login_failures (
    counter     BLOB    NOT NULL PRIMARY KEY,
    failures    INTEGER NOT NULL,
    not_before  INTEGER NOT NULL,
    quiet_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX login_failures_quiet_until ON login_failures (quiet_until);

-- Where a user has signed in from: an account's failures elsewhere do not delay them there.
CREATE TABLE login_networks (
    user_id TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    network TEXT    NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, network)
) STRICT, WITHOUT ROWID;
CREATE INDEX login_networks_seen_at ON login_networks (seen_at);

CREATE TABLE password_resets (
    digest     BLOB    NOT NULL PRIMARY KEY,
    pepper_id  TEXT    NOT NULL,
    user_id    TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX password_resets_user_id ON password_resets (user_id);
CREATE INDEX password_resets_expires_at ON password_resets (expires_at);

-- Whom an identity provider means by a subject, from the first sign-in on.
CREATE TABLE user_identities (
    provider_name TEXT    NOT NULL REFERENCES identity_providers (name) ON DELETE CASCADE,
    issuer        TEXT    NOT NULL,
    subject       TEXT    NOT NULL,
    user_id       TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at    INTEGER NOT NULL,
    PRIMARY KEY (provider_name, issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX user_identities_user_id ON user_identities (user_id, provider_name);

-- A user's personal API key, readable again; its digest is with all others'.
CREATE TABLE auth_tokens (
    user_id    TEXT    NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    api_key_id TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
