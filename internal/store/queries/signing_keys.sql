-- name: TakeSigningKeyName :execrows
INSERT INTO signing_key_names (api_key, signing_key_id, taken_at) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING;

-- name: InsertSigningKey :execrows
INSERT INTO signing_keys (id, organization_id, name, environment, api_key, algorithm, public_key, sealed_secret,
    permitted_site_ids, scopes, allowed_ips, rate, rate_algorithm, expires_at, revoked_at, last_used_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT DO NOTHING;

-- name: GetSigningKey :one
SELECT * FROM signing_keys WHERE id = $1;

-- name: ListSigningKeys :many
SELECT * FROM signing_keys WHERE id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: ListSigningKeysOfOrganization :many
SELECT * FROM signing_keys WHERE organization_id = $1 AND id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- Ids hold no spaces: cutting " SITE " out of the list changes it only if the list names the site.
-- name: ListLiveSigningKeysPermittingSite :many
SELECT id FROM signing_keys
WHERE organization_id = sqlc.arg(organization_id) AND revoked_at IS NULL
  AND replace(' ' || permitted_site_ids || ' ', sqlc.arg(spaced_site_id), '') <> ' ' || permitted_site_ids || ' '
ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: FindSigningKey :one
SELECT sqlc.embed(k), sqlc.embed(o), f.revision
FROM signing_keys AS k
JOIN organizations AS o ON o.id = k.organization_id
JOIN feed_head AS f ON f.id = 1
WHERE k.api_key = $1;

-- name: UpdateSigningKey :exec
UPDATE signing_keys
SET name = $2, environment = $3, algorithm = $4, public_key = $5, sealed_secret = $6, permitted_site_ids = $7, scopes = $8,
    allowed_ips = $9, rate = $10, rate_algorithm = $11, expires_at = $12, updated_at = $13
WHERE id = $1;

-- name: RevokeSigningKey :exec
UPDATE signing_keys SET revoked_at = $2, updated_at = $3 WHERE id = $1 AND revoked_at IS NULL;

-- name: DeleteSigningKey :exec
DELETE FROM signing_keys WHERE id = $1;
