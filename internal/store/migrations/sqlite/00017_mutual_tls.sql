-- +goose Up

-- tls_subject is what the certificate has to name with which a client proves who it is (RFC 8705, section 2.1), '' for none.
ALTER TABLE oauth_clients ADD COLUMN tls_subject TEXT NOT NULL DEFAULT '';
ALTER TABLE oauth_clients ADD COLUMN self_signed_tls INTEGER NOT NULL DEFAULT 0 CHECK (self_signed_tls IN (0, 1));
ALTER TABLE oauth_clients ADD COLUMN certificate_bound INTEGER NOT NULL DEFAULT 0 CHECK (certificate_bound IN (0, 1));
ALTER TABLE oauth_clients ADD COLUMN dpop_nonce INTEGER NOT NULL DEFAULT 0 CHECK (dpop_nonce IN (0, 1));

-- certificate is x5t#S256 of the one that a token is bound to, '' for none.
ALTER TABLE oauth_tokens ADD COLUMN certificate TEXT NOT NULL DEFAULT '';
