package nao

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect/door"
	"keystile.dev/keystile/internal/login"
)

// resource is a JSON:API resource object; ids are text there.
type resource struct {
	ID         string     `json:"id"`
	Type       string     `json:"type"`
	Attributes attributes `json:"attributes"`
}

// attributes are those of the user.
type attributes struct {
	ID    string `json:"id"`
	Email string `json:"email"`
	Name  string `json:"name"`
	// AuthToken is there only after a sign-in with a password.
	AuthToken string `json:"auth_token,omitempty"`
}

// tokenMeta is the session's token and its end, as text and in seconds since 1970.
type tokenMeta struct {
	JWT       string `json:"jwt"`
	ExpiresAt string `json:"expires_at"`
	Exp       int64  `json:"exp"`
}

// sessionDocument is the answer to a sign-in.
type sessionDocument struct {
	Data resource  `json:"data"`
	Meta tokenMeta `json:"meta"`
}

// challengeMeta is beside the error of a sign-in that waits for a code.
type challengeMeta struct {
	MFAToken        string `json:"mfa_token"`
	ExpiresAt       string `json:"expires_at"`
	MFAEnrollment   bool   `json:"mfa_enrollment,omitempty"`
	ProvisioningURI string `json:"provisioning_uri,omitempty"`
}

// create is POST /api/v2/sessions: by an API key in Authorization, or by what
// the body's session holds. Both at once are refused: nobody could say whose
// session it would be.
func (s *Server) create(ctx context.Context, c *call) answer {
	in, problem := readSession(c.body)
	if problem != nil {
		return *problem
	}
	found, err := door.Present(c.header)
	switch {
	case err != nil && missing(err):
		return s.bySession(ctx, c, in)
	case in != nil:
		return refusal(http.StatusUnprocessableEntity, "ambiguous", "Send an API key or a session, not both.")
	case err != nil || found.Kind != "":
		return unauthorized // unreadable, or a token: none opens a session
	}
	return s.byKey(ctx, c, found)
}

// bySession is create without a credential in the header.
func (s *Server) bySession(ctx context.Context, c *call, in map[string]string) answer {
	switch {
	case in["email"] != "" && in["password"] != "":
		return s.byPassword(ctx, c, in["email"], keystile.Secret(in["password"]))
	case in["mfa_token"] != "" && in["otp"] != "":
		return s.byCode(ctx, c, keystile.Secret(in["mfa_token"]), in["otp"])
	case len(c.body) > 0:
		return refusal(http.StatusUnprocessableEntity, "invalid", "A session needs email and password, or mfa_token and otp.")
	}
	return unauthorized
}

// readSession reads {"session":{...}} with texts. No body is no session: a
// sign-in by API key has none.
func readSession(body []byte) (in map[string]string, problem *answer) {
	if len(body) == 0 {
		return nil, nil
	}
	members, ok := door.Members(body, "session")
	if !ok {
		return nil, &malformed
	}
	session, there := members["session"]
	if !there {
		return nil, nil
	}
	if in, ok = door.Texts(session, "email", "password", "mfa_token", "otp"); !ok {
		invalid := refusal(http.StatusUnprocessableEntity, "invalid", "session must be an object of texts.")
		return nil, &invalid
	}
	return in, nil
}

func missing(err error) bool {
	reason, _ := door.ReasonOf(err)
	return reason == keystile.ReasonCredentialMissing
}

func (s *Server) byKey(ctx context.Context, c *call, found keystile.Found) answer {
	principal, refused := s.prove(ctx, c, s.o.Keys, found)
	if refused != nil {
		return *refused
	}
	outcome, err := s.o.SignIn.APIKey(ctx, c.caller, principal)
	if err != nil {
		return s.refuse(ctx, c, err)
	}
	return s.finish(ctx, c, outcome)
}

func (s *Server) byPassword(ctx context.Context, c *call, email string, password keystile.Secret) answer {
	outcome, err := s.o.SignIn.Password(ctx, c.caller, email, password)
	if err != nil {
		return s.refuse(ctx, c, err)
	}
	return s.finish(ctx, c, outcome)
}

