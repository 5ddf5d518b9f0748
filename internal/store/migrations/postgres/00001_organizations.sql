-- +goose Up
-- Ids collate by byte, as on SQLite, whatever the database was created with.
-- Times are microseconds since 1970 UTC; NULL is "none".
-- Lists (scopes, site ids, networks) are one text, separated by single spaces.

CREATE TABLE organizations (
    id          text COLLATE "C" NOT NULL PRIMARY KEY,
    name        text             NOT NULL,
    environment text             NOT NULL,
    tenant_id   text             NOT NULL,
    key_prefix  text             NOT NULL,
    disabled    boolean          NOT NULL,
    created_at  bigint           NOT NULL,
    updated_at  bigint           NOT NULL
);
CREATE UNIQUE INDEX organizations_tenant_id ON organizations (tenant_id) WHERE tenant_id <> '';

CREATE TABLE sites (
    id              text COLLATE "C" NOT NULL PRIMARY KEY,
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations (id),
    name            text             NOT NULL,
    created_at      bigint           NOT NULL,
    updated_at      bigint           NOT NULL
);
CREATE INDEX sites_organization_id ON sites (organization_id, id);

CREATE TABLE roles (
    id         text COLLATE "C" NOT NULL PRIMARY KEY,
    name       text             NOT NULL,
    scopes     text             NOT NULL,
    created_at bigint           NOT NULL,
    updated_at bigint           NOT NULL
);
