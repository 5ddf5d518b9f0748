-- name: PutPassword :exec
INSERT INTO passwords (user_id, hash, class, changed_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, class = excluded.class, changed_at = excluded.changed_at;

-- name: GetPassword :one
SELECT * FROM passwords WHERE user_id = $1;

-- name: UpgradePassword :exec
UPDATE passwords SET hash = sqlc.arg(new_hash), class = sqlc.arg(class)
WHERE user_id = sqlc.arg(user_id) AND hash = sqlc.arg(old_hash);

-- name: DeletePassword :execrows
DELETE FROM passwords WHERE user_id = $1;

-- name: ListPasswordClasses :many
SELECT class, CAST(min(hash) AS text) AS example FROM passwords GROUP BY class ORDER BY class LIMIT 100;

-- name: InsertPasswordReset :exec
INSERT INTO password_resets (digest, pepper_id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5);

-- name: CountPasswordResets :one
SELECT count(*) FROM password_resets WHERE user_id = sqlc.arg(user_id) AND created_at > sqlc.arg(since);

-- name: GetPasswordReset :one
SELECT * FROM password_resets WHERE digest IN ($1, $2, $3) AND expires_at > sqlc.arg(now);

-- name: ExpirePasswordResets :exec
UPDATE password_resets SET expires_at = sqlc.arg(now) WHERE user_id = sqlc.arg(user_id) AND expires_at > sqlc.arg(now);

-- name: TakePasswordReset :execrows
UPDATE password_resets SET expires_at = sqlc.arg(now) WHERE digest = sqlc.arg(digest) AND expires_at > sqlc.arg(now);

-- Kept for an hour after their end, which counts them for the limit of an account.
-- name: PurgePasswordResets :execrows
DELETE FROM password_resets WHERE digest IN (
    SELECT old.digest FROM password_resets AS old WHERE old.expires_at <= sqlc.arg(before) ORDER BY old.expires_at LIMIT sqlc.arg(row_limit)
);
