-- +goose Up

-- What an organisation does with API keys found in the open: notify, throttle or
-- revoke ('': notify), and for how many microseconds a leaked secret still goes on.
ALTER TABLE organizations ADD COLUMN leak_response TEXT NOT NULL DEFAULT '';
ALTER TABLE organizations ADD COLUMN leak_grace INTEGER NOT NULL DEFAULT 0;

ALTER TABLE api_key_secrets ADD COLUMN leaked_at INTEGER;
CREATE INDEX api_key_secrets_leaked_at ON api_key_secrets (leaked_at) WHERE leaked_at IS NOT NULL;

ALTER TABLE api_keys ADD COLUMN last_used_addr TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN last_used_route TEXT NOT NULL DEFAULT '';
CREATE INDEX api_keys_expires_at ON api_keys (expires_at) WHERE expires_at IS NOT NULL;

-- What was told about a key, so that it is not told again: about is the instant
-- that the notice was about.
CREATE TABLE api_key_notices (
    key_id TEXT NOT NULL,
    kind   TEXT NOT NULL,
    about  INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (key_id, kind)
) STRICT, WITHOUT ROWID;

-- Requests of a key that was proven, by the hour. hour is when it began.
CREATE TABLE api_key_usage (
    key_id     TEXT NOT NULL,
    hour       INTEGER NOT NULL,
    allowed    INTEGER NOT NULL,
    refused    INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    last_addr  TEXT NOT NULL,
    last_route TEXT NOT NULL,
    PRIMARY KEY (key_id, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX api_key_usage_hour ON api_key_usage (hour);

-- What a key really used: aspect is scope, site or route.
CREATE TABLE api_key_aspects (
    key_id   TEXT NOT NULL,
    aspect   TEXT NOT NULL,
    name     TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    PRIMARY KEY (key_id, aspect, name)
) STRICT, WITHOUT ROWID;

-- Requests of the management API with an Idempotency-Key. request is a digest of what
-- was asked; answer is sealed and goes first, bare is sealed and holds no secrets. Both
-- are empty between the change and its answer.
CREATE TABLE idempotent_requests (
    id         BLOB NOT NULL PRIMARY KEY,
    request    BLOB NOT NULL,
    answer     BLOB NOT NULL,
    bare       BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotent_requests_created_at ON idempotent_requests (created_at);

-- Secrets of keys that another system hashed, until their first use. lookup is SHA-256
-- of the head of the key, or the HMAC of the whole key under the other system's pepper.
CREATE TABLE foreign_secrets (
    lookup     BLOB NOT NULL PRIMARY KEY,
    key_id     TEXT NOT NULL,
    hash       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX foreign_secrets_key_id ON foreign_secrets (key_id);

-- What a route that only observes would have refused.
CREATE INDEX audit_decisions_observed ON audit_decisions (at) WHERE observed;
