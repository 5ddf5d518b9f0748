-- +goose Up

-- provider is the identity provider whose assertion stands behind the grant, '' where the user gave it.
ALTER TABLE oauth_grants ADD COLUMN provider text NOT NULL DEFAULT '';
