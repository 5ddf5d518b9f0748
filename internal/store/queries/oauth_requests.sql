-- name: InsertOAuthRequest :exec
INSERT INTO oauth_requests (digest, pepper_id, client_id, parameters, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6);

-- name: FindOAuthRequests :many
SELECT * FROM oauth_requests WHERE digest IN ($1, $2, $3);

-- Once only: of any number of codes for one request, one finds it.
-- name: DeleteOAuthRequest :execrows
DELETE FROM oauth_requests WHERE digest = $1;

-- name: PurgeOAuthRequests :execrows
DELETE FROM oauth_requests WHERE digest IN (
    SELECT old.digest FROM oauth_requests AS old WHERE old.expires_at <= sqlc.arg(before) ORDER BY old.expires_at LIMIT sqlc.arg(row_limit)
);

-- name: InsertOAuthDevice :execrows
INSERT INTO oauth_devices (digest, pepper_id, user_code, client_id, scopes, audiences, thumbprint, state, user_id, session_id, methods, authenticated_at,
    polled_at, poll_interval, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', '', '', '', 0, 0, $8, $9, $10)
ON CONFLICT DO NOTHING;

-- name: FindOAuthDevices :many
SELECT * FROM oauth_devices WHERE digest IN ($1, $2, $3);

-- name: GetOAuthDeviceByUserCode :one
SELECT * FROM oauth_devices WHERE user_code = $1;

-- name: DecideOAuthDevice :execrows
UPDATE oauth_devices SET state = $2, user_id = $3, session_id = $4, methods = $5, authenticated_at = $6, scopes = $7
WHERE user_code = $1 AND state = 'pending' AND expires_at > sqlc.arg(now);

-- name: PollOAuthDevice :exec
UPDATE oauth_devices SET polled_at = sqlc.arg(polled_at), poll_interval = sqlc.arg(poll_interval) WHERE digest = sqlc.arg(digest);

-- Once only: of any number of polls after the user said yes, one finds it.
-- name: ConsumeOAuthDevice :execrows
DELETE FROM oauth_devices WHERE digest = sqlc.arg(digest) AND state = 'allowed' AND expires_at > sqlc.arg(now);

-- name: PurgeOAuthDevices :execrows
DELETE FROM oauth_devices WHERE digest IN (
    SELECT old.digest FROM oauth_devices AS old WHERE old.expires_at <= sqlc.arg(before) ORDER BY old.expires_at LIMIT sqlc.arg(row_limit)
);
