-- name: InsertRole :execrows
INSERT INTO roles (id, name, scopes, mfa, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING;

-- name: GetRole :one
SELECT * FROM roles WHERE id = $1;

-- name: ListRoles :many
SELECT * FROM roles WHERE id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: UpdateRole :exec
UPDATE roles SET name = $2, scopes = $3, mfa = $4, updated_at = $5 WHERE id = $1;

-- name: DeleteRole :exec
DELETE FROM roles WHERE id = $1;
