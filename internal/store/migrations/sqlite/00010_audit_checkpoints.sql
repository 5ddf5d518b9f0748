-- +goose Up

-- Signed statements about a chain: 'seal', its entry seq has this hash; 'base',
-- the entries through seq were removed by retention, and the last had this hash.
CREATE TABLE audit_checkpoints (
    chain     TEXT    NOT NULL,
    kind      TEXT    NOT NULL CHECK (kind IN ('seal', 'base')),
    seq       INTEGER NOT NULL,
    hash      BLOB    NOT NULL,
    at        INTEGER NOT NULL,
    key_id    TEXT    NOT NULL,
    signature BLOB    NOT NULL,
    PRIMARY KEY (chain, kind, seq)
) STRICT;

CREATE INDEX audit_events_at ON audit_events (at, organization_id, seq);

-- What was issued is its own record, and gets its audit event a moment later:
-- audited says that it has.
ALTER TABLE sessions ADD COLUMN audited INTEGER NOT NULL DEFAULT 0 CHECK (audited IN (0, 1));
CREATE INDEX sessions_audited ON sessions (id) WHERE audited = FALSE;
ALTER TABLE partner_sessions ADD COLUMN audited INTEGER NOT NULL DEFAULT 0 CHECK (audited IN (0, 1));
CREATE INDEX partner_sessions_audited ON partner_sessions (digest) WHERE audited = FALSE;
ALTER TABLE temporary_keys ADD COLUMN audited INTEGER NOT NULL DEFAULT 0 CHECK (audited IN (0, 1));
CREATE INDEX temporary_keys_audited ON temporary_keys (digest) WHERE audited = FALSE;
ALTER TABLE oauth_grants ADD COLUMN audited INTEGER NOT NULL DEFAULT 0 CHECK (audited IN (0, 1));
CREATE INDEX oauth_grants_audited ON oauth_grants (id) WHERE audited = FALSE;
ALTER TABLE oauth_tokens ADD COLUMN audited INTEGER NOT NULL DEFAULT 0 CHECK (audited IN (0, 1));
CREATE INDEX oauth_tokens_audited ON oauth_tokens (digest) WHERE audited = FALSE;
