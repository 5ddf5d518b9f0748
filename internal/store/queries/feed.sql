-- The row lock lasts until the transaction ends, so revisions become visible in their own order.
-- name: AdvanceFeed :one
UPDATE feed_head SET revision = revision + sqlc.arg(by) WHERE id = 1 RETURNING revision;

-- name: GetFeedHead :one
SELECT revision, purged FROM feed_head WHERE id = 1;

-- name: ListChanges :many
SELECT * FROM changes WHERE revision > sqlc.arg(after) ORDER BY revision LIMIT sqlc.arg(row_limit);

-- name: ListPurgeableChanges :many
SELECT revision FROM changes WHERE at < sqlc.arg(older_than) ORDER BY revision LIMIT sqlc.arg(row_limit);

-- name: DeleteChangesThrough :execrows
DELETE FROM changes WHERE revision <= $1;

-- name: SetPurged :exec
UPDATE feed_head SET purged = $1 WHERE id = 1 AND purged < $1;
