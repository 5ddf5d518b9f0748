-- The no-op update takes the row's lock: whoever holds it owns the chain until the transaction ends.
-- name: LockAuditHead :one
INSERT INTO audit_heads (chain, seq, hash) VALUES ($1, 0, $2)
ON CONFLICT (chain) DO UPDATE SET seq = audit_heads.seq
RETURNING seq, hash;

-- name: SaveAuditHead :exec
UPDATE audit_heads SET seq = $2, hash = $3 WHERE chain = $1;

-- name: GetAuditHead :one
SELECT * FROM audit_heads WHERE chain = $1;

-- name: ListAuditChains :many
SELECT chain FROM audit_heads
UNION
SELECT DISTINCT organization_id FROM audit_events
ORDER BY 1;

-- name: ListAuditEvents :many
SELECT * FROM audit_events WHERE organization_id = $1 AND seq > sqlc.arg(after_seq) ORDER BY seq LIMIT sqlc.arg(row_limit);

-- name: ListDecisionsBySeq :many
SELECT * FROM audit_decisions WHERE seq > sqlc.arg(after_seq) ORDER BY seq LIMIT sqlc.arg(row_limit);

-- name: ListDecisions :many
SELECT * FROM audit_decisions
WHERE at >= sqlc.arg(since) AND at < sqlc.arg(until)
  AND (CAST(sqlc.arg(credential_id) AS text) = '' OR credential_id = sqlc.arg(credential_id))
  AND (CAST(sqlc.arg(reason) AS text) = '' OR reason = sqlc.arg(reason))
ORDER BY seq DESC LIMIT sqlc.arg(row_limit) OFFSET sqlc.arg(row_offset);

-- name: ListDecisionsOfOrganization :many
SELECT * FROM audit_decisions
WHERE organization_id = sqlc.arg(organization_id) AND at >= sqlc.arg(since) AND at < sqlc.arg(until)
  AND (CAST(sqlc.arg(credential_id) AS text) = '' OR credential_id = sqlc.arg(credential_id))
  AND (CAST(sqlc.arg(reason) AS text) = '' OR reason = sqlc.arg(reason))
ORDER BY seq DESC LIMIT sqlc.arg(row_limit) OFFSET sqlc.arg(row_offset);
