-- +goose Up

-- What the claims parameter asked for beside scopes, and the authentication context
-- that was asked for and met ('': none was).
ALTER TABLE oauth_grants ADD COLUMN userinfo_claims TEXT NOT NULL DEFAULT '';
ALTER TABLE oauth_grants ADD COLUMN id_token_claims TEXT NOT NULL DEFAULT '';
ALTER TABLE oauth_grants ADD COLUMN acr TEXT NOT NULL DEFAULT '';
ALTER TABLE oauth_codes ADD COLUMN userinfo_claims TEXT NOT NULL DEFAULT '';
ALTER TABLE oauth_codes ADD COLUMN id_token_claims TEXT NOT NULL DEFAULT '';
ALTER TABLE oauth_codes ADD COLUMN acr TEXT NOT NULL DEFAULT '';
