-- name: InsertWebhook :execrows
INSERT INTO webhooks (id, application_id, event, form, url_template, description, disabled, header_name, sealed_header, sealed_secret,
    sealed_previous, previous_until, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT DO NOTHING;

-- name: GetWebhook :one
SELECT * FROM webhooks WHERE id = $1;

-- name: ListWebhooks :many
SELECT * FROM webhooks WHERE application_id = $1 AND id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: ListWebhooksOfEvent :many
SELECT * FROM webhooks WHERE application_id = $1 AND event = $2 AND NOT disabled ORDER BY id;

-- name: CountWebhooks :one
SELECT count(*) FROM webhooks WHERE application_id = $1;

-- name: UpdateWebhook :exec
UPDATE webhooks
SET event = $2, form = $3, url_template = $4, description = $5, disabled = $6, header_name = $7, sealed_header = $8, sealed_secret = $9,
    sealed_previous = $10, previous_until = $11, updated_at = $12
WHERE id = $1;

-- name: DeleteWebhook :exec
DELETE FROM webhooks WHERE id = $1;

-- name: InsertWebhookTurn :exec
INSERT INTO webhook_turns (webhook_id, due_at, leased_until, claim, failures, open_until) VALUES ($1, NULL, 0, 0, 0, 0);

-- name: DeleteWebhookTurn :exec
DELETE FROM webhook_turns WHERE webhook_id = $1;

-- It locks the row, so that whoever ends a turn at the same time sees what was queued.
-- name: WakeWebhook :exec
UPDATE webhook_turns SET due_at = CASE WHEN due_at IS NULL OR due_at > sqlc.arg(at) THEN sqlc.arg(at) ELSE due_at END
WHERE webhook_id = sqlc.arg(webhook_id);

-- name: CloseWebhookCircuit :exec
UPDATE webhook_turns SET failures = 0, open_until = 0 WHERE webhook_id = $1;

-- name: WebhooksDue :many
SELECT webhook_id FROM webhook_turns
WHERE due_at IS NOT NULL AND due_at <= sqlc.arg(now) AND leased_until <= sqlc.arg(now) AND open_until <= sqlc.arg(now)
ORDER BY due_at LIMIT sqlc.arg(row_limit);

-- Of any number of servers that claim at once, one finds the row unclaimed.
-- name: ClaimWebhook :many
UPDATE webhook_turns SET claim = claim + 1, leased_until = sqlc.arg(until)
WHERE webhook_id = sqlc.arg(webhook_id) AND due_at IS NOT NULL AND due_at <= sqlc.arg(now) AND leased_until <= sqlc.arg(now) AND open_until <= sqlc.arg(now)
RETURNING *;

-- It locks the row, too: a turn is one server's alone.
-- name: KeepWebhook :execrows
UPDATE webhook_turns SET leased_until = sqlc.arg(until) WHERE webhook_id = sqlc.arg(webhook_id) AND claim = sqlc.arg(claim);

-- name: JudgeWebhook :exec
UPDATE webhook_turns SET failures = $2, open_until = $3 WHERE webhook_id = $1;

-- name: ReleaseWebhook :exec
UPDATE webhook_turns SET due_at = $2, leased_until = 0 WHERE webhook_id = $1;

-- name: AbandonWebhookTurns :exec
UPDATE webhook_turns SET leased_until = 0 WHERE leased_until > 0;

-- name: GetWebhookTurn :one
SELECT * FROM webhook_turns WHERE webhook_id = $1;

-- name: CountOpenWebhooks :one
SELECT count(*) FROM webhook_turns WHERE open_until > sqlc.arg(now);

-- name: NextWebhookDelivery :one
SELECT * FROM webhook_deliveries
WHERE webhook_id = sqlc.arg(webhook_id) AND due_at IS NOT NULL AND due_at <= sqlc.arg(now)
ORDER BY due_at, id LIMIT 1;

-- name: FirstDueOfWebhook :many
SELECT due_at FROM webhook_deliveries WHERE webhook_id = sqlc.arg(webhook_id) AND due_at IS NOT NULL ORDER BY due_at LIMIT 1;

-- name: GetWebhookDelivery :one
SELECT * FROM webhook_deliveries WHERE id = $1;

-- name: ListWebhookDeliveries :many
SELECT * FROM webhook_deliveries WHERE webhook_id = $1 AND id < sqlc.arg(before_id) ORDER BY id DESC LIMIT sqlc.arg(row_limit);

-- name: ListWebhookDeliveriesInState :many
SELECT * FROM webhook_deliveries WHERE webhook_id = $1 AND state = $2 AND id < sqlc.arg(before_id) ORDER BY id DESC LIMIT sqlc.arg(row_limit);

-- name: SetDeliverySession :exec
UPDATE webhook_deliveries SET session = $2 WHERE id = $1;

-- name: DeletePartnerSession :exec
DELETE FROM partner_sessions WHERE digest = $1;

-- name: FinishWebhookAttempt :exec
UPDATE webhook_deliveries
SET url_template = $2, state = $3, attempts = $4, tries_left = $5, due_at = $6, last_status = $7, last_error = $8, done_at = $9
WHERE id = $1;

-- name: InsertWebhookAttempt :exec
INSERT INTO webhook_attempts (delivery_id, number, at, took, status, error) VALUES ($1, $2, $3, $4, $5, $6);

-- name: ListWebhookAttempts :many
SELECT * FROM webhook_attempts WHERE delivery_id = $1 ORDER BY number;

-- name: ResendWebhookDelivery :exec
UPDATE webhook_deliveries SET state = $2, tries_left = $3, due_at = $4, queued_at = $5, done_at = NULL WHERE id = $1;

-- name: EndWebhookDeliveries :execrows
UPDATE webhook_deliveries SET state = sqlc.arg(state), due_at = NULL, last_error = sqlc.arg(last_error), done_at = sqlc.arg(now)
WHERE id IN (
    SELECT old.id FROM webhook_deliveries AS old
    WHERE old.webhook_id = sqlc.arg(webhook_id) AND old.due_at IS NOT NULL AND old.queued_at <= sqlc.arg(before) LIMIT sqlc.arg(row_limit)
);

-- name: CountWaitingDeliveries :one
SELECT count(*) FROM webhook_deliveries WHERE due_at IS NOT NULL;

-- name: OldWebhookDeliveries :many
SELECT id FROM webhook_deliveries WHERE created_at <= sqlc.arg(before) ORDER BY created_at LIMIT sqlc.arg(row_limit);

-- name: DeleteWebhookAttempts :exec
DELETE FROM webhook_attempts WHERE delivery_id = $1;

-- name: DeleteWebhookDelivery :exec
DELETE FROM webhook_deliveries WHERE id = $1;

-- name: InsertExpiryNotice :execrows
INSERT INTO expiry_notices (kind, subject, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: PurgeExpiryNotices :execrows
DELETE FROM expiry_notices WHERE (kind, subject, expires_at) IN (
    SELECT old.kind, old.subject, old.expires_at FROM expiry_notices AS old
    WHERE old.expires_at <= sqlc.arg(before) ORDER BY old.expires_at LIMIT sqlc.arg(row_limit)
);

-- name: KeysToTellOf :many
SELECT k.id, k.application_id, k.expires_at FROM application_keys AS k
JOIN applications AS a ON a.id = k.application_id
WHERE k.expires_at IS NOT NULL AND k.expires_at > sqlc.arg(after) AND k.expires_at <= sqlc.arg(until) AND k.revoked_at IS NULL AND a.review <> 'retired'
  AND NOT EXISTS (SELECT 1 FROM expiry_notices AS n WHERE n.kind = sqlc.arg(kind) AND n.subject = k.id AND n.expires_at = k.expires_at)
ORDER BY k.expires_at LIMIT sqlc.arg(row_limit);

-- name: AuthorizationsToTellOf :many
SELECT a.application_id, a.tenant_id, a.expires_at FROM authorizations AS a
WHERE a.expires_at IS NOT NULL AND a.expires_at > sqlc.arg(after) AND a.expires_at <= sqlc.arg(until) AND a.withdrawn_at IS NULL
  AND NOT EXISTS (
      SELECT 1 FROM expiry_notices AS n
      WHERE n.kind = 'authorization' AND n.subject = a.application_id || '/' || a.tenant_id AND n.expires_at = a.expires_at
  )
ORDER BY a.expires_at LIMIT sqlc.arg(row_limit);
