-- name: InsertAdminToken :execrows
INSERT INTO admin_tokens (id, organization_id, name, scopes, bootstrap, digest, pepper_id,
    created_at, first_used_at, expires_at, revoked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING;

-- name: GetAdminToken :one
SELECT * FROM admin_tokens WHERE id = $1;

-- name: ListAdminTokens :many
SELECT * FROM admin_tokens WHERE id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: ListAdminTokensOfOrganization :many
SELECT * FROM admin_tokens WHERE organization_id = $1 AND id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: FindAdminTokens :many
SELECT * FROM admin_tokens WHERE digest IN ($1, $2, $3);

-- name: MarkAdminTokenUsed :exec
UPDATE admin_tokens SET first_used_at = $2 WHERE id = $1 AND first_used_at IS NULL;

-- name: RevokeAdminToken :exec
UPDATE admin_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL;

-- name: LiveAdminTokenOfOrganization :many
SELECT id FROM admin_tokens WHERE organization_id = $1 AND revoked_at IS NULL ORDER BY id LIMIT 1;

-- name: DeleteAdminTokensOfOrganization :exec
DELETE FROM admin_tokens WHERE organization_id = $1;
