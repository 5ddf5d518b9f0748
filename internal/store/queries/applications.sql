-- name: InsertApplication :execrows
INSERT INTO applications (id, organization_id, name, description, homepage, kind, environment, permissions, launch_url,
    review, review_comment, reviewed_as, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT DO NOTHING;

-- name: GetApplication :one
SELECT * FROM applications WHERE id = $1;

-- name: ListApplications :many
SELECT * FROM applications WHERE id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: ListApplicationsOfOrganization :many
SELECT * FROM applications WHERE organization_id = $1 AND id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: ListApplicationsInReview :many
SELECT * FROM applications WHERE review = $1 AND id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: UpdateApplication :exec
UPDATE applications
SET name = $2, description = $3, homepage = $4, permissions = $5, launch_url = $6, review = $7, review_comment = $8,
    reviewed_as = $9, updated_at = $10
WHERE id = $1;

-- name: DeleteApplication :exec
DELETE FROM applications WHERE id = $1;

-- name: InsertApplicationKey :execrows
INSERT INTO application_keys (id, application_id, digest, pepper_id, hint, created_at, expires_at, revoked_at, last_used_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING;

-- name: GetApplicationKey :one
SELECT * FROM application_keys WHERE id = $1;

-- name: ListApplicationKeys :many
SELECT * FROM application_keys WHERE application_id = $1 ORDER BY created_at, id;

-- name: RevokeApplicationKey :exec
UPDATE application_keys SET revoked_at = $2 WHERE id = $1;

-- name: ExpireOtherApplicationKeys :execrows
UPDATE application_keys SET expires_at = sqlc.arg(expires_at)
WHERE application_id = sqlc.arg(application_id) AND id <> sqlc.arg(keep) AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > sqlc.arg(expires_at));

-- name: DeleteApplicationKeys :exec
DELETE FROM application_keys WHERE application_id = $1;

-- name: FindApplicationKeys :many
SELECT sqlc.embed(k), sqlc.embed(a), o.disabled, f.revision
FROM application_keys AS k
JOIN applications AS a ON a.id = k.application_id
JOIN organizations AS o ON o.id = a.organization_id
JOIN feed_head AS f ON f.id = 1
WHERE k.digest IN ($1, $2, $3);
