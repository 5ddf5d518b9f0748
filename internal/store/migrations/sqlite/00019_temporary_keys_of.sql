-- +goose Up

-- application_key_id is the application key that a temporary key was made with, '' of those made before this was
-- kept: whoever revokes a key that was stolen ends what was made with it.
ALTER TABLE temporary_keys ADD COLUMN application_key_id TEXT NOT NULL DEFAULT '';
