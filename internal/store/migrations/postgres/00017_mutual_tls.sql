-- +goose Up

-- tls_subject is what the certificate has to name with which a client proves who it is (RFC 8705, section 2.1), '' for none.
ALTER TABLE oauth_clients ADD COLUMN tls_subject text NOT NULL DEFAULT '';
ALTER TABLE oauth_clients ADD COLUMN self_signed_tls boolean NOT NULL DEFAULT false;
ALTER TABLE oauth_clients ADD COLUMN certificate_bound boolean NOT NULL DEFAULT false;
ALTER TABLE oauth_clients ADD COLUMN dpop_nonce boolean NOT NULL DEFAULT false;

-- certificate is x5t#S256 of the one that a token is bound to, '' for none.
ALTER TABLE oauth_tokens ADD COLUMN certificate text NOT NULL DEFAULT '';
