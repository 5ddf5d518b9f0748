-- +goose Up

-- Clients of the authorization server. application_id is NULL for those that registered themselves.
CREATE TABLE oauth_clients (
    id                        text COLLATE "C" NOT NULL PRIMARY KEY,
    application_id            text COLLATE "C" REFERENCES applications (id),
    name                      text             NOT NULL,
    public                    boolean          NOT NULL,
    jwks                      text             NOT NULL,
    redirect_uris             text             NOT NULL,
    post_logout_redirect_uris text             NOT NULL,
    grant_types               text             NOT NULL,
    scopes                    text             NOT NULL,
    audiences                 text             NOT NULL,
    serves                    text             NOT NULL,
    token_format              text             NOT NULL,
    first_party               boolean          NOT NULL,
    id_token_algorithm        text             NOT NULL,
    pairwise                  boolean          NOT NULL,
    dpop                      boolean          NOT NULL,
    pushed_only               boolean          NOT NULL,
    created_at                bigint           NOT NULL,
    updated_at                bigint           NOT NULL,
    revoked_at                bigint,
    last_used_at              bigint
);
CREATE UNIQUE INDEX oauth_clients_application_id ON oauth_clients (application_id);

CREATE TABLE oauth_secrets (
    id         text COLLATE "C" NOT NULL PRIMARY KEY,
    client_id  text COLLATE "C" NOT NULL REFERENCES oauth_clients (id),
    purpose    text             NOT NULL,
    digest     bytea            NOT NULL,
    pepper_id  text COLLATE "C" NOT NULL,
    created_at bigint           NOT NULL,
    expires_at bigint,
    revoked_at bigint
);
CREATE INDEX oauth_secrets_client_id ON oauth_secrets (client_id, id);

-- What a user allowed a client: resource is '' for this server's own gateway.
CREATE TABLE oauth_consents (
    user_id    text COLLATE "C" NOT NULL,
    client_id  text COLLATE "C" NOT NULL,
    resource   text COLLATE "C" NOT NULL,
    scopes     text             NOT NULL,
    created_at bigint           NOT NULL,
    updated_at bigint           NOT NULL,
    PRIMARY KEY (user_id, client_id, resource)
);

-- One authorization of a client. Its codes and tokens end with it.
CREATE TABLE oauth_grants (
    id               text COLLATE "C" NOT NULL PRIMARY KEY,
    client_id        text COLLATE "C" NOT NULL,
    user_id          text COLLATE "C" NOT NULL,
    session_id       text COLLATE "C" NOT NULL,
    scopes           text             NOT NULL,
    audiences        text             NOT NULL,
    methods          text             NOT NULL,
    authenticated_at bigint           NOT NULL,
    nonce            text             NOT NULL,
    thumbprint       text             NOT NULL,
    created_at       bigint           NOT NULL,
    expires_at       bigint           NOT NULL,
    revoked_at       bigint
);
CREATE INDEX oauth_grants_user_id ON oauth_grants (user_id, client_id);
CREATE INDEX oauth_grants_expires_at ON oauth_grants (expires_at);

CREATE TABLE oauth_codes (
    digest           bytea            NOT NULL PRIMARY KEY,
    pepper_id        text COLLATE "C" NOT NULL,
    grant_id         text COLLATE "C" NOT NULL,
    client_id        text COLLATE "C" NOT NULL,
    user_id          text COLLATE "C" NOT NULL,
    session_id       text COLLATE "C" NOT NULL,
    scopes           text             NOT NULL,
    audiences        text             NOT NULL,
    methods          text             NOT NULL,
    authenticated_at bigint           NOT NULL,
    nonce            text             NOT NULL,
    thumbprint       text             NOT NULL,
    redirect_uri     text             NOT NULL,
    challenge        text             NOT NULL,
    created_at       bigint           NOT NULL,
    expires_at       bigint           NOT NULL,
    consumed_at      bigint
);
CREATE INDEX oauth_codes_expires_at ON oauth_codes (expires_at);

-- Every access token that was issued: the row is the record of it. grant_id is '' where nobody authorized it,
-- and parent is the id of the token that it was exchanged for.
CREATE TABLE oauth_tokens (
    digest     bytea            NOT NULL PRIMARY KEY,
    id         text COLLATE "C" NOT NULL,
    pepper_id  text COLLATE "C" NOT NULL,
    grant_id   text COLLATE "C" NOT NULL,
    client_id  text COLLATE "C" NOT NULL,
    user_id    text COLLATE "C" NOT NULL,
    scopes     text             NOT NULL,
    audiences  text             NOT NULL,
    thumbprint text             NOT NULL,
    actor      text COLLATE "C" NOT NULL,
    parent     text COLLATE "C" NOT NULL,
    created_at bigint           NOT NULL,
    expires_at bigint           NOT NULL,
    revoked_at bigint
);
CREATE INDEX oauth_tokens_parent ON oauth_tokens (parent) WHERE parent <> '';
CREATE INDEX oauth_tokens_expires_at ON oauth_tokens (expires_at);

CREATE TABLE oauth_refresh_tokens (
    digest      bytea            NOT NULL PRIMARY KEY,
    pepper_id   text COLLATE "C" NOT NULL,
    grant_id    text COLLATE "C" NOT NULL,
    created_at  bigint           NOT NULL,
    expires_at  bigint           NOT NULL,
    consumed_at bigint,
    successor   bytea            NOT NULL,
    answer      bytea            NOT NULL
);
CREATE INDEX oauth_refresh_tokens_expires_at ON oauth_refresh_tokens (expires_at);

-- Authorization requests that clients pushed. parameters is a form.
CREATE TABLE oauth_requests (
    digest     bytea            NOT NULL PRIMARY KEY,
    pepper_id  text COLLATE "C" NOT NULL,
    client_id  text COLLATE "C" NOT NULL,
    parameters text             NOT NULL,
    created_at bigint           NOT NULL,
    expires_at bigint           NOT NULL
);
CREATE INDEX oauth_requests_expires_at ON oauth_requests (expires_at);

-- Devices that wait for a user. user_id is '' until one has decided.
CREATE TABLE oauth_devices (
    digest           bytea            NOT NULL PRIMARY KEY,
    pepper_id        text COLLATE "C" NOT NULL,
    user_code        text COLLATE "C" NOT NULL,
    client_id        text COLLATE "C" NOT NULL,
    scopes           text             NOT NULL,
    audiences        text             NOT NULL,
    thumbprint       text             NOT NULL,
    state            text             NOT NULL,
    user_id          text COLLATE "C" NOT NULL,
    session_id       text COLLATE "C" NOT NULL,
    methods          text             NOT NULL,
    authenticated_at bigint           NOT NULL,
    polled_at        bigint           NOT NULL,
    poll_interval    bigint           NOT NULL,
    created_at       bigint           NOT NULL,
    expires_at       bigint           NOT NULL
);
CREATE UNIQUE INDEX oauth_devices_user_code ON oauth_devices (user_code);
CREATE INDEX oauth_devices_expires_at ON oauth_devices (expires_at);
