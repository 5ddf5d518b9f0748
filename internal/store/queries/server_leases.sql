-- name: ListServerLeases :many
SELECT * FROM server_leases ORDER BY id;

-- name: InsertServerLease :exec
INSERT INTO server_leases (id, holder, exclusive, machine, pid, process_start, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: RenewServerLease :execrows
UPDATE server_leases SET expires_at = $2 WHERE id = $1;

-- name: DeleteServerLease :exec
DELETE FROM server_leases WHERE id = $1;
