-- name: InsertSession :execrows
INSERT INTO sessions (id, user_id, organization_id, door, methods, authenticated_at, api_key_id, provider_name, client_addr, user_agent,
    created_at, last_used_at, expires_at, revoked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT DO NOTHING;

-- name: GetSession :one
SELECT * FROM sessions WHERE id = $1;

-- parents_live: the API key that opened it is live, and the provider that vouched for the user is enabled.
-- name: FindSession :one
SELECT sqlc.embed(s), sqlc.embed(u), sqlc.embed(o),
    COALESCE(r.id, '') AS role_id, COALESCE(r.name, '') AS role_name, COALESCE(r.scopes, '') AS role_scopes, COALESCE(r.mfa, '') AS role_mfa,
    CAST(
        (s.api_key_id = '' OR EXISTS (SELECT 1 FROM api_keys AS k WHERE k.id = s.api_key_id AND k.revoked_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > sqlc.arg(now))))
        AND (s.provider_name = '' OR EXISTS (SELECT 1 FROM identity_providers AS p WHERE p.name = s.provider_name AND NOT p.disabled))
    AS boolean) AS parents_live,
    f.revision
FROM sessions AS s
JOIN users AS u ON u.id = s.user_id
JOIN organizations AS o ON o.id = u.organization_id
LEFT JOIN roles AS r ON r.id = u.role_id
JOIN feed_head AS f ON f.id = 1
WHERE s.id = sqlc.arg(id);

-- name: ListSessions :many
SELECT * FROM sessions WHERE id > sqlc.arg(after_id) AND revoked_at IS NULL AND expires_at > sqlc.arg(now) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: ListSessionsOfOrganization :many
SELECT * FROM sessions
WHERE organization_id = sqlc.arg(organization_id) AND id > sqlc.arg(after_id) AND revoked_at IS NULL AND expires_at > sqlc.arg(now)
ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: ListSessionsOfUser :many
SELECT * FROM sessions
WHERE user_id = sqlc.arg(user_id) AND id > sqlc.arg(after_id) AND revoked_at IS NULL AND expires_at > sqlc.arg(now)
ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: RevokeSession :execrows
UPDATE sessions SET revoked_at = sqlc.arg(at) WHERE id = sqlc.arg(id) AND revoked_at IS NULL;

-- name: RevokeSessionsOfUser :many
UPDATE sessions SET revoked_at = sqlc.arg(at)
WHERE user_id = sqlc.arg(user_id) AND id <> sqlc.arg(keep) AND revoked_at IS NULL AND expires_at > sqlc.arg(at)
RETURNING id;

-- name: RevokeSessionsOfKey :many
UPDATE sessions SET revoked_at = sqlc.arg(at)
WHERE api_key_id = sqlc.arg(api_key_id) AND api_key_id <> '' AND revoked_at IS NULL AND expires_at > sqlc.arg(at)
RETURNING id;

-- name: RevokeSessionsOfProvider :many
UPDATE sessions SET revoked_at = sqlc.arg(at)
WHERE provider_name = sqlc.arg(provider_name) AND provider_name <> '' AND revoked_at IS NULL AND expires_at > sqlc.arg(at)
RETURNING id;

-- name: PurgeSessions :execrows
DELETE FROM sessions WHERE id IN (
    SELECT old.id FROM sessions AS old WHERE old.expires_at <= sqlc.arg(before) ORDER BY old.expires_at LIMIT sqlc.arg(row_limit)
);

-- name: InsertUserIdentity :execrows
INSERT INTO user_identities (provider_name, issuer, subject, user_id, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING;

-- name: FindUserIdentity :one
SELECT user_id FROM user_identities WHERE provider_name = $1 AND issuer = $2 AND subject = $3;

-- name: PutAuthToken :exec
INSERT INTO auth_tokens (user_id, api_key_id, sealed, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id) DO UPDATE SET api_key_id = excluded.api_key_id, sealed = excluded.sealed, created_at = excluded.created_at;

-- name: GetAuthToken :one
SELECT * FROM auth_tokens WHERE user_id = $1;
