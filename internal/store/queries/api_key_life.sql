-- name: GetAPIKeyNotice :one
SELECT * FROM api_key_notices WHERE key_id = $1 AND kind = $2;

-- name: PutAPIKeyNotice :exec
INSERT INTO api_key_notices (key_id, kind, about, at) VALUES ($1, $2, $3, $4)
ON CONFLICT (key_id, kind) DO UPDATE SET about = excluded.about, at = excluded.at;

-- name: DeleteAPIKeyNotices :exec
DELETE FROM api_key_notices WHERE key_id = $1;

-- name: ListAPIKeyUsage :many
SELECT * FROM api_key_usage WHERE key_id = $1 AND hour >= sqlc.arg(since) AND hour < sqlc.arg(until) ORDER BY hour;

-- name: LastAPIKeyUsage :one
SELECT * FROM api_key_usage WHERE key_id = $1 ORDER BY hour DESC LIMIT 1;

-- name: DeleteAPIKeyUsage :exec
DELETE FROM api_key_usage WHERE key_id = $1;

-- name: PurgeAPIKeyUsage :execrows
DELETE FROM api_key_usage
WHERE (key_id, hour) IN (SELECT u.key_id, u.hour FROM api_key_usage AS u WHERE u.hour < sqlc.arg(older_than) ORDER BY u.hour LIMIT sqlc.arg(row_limit));

-- name: ListAPIKeyAspects :many
SELECT * FROM api_key_aspects WHERE key_id = $1 ORDER BY aspect, name;

-- name: DeleteAPIKeyAspects :exec
DELETE FROM api_key_aspects WHERE key_id = $1;
