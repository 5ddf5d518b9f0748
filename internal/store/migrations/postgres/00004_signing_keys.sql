-- +goose Up

-- What an organisation asks of one-time signed requests: microseconds (0: the
-- server's default), and the accepted forms ('': all).
ALTER TABLE organizations ADD COLUMN onetime_clock_window bigint NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN onetime_forms text NOT NULL DEFAULT '';

CREATE TABLE signing_keys (
    id                 text COLLATE "C" NOT NULL PRIMARY KEY,
    organization_id    text COLLATE "C" NOT NULL REFERENCES organizations (id),
    name               text             NOT NULL,
    environment        text             NOT NULL,
    api_key            text COLLATE "C" NOT NULL,
    algorithm          text             NOT NULL,
    public_key         text             NOT NULL,
    sealed_secret      bytea            NOT NULL,
    permitted_site_ids text             NOT NULL,
    scopes             text             NOT NULL,
    allowed_ips        text             NOT NULL,
    rate               text             NOT NULL,
    rate_algorithm     text             NOT NULL,
    expires_at         bigint,
    revoked_at         bigint,
    last_used_at       bigint,
    created_at         bigint           NOT NULL,
    updated_at         bigint           NOT NULL
);
CREATE UNIQUE INDEX signing_keys_api_key ON signing_keys (api_key);
CREATE INDEX signing_keys_organization_id ON signing_keys (organization_id, id);

-- Every api_key there ever was. Rows are never deleted: a name that meant one
-- caller must not come to mean another.
CREATE TABLE signing_key_names (
    api_key        text COLLATE "C" NOT NULL PRIMARY KEY,
    signing_key_id text COLLATE "C" NOT NULL,
    taken_at       bigint           NOT NULL
);

-- The shared ledger of one-time requests: what was spent, kept until a time on
-- the store's clock.
CREATE TABLE spent_nonces (
    nonce      bytea  NOT NULL PRIMARY KEY,
    keep_until bigint NOT NULL
);
CREATE INDEX spent_nonces_keep_until ON spent_nonces (keep_until);

-- One row; 0 is none. Tokens good until floor or less may be forgotten. Tokens
-- stamped up to refuse_until may have been spent without being known here.
CREATE TABLE nonce_bounds (
    id           bigint NOT NULL PRIMARY KEY CHECK (id = 1),
    floor        bigint NOT NULL,
    refuse_until bigint NOT NULL
);
INSERT INTO nonce_bounds (id, floor, refuse_until) VALUES (1, 0, 0);
