-- name: GetForeignSecret :one
SELECT * FROM foreign_secrets WHERE lookup = $1;

-- name: DeleteForeignSecret :execrows
DELETE FROM foreign_secrets WHERE lookup = $1;

-- name: DeleteForeignSecretOfKey :exec
DELETE FROM foreign_secrets WHERE key_id = $1;

-- name: ExpireForeignSecretOfKey :exec
UPDATE foreign_secrets SET expires_at = sqlc.arg(expires_at)
WHERE key_id = sqlc.arg(key_id) AND (expires_at IS NULL OR expires_at > sqlc.arg(expires_at));
