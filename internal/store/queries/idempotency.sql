-- name: InsertIdempotentRequest :execrows
INSERT INTO idempotent_requests (id, request, answer, bare, created_at) VALUES ($1, $2, $3, $3, $4)
ON CONFLICT DO NOTHING;

-- name: GetIdempotentRequest :one
SELECT * FROM idempotent_requests WHERE id = $1;

-- name: AnswerIdempotentRequest :exec
UPDATE idempotent_requests SET answer = $2, bare = $3 WHERE id = $1;

-- The answer with its secrets goes first.
-- name: ForgetIdempotentAnswers :exec
UPDATE idempotent_requests SET answer = bare WHERE created_at < sqlc.arg(older_than) AND answer <> bare;

-- name: PurgeIdempotentRequests :execrows
DELETE FROM idempotent_requests WHERE created_at < sqlc.arg(older_than);
