-- name: PutPepper :exec
INSERT INTO peppers (id, sealed, is_current, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, is_current = excluded.is_current;

-- name: RetireOtherPeppers :exec
UPDATE peppers SET is_current = FALSE WHERE id <> $1 AND is_current = TRUE;

-- name: ListPeppers :many
SELECT * FROM peppers ORDER BY created_at, id;

-- name: DeletePepper :exec
DELETE FROM peppers WHERE id = $1;

-- name: PutKeyset :exec
INSERT INTO keysets (name, sealed, updated_at) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at;

-- name: GetKeyset :one
SELECT * FROM keysets WHERE name = $1;

-- name: DeleteKeyset :execrows
DELETE FROM keysets WHERE name = $1;

-- name: PutMeta :exec
INSERT INTO meta (name, value) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: GetMeta :one
SELECT value FROM meta WHERE name = $1;

-- name: DeleteMeta :exec
DELETE FROM meta WHERE name = $1;
