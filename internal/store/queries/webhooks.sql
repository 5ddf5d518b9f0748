-- name: InsertWebhook :execrows
INSERT INTO webhooks (id, application_id, event, url_template, description, enabled, form, sealed_auth, auth_header, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING;

-- name: GetWebhook :one
SELECT * FROM webhooks WHERE id = $1;

-- name: ListWebhooksOfApplication :many
SELECT * FROM webhooks WHERE application_id = $1 AND id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: UpdateWebhook :exec
UPDATE webhooks
SET event = $2, url_template = $3, description = $4, enabled = $5, form = $6, sealed_auth = $7, auth_header = $8, updated_at = $9
WHERE id = $1;

-- name: DeleteWebhook :exec
DELETE FROM webhooks WHERE id = $1;

-- name: ListEnabledWebhooks :many
SELECT id FROM webhooks WHERE application_id = $1 AND event = $2 AND enabled ORDER BY id;

-- name: InsertDelivery :exec
INSERT INTO webhook_deliveries (id, webhook_id, tenant_id, event, payload, attempts, next_at, claimed_by, last_status, last_error, created_at)
VALUES ($1, $2, $3, $4, $5, 0, $6, '', 0, '', $7);

-- name: GetDelivery :one
SELECT * FROM webhook_deliveries WHERE id = $1;

-- name: ListDeliveries :many
SELECT * FROM webhook_deliveries
WHERE webhook_id = $1 AND created_at < sqlc.arg(before) ORDER BY created_at DESC, id DESC LIMIT sqlc.arg(row_limit);

-- name: ListDueDeliveries :many
SELECT * FROM webhook_deliveries WHERE next_at <= sqlc.arg(now) ORDER BY next_at LIMIT sqlc.arg(row_limit);

-- A lease: whoever moves next_at first has the attempt; a holder that dies leaves it due again.
-- name: ClaimDelivery :execrows
UPDATE webhook_deliveries SET next_at = sqlc.arg(until), claimed_by = sqlc.arg(claimed_by), attempts = attempts + 1
WHERE id = sqlc.arg(id) AND next_at = sqlc.arg(seen);

-- name: FinishDelivery :execrows
UPDATE webhook_deliveries
SET next_at = sqlc.arg(next_at), delivered_at = sqlc.arg(delivered_at), failed_at = sqlc.arg(failed_at),
    last_status = sqlc.arg(last_status), last_error = sqlc.arg(last_error), claimed_by = ''
WHERE id = sqlc.arg(id) AND claimed_by = sqlc.arg(claimed_by);

-- name: ResendDelivery :execrows
UPDATE webhook_deliveries SET next_at = sqlc.arg(next_at), attempts = 0, failed_at = NULL, delivered_at = NULL, claimed_by = ''
WHERE id = sqlc.arg(id);

-- name: PurgeDeliveries :execrows
DELETE FROM webhook_deliveries WHERE id IN (
    SELECT old.id FROM webhook_deliveries AS old WHERE old.next_at IS NULL AND old.created_at <= sqlc.arg(before) LIMIT sqlc.arg(row_limit)
);
