-- name: InsertPartnerSession :exec
INSERT INTO partner_sessions (digest, pepper_id, application_id, tenant_id, generation, user_id, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: FindPartnerSessions :many
SELECT * FROM partner_sessions WHERE digest IN ($1, $2, $3);

-- Once only: of any number of exchanges with one token, one finds it unspent.
-- name: ConsumePartnerSession :execrows
UPDATE partner_sessions SET consumed_at = sqlc.arg(now)
WHERE digest = sqlc.arg(digest) AND consumed_at IS NULL AND expires_at > sqlc.arg(now);

-- name: PurgePartnerSessions :execrows
DELETE FROM partner_sessions WHERE digest IN (
    SELECT old.digest FROM partner_sessions AS old WHERE old.expires_at <= sqlc.arg(before) ORDER BY old.expires_at LIMIT sqlc.arg(row_limit)
);

-- name: FindTemporaryKeys :many
SELECT k.digest, k.id, k.pepper_id, k.application_id, k.tenant_id, k.generation, k.user_id, k.created_at, k.expires_at,
    p.permissions AS asked, p.environment, p.review, p.organization_id AS owner, owner.disabled AS owner_disabled,
    a.permissions AS granted, a.generation AS standing, a.expires_at AS authorization_expires_at, a.withdrawn_at,
    tenant.tenant_id AS wire_id, tenant.disabled AS tenant_disabled, COALESCE(u.disabled, false) AS user_disabled,
    CASE WHEN u.id IS NULL THEN 0 ELSE 1 END AS user_exists,
    k.application_key_id, ak.revoked_at AS key_revoked_at, f.revision
FROM temporary_keys AS k
JOIN applications AS p ON p.id = k.application_id
JOIN organizations AS owner ON owner.id = p.organization_id
JOIN authorizations AS a ON a.application_id = k.application_id AND a.tenant_id = k.tenant_id
JOIN organizations AS tenant ON tenant.id = k.tenant_id
LEFT JOIN users AS u ON u.id = k.user_id
LEFT JOIN application_keys AS ak ON ak.id = k.application_key_id
JOIN feed_head AS f ON f.id = 1
WHERE k.digest IN ($1, $2, $3);

-- name: PurgeTemporaryKeys :execrows
DELETE FROM temporary_keys WHERE digest IN (
    SELECT old.digest FROM temporary_keys AS old WHERE old.expires_at <= sqlc.arg(before) ORDER BY old.expires_at LIMIT sqlc.arg(row_limit)
);
