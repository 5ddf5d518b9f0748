-- name: InsertOrganization :execrows
INSERT INTO organizations (id, name, environment, tenant_id, key_prefix, disabled, created_at, updated_at, onetime_clock_window, onetime_forms, mfa,
    leak_response, leak_grace)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT DO NOTHING;

-- name: GetOrganization :one
SELECT * FROM organizations WHERE id = $1;

-- name: ListOrganizations :many
SELECT * FROM organizations WHERE id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: TenantIDTaken :one
SELECT EXISTS (SELECT 1 FROM organizations WHERE tenant_id = $1 AND tenant_id <> '' AND id <> $2);

-- name: UpdateOrganization :exec
UPDATE organizations
SET name = $2, environment = $3, tenant_id = $4, key_prefix = $5, disabled = $6, updated_at = $7,
    onetime_clock_window = $8, onetime_forms = $9, mfa = $10, leak_response = $11, leak_grace = $12
WHERE id = $1;

-- name: DeleteOrganization :exec
DELETE FROM organizations WHERE id = $1;
