-- +goose Up

CREATE TABLE applications (
    id             text COLLATE "C" NOT NULL PRIMARY KEY,
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations (id),
    name           text             NOT NULL,
    description    text             NOT NULL,
    homepage       text             NOT NULL,
    kind           text             NOT NULL,
    environment    text             NOT NULL,
    permissions    text             NOT NULL,
    launch_url     text             NOT NULL,
    review         text COLLATE "C" NOT NULL,
    review_comment text             NOT NULL,
    reviewed_as    text             NOT NULL,
    created_at     bigint           NOT NULL,
    updated_at     bigint           NOT NULL
);
CREATE INDEX applications_organization_id ON applications (organization_id, id);
CREATE INDEX applications_review ON applications (review, id);

CREATE TABLE application_keys (
    id             text COLLATE "C" NOT NULL PRIMARY KEY,
    application_id text COLLATE "C" NOT NULL REFERENCES applications (id),
    digest         bytea            NOT NULL,
    pepper_id      text COLLATE "C" NOT NULL,
    hint           text             NOT NULL,
    created_at     bigint           NOT NULL,
    expires_at     bigint,
    revoked_at     bigint,
    last_used_at   bigint
);
CREATE UNIQUE INDEX application_keys_digest ON application_keys (digest);
CREATE INDEX application_keys_application_id ON application_keys (application_id, id);

-- A row stays when the tenant withdraws: its generation must not begin again. One
-- that only asks is withdrawn and has requested_at.
CREATE TABLE authorizations (
    application_id text COLLATE "C" NOT NULL REFERENCES applications (id),
    tenant_id      text COLLATE "C" NOT NULL REFERENCES organizations (id),
    permissions    text             NOT NULL,
    granted_by     text             NOT NULL,
    generation     bigint           NOT NULL,
    expires_at     bigint,
    withdrawn_at   bigint,
    requested_at   bigint,
    created_at     bigint           NOT NULL,
    updated_at     bigint           NOT NULL,
    PRIMARY KEY (application_id, tenant_id)
);
CREATE INDEX authorizations_tenant_id ON authorizations (tenant_id, application_id);

-- Session tokens of embedded applications. user_id is '' where nobody launched it.
CREATE TABLE partner_sessions (
    digest         bytea            NOT NULL PRIMARY KEY,
    pepper_id      text COLLATE "C" NOT NULL,
    application_id text COLLATE "C" NOT NULL,
    tenant_id      text COLLATE "C" NOT NULL,
    generation     bigint           NOT NULL,
    user_id        text COLLATE "C" NOT NULL,
    created_at     bigint           NOT NULL,
    expires_at     bigint           NOT NULL,
    consumed_at    bigint
);
CREATE INDEX partner_sessions_expires_at ON partner_sessions (expires_at);

CREATE TABLE temporary_keys (
    digest         bytea            NOT NULL PRIMARY KEY,
    id             text COLLATE "C" NOT NULL,
    pepper_id      text COLLATE "C" NOT NULL,
    application_id text COLLATE "C" NOT NULL,
    tenant_id      text COLLATE "C" NOT NULL,
    generation     bigint           NOT NULL,
    user_id        text COLLATE "C" NOT NULL,
    created_at     bigint           NOT NULL,
    expires_at     bigint           NOT NULL
);
CREATE INDEX temporary_keys_expires_at ON temporary_keys (expires_at);
