-- name: InsertFactor :execrows
INSERT INTO factors (id, user_id, kind, name, sealed, credential_id, last_step, created_at, last_used_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING;

-- name: ListFactors :many
SELECT * FROM factors WHERE user_id = $1 ORDER BY id;

-- name: GetFactor :one
SELECT * FROM factors WHERE id = $1;

-- name: FindPasskey :one
SELECT * FROM factors WHERE credential_id = $1;

-- name: AdvanceFactor :execrows
UPDATE factors SET last_step = sqlc.arg(step), last_used_at = sqlc.arg(at), sealed = sqlc.arg(sealed)
WHERE id = sqlc.arg(id) AND last_step < sqlc.arg(step);

-- A passkey that does not count says 0 for ever.
-- name: TouchFactor :execrows
UPDATE factors SET last_used_at = sqlc.arg(at), sealed = sqlc.arg(sealed) WHERE id = sqlc.arg(id) AND last_step = 0;

-- name: RenameFactor :execrows
UPDATE factors SET name = sqlc.arg(name) WHERE id = sqlc.arg(id) AND user_id = sqlc.arg(user_id);

-- name: DeleteFactor :execrows
DELETE FROM factors WHERE id = $1;

-- name: DeleteTOTPFactors :execrows
DELETE FROM factors WHERE user_id = $1 AND kind = 'totp';

-- name: InsertRecoveryCode :exec
INSERT INTO recovery_codes (digest, pepper_id, user_id, created_at) VALUES ($1, $2, $3, $4);

-- name: ListRecoveryCodes :many
SELECT * FROM recovery_codes WHERE user_id = $1 ORDER BY digest;

-- name: TakeRecoveryCode :execrows
DELETE FROM recovery_codes WHERE user_id = sqlc.arg(user_id) AND digest IN (sqlc.arg(a), sqlc.arg(b), sqlc.arg(c));

-- name: DeleteRecoveryCodes :execrows
DELETE FROM recovery_codes WHERE user_id = $1;
