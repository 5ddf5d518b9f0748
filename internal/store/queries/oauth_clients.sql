-- name: InsertOAuthClient :execrows
INSERT INTO oauth_clients (id, application_id, name, public, jwks, redirect_uris, post_logout_redirect_uris, grant_types, scopes, audiences, serves,
    token_format, first_party, id_token_algorithm, pairwise, dpop, pushed_only, created_at, updated_at, revoked_at, last_used_at,
    backchannel_logout_uri, backchannel_logout_session_required, frontchannel_logout_uri, frontchannel_logout_session_required,
    tls_subject, self_signed_tls, certificate_bound, dpop_nonce)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29)
ON CONFLICT DO NOTHING;

-- name: GetOAuthClient :one
SELECT * FROM oauth_clients WHERE id = $1;

-- name: GetOAuthClientOfApplication :one
SELECT * FROM oauth_clients WHERE application_id = $1;

-- name: ListOAuthClients :many
SELECT * FROM oauth_clients WHERE id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: ListOAuthClientsOfOrganization :many
SELECT sqlc.embed(c) FROM oauth_clients AS c JOIN applications AS a ON a.id = c.application_id
WHERE a.organization_id = sqlc.arg(organization_id) AND c.id > sqlc.arg(after_id) ORDER BY c.id LIMIT sqlc.arg(row_limit);

-- name: UpdateOAuthClient :exec
UPDATE oauth_clients
SET name = $2, public = $3, jwks = $4, redirect_uris = $5, post_logout_redirect_uris = $6, grant_types = $7, scopes = $8, audiences = $9, serves = $10,
    token_format = $11, first_party = $12, id_token_algorithm = $13, pairwise = $14, dpop = $15, pushed_only = $16,
    updated_at = $17, revoked_at = $18, backchannel_logout_uri = $19, backchannel_logout_session_required = $20, frontchannel_logout_uri = $21,
    frontchannel_logout_session_required = $22, tls_subject = $23, self_signed_tls = $24, certificate_bound = $25, dpop_nonce = $26
WHERE id = $1;

-- name: DeleteOAuthClient :exec
DELETE FROM oauth_clients WHERE id = $1;

-- name: FindOAuthClient :one
SELECT sqlc.embed(c), COALESCE(a.name, '') AS application_name, COALESCE(a.homepage, '') AS homepage, COALESCE(a.review, '') AS review,
    COALESCE(a.environment, '') AS environment, COALESCE(o.id, '') AS owner, COALESCE(o.name, '') AS owner_name, COALESCE(o.tenant_id, '') AS owner_tenant_id,
    COALESCE(o.disabled, false) AS owner_disabled
FROM oauth_clients AS c
LEFT JOIN applications AS a ON a.id = c.application_id
LEFT JOIN organizations AS o ON o.id = a.organization_id
WHERE c.id = $1;

-- name: InsertOAuthSecret :execrows
INSERT INTO oauth_secrets (id, client_id, purpose, digest, pepper_id, created_at, expires_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING;

-- name: ListOAuthSecrets :many
SELECT * FROM oauth_secrets WHERE client_id = $1 AND purpose = $2 ORDER BY created_at, id;

-- name: ExpireOtherOAuthSecrets :execrows
UPDATE oauth_secrets SET expires_at = sqlc.arg(expires_at)
WHERE client_id = sqlc.arg(client_id) AND purpose = '' AND id <> sqlc.arg(keep) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > sqlc.arg(expires_at));

-- name: RevokeOAuthSecret :exec
UPDATE oauth_secrets SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL;

-- name: DeleteOAuthSecrets :exec
DELETE FROM oauth_secrets WHERE client_id = $1;

-- name: CountRegisteredOAuthClients :one
SELECT count(*) FROM oauth_clients WHERE application_id IS NULL;

-- name: TouchOAuthClient :exec
UPDATE oauth_clients SET last_used_at = sqlc.arg(at) WHERE id = sqlc.arg(id) AND application_id IS NULL AND (last_used_at IS NULL OR last_used_at < sqlc.arg(before));

-- name: ListUnusedOAuthClients :many
SELECT id FROM oauth_clients WHERE application_id IS NULL AND COALESCE(last_used_at, created_at) < sqlc.arg(before) ORDER BY id LIMIT sqlc.arg(row_limit);
