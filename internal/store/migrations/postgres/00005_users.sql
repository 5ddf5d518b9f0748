-- +goose Up

-- Whether a second factor is asked for: required, optional, off; '' is not stated.
ALTER TABLE organizations ADD COLUMN mfa text NOT NULL DEFAULT '';
ALTER TABLE roles ADD COLUMN mfa text NOT NULL DEFAULT '';

CREATE TABLE users (
    id                   text COLLATE "C" NOT NULL PRIMARY KEY,
    organization_id      text COLLATE "C" NOT NULL REFERENCES organizations (id),
    username             text             NOT NULL,
    email                text             NOT NULL,
    name                 text             NOT NULL,
    role_id              text COLLATE "C"         REFERENCES roles (id),
    admin_role           text             NOT NULL,
    customer_ids         text             NOT NULL,
    group_id             text             NOT NULL,
    skin_id              text             NOT NULL,
    mfa                  text             NOT NULL,
    must_change_password boolean          NOT NULL,
    disabled             boolean          NOT NULL,
    last_login_at        bigint,
    created_at           bigint           NOT NULL,
    updated_at           bigint           NOT NULL
);
CREATE INDEX users_organization_id ON users (organization_id, id);
CREATE INDEX users_role_id ON users (role_id);

-- What users sign in with, usernames and e-mail addresses alike, in canonical
-- form: nobody's name is another's address. skeleton is what names have in
-- common that look alike.
CREATE TABLE user_names (
    name     text COLLATE "C" NOT NULL PRIMARY KEY,
    skeleton text COLLATE "C" NOT NULL,
    user_id  text COLLATE "C" NOT NULL REFERENCES users (id)
);
CREATE UNIQUE INDEX user_names_skeleton ON user_names (skeleton);
CREATE INDEX user_names_user_id ON user_names (user_id);

-- '' is a key of nobody's; no foreign key, for bulk imports.
ALTER TABLE api_keys ADD COLUMN user_id text COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX api_keys_user_id ON api_keys (user_id) WHERE user_id <> '';

-- claims is a JSON object of texts.
CREATE TABLE identity_providers (
    name            text COLLATE "C" NOT NULL PRIMARY KEY,
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations (id),
    roles           text             NOT NULL,
    issuer          text             NOT NULL,
    audience        text             NOT NULL,
    algorithms      text             NOT NULL,
    jwks_url        text             NOT NULL,
    jwks            text             NOT NULL,
    public_key      text             NOT NULL,
    sealed_secret   bytea            NOT NULL,
    claims          text             NOT NULL,
    create_users    boolean          NOT NULL,
    disabled        boolean          NOT NULL,
    created_at      bigint           NOT NULL,
    updated_at      bigint           NOT NULL
);
CREATE INDEX identity_providers_organization_id ON identity_providers (organization_id, name);
