-- +goose Up

-- Where clients are told that a session ended: by a request of ours, and by a frame in
-- the page of the browser that signed out.
ALTER TABLE oauth_clients ADD COLUMN backchannel_logout_uri text NOT NULL DEFAULT '';
ALTER TABLE oauth_clients ADD COLUMN backchannel_logout_session_required boolean NOT NULL DEFAULT false;
ALTER TABLE oauth_clients ADD COLUMN frontchannel_logout_uri text NOT NULL DEFAULT '';
ALTER TABLE oauth_clients ADD COLUMN frontchannel_logout_session_required boolean NOT NULL DEFAULT false;

-- Clients that a session signed in to and that want to know of its end. sid is the
-- session as the client knows it, and session_id the one that lives on in its place
-- after a sign-in was repeated. due_at is NULL while that lives, and then when the
-- client is told next; expires_at is when it ends by itself.
CREATE TABLE oauth_visits (
    sid        text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    client_id  text COLLATE "C" NOT NULL,
    user_id    text COLLATE "C" NOT NULL,
    expires_at bigint           NOT NULL,
    due_at     bigint,
    tries      integer          NOT NULL,
    PRIMARY KEY (sid, client_id)
);
CREATE INDEX oauth_visits_session_id ON oauth_visits (session_id);
CREATE INDEX oauth_visits_user_id ON oauth_visits (user_id);
CREATE INDEX oauth_visits_due_at ON oauth_visits (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX oauth_visits_expires_at ON oauth_visits (expires_at);