func (s *Server) byCode(ctx context.Context, c *call, token keystile.Secret, code string) answer {
	kept, err := s.o.SignIn.Code(ctx, c.caller, token, code, s.keep)
	if err != nil {
		return s.refuse(ctx, c, err)
	}
	var in entry
	if err := json.Unmarshal(kept, &in); err != nil {
		return s.refuse(ctx, c, fmt.Errorf("read the kept answer: %w", err))
	}
	return s.welcome(ctx, c, in)
}

// finish answers with what a sign-in has come to.
func (s *Server) finish(ctx context.Context, c *call, outcome login.Outcome) answer {
	switch challenge := outcome.Challenge; {
	case challenge != nil && challenge.MustChangePassword:
		return s.refuse(ctx, c, &login.ChangeRequired{})
	case challenge != nil:
		return refusalWith(http.StatusUnauthorized, codeMFARequired, "A code is needed: send session with mfa_token and otp.", challengeMeta{
			MFAToken: challenge.Token.Reveal(), ExpiresAt: stamp(challenge.ExpiresAt),
			MFAEnrollment: challenge.Enrolment, ProvisioningURI: challenge.Provisioning.Reveal(),
		})
	case outcome.Session == nil:
		return s.refuse(ctx, c, errors.New("a sign-in came to nothing"))
	}
	in, err := s.enter(ctx, *outcome.Session, outcome.User)
	if err != nil {
		return s.refuse(ctx, c, err)
	}
	return s.welcome(ctx, c, in)
}

// entry is a new session as the answer tells of it. The login service keeps it
// sealed for a repeated code (rulings R18), so the personal API key is not in it.
type entry struct {
	SessionID string          `json:"sid"`
	Password  bool            `json:"password"`
	Document  sessionDocument `json:"document"`
}

// keep is enter for the login service to keep.
func (s *Server) keep(ctx context.Context, session keystile.Session, user keystile.User) ([]byte, error) {
	in, err := s.enter(ctx, session, user)
	if err != nil {
		return nil, err
	}
	return json.Marshal(in)
}

// enter mints the session's token. A challenge of another door leads to none here.
func (s *Server) enter(ctx context.Context, session keystile.Session, user keystile.User) (entry, error) {
	if session.Door != keystile.DoorNAO {
		return entry{}, login.ErrChallengeExpired
	}
	token, exp, err := s.o.Mint(ctx, session, user)
	if err != nil {
		return entry{}, fmt.Errorf("mint a token: %w", err)
	}
	return entry{
		SessionID: session.ID, Password: slices.Contains(session.Methods, keystile.MethodPassword),
		Document: sessionDocument{describeUser("session", user), tokenMeta{JWT: token.Reveal(), ExpiresAt: stamp(exp), Exp: exp.Unix()}},
	}, nil
}

// welcome is the answer for a new session, after a password with the personal API key.
func (s *Server) welcome(ctx context.Context, c *call, in entry) answer {
	if s.o.AuthToken != nil && in.Password {
		key, err := s.o.AuthToken(ctx, c.caller, in.SessionID)
		if err != nil && !errors.Is(err, login.ErrStepUp) { // signed in, but not for this: it is left out
			return s.refuse(ctx, c, err)
		}
		in.Document.Data.Attributes.AuthToken = key.Reveal()
	}
	return document(http.StatusCreated, in.Document)
}

func describeUser(kind string, user keystile.User) resource {
	return resource{ID: user.ID, Type: kind, Attributes: attributes{ID: user.ID, Email: user.Email, Name: user.Name}}
}

// stamp is a time by RFC 3339.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// end is DELETE /api/v2/sessions: the session of the token ends.
func (s *Server) end(ctx context.Context, c *call) answer {
	found, err := door.Present(c.header)
	if err != nil || found.Kind != keystile.KindSessionJWT {
		return unauthorized
	}
	session, _, refused := s.renew(ctx, c, found)
	if refused != nil {
		return *refused
	}
	if err := s.o.SignIn.Logout(ctx, c.caller, session.ID); err != nil {
		return s.refuse(ctx, c, err)
	}
	return answer{status: http.StatusNoContent}
}

