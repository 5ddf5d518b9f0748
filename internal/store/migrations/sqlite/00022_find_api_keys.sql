-- +goose Up

-- Keys are found by how their secrets begin, and the revoked ones by id, among ten million.
CREATE INDEX api_keys_hint ON api_keys (hint) WHERE hint <> '';
CREATE INDEX api_keys_revoked ON api_keys (id) WHERE revoked_at IS NOT NULL;
-- The expression keeps SQLite from taking the index of all keys of an organization.
CREATE INDEX api_keys_organization_revoked ON api_keys ((organization_id || ''), id) WHERE revoked_at IS NOT NULL;
