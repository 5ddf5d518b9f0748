package ona

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect/door"
)

// refreshed is the answer to a refresh.
type refreshed struct {
	Token string `json:"token"`
	// ExpiresIn is in seconds.
	ExpiresIn int64 `json:"expires_in"`
}

// claims is the answer of me: what the token says, read again from the store.
type claims struct {
	UserID      string   `json:"user_id"`
	Username    string   `json:"username"`
	RoleID      string   `json:"role_id"`
	CustomerIDs []string `json:"customer_ids"`
	GroupID     *string  `json:"group_id"`
	SkinID      *string  `json:"skin_id"`
	// Exp is in seconds since 1970.
	Exp int64 `json:"exp"`
}

// live is a session whose token was presented, and its user, read again.
type live struct {
	session keystile.Session
	user    keystile.User
	// exp is when the token ends.
	exp time.Time
}

// refresh is POST /api/auth/refresh. The earlier token runs to its end.
func (s *Server) refresh(ctx context.Context, c *call) answer {
	now, refused := s.renew(ctx, c)
	if refused != nil {
		return *refused
	}
	token, exp, err := s.o.Mint(ctx, now.session, now.user)
	if err != nil {
		return s.refuse(ctx, c, err)
	}
	return success(refreshed{Token: token.Reveal(), ExpiresIn: exp.Unix() - s.o.Now().Unix()})
}

// me is GET /api/auth/me.
func (s *Server) me(ctx context.Context, c *call) answer {
	now, refused := s.renew(ctx, c)
	if refused != nil {
		return *refused
	}
	user := &now.user
	return success(claims{
		UserID: user.ID, Username: user.Username, RoleID: user.RoleID, CustomerIDs: list(user.CustomerIDs),
		GroupID: orNull(user.GroupID), SkinID: orNull(user.SkinID), Exp: now.exp.Unix(),
	})
}

// logout is POST /api/auth/logout: the session ends, and every token made of it.
func (s *Server) logout(ctx context.Context, c *call) answer {
	now, refused := s.renew(ctx, c)
	if refused != nil {
		return *refused
	}
	if err := s.o.SignIn.Logout(ctx, c.caller, now.session.ID); err != nil {
		return s.refuse(ctx, c, err)
	}
	return success(map[string]string{"message": "Logout successful"})
}

// renew proves the token of a request and reads its session and user again. A
// session of another door is none here: NAO's token is not Ona's.
func (s *Server) renew(ctx context.Context, c *call) (live, *answer) {
	principal, refused := s.prove(ctx, c)
	if refused != nil {
		return live{}, refused
	}
	session, user, err := s.o.SignIn.Renew(ctx, c.caller, principal.SessionID)
	if err != nil {
		a := s.refuse(ctx, c, err)
		return live{}, &a
	}
	if !ours(&session) {
		return live{}, &unauthorized
	}
	return live{session, user, principal.ExpiresAt}, nil
}

// prove verifies "Authorization: Bearer TOKEN". An AWS signature is no
// credential (rulings R26), nor is a bare token.
func (s *Server) prove(ctx context.Context, c *call) (*keystile.Principal, *answer) {
	found, err := door.Present(c.header)
	if err != nil || found.Scheme != keystile.SchemeBearer || found.Kind != keystile.KindSessionJWT {
		return nil, &unauthorized
	}
	principal, err := door.Prove(ctx, s.o.Tokens, found, c.caller.Addr, c.caller.RequestID)
	if err == nil && principal.SessionID == "" {
		return nil, &unauthorized
	}
	if err == nil {
		return principal, nil
	}
	reason, told := door.ReasonOf(err)
	switch {
	case !told:
		a := s.refuse(ctx, c, err)
		return nil, &a
	case reason == keystile.ReasonCredentialExpired, reason == keystile.ReasonCredentialRevoked:
		return nil, &tokenExpired
	}
	return nil, &unauthorized
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
