-- name: InsertAPIKey :execrows
INSERT INTO api_keys (id, organization_id, name, environment, permitted_site_ids, scopes, allowed_ips,
    rate, rate_algorithm, hint, expires_at, revoked_at, last_used_at, created_at, updated_at, user_id,
    last_used_addr, last_used_route)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT DO NOTHING;

-- name: GetAPIKey :one
SELECT * FROM api_keys WHERE id = $1;

-- name: ListAPIKeys :many
SELECT * FROM api_keys WHERE id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: ListAPIKeysOfOrganization :many
SELECT * FROM api_keys WHERE organization_id = $1 AND id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- The second condition lets SQLite use the index of that condition.
-- name: ListAPIKeysOfUser :many
SELECT * FROM api_keys WHERE user_id = $1 AND user_id <> '' ORDER BY id LIMIT sqlc.arg(row_limit);

-- Ids hold no spaces: cutting " SITE " out of the list changes it only if the list names the site.
-- name: ListLiveAPIKeysPermittingSite :many
SELECT id FROM api_keys
WHERE organization_id = sqlc.arg(organization_id) AND revoked_at IS NULL
  AND replace(' ' || permitted_site_ids || ' ', sqlc.arg(spaced_site_id), '') <> ' ' || permitted_site_ids || ' '
ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: UpdateAPIKey :exec
UPDATE api_keys
SET name = $2, environment = $3, permitted_site_ids = $4, scopes = $5, allowed_ips = $6,
    rate = $7, rate_algorithm = $8, expires_at = $9, updated_at = $10
WHERE id = $1;

-- name: RevokeAPIKey :exec
UPDATE api_keys SET revoked_at = $2, updated_at = $3 WHERE id = $1 AND revoked_at IS NULL;

-- name: SetAPIKeyHint :exec
UPDATE api_keys SET hint = $2, updated_at = $3 WHERE id = $1;

-- name: DeleteAPIKey :exec
DELETE FROM api_keys WHERE id = $1;

-- Live keys that end in a span of time and were not told of with that end.
-- name: ListExpiringAPIKeys :many
SELECT k.id FROM api_keys AS k
WHERE k.expires_at > sqlc.arg(after) AND k.expires_at <= sqlc.arg(through) AND k.revoked_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM api_key_notices AS n WHERE n.key_id = k.id AND n.kind = 'expiring' AND n.about = k.expires_at)
ORDER BY k.expires_at LIMIT sqlc.arg(row_limit);
