-- name: InsertOAuthToken :exec
INSERT INTO oauth_tokens (digest, id, pepper_id, grant_id, client_id, user_id, scopes, audiences, thumbprint, actor, parent, certificate, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- grant_gone: the grant was revoked, or the client that it was given to may not work any more: a token that was exchanged is
-- of another client than its grant. Or the identity provider whose word it was given on is disabled or gone.
-- name: FindOAuthTokens :many
SELECT sqlc.embed(t), sqlc.embed(c),
    CASE WHEN g.id IS NULL OR g.revoked_at IS NOT NULL OR gc.id IS NULL OR gc.revoked_at IS NOT NULL
        OR ga.review IN ('suspended', 'retired') OR (ga.environment = 'production' AND ga.review <> 'approved')
        OR (g.provider <> '' AND (idp.name IS NULL OR idp.disabled)) THEN 1 ELSE 0 END AS grant_gone,
    COALESCE(gc.application_id, gc.id, '') AS grant_application, COALESCE(g.provider, '') AS grant_provider,
    COALESCE(g.session_id, '') AS session_id, COALESCE(g.methods, '') AS methods, COALESCE(g.authenticated_at, 0) AS authenticated_at, COALESCE(g.acr, '') AS acr,
    COALESCE(a.review, '') AS review, COALESCE(a.environment, '') AS environment,
    COALESCE(owner.id, '') AS owner, COALESCE(owner.tenant_id, '') AS owner_tenant_id, COALESCE(owner.disabled, false) AS owner_disabled,
    CASE WHEN u.id IS NULL THEN 0 ELSE 1 END AS user_exists, COALESCE(u.username, '') AS username, COALESCE(u.group_id, '') AS group_id,
    COALESCE(u.customer_ids, '') AS customer_ids, COALESCE(u.disabled, false) AS user_disabled,
    COALESCE(tenant.id, '') AS tenant, COALESCE(tenant.tenant_id, '') AS tenant_tenant_id, COALESCE(tenant.environment, '') AS tenant_environment,
    COALESCE(tenant.disabled, false) AS tenant_disabled,
    COALESCE(r.id, '') AS role_id, COALESCE(r.scopes, '') AS role_scopes, f.revision
FROM oauth_tokens AS t
JOIN oauth_clients AS c ON c.id = t.client_id
LEFT JOIN oauth_grants AS g ON g.id = t.grant_id
LEFT JOIN oauth_clients AS gc ON gc.id = g.client_id
LEFT JOIN applications AS ga ON ga.id = gc.application_id
LEFT JOIN identity_providers AS idp ON idp.name = g.provider
LEFT JOIN applications AS a ON a.id = c.application_id
LEFT JOIN organizations AS owner ON owner.id = a.organization_id
LEFT JOIN users AS u ON u.id = t.user_id
LEFT JOIN organizations AS tenant ON tenant.id = u.organization_id
LEFT JOIN roles AS r ON r.id = u.role_id
JOIN feed_head AS f ON f.id = 1
WHERE t.digest IN ($1, $2, $3);

-- name: RevokeOAuthToken :execrows
UPDATE oauth_tokens SET revoked_at = sqlc.arg(at) WHERE digest = sqlc.arg(digest) AND revoked_at IS NULL;

-- name: RevokeOAuthTokensOf :many
UPDATE oauth_tokens SET revoked_at = sqlc.arg(at) WHERE parent = sqlc.arg(parent) AND parent <> '' AND revoked_at IS NULL RETURNING id;

-- name: PurgeOAuthTokens :execrows
DELETE FROM oauth_tokens WHERE digest IN (
    SELECT old.digest FROM oauth_tokens AS old WHERE old.expires_at <= sqlc.arg(before) ORDER BY old.expires_at LIMIT sqlc.arg(row_limit)
);

-- name: InsertOAuthRefreshToken :exec
INSERT INTO oauth_refresh_tokens (digest, pepper_id, grant_id, created_at, expires_at, consumed_at, successor, answer)
VALUES ($1, $2, $3, $4, $5, NULL, $6, $7);

-- name: FindOAuthRefreshTokens :many
SELECT * FROM oauth_refresh_tokens WHERE digest IN ($1, $2, $3);

-- Exactly one rotation: of any number with one token, one finds it unspent.
-- name: ConsumeOAuthRefreshToken :execrows
UPDATE oauth_refresh_tokens SET consumed_at = sqlc.arg(now), successor = sqlc.arg(successor), answer = sqlc.arg(answer)
WHERE digest = sqlc.arg(digest) AND consumed_at IS NULL AND expires_at > sqlc.arg(now);

-- name: PurgeOAuthRefreshTokens :execrows
DELETE FROM oauth_refresh_tokens WHERE digest IN (
    SELECT old.digest FROM oauth_refresh_tokens AS old WHERE old.expires_at <= sqlc.arg(before) ORDER BY old.expires_at LIMIT sqlc.arg(row_limit)
);
