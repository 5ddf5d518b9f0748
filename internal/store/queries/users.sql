-- name: InsertUser :execrows
INSERT INTO users (id, organization_id, username, email, name, role_id, admin_role, customer_ids, group_id, skin_id,
    mfa, must_change_password, disabled, last_login_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT DO NOTHING;

-- name: GetUser :one
SELECT * FROM users WHERE id = $1;

-- name: ListUsers :many
SELECT * FROM users WHERE id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: ListUsersOfOrganization :many
SELECT * FROM users WHERE organization_id = $1 AND id > sqlc.arg(after_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: ListAdministratorsOfOrganization :many
SELECT * FROM users WHERE organization_id = $1 AND admin_role = $2 AND NOT disabled AND email <> '' ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: ListUsersWithRole :many
SELECT id FROM users WHERE role_id = sqlc.arg(role_id) ORDER BY id LIMIT sqlc.arg(row_limit);

-- name: FindUserByName :one
SELECT sqlc.embed(u), sqlc.embed(o), f.revision
FROM user_names AS n
JOIN users AS u ON u.id = n.user_id
JOIN organizations AS o ON o.id = u.organization_id
JOIN feed_head AS f ON f.id = 1
WHERE n.name = $1;

-- name: FindUserByID :one
SELECT sqlc.embed(u), sqlc.embed(o), f.revision
FROM users AS u
JOIN organizations AS o ON o.id = u.organization_id
JOIN feed_head AS f ON f.id = 1
WHERE u.id = $1;

-- name: UpdateUser :exec
UPDATE users
SET username = $2, email = $3, name = $4, role_id = $5, admin_role = $6, customer_ids = $7, group_id = $8, skin_id = $9,
    mfa = $10, must_change_password = $11, disabled = $12, updated_at = $13
WHERE id = $1;

-- name: NoteUserLogin :exec
UPDATE users SET last_login_at = sqlc.arg(at) WHERE id = sqlc.arg(id) AND (last_login_at IS NULL OR last_login_at < sqlc.arg(at));

-- Writes nothing new: it locks the row.
-- name: LockUser :one
UPDATE users SET updated_at = updated_at WHERE id = $1 RETURNING *;

-- name: DeleteUser :exec
DELETE FROM users WHERE id = $1;

-- name: InsertUserName :execrows
INSERT INTO user_names (name, skeleton, user_id) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING;

-- name: ListUserNames :many
SELECT name, skeleton FROM user_names WHERE user_id = $1 ORDER BY name;

-- name: DeleteUserNames :exec
DELETE FROM user_names WHERE user_id = $1;

-- name: ListUserNamesLike :many
SELECT name, user_id FROM user_names WHERE name = $1 OR skeleton = $2;
