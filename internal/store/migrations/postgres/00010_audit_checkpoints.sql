-- +goose Up

-- Signed statements about a chain: 'seal', its entry seq has this hash; 'base',
-- the entries through seq were removed by retention, and the last had this hash.
CREATE TABLE audit_checkpoints (
    chain     text COLLATE "C" NOT NULL,
    kind      text COLLATE "C" NOT NULL CHECK (kind IN ('seal', 'base')),
    seq       bigint           NOT NULL,
    hash      bytea            NOT NULL,
    at        bigint           NOT NULL,
    key_id    text             NOT NULL,
    signature bytea            NOT NULL,
    PRIMARY KEY (chain, kind, seq)
);

CREATE INDEX audit_events_at ON audit_events (at, organization_id, seq);

-- What was issued is its own record, and gets its audit event a moment later:
-- audited says that it has.
ALTER TABLE sessions ADD COLUMN audited boolean NOT NULL DEFAULT FALSE;
CREATE INDEX sessions_audited ON sessions (id) WHERE audited = FALSE;
ALTER TABLE partner_sessions ADD COLUMN audited boolean NOT NULL DEFAULT FALSE;
CREATE INDEX partner_sessions_audited ON partner_sessions (digest) WHERE audited = FALSE;
ALTER TABLE temporary_keys ADD COLUMN audited boolean NOT NULL DEFAULT FALSE;
CREATE INDEX temporary_keys_audited ON temporary_keys (digest) WHERE audited = FALSE;
ALTER TABLE oauth_grants ADD COLUMN audited boolean NOT NULL DEFAULT FALSE;
CREATE INDEX oauth_grants_audited ON oauth_grants (id) WHERE audited = FALSE;
ALTER TABLE oauth_tokens ADD COLUMN audited boolean NOT NULL DEFAULT FALSE;
CREATE INDEX oauth_tokens_audited ON oauth_tokens (digest) WHERE audited = FALSE;
