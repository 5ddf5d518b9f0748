-- name: InsertNonce :execrows
INSERT INTO spent_nonces (nonce, keep_until) VALUES ($1, $2)
ON CONFLICT DO NOTHING;

-- name: NonceThere :one
SELECT EXISTS (SELECT 1 FROM spent_nonces WHERE nonce = $1);

-- name: RaiseNonceBounds :execrows
UPDATE nonce_bounds
SET floor = CASE WHEN floor < sqlc.arg(floor) THEN sqlc.arg(floor) ELSE floor END,
    refuse_until = CASE WHEN refuse_until < sqlc.arg(refuse_until) THEN sqlc.arg(refuse_until) ELSE refuse_until END
WHERE id = 1;

-- name: PurgeNonces :execrows
DELETE FROM spent_nonces WHERE nonce IN (
    SELECT old.nonce FROM spent_nonces AS old WHERE old.keep_until <= sqlc.arg(before) ORDER BY old.keep_until LIMIT sqlc.arg(row_limit)
);
