-- +goose Up

-- Sealed columns: '' is none.
CREATE TABLE webhooks (
    id              text COLLATE "C" NOT NULL PRIMARY KEY,
    application_id  text COLLATE "C" NOT NULL REFERENCES applications (id),
    event           text             NOT NULL,
    form            text             NOT NULL,
    url_template    text             NOT NULL,
    description     text             NOT NULL,
    disabled        boolean          NOT NULL,
    header_name     text             NOT NULL,
    sealed_header   bytea            NOT NULL,
    sealed_secret   bytea            NOT NULL,
    sealed_previous bytea            NOT NULL,
    previous_until  bigint,
    created_at      bigint           NOT NULL,
    updated_at      bigint           NOT NULL
);
CREATE INDEX webhooks_application_id ON webhooks (application_id, id);

-- Whose turn it is: one row for each webhook. A server that tells a webhook holds its
-- row until leased_until; claim tells apart who holds it. due_at NULL: nothing waits.
-- failures in a row open the circuit until open_until.
CREATE TABLE webhook_turns (
    webhook_id   text COLLATE "C" NOT NULL PRIMARY KEY,
    due_at       bigint,
    leased_until bigint           NOT NULL,
    claim        bigint           NOT NULL,
    failures     bigint           NOT NULL,
    open_until   bigint           NOT NULL
);
CREATE INDEX webhook_turns_due_at ON webhook_turns (due_at) WHERE due_at IS NOT NULL;

-- The outbox and the log in one. due_at NULL: done. session is the digest of the session
-- token that the last attempt carried; '': none.
CREATE TABLE webhook_deliveries (
    id             text COLLATE "C" NOT NULL PRIMARY KEY,
    webhook_id     text COLLATE "C" NOT NULL,
    application_id text COLLATE "C" NOT NULL,
    event          text             NOT NULL,
    tenant_id      text COLLATE "C" NOT NULL,
    status         text             NOT NULL,
    key_id         text COLLATE "C" NOT NULL,
    key_expires_at bigint,
    url_template   text             NOT NULL,
    state          text             NOT NULL,
    attempts       bigint           NOT NULL,
    tries_left     bigint           NOT NULL,
    due_at         bigint,
    session        bytea            NOT NULL,
    last_status    bigint           NOT NULL,
    last_error     text             NOT NULL,
    created_at     bigint           NOT NULL,
    queued_at      bigint           NOT NULL,
    done_at        bigint
);
CREATE INDEX webhook_deliveries_webhook_id ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_due_at ON webhook_deliveries (webhook_id, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_created_at ON webhook_deliveries (created_at);

CREATE TABLE webhook_attempts (
    delivery_id text COLLATE "C" NOT NULL,
    number      bigint           NOT NULL,
    at          bigint           NOT NULL,
    took        bigint           NOT NULL,
    status      bigint           NOT NULL,
    error       text             NOT NULL,
    PRIMARY KEY (delivery_id, number)
);

-- Which ends were told of, so that each is told once: of an application key (subject its id)
-- or of an authorization (subject application/tenant), by the moment of the end.
CREATE TABLE expiry_notices (
    kind       text COLLATE "C" NOT NULL,
    subject    text COLLATE "C" NOT NULL,
    expires_at bigint           NOT NULL,
    PRIMARY KEY (kind, subject, expires_at)
);
CREATE INDEX expiry_notices_expires_at ON expiry_notices (expires_at);

CREATE INDEX application_keys_expires_at ON application_keys (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX authorizations_expires_at ON authorizations (expires_at) WHERE expires_at IS NOT NULL;
