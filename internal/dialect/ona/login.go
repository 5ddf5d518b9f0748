package ona

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect/door"
	"keystile.dev/keystile/internal/login"
)

// userObject is the user in the answer to a sign-in.
type userObject struct {
	UserID      string           `json:"user_id"`
	Username    string           `json:"username"`
	RoleID      string           `json:"role_id"`
	RoleName    string           `json:"role_name"`
	CustomerIDs []string         `json:"customer_ids"`
	Permissions []keystile.Scope `json:"application_permissions"`
}

// signedIn is the answer to a sign-in that led to a session.
type signedIn struct {
	Token   string     `json:"token"`
	User    userObject `json:"user"`
	Message string     `json:"message"`
}

// challenged is the answer to a sign-in that waits for a code. It has no token:
// that is how clients tell the two apart (protocols 1.9, point 3).
type challenged struct {
	MFARequired     bool   `json:"mfa_required"`
	MFAToken        string `json:"mfa_token"`
	MFAEnrollment   bool   `json:"mfa_enrollment,omitempty"`
	ProvisioningURI string `json:"provisioning_uri,omitempty"`
}

// login is POST /api/auth/login.
func (s *Server) login(ctx context.Context, c *call) answer {
	in, ok := door.Texts(c.body, "username", "password")
	if !ok || in["username"] == "" || in["password"] == "" {
		return invalidRequest
	}
	outcome, err := s.o.SignIn.Password(ctx, c.caller, in["username"], keystile.Secret(in["password"]))
	if err != nil {
		return s.refuse(ctx, c, err)
	}
	return s.finish(ctx, c, outcome)
}

// verifyMFA is POST /api/auth/verify-mfa.
func (s *Server) verifyMFA(ctx context.Context, c *call) answer {
	in, ok := door.Texts(c.body, "mfa_token", "totp_code")
	if !ok || in["mfa_token"] == "" || in["totp_code"] == "" {
		return invalidRequest
	}
	body, err := s.o.SignIn.Code(ctx, c.caller, keystile.Secret(in["mfa_token"]), in["totp_code"], s.welcome)
	if err != nil {
		return s.refuse(ctx, c, err)
	}
	return answer{status: http.StatusOK, body: body}
}

// exchange is POST /api/auth/exchange. Whatever is wrong with the token, the
// provider or the user it names is one answer.
func (s *Server) exchange(ctx context.Context, c *call) answer {
	in, ok := door.Texts(c.body, "external_token", "provider")
	if !ok || in["external_token"] == "" {
		return invalidRequest
	}
	provider := in["provider"]
	if provider == "" {
		provider = "external" // the SDK's default
	}
	caller := c.caller
	caller.Door = keystile.DoorExchange
	outcome, err := s.o.Exchange(ctx, caller, provider, keystile.Secret(in["external_token"]))
	if err != nil {
		if verdict, _ := door.Judge(err); verdict == door.BadCredentials || verdict == door.SessionGone {
			return refusal(http.StatusUnauthorized, textInvalidExternal)
		}
		return s.refuse(ctx, c, err)
	}
	return s.finish(ctx, c, outcome)
}

// finish answers with what a sign-in has come to.
func (s *Server) finish(ctx context.Context, c *call, outcome login.Outcome) answer {
	switch challenge := outcome.Challenge; {
	case challenge != nil && challenge.MustChangePassword:
		return s.refuse(ctx, c, &login.ChangeRequired{})
	case challenge != nil:
		return success(challenged{
			MFARequired: true, MFAToken: challenge.Token.Reveal(),
			MFAEnrollment: challenge.Enrolment, ProvisioningURI: challenge.Provisioning.Reveal(),
		})
	case outcome.Session == nil:
		return s.refuse(ctx, c, errors.New("a sign-in came to nothing"))
	}
	body, err := s.welcome(ctx, *outcome.Session, outcome.User)
	if err != nil {
		return s.refuse(ctx, c, err)
	}
	return answer{status: http.StatusOK, body: body}
}

// ours says whether a session was opened here.
func ours(session *keystile.Session) bool {
	return session.Door == keystile.DoorOna || session.Door == keystile.DoorExchange
}

// welcome is the body for a new session: its token and who has signed in. A
// challenge of another door leads to none here.
func (s *Server) welcome(ctx context.Context, session keystile.Session, user keystile.User) ([]byte, error) {
	if !ours(&session) {
		return nil, login.ErrChallengeExpired
	}
	token, _, err := s.o.Mint(ctx, session, user)
	if err != nil {
		return nil, fmt.Errorf("mint a token: %w", err)
	}
	role, err := s.role(ctx, user.RoleID)
	if err != nil {
		return nil, err
	}
	return json.Marshal(signedIn{Token: token.Reveal(), Message: "Login successful", User: userObject{
		UserID: user.ID, Username: user.Username, RoleID: user.RoleID, RoleName: role.Name,
		CustomerIDs: list(user.CustomerIDs), Permissions: list(role.Scopes),
	}})
}

// role is the user's role; one that is gone grants nothing.
func (s *Server) role(ctx context.Context, id string) (keystile.Role, error) {
	if id == "" {
		return keystile.Role{}, nil
	}
	role, err := s.o.Role(ctx, id)
	if err != nil && !errors.Is(err, keystile.ErrNotFound) {
		return keystile.Role{}, fmt.Errorf("read role %q: %w", id, err)
	}
	return role, nil
}

// list is never null on the wire: clients iterate over it (protocols 1.9, point 6).
func list[T any](in []T) []T {
	if in == nil {
		return []T{}
	}
	return in
}

// refuse words an error of the login service. Unknown user and wrong password
// are the same words.
func (s *Server) refuse(ctx context.Context, c *call, err error) answer {
	verdict, hold := door.Judge(err)
	switch verdict {
	case door.BadCredentials:
		return refusal(http.StatusUnauthorized, textInvalidCredentials)
	case door.Inactive:
		return refusal(http.StatusForbidden, textInactive)
	case door.BadCode:
		return refusal(http.StatusUnauthorized, textInvalidCode)
	case door.ChallengeGone:
		return refusal(http.StatusUnauthorized, textChallengeExpired)
	case door.SessionGone:
		return tokenExpired
	case door.ChangePassword:
		return refusal(http.StatusForbidden, textPasswordChange)
	case door.Throttled:
		return wait(http.StatusTooManyRequests, hold)
	case door.Busy:
		return wait(http.StatusServiceUnavailable, hold)
	case door.Failed:
	}
	s.o.Logger.ErrorContext(ctx, "Ona's auth API cannot answer", "request_id", c.caller.RequestID, "path", c.path, "error", err)
	return unavailable
}
