-- name: InsertAPIKeySecret :execrows
INSERT INTO api_key_secrets (digest, key_id, pepper_id, created_at, expires_at, leaked_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING;

-- name: ListAPIKeySecrets :many
SELECT * FROM api_key_secrets WHERE key_id = $1 ORDER BY created_at, digest;

-- name: ExpireOtherAPIKeySecrets :execrows
UPDATE api_key_secrets SET expires_at = sqlc.arg(expires_at)
WHERE key_id = sqlc.arg(key_id) AND digest <> sqlc.arg(keep)
  AND (expires_at IS NULL OR expires_at > sqlc.arg(expires_at));

-- name: RehashAPIKeySecret :exec
UPDATE api_key_secrets SET digest = sqlc.arg(new_digest), pepper_id = sqlc.arg(pepper_id)
WHERE api_key_secrets.digest = sqlc.arg(old_digest)
  AND NOT EXISTS (SELECT 1 FROM api_key_secrets AS other WHERE other.digest = sqlc.arg(new_digest));

-- name: DeleteAPIKeySecrets :exec
DELETE FROM api_key_secrets WHERE key_id = $1;

-- The same columns as FindAPIKeySecrets, for the usual case of one pepper.
-- name: FindAPIKeySecret :one
SELECT s.digest, s.key_id, s.pepper_id, s.created_at AS secret_created_at, s.expires_at AS secret_expires_at, s.leaked_at,
    k.organization_id, k.name, k.environment, k.permitted_site_ids, k.scopes, k.allowed_ips, k.rate, k.rate_algorithm,
    k.hint, k.expires_at, k.revoked_at, k.last_used_at, k.created_at, k.updated_at, k.user_id,
    o.name AS organization_name, o.environment AS organization_environment, o.tenant_id, o.key_prefix, o.disabled, o.leak_response, o.leak_grace,
    o.created_at AS organization_created_at, o.updated_at AS organization_updated_at,
    f.revision
FROM api_key_secrets AS s
JOIN api_keys AS k ON k.id = s.key_id
JOIN organizations AS o ON o.id = k.organization_id
JOIN feed_head AS f ON f.id = 1
WHERE s.digest = $1;

-- name: FindAPIKeySecrets :many
SELECT s.digest, s.key_id, s.pepper_id, s.created_at AS secret_created_at, s.expires_at AS secret_expires_at, s.leaked_at,
    k.organization_id, k.name, k.environment, k.permitted_site_ids, k.scopes, k.allowed_ips, k.rate, k.rate_algorithm,
    k.hint, k.expires_at, k.revoked_at, k.last_used_at, k.created_at, k.updated_at, k.user_id,
    o.name AS organization_name, o.environment AS organization_environment, o.tenant_id, o.key_prefix, o.disabled, o.leak_response, o.leak_grace,
    o.created_at AS organization_created_at, o.updated_at AS organization_updated_at,
    f.revision
FROM api_key_secrets AS s
JOIN api_keys AS k ON k.id = s.key_id
JOIN organizations AS o ON o.id = k.organization_id
JOIN feed_head AS f ON f.id = 1
WHERE s.digest IN ($1, $2, $3);

-- name: MarkAPIKeySecretLeaked :exec
UPDATE api_key_secrets SET leaked_at = sqlc.arg(leaked_at), expires_at = sqlc.arg(expires_at) WHERE digest = sqlc.arg(digest);

-- Keys whose leaked secret has ended and that have no other one.
-- name: ListEndedLeakedAPIKeys :many
SELECT k.id FROM api_key_secrets AS s
JOIN api_keys AS k ON k.id = s.key_id
WHERE s.leaked_at IS NOT NULL AND s.expires_at <= sqlc.arg(at) AND k.revoked_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM api_key_secrets AS other
    WHERE other.key_id = s.key_id AND (other.expires_at IS NULL OR other.expires_at > sqlc.arg(at)))
ORDER BY k.id LIMIT sqlc.arg(row_limit);
