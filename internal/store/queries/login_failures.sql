-- Writes nothing new where the counter is there: it locks the row until the transaction ends.
-- name: LockLoginFailures :one
INSERT INTO login_failures (counter, failures, not_before, quiet_until) VALUES ($1, 0, 0, $2)
ON CONFLICT (counter) DO UPDATE SET failures = login_failures.failures
RETURNING *;

-- name: SaveLoginFailures :exec
UPDATE login_failures SET failures = $2, not_before = $3, quiet_until = $4 WHERE counter = $1;

-- name: ListLoginFailures :many
SELECT * FROM login_failures WHERE counter IN ($1, $2, $3);

-- The delay that the failure brought goes with it; one that came since stays.
-- name: ForgiveLoginFailure :exec
UPDATE login_failures
SET failures = failures - 1, not_before = CASE WHEN not_before = sqlc.arg(brought) THEN sqlc.arg(earlier) ELSE not_before END
WHERE counter = sqlc.arg(counter) AND failures > 0;

-- name: DeleteLoginFailures :exec
DELETE FROM login_failures WHERE counter = $1;

-- name: PurgeLoginFailures :execrows
DELETE FROM login_failures WHERE counter IN (
    SELECT old.counter FROM login_failures AS old WHERE old.quiet_until <= sqlc.arg(before) ORDER BY old.quiet_until LIMIT sqlc.arg(row_limit)
);

-- name: NoteLoginNetwork :exec
INSERT INTO login_networks (user_id, network, seen_at) VALUES ($1, $2, $3)
ON CONFLICT (user_id, network) DO UPDATE SET seen_at = excluded.seen_at WHERE login_networks.seen_at < excluded.seen_at;

-- name: LoginNetworkKnown :one
SELECT EXISTS (SELECT 1 FROM login_networks WHERE user_id = sqlc.arg(user_id) AND network = sqlc.arg(network) AND seen_at > sqlc.arg(since));

-- name: PurgeLoginNetworks :execrows
DELETE FROM login_networks WHERE (user_id, network) IN (
    SELECT old.user_id, old.network FROM login_networks AS old WHERE old.seen_at <= sqlc.arg(before) ORDER BY old.seen_at LIMIT sqlc.arg(row_limit)
);
