-- name: InsertAuthorization :execrows
INSERT INTO authorizations (application_id, tenant_id, permissions, granted_by, generation, expires_at, withdrawn_at, requested_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT DO NOTHING;

-- name: GetAuthorization :one
SELECT * FROM authorizations WHERE application_id = $1 AND tenant_id = $2;

-- name: ListAuthorizationsOfTenant :many
SELECT * FROM authorizations WHERE tenant_id = $1 AND application_id > sqlc.arg(after_id) ORDER BY application_id LIMIT sqlc.arg(row_limit);

-- name: ListAuthorizationsOfApplication :many
SELECT * FROM authorizations WHERE application_id = $1 AND tenant_id > sqlc.arg(after_id) ORDER BY tenant_id LIMIT sqlc.arg(row_limit);

-- name: ListAuthorizations :many
SELECT * FROM authorizations
WHERE application_id > sqlc.arg(after_application) OR (application_id = sqlc.arg(after_application) AND tenant_id > sqlc.arg(after_tenant))
ORDER BY application_id, tenant_id LIMIT sqlc.arg(row_limit);

-- name: UpdateAuthorization :exec
UPDATE authorizations
SET permissions = $3, granted_by = $4, generation = $5, expires_at = $6, withdrawn_at = $7, requested_at = $8, updated_at = $9
WHERE application_id = $1 AND tenant_id = $2;

-- name: AdvanceAuthorizations :exec
UPDATE authorizations SET generation = generation + 1 WHERE application_id = $1;

-- name: DeleteAuthorization :exec
DELETE FROM authorizations WHERE application_id = $1 AND tenant_id = $2;

-- What an exchange asks: the tenant by its id on the wire, and what it granted.
-- name: FindTenant :one
SELECT sqlc.embed(o), COALESCE(a.generation, 0) AS generation, COALESCE(a.permissions, '') AS permissions, a.expires_at, a.withdrawn_at,
    CASE WHEN a.application_id IS NULL THEN 0 ELSE 1 END AS authorized, f.revision
FROM organizations AS o
JOIN feed_head AS f ON f.id = 1
LEFT JOIN authorizations AS a ON a.tenant_id = o.id AND a.application_id = sqlc.arg(application_id)
WHERE o.tenant_id = sqlc.arg(tenant_id);