// me is GET /api/v2/me, by a session's token, by an API key of a user, or by the
// access token that a user allowed a client.
func (s *Server) me(ctx context.Context, c *call) answer {
	found, err := door.Present(c.header)
	if err != nil {
		return unauthorized
	}
	var user keystile.User
	var refused *answer
	switch found.Kind {
	case keystile.KindSessionJWT:
		_, user, refused = s.renew(ctx, c, found)
	case "":
		user, refused = s.owner(ctx, c, s.o.Keys, found)
	case keystile.KindOAuthToken:
		if refused = &unauthorized; s.o.Access != nil {
			user, refused = s.owner(ctx, c, s.o.Access, found)
		}
	default:
		refused = &unauthorized
	}
	if refused != nil {
		return *refused
	}
	return document(http.StatusOK, struct {
		Data resource `json:"data"`
	}{describeUser("user", user)})
}

// owner is the user whose API key, or access token, was presented.
func (s *Server) owner(ctx context.Context, c *call, kind keystile.Kind, found keystile.Found) (keystile.User, *answer) {
	principal, refused := s.prove(ctx, c, kind, found)
	if refused != nil {
		return keystile.User{}, refused
	}
	// A key of an organisation is nobody's, and a token for other resources is not for here.
	if principal.UserID == "" || len(principal.Audiences) > 0 {
		return keystile.User{}, &unauthorized
	}
	user, err := s.o.User(ctx, principal.UserID)
	if err != nil {
		a := s.refuse(ctx, c, err)
		return keystile.User{}, &a
	}
	return user, nil
}

// renew proves a token and reads its session and user again. A session of
// another door is none here: Ona's token is not NAO's.
func (s *Server) renew(ctx context.Context, c *call, found keystile.Found) (keystile.Session, keystile.User, *answer) {
	principal, refused := s.prove(ctx, c, s.o.Tokens, found)
	if refused != nil {
		return keystile.Session{}, keystile.User{}, refused
	}
	session, user, err := s.o.SignIn.Renew(ctx, c.caller, principal.SessionID)
	switch {
	case err != nil:
		a := s.refuse(ctx, c, err)
		return keystile.Session{}, keystile.User{}, &a
	case session.Door != keystile.DoorNAO:
		return keystile.Session{}, keystile.User{}, &unauthorized
	}
	return session, user, nil
}

// prove verifies a credential; every kind of "no" is one answer.
func (s *Server) prove(ctx context.Context, c *call, kind keystile.Kind, found keystile.Found) (*keystile.Principal, *answer) {
	principal, err := door.Prove(ctx, kind, found, c.caller.Addr, c.caller.RequestID)
	if err == nil {
		return principal, nil
	}
	if _, told := door.ReasonOf(err); told {
		return nil, &unauthorized
	}
	a := s.refuse(ctx, c, err)
	return nil, &a
}

// refuse words an error of the login service. Unknown user and wrong password
// are the same words.
func (s *Server) refuse(ctx context.Context, c *call, err error) answer {
	verdict, hold := door.Judge(err)
	switch verdict {
	case door.BadCredentials:
		return refusal(http.StatusUnauthorized, codeInvalidCredentials, "")
	case door.Inactive:
		return refusal(http.StatusForbidden, codeInactive, "The account is inactive.")
	case door.BadCode:
		return refusal(http.StatusUnauthorized, codeInvalidOTP, "The code is wrong.")
	case door.ChallengeGone:
		return refusal(http.StatusUnauthorized, codeMFATokenExpired, "The sign-in has expired: begin again.")
	case door.SessionGone:
		return unauthorized
	case door.ChangePassword:
		return refusal(http.StatusForbidden, codePasswordChange, "The password must be changed before it is used here.")
	case door.Throttled:
		return wait(http.StatusTooManyRequests, "rate_limited", hold)
	case door.Busy:
		return wait(http.StatusServiceUnavailable, "unavailable", hold)
	case door.Failed:
	}
	s.o.Logger.ErrorContext(ctx, "NAO's sessions endpoint cannot answer", "request_id", c.caller.RequestID, "error", err)
	return unavailable
}
