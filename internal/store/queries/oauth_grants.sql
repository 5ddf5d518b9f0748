-- name: PutOAuthConsent :exec
INSERT INTO oauth_consents (user_id, client_id, resource, scopes, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (user_id, client_id, resource) DO UPDATE SET scopes = excluded.scopes, updated_at = excluded.updated_at;

-- name: ListOAuthConsents :many
SELECT * FROM oauth_consents WHERE user_id = sqlc.arg(user_id) AND client_id = sqlc.arg(client_id) ORDER BY resource;

-- name: ListOAuthConsentsOfUser :many
SELECT * FROM oauth_consents WHERE user_id = sqlc.arg(user_id) AND client_id > sqlc.arg(after_id) ORDER BY client_id, resource LIMIT sqlc.arg(row_limit);

-- name: DeleteOAuthConsents :execrows
DELETE FROM oauth_consents WHERE user_id = sqlc.arg(user_id) AND client_id = sqlc.arg(client_id);

-- name: DeleteOAuthConsentsOfUser :exec
DELETE FROM oauth_consents WHERE user_id = $1;

-- name: InsertOAuthGrant :exec
INSERT INTO oauth_grants (id, client_id, user_id, session_id, scopes, audiences, methods, authenticated_at, nonce, thumbprint, provider, created_at, expires_at,
    userinfo_claims, id_token_claims, acr)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16);

-- name: GetOAuthGrant :one
SELECT * FROM oauth_grants WHERE id = $1;

-- name: RevokeOAuthGrant :execrows
UPDATE oauth_grants SET revoked_at = sqlc.arg(at) WHERE id = sqlc.arg(id) AND revoked_at IS NULL;

-- name: RevokeOAuthGrantsOfUser :many
UPDATE oauth_grants SET revoked_at = sqlc.arg(at)
WHERE user_id = sqlc.arg(user_id) AND client_id = sqlc.arg(client_id) AND revoked_at IS NULL
RETURNING id;

-- name: PurgeOAuthGrants :execrows
DELETE FROM oauth_grants WHERE id IN (
    SELECT old.id FROM oauth_grants AS old WHERE old.expires_at <= sqlc.arg(before) ORDER BY old.expires_at LIMIT sqlc.arg(row_limit)
);

-- name: InsertOAuthCode :exec
INSERT INTO oauth_codes (digest, pepper_id, grant_id, client_id, user_id, session_id, scopes, audiences, methods, authenticated_at, nonce, thumbprint,
    redirect_uri, challenge, created_at, expires_at, userinfo_claims, id_token_claims, acr)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19);

-- name: FindOAuthCodes :many
SELECT * FROM oauth_codes WHERE digest IN ($1, $2, $3);

-- Once only: of any number of exchanges of one code, one finds it unspent.
-- name: ConsumeOAuthCode :execrows
UPDATE oauth_codes SET consumed_at = sqlc.arg(now)
WHERE digest = sqlc.arg(digest) AND consumed_at IS NULL AND expires_at > sqlc.arg(now);

-- name: PurgeOAuthCodes :execrows
DELETE FROM oauth_codes WHERE digest IN (
    SELECT old.digest FROM oauth_codes AS old WHERE old.expires_at <= sqlc.arg(before) ORDER BY old.expires_at LIMIT sqlc.arg(row_limit)
);
