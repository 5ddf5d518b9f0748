-- name: PutOAuthVisit :exec
INSERT INTO oauth_visits (sid, session_id, client_id, user_id, expires_at, due_at, tries)
VALUES (sqlc.arg(session_id), sqlc.arg(session_id), sqlc.arg(client_id), sqlc.arg(user_id), sqlc.arg(expires_at), NULL, 0)
ON CONFLICT (sid, client_id) DO UPDATE SET session_id = excluded.session_id, expires_at = excluded.expires_at, due_at = NULL, tries = 0;

-- name: MoveOAuthVisits :exec
UPDATE oauth_visits SET session_id = sqlc.arg(into_session), expires_at = sqlc.arg(expires_at) WHERE session_id = sqlc.arg(from_session) AND due_at IS NULL;

-- name: ListOAuthVisits :many
SELECT * FROM oauth_visits WHERE session_id = sqlc.arg(session_id) AND due_at IS NULL ORDER BY client_id, sid LIMIT sqlc.arg(row_limit);

-- name: EndOAuthVisits :exec
UPDATE oauth_visits SET due_at = sqlc.arg(at) WHERE session_id = sqlc.arg(session_id) AND due_at IS NULL;

-- name: EndOAuthVisitsOfUser :exec
UPDATE oauth_visits SET due_at = sqlc.arg(at) WHERE user_id = sqlc.arg(user_id) AND session_id <> sqlc.arg(keep) AND due_at IS NULL;

-- name: EndOAuthVisitsOfOrganization :exec
UPDATE oauth_visits SET due_at = sqlc.arg(at)
WHERE due_at IS NULL AND user_id IN (SELECT u.id FROM users AS u WHERE u.organization_id = sqlc.arg(organization_id));

-- name: EndOAuthVisitsOfKey :exec
UPDATE oauth_visits SET due_at = sqlc.arg(at)
WHERE due_at IS NULL AND session_id IN (SELECT s.id FROM sessions AS s WHERE s.api_key_id = sqlc.arg(api_key_id) AND s.api_key_id <> '');

-- name: EndOAuthVisitsOfProvider :exec
UPDATE oauth_visits SET due_at = sqlc.arg(at)
WHERE due_at IS NULL AND session_id IN (SELECT s.id FROM sessions AS s WHERE s.provider_name = sqlc.arg(provider_name) AND s.provider_name <> '');

-- Those of four clients, which have enough under way, are left out.
-- name: DueOAuthVisits :many
SELECT * FROM oauth_visits
WHERE due_at <= sqlc.arg(now) AND client_id NOT IN (sqlc.arg(busy_1), sqlc.arg(busy_2), sqlc.arg(busy_3), sqlc.arg(busy_4))
ORDER BY due_at LIMIT sqlc.arg(row_limit);

-- Of any number of servers that saw it due, one has it: it is due again when that one has not told in time.
-- name: ClaimOAuthVisit :execrows
UPDATE oauth_visits SET due_at = sqlc.arg(until), tries = tries + 1
WHERE sid = sqlc.arg(sid) AND client_id = sqlc.arg(client_id) AND tries = sqlc.arg(tries) AND due_at <= sqlc.arg(now);

-- name: PostponeOAuthVisit :exec
UPDATE oauth_visits SET due_at = sqlc.arg(due_at)
WHERE sid = sqlc.arg(sid) AND client_id = sqlc.arg(client_id) AND tries = sqlc.arg(tries) AND due_at IS NOT NULL;

-- name: DeleteOAuthVisit :exec
DELETE FROM oauth_visits WHERE sid = sqlc.arg(sid) AND client_id = sqlc.arg(client_id) AND tries = sqlc.arg(tries) AND due_at IS NOT NULL;

-- name: PurgeOAuthVisits :execrows
DELETE FROM oauth_visits WHERE (sid, client_id) IN (
    SELECT old.sid, old.client_id FROM oauth_visits AS old WHERE old.expires_at <= sqlc.arg(before) ORDER BY old.expires_at LIMIT sqlc.arg(row_limit)
);
