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

-- Where a scan of so many keys ends; no row: they end before.
-- name: APIKeyScanEnd :one
SELECT id FROM api_keys WHERE id > sqlc.arg(after_id) ORDER BY id LIMIT 1 OFFSET sqlc.arg(rows);

-- name: APIKeyScanEndOfOrganization :one
SELECT id FROM api_keys WHERE organization_id = $1 AND id > sqlc.arg(after_id) ORDER BY id LIMIT 1 OFFSET sqlc.arg(rows);

-- Empty texts and zeros ask for nothing. Lists are searched as in ListLiveAPIKeysPermittingSite.
-- name: FilterAPIKeys :many
SELECT * FROM api_keys
WHERE TRUE
  AND id > sqlc.arg(after_id) AND id <= sqlc.arg(through_id)
  AND (CAST(sqlc.arg(state) AS text) = ''
    OR sqlc.arg(state) = 'revoked' AND revoked_at IS NOT NULL
    OR sqlc.arg(state) = 'expired' AND revoked_at IS NULL AND expires_at <= sqlc.arg(at)
    OR sqlc.arg(state) = 'active' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > sqlc.arg(at)))
  AND (CAST(sqlc.arg(spaced_site) AS text) = ''
    OR replace(' ' || permitted_site_ids || ' ', sqlc.arg(spaced_site), '') <> ' ' || permitted_site_ids || ' ')
  AND (CAST(sqlc.arg(spaced_scope) AS text) = ''
    OR replace(' ' || scopes || ' ', sqlc.arg(spaced_scope), '') <> ' ' || scopes || ' '
    OR replace(' ' || scopes || ' ', CAST(sqlc.arg(spaced_noun) AS text), '') <> ' ' || scopes || ' ')
  AND (CAST(sqlc.arg(head) AS text) = '' OR substr(hint, 1, length(sqlc.arg(head))) = sqlc.arg(head)
    OR hint <> '' AND substr(sqlc.arg(head), 1, length(hint)) = hint)
  AND (CAST(sqlc.arg(idle_since) AS bigint) = 0 OR COALESCE(last_used_at, created_at) < sqlc.arg(idle_since))
  AND (CAST(sqlc.arg(expires_before) AS bigint) = 0 OR expires_at < sqlc.arg(expires_before))
ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: FilterAPIKeysOfOrganization :many
SELECT * FROM api_keys
WHERE organization_id = sqlc.arg(organization_id)
  AND id > sqlc.arg(after_id) AND id <= sqlc.arg(through_id)
  AND (CAST(sqlc.arg(state) AS text) = ''
    OR sqlc.arg(state) = 'revoked' AND revoked_at IS NOT NULL
    OR sqlc.arg(state) = 'expired' AND revoked_at IS NULL AND expires_at <= sqlc.arg(at)
    OR sqlc.arg(state) = 'active' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > sqlc.arg(at)))
  AND (CAST(sqlc.arg(spaced_site) AS text) = ''
    OR replace(' ' || permitted_site_ids || ' ', sqlc.arg(spaced_site), '') <> ' ' || permitted_site_ids || ' ')
  AND (CAST(sqlc.arg(spaced_scope) AS text) = ''
    OR replace(' ' || scopes || ' ', sqlc.arg(spaced_scope), '') <> ' ' || scopes || ' '
    OR replace(' ' || scopes || ' ', CAST(sqlc.arg(spaced_noun) AS text), '') <> ' ' || scopes || ' ')
  AND (CAST(sqlc.arg(head) AS text) = '' OR substr(hint, 1, length(sqlc.arg(head))) = sqlc.arg(head)
    OR hint <> '' AND substr(sqlc.arg(head), 1, length(hint)) = hint)
  AND (CAST(sqlc.arg(idle_since) AS bigint) = 0 OR COALESCE(last_used_at, created_at) < sqlc.arg(idle_since))
  AND (CAST(sqlc.arg(expires_before) AS bigint) = 0 OR expires_at < sqlc.arg(expires_before))
ORDER BY id LIMIT sqlc.arg(row_limit);

-- Live keys that end in a span of time and were not told of with that end.
-- name: ListExpiringAPIKeys :many
SELECT k.id FROM api_keys AS k
WHERE k.expires_at > sqlc.arg(after) AND k.expires_at <= sqlc.arg(through) AND k.revoked_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM api_key_notices AS n WHERE n.key_id = k.id AND n.kind = 'expiring' AND n.about = k.expires_at)
ORDER BY k.expires_at LIMIT sqlc.arg(row_limit);
