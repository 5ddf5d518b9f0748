-- +goose Up
-- api_keys and api_key_secrets have named unique indexes and no primary key,
-- and no foreign key between them: a bulk import into empty tables drops the
-- indexes and builds them last. The store writes both in one transaction.

CREATE TABLE api_keys (
    id                 text COLLATE "C" NOT NULL,
    organization_id    text COLLATE "C" NOT NULL REFERENCES organizations (id),
    name               text             NOT NULL,
    environment        text             NOT NULL,
    permitted_site_ids text             NOT NULL,
    scopes             text             NOT NULL,
    allowed_ips        text             NOT NULL,
    rate               text             NOT NULL,
    rate_algorithm     text             NOT NULL,
    hint               text             NOT NULL,
    expires_at         bigint,
    revoked_at         bigint,
    last_used_at       bigint,
    created_at         bigint           NOT NULL,
    updated_at         bigint           NOT NULL
);
CREATE UNIQUE INDEX api_keys_id ON api_keys (id);
CREATE INDEX api_keys_organization_id ON api_keys (organization_id, id);

CREATE TABLE api_key_secrets (
    digest     bytea            NOT NULL,
    key_id     text COLLATE "C" NOT NULL,
    pepper_id  text             NOT NULL,
    created_at bigint           NOT NULL,
    expires_at bigint
);
CREATE UNIQUE INDEX api_key_secrets_digest ON api_key_secrets (digest);
CREATE INDEX api_key_secrets_key_id ON api_key_secrets (key_id);

-- organization_id is '' for a global token.
CREATE TABLE admin_tokens (
    id              text COLLATE "C" NOT NULL PRIMARY KEY,
    organization_id text COLLATE "C" NOT NULL,
    name            text             NOT NULL,
    scopes          text             NOT NULL,
    bootstrap       boolean          NOT NULL,
    digest          bytea            NOT NULL,
    pepper_id       text             NOT NULL,
    created_at      bigint           NOT NULL,
    first_used_at   bigint,
    expires_at      bigint,
    revoked_at      bigint
);
CREATE UNIQUE INDEX admin_tokens_digest ON admin_tokens (digest);
CREATE INDEX admin_tokens_organization_id ON admin_tokens (organization_id, id);

CREATE TABLE peppers (
    id         text COLLATE "C" NOT NULL PRIMARY KEY,
    sealed     bytea            NOT NULL,
    is_current boolean          NOT NULL,
    created_at bigint           NOT NULL
);

CREATE TABLE keysets (
    name       text   NOT NULL PRIMARY KEY,
    sealed     bytea  NOT NULL,
    updated_at bigint NOT NULL
);
