-- +goose Up

-- sign_in is JSON, '' where a provider is no way to sign in on the page.
ALTER TABLE identity_providers ADD COLUMN sign_in TEXT NOT NULL DEFAULT '';
ALTER TABLE identity_providers ADD COLUMN sealed_client_secret BLOB NOT NULL DEFAULT x'';
