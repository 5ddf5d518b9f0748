-- +goose Up

-- Where clients are told that a session ended: by a request of ours, and by a frame in
-- the page of the browser that signed out.
ALTER TABLE oauth_clients ADD COLUMN backchannel_logout_uri TEXT NOT NULL DEFAULT '';
ALTER TABLE oauth_clients ADD COLUMN backchannel_logout_session_required INTEGER NOT NULL DEFAULT 0 CHECK (backchannel_logout_session_required IN (0, 1));
ALTER TABLE oauth_clients ADD COLUMN frontchannel_logout_uri TEXT NOT NULL DEFAULT '';
ALTER TABLE oauth_clients ADD COLUMN frontchannel_logout_session_required INTEGER NOT NULL DEFAULT 0 CHECK (frontchannel_logout_session_required IN (0, 1));

-- Clients that a session signed in to and that want to know of its end. sid is the
-- session as the client knows it, and session_id the one that lives on in its place
-- after a sign-in was repeated. due_at is NULL while that lives, and then when the
-- client is told next; expires_at is when it ends by itself.
CREATE TABLE oauth_visits (
    sid        TEXT    NOT NULL,
    session_id TEXT    NOT NULL,
    client_id  TEXT    NOT NULL,
    user_id    TEXT    NOT NULL,
    expires_at INTEGER NOT NULL,
    due_at     INTEGER,
    tries      INTEGER NOT NULL,
    PRIMARY KEY (sid, client_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX oauth_visits_session_id ON oauth_visits (session_id);
CREATE INDEX oauth_visits_user_id ON oauth_visits (user_id);
CREATE INDEX oauth_visits_due_at ON oauth_visits (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX oauth_visits_expires_at ON oauth_visits (expires_at);
