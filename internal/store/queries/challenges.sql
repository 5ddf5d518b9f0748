-- name: InsertChallenge :execrows
INSERT INTO challenges (digest, pepper_id, user_id, door, methods, provider_name, sealed, failures, change_due, client_addr, user_agent,
    created_at, expires_at, consumed_at, answer_key, answer)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT DO NOTHING;

-- Writes nothing new: it locks the row, on both engines, until the transaction ends.
-- name: LockChallenge :one
UPDATE challenges SET failures = failures WHERE digest IN (sqlc.arg(a), sqlc.arg(b), sqlc.arg(c)) RETURNING *;

-- name: GetChallenge :one
SELECT * FROM challenges WHERE digest IN ($1, $2, $3);

-- name: SaveChallenge :exec
UPDATE challenges
SET methods = $2, sealed = $3, failures = $4, change_due = $5, expires_at = $6, consumed_at = $7, answer_key = $8, answer = $9
WHERE digest = $1;

-- An enrolment that was confirmed ends all others that were offered.
-- name: ExpireEnrolments :exec
UPDATE challenges SET expires_at = sqlc.arg(now), sealed = sqlc.arg(nothing)
WHERE user_id = sqlc.arg(user_id) AND digest <> sqlc.arg(keep) AND consumed_at IS NULL AND sealed <> sqlc.arg(nothing);

-- name: DeleteChallengesOfUser :exec
DELETE FROM challenges WHERE user_id = $1 AND consumed_at IS NULL;

-- name: PurgeChallenges :execrows
DELETE FROM challenges WHERE digest IN (
    SELECT old.digest FROM challenges AS old WHERE old.expires_at <= sqlc.arg(before) ORDER BY old.expires_at LIMIT sqlc.arg(row_limit)
);
