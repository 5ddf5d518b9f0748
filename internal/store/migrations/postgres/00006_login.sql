-- +goose Up

-- The hash of a user's password as a PHC string, and its scheme and cost, which
-- say how long a failure has to take.
CREATE TABLE passwords (
    user_id          text COLLATE "C" NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    hash             text             NOT NULL,
    class            text COLLATE "C" NOT NULL,
    changed_at       bigint           NOT NULL
);
CREATE INDEX passwords_class ON passwords (class);

-- last_step is the newest TOTP step accepted, or a passkey's signature counter.
CREATE TABLE factors (
    id               text COLLATE "C" NOT NULL PRIMARY KEY,
    user_id          text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind             text             NOT NULL,
    name             text             NOT NULL,
    sealed           bytea            NOT NULL,
    credential_id    bytea,
    last_step        bigint           NOT NULL,
    created_at       bigint           NOT NULL,
    last_used_at     bigint
);
CREATE INDEX factors_user_id ON factors (user_id, id);
CREATE UNIQUE INDEX factors_totp ON factors (user_id) WHERE kind = 'totp';
CREATE UNIQUE INDEX factors_credential_id ON factors (credential_id) WHERE credential_id IS NOT NULL;

-- One row for each code that is left.
CREATE TABLE recovery_codes (
    digest           bytea            NOT NULL PRIMARY KEY,
    pepper_id        text             NOT NULL,
    user_id          text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at       bigint           NOT NULL
);
CREATE INDEX recovery_codes_user_id ON recovery_codes (user_id);

-- change_due: every factor is proven, and a new password is waited for.
CREATE TABLE challenges (
    digest           bytea            NOT NULL PRIMARY KEY,
    pepper_id        text             NOT NULL,
    user_id          text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    door             text             NOT NULL,
    methods          text             NOT NULL,
    provider_name    text COLLATE "C" NOT NULL,
    sealed           bytea            NOT NULL,
    failures         bigint           NOT NULL,
    change_due       boolean          NOT NULL,
    client_addr      text             NOT NULL,
    user_agent       text             NOT NULL,
    created_at       bigint           NOT NULL,
    expires_at       bigint           NOT NULL,
    consumed_at      bigint,
    answer_key       bytea            NOT NULL,
    answer           bytea            NOT NULL
);
CREATE INDEX challenges_user_id ON challenges (user_id);
CREATE INDEX challenges_expires_at ON challenges (expires_at);

CREATE TABLE sessions (
    id               text COLLATE "C" NOT NULL PRIMARY KEY,
    user_id          text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    organization_id  text COLLATE "C" NOT NULL,
    door             text             NOT NULL,
    methods          text             NOT NULL,
    authenticated_at bigint           NOT NULL,
    api_key_id       text COLLATE "C" NOT NULL,
    provider_name    text COLLATE "C" NOT NULL,
    client_addr      text             NOT NULL,
    user_agent       text             NOT NULL,
    created_at       bigint           NOT NULL,
    last_used_at     bigint,
    expires_at       bigint           NOT NULL,
    revoked_at       bigint
);
CREATE INDEX sessions_user_id ON sessions (user_id, id);
CREATE INDEX sessions_organization_id ON sessions (organization_id, id);
CREATE INDEX sessions_api_key_id ON sessions (api_key_id) WHERE api_key_id <> '';
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- Failed attempts to sign in. key is a digest of what is counted; whatever names
-- are tried, those of nobody share a bounded number of keys.
CREATE TABLE login_failures (
    counter          bytea            NOT NULL PRIMARY KEY,
    failures         bigint           NOT NULL,
    not_before       bigint           NOT NULL,
    quiet_until      bigint           NOT NULL
);
CREATE INDEX login_failures_quiet_until ON login_failures (quiet_until);

-- Where a user has signed in from: an account's failures elsewhere do not delay them there.
CREATE TABLE login_networks (
    user_id          text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    network          text COLLATE "C" NOT NULL,
    seen_at          bigint           NOT NULL,
    PRIMARY KEY (user_id, network)
);
CREATE INDEX login_networks_seen_at ON login_networks (seen_at);

CREATE TABLE password_resets (
    digest           bytea            NOT NULL PRIMARY KEY,
    pepper_id        text             NOT NULL,
    user_id          text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at       bigint           NOT NULL,
    expires_at       bigint           NOT NULL
);
CREATE INDEX password_resets_user_id ON password_resets (user_id);
CREATE INDEX password_resets_expires_at ON password_resets (expires_at);

-- Whom an identity provider means by a subject, from the first sign-in on.
CREATE TABLE user_identities (
    provider_name    text COLLATE "C" NOT NULL REFERENCES identity_providers (name) ON DELETE CASCADE,
    issuer           text COLLATE "C" NOT NULL,
    subject          text COLLATE "C" NOT NULL,
    user_id          text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at       bigint           NOT NULL,
    PRIMARY KEY (provider_name, issuer, subject)
);
CREATE UNIQUE INDEX user_identities_user_id ON user_identities (user_id, provider_name);

-- A user's personal API key, readable again; its digest is with all others'.
CREATE TABLE auth_tokens (
    user_id          text COLLATE "C" NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    api_key_id       text COLLATE "C" NOT NULL,
    sealed           bytea            NOT NULL,
    created_at       bigint           NOT NULL
);
