-- name: InsertIdentityProvider :execrows
INSERT INTO identity_providers (name, organization_id, roles, issuer, audience, algorithms, jwks_url, jwks, public_key, sealed_secret,
    claims, create_users, disabled, created_at, updated_at, sign_in, sealed_client_secret)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
ON CONFLICT DO NOTHING;

-- name: GetIdentityProvider :one
SELECT * FROM identity_providers WHERE name = $1;

-- name: ListIdentityProviders :many
SELECT * FROM identity_providers WHERE name > sqlc.arg(after_name) ORDER BY name LIMIT sqlc.arg(row_limit);

-- name: ListIdentityProvidersOfOrganization :many
SELECT * FROM identity_providers WHERE organization_id = $1 AND name > sqlc.arg(after_name) ORDER BY name LIMIT sqlc.arg(row_limit);

-- Ids hold no spaces: cutting " ROLE " out of the list changes it only if the list names the role.
-- name: ListIdentityProvidersAssertingRole :many
SELECT name FROM identity_providers
WHERE replace(' ' || roles || ' ', sqlc.arg(spaced_role_id), '') <> ' ' || roles || ' '
ORDER BY name LIMIT sqlc.arg(row_limit);

-- Those that people can sign in at, of enabled organisations.
-- name: ListSignInProviders :many
SELECT sqlc.embed(p)
FROM identity_providers AS p
JOIN organizations AS o ON o.id = p.organization_id
WHERE p.sign_in <> '' AND NOT p.disabled AND NOT o.disabled
ORDER BY p.name LIMIT sqlc.arg(row_limit);

-- name: ListSignInProvidersOfOrganization :many
SELECT sqlc.embed(p)
FROM identity_providers AS p
JOIN organizations AS o ON o.id = p.organization_id
WHERE p.sign_in <> '' AND p.organization_id = $1 AND NOT p.disabled AND NOT o.disabled
ORDER BY p.name LIMIT sqlc.arg(row_limit);

-- name: FindIdentityProvider :one
SELECT sqlc.embed(p), sqlc.embed(o), f.revision
FROM identity_providers AS p
JOIN organizations AS o ON o.id = p.organization_id
JOIN feed_head AS f ON f.id = 1
WHERE p.name = $1;

-- name: UpdateIdentityProvider :exec
UPDATE identity_providers
SET roles = $2, issuer = $3, audience = $4, algorithms = $5, jwks_url = $6, jwks = $7, public_key = $8, sealed_secret = $9,
    claims = $10, create_users = $11, disabled = $12, updated_at = $13, sign_in = $14, sealed_client_secret = $15
WHERE name = $1;

-- name: DeleteIdentityProvider :exec
DELETE FROM identity_providers WHERE name = $1;
