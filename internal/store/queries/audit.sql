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
UNION
SELECT DISTINCT chain FROM audit_checkpoints
ORDER BY 1;

-- Chains that have grown since they were last sealed.
-- name: ListUnsealedHeads :many
SELECT h.chain, h.seq, h.hash FROM audit_heads AS h
WHERE h.seq > COALESCE((SELECT max(c.seq) FROM audit_checkpoints AS c WHERE c.chain = h.chain AND c.kind = 'seal'), 0)
ORDER BY h.chain;

-- name: ListAuditHeads :many
SELECT * FROM audit_heads ORDER BY chain;

-- name: InsertCheckpoint :execrows
INSERT INTO audit_checkpoints (chain, kind, seq, hash, at, key_id, signature) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING;

-- name: ListCheckpoints :many
SELECT * FROM audit_checkpoints WHERE chain = $1 ORDER BY seq, kind;

-- name: LastCheckpoint :one
SELECT * FROM audit_checkpoints WHERE chain = $1 AND kind = $2 ORDER BY seq DESC LIMIT 1;

-- The last seal from before an instant.
-- name: LastSealBefore :one
SELECT * FROM audit_checkpoints WHERE chain = $1 AND kind = 'seal' AND at <= sqlc.arg(before) ORDER BY seq DESC LIMIT 1;

-- name: DeleteAuditEventsThrough :execrows
DELETE FROM audit_events WHERE organization_id = $1 AND seq <= sqlc.arg(through);

-- name: DeleteDecisionsThrough :execrows
DELETE FROM audit_decisions WHERE seq <= sqlc.arg(through);

-- name: DeleteCheckpointsBefore :exec
DELETE FROM audit_checkpoints WHERE chain = $1 AND seq < sqlc.arg(before);

-- name: ListAuditEvents :many
SELECT * FROM audit_events WHERE organization_id = $1 AND seq > sqlc.arg(after_seq) ORDER BY seq LIMIT sqlc.arg(row_limit);

-- name: ListDecisionsBySeq :many
SELECT * FROM audit_decisions WHERE seq > sqlc.arg(after_seq) ORDER BY seq LIMIT sqlc.arg(row_limit);


-- What routes that only observe would have refused: what was recorded of it.
-- name: ListObservedRefusals :many
SELECT route_id, reason, organization_id, credential_id, count(*) AS recorded,
    CAST(min(at) AS bigint) AS first_at, CAST(max(at) AS bigint) AS last_at
FROM audit_decisions WHERE observed AND at >= sqlc.arg(since)
GROUP BY route_id, reason, organization_id, credential_id
ORDER BY route_id, reason, organization_id, credential_id LIMIT sqlc.arg(row_limit);
