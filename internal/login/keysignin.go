package login

import (
	"context"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// APIKey opens a session for the user whose API key (or auth_token) p is. A key of no user is
// ErrInvalidCredentials. The session ends with the key. No other factor is asked for: the key was shown
// after all of them, and the session says that it proves a key and nothing else. A key that is held to a limit, which a
// personal one is while it is leaked, is ErrInvalidCredentials too: a session has no limit, and would do more than the key.
func (s *Service) APIKey(ctx context.Context, c Caller, p *keystile.Principal) (Outcome, error) {
	if p == nil || p.UserID == "" || p.Kind != keystile.KindAPIKey || p.Limit != nil {
		return Outcome{}, ErrInvalidCredentials
	}
	found, err := s.userOf(ctx, p.UserID)
	if notFound(err) {
		return Outcome{}, ErrInvalidCredentials
	}
	if err != nil {
		return Outcome{}, err
	}
	var session keystile.Session
	var u keystile.User
	err = s.mutate(ctx, actor(c, p.UserID), func(ctx context.Context, tx *store.Tx) error {
		if u, err = lockUser(ctx, tx, p.UserID); err != nil {
			return err
		}
		if err := inactive(u, found.Organization); err != nil {
			return &answer{err}
		}
		// Whether the key is live is asked at every use of the session.
		at := step{user: u, found: found, proof: proof{methods: []keystile.AuthMethod{keystile.MethodAPIKey}, key: p.CredentialID}}
		session, err = s.open(ctx, tx, c, at)
		return err
	})
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Session: &session, User: u}, nil
}
