-- +goose Up

-- One chain an organisation; '' is the global chain.
CREATE TABLE audit_events (
    organization_id text COLLATE "C" NOT NULL,
    seq             bigint           NOT NULL,
    at              bigint           NOT NULL,
    actor           text             NOT NULL,
    action          text             NOT NULL,
    target          text             NOT NULL,
    detail          text             NOT NULL,
    request_id      text             NOT NULL,
    prev_hash       bytea            NOT NULL,
    hash            bytea            NOT NULL,
    PRIMARY KEY (organization_id, seq)
);

-- The end of every chain. Its row is the lock of everything in the chain.
CREATE TABLE audit_heads (
    chain text COLLATE "C" NOT NULL PRIMARY KEY,
    seq   bigint           NOT NULL,
    hash  bytea            NOT NULL
);

-- One chain for all recorded decisions.
CREATE TABLE audit_decisions (
    seq             bigint           NOT NULL PRIMARY KEY,
    at              bigint           NOT NULL,
    request_id      text             NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    kind            text             NOT NULL,
    credential_id   text             NOT NULL,
    route_id        text             NOT NULL,
    point           text             NOT NULL,
    method          text             NOT NULL,
    path            text             NOT NULL,
    client_addr     text             NOT NULL,
    allowed         boolean          NOT NULL,
    observed        boolean          NOT NULL,
    reason          text             NOT NULL,
    cause           text             NOT NULL,
    prev_hash       bytea            NOT NULL,
    hash            bytea            NOT NULL
);
CREATE INDEX audit_decisions_organization_id ON audit_decisions (organization_id, seq);

CREATE TABLE changes (
    revision bigint           NOT NULL PRIMARY KEY,
    kind     text             NOT NULL,
    id       text COLLATE "C" NOT NULL,
    at       bigint           NOT NULL
);

-- One row. revision is the newest change, purged the newest that was deleted.
CREATE TABLE feed_head (
    id       bigint NOT NULL PRIMARY KEY CHECK (id = 1),
    revision bigint NOT NULL,
    purged   bigint NOT NULL
);
INSERT INTO feed_head (id, revision, purged) VALUES (1, 0, 0);

CREATE TABLE meta (
    name  text NOT NULL PRIMARY KEY,
    value text NOT NULL
);

-- Servers that use a PostgreSQL store; times are the database's own. A SQLite
-- store is leased by a lock of the operating system and leaves this empty.
CREATE TABLE server_leases (
    id            text COLLATE "C" NOT NULL PRIMARY KEY,
    holder        text             NOT NULL,
    exclusive     boolean          NOT NULL,
    machine       text             NOT NULL,
    pid           bigint           NOT NULL,
    process_start text             NOT NULL,
    expires_at    bigint           NOT NULL
);
