-- name: InsertSite :execrows
INSERT INTO sites (id, organization_id, name, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING;

-- name: GetSite :one
SELECT * FROM sites WHERE id = $1;

-- name: ListSites :many
SELECT * FROM sites WHERE id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: ListSitesOfOrganization :many
SELECT * FROM sites WHERE organization_id = $1 AND id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: UpdateSite :exec
UPDATE sites SET name = $2, updated_at = $3 WHERE id = $1;

-- name: DeleteSite :exec
DELETE FROM sites WHERE id = $1;

-- name: ListSiteIDsOfOrganization :many
SELECT id FROM sites WHERE organization_id = $1 ORDER BY id;
