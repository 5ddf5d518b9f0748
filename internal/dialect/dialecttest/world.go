package dialecttest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect/door"
	"keystile.dev/keystile/internal/dialect/nao"
	"keystile.dev/keystile/internal/dialect/ona"
	"keystile.dev/keystile/internal/limit"
	"keystile.dev/keystile/internal/login"
)

// Now is the moment at which a World stands.
var Now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// World is a login service, token minter and key store that are scripted by the
// names they are asked about, so that every answer of a door can be had. It is
// safe for concurrent use.
//
//	user@example.com  signs in with Password        mfa@…    asks for Code
//	new@…             enrols first                  gone@…   is inactive
//	stale@…           must change the password      early@…  is throttled for 7.2 s
//	queue@…           finds the queue full          down@…   finds the store down
type World struct {
	mu       sync.Mutex
	sessions map[string]*keystile.Session
	// Callers are who asked the login service, in order.
	Callers []login.Caller
	// Broken makes every look-up of a credential fail.
	Broken bool
}

// What signs in.
const (
	Password  = "correct horse"
	Code      = "123456"
	Key       = "opa_prod_good-key-of-sibaya"
	KeyOnce   = "opa_prod_key-that-ends"
	KeyInside = "opa_prod_key-of-one-network"
	UserKey   = "personal-key-of-user-0123456789"
	// Expired and Revoked are tokens that were good once.
	Expired = "jwt.expired.0"
	Revoked = "jwt.revoked.0"
)

// NewWorld makes a world without sessions.
func NewWorld() *World { return &World{sessions: map[string]*keystile.Session{}} }

// User is the user of a name before the "@".
func User(name string) keystile.User {
	return keystile.User{
		ID: "user_20260301120000000001", OrganizationID: "sibaya-power", Username: name + "@example.com", Email: name + "@example.com",
		Name: "Thandi", RoleID: "role_analyst", CustomerIDs: []string{"cust-1"}, GroupID: "grp-1",
	}
}

// Password implements the doors' SignIn.
func (w *World) Password(_ context.Context, c login.Caller, username string, password keystile.Secret) (login.Outcome, error) {
	w.note(c)
	name, _, _ := strings.Cut(username, "@")
	switch name {
	case "early":
		return login.Outcome{}, fmt.Errorf("sign in: %w", &login.Throttled{RetryAfter: 7200 * time.Millisecond})
	case "queue":
		return login.Outcome{}, &login.Busy{RetryAfter: 2 * time.Second}
	case "down":
		return login.Outcome{}, fmt.Errorf("read the user: %w", keystile.ErrUnavailable)
	case "user", "mfa", "new", "gone", "stale":
	default:
		return login.Outcome{}, login.ErrInvalidCredentials
	}
	if password.Reveal() != Password {
		return login.Outcome{}, login.ErrInvalidCredentials
	}
	challenge := login.Challenge{Token: keystile.Secret(string(c.Door) + "-challenge"), ExpiresAt: Now.Add(5 * time.Minute)}
	switch name {
	case "gone":
		return login.Outcome{}, login.ErrInactive
	case "mfa":
		challenge.Kinds = []keystile.FactorKind{keystile.FactorTOTP}
	case "new":
		challenge.Enrolment = true
		challenge.Provisioning = "otpauth://totp/Ona:new@example.com?secret=JBSWY3DPEHPK3PXP&issuer=Ona"
	case "stale":
		challenge.MustChangePassword = true
	default:
		return w.open(c, User(name), keystile.MethodPassword), nil
	}
	return login.Outcome{User: User(name), Challenge: &challenge}, nil
}

// Code implements the doors' SignIn.
func (w *World) Code(ctx context.Context, c login.Caller, token keystile.Secret, code string, mint login.Mint) ([]byte, error) {
	w.note(c)
	switch {
	case token != "ona-challenge" && token != "nao-challenge":
		return nil, login.ErrChallengeExpired
	case code != Code:
		return nil, login.ErrInvalidCode
	}
	// A challenge leads to a session at the door it began at.
	c.Door = keystile.Door(strings.TrimSuffix(token.Reveal(), "-challenge"))
	outcome := w.open(c, User("mfa"), keystile.MethodPassword, keystile.MethodTOTP, keystile.MethodMFA)
	answer, err := mint(ctx, *outcome.Session, outcome.User)
	if err != nil { // undoes the sign-in
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.sessions, outcome.Session.ID)
	}
	return answer, err
}

// APIKey implements NAO's SignIn.
func (w *World) APIKey(_ context.Context, c login.Caller, p *keystile.Principal) (login.Outcome, error) {
	w.note(c)
	if p.UserID == "" {
		return login.Outcome{}, login.ErrInvalidCredentials
	}
	return w.open(c, User("user"), keystile.MethodAPIKey), nil
}

// Exchange signs in with the token "foreign" of the provider external-sso.
func (w *World) Exchange(_ context.Context, c login.Caller, provider string, token keystile.Secret) (login.Outcome, error) {
	w.note(c)
	switch {
	case token == "down":
		return login.Outcome{}, keystile.ErrUnavailable
	case provider != "external-sso" || token != "foreign":
		return login.Outcome{}, keystile.Reject(keystile.ReasonSignatureInvalid, "no such provider, or not its token")
	}
	return w.open(c, User("user"), keystile.MethodProvider), nil
}

// Renew implements the doors' SignIn.
func (w *World) Renew(_ context.Context, c login.Caller, sid string) (keystile.Session, keystile.User, error) {
	w.note(c)
	w.mu.Lock()
	defer w.mu.Unlock()
	session, ok := w.sessions[sid]
	if !ok || !session.RevokedAt.IsZero() {
		return keystile.Session{}, keystile.User{}, fmt.Errorf("session %s: %w", sid, login.ErrSessionEnded)
	}
	return *session, User("user"), nil
}

// Logout implements the doors' SignIn.
func (w *World) Logout(_ context.Context, c login.Caller, sid string) error {
	w.note(c)
	w.mu.Lock()
	defer w.mu.Unlock()
	session, ok := w.sessions[sid]
	if !ok || !session.RevokedAt.IsZero() {
		return nil
	}
	session.RevokedAt = Now
	return nil
}

func (w *World) note(c login.Caller) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Callers = append(w.Callers, c)
}

func (w *World) open(c login.Caller, user keystile.User, methods ...keystile.AuthMethod) login.Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	session := &keystile.Session{ID: fmt.Sprintf("ses_%d", len(w.sessions)+1), UserID: user.ID, Door: c.Door, Methods: methods, CreatedAt: Now}
	w.sessions[session.ID] = session
	shown := *session
	return login.Outcome{Session: &shown, User: user}
}

// Sessions is how many sessions were opened.
func (w *World) Sessions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sessions)
}

// Mint makes the token "jwt.SID.1", good for a day.
func (w *World) Mint(_ context.Context, s keystile.Session, _ keystile.User) (keystile.Secret, time.Time, error) {
	return keystile.Secret("jwt." + s.ID + ".1"), Now.Add(24 * time.Hour), nil
}

// kind is a keystile.Kind over a function.
type kind struct {
	name   keystile.KindName
	verify func(text string) (*keystile.Principal, error)
}

func (k kind) Name() keystile.KindName { return k.name }

func (k kind) Parse(_ *keystile.Request, f keystile.Found) (keystile.Presented, error) {
	return keystile.Presented{Kind: k.name, Value: f.Value}, nil
}

func (k kind) Verify(_ context.Context, p keystile.Presented) (*keystile.Principal, error) {
	principal, err := k.verify(p.Value.Reveal())
	if principal != nil {
		principal.Kind = k.name
	}
	return principal, err
}

// Tokens proves what Mint made.
func (w *World) Tokens() keystile.Kind {
	return kind{keystile.KindSessionJWT, func(text string) (*keystile.Principal, error) {
		if w.Broken {
			return nil, keystile.ErrUnavailable
		}
		sid, ok := strings.CutPrefix(strings.TrimSuffix(text, ".1"), "jwt.")
		switch {
		case text == Expired:
			return nil, keystile.Reject(keystile.ReasonCredentialExpired, "expired")
		case text == Revoked:
			return nil, keystile.Reject(keystile.ReasonCredentialRevoked, "revoked")
		case !ok || !strings.HasPrefix(sid, "ses_"):
			return nil, keystile.Reject(keystile.ReasonSignatureInvalid, "not ours")
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if session, ok := w.sessions[sid]; !ok || !session.RevokedAt.IsZero() {
			return nil, keystile.Reject(keystile.ReasonCredentialRevoked, "the session has ended")
		}
		return &keystile.Principal{Subject: "user:1", UserID: "1", SessionID: sid, ExpiresAt: Now.Add(24 * time.Hour)}, nil
	}}
}

// Keys proves Key, KeyOnce, KeyInside and UserKey.
func (w *World) Keys() keystile.Kind {
	return kind{keystile.KindAPIKey, func(text string) (*keystile.Principal, error) {
		p := &keystile.Principal{Subject: "key:key_sibaya", CredentialID: "key_sibaya", SiteIDs: []string{"Sibaya"}}
		switch {
		case w.Broken:
			return nil, keystile.ErrUnavailable
		case text == Key:
		case text == KeyOnce:
			p.ExpiresAt = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
		case text == KeyInside:
			p.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		case text == UserKey:
			p.UserID = User("user").ID
		default:
			return nil, keystile.Reject(keystile.ReasonCredentialUnknown, "no such key")
		}
		return p, nil
	}}
}

// edge takes the address from the connection, whatever a header says.
func edge() door.Edge {
	return door.Edge{
		ClientAddr: func(r *http.Request) (netip.Addr, error) {
			peer, err := netip.ParseAddrPort(r.RemoteAddr)
			return peer.Addr(), err
		},
		RequestID: func(*http.Request) string { return "request-1" },
	}
}

// Ona is Ona's door in this world.
func (w *World) Ona() (*ona.Server, error) { return ona.New(w.OnaOptions()) }

// OnaOptions are those of Ona, under the default base paths.
func (w *World) OnaOptions() ona.Options {
	return ona.Options{
		SignIn: w, Exchange: w.Exchange, Mint: w.Mint, Tokens: w.Tokens(), Keys: w.Keys(),
		Key: func(_ context.Context, id string) (keystile.APIKey, error) {
			return keystile.APIKey{ID: id, CreatedAt: time.Date(2025, 11, 1, 8, 30, 0, 0, time.UTC)}, nil
		},
		Role: func(_ context.Context, id string) (keystile.Role, error) {
			return keystile.Role{ID: id, Name: "Analyst", Scopes: []keystile.Scope{"telemetry:read", "energy-analyst"}}, nil
		},
		Limiter: limit.NewMemory(limit.MemoryOptions{}), Edge: edge(), BasePaths: []string{"", "/prod"},
		Now: func() time.Time { return Now }, Logger: slog.New(slog.DiscardHandler),
	}
}

// NAO is NAO's door in this world.
func (w *World) NAO() (*nao.Server, error) { return nao.New(w.NAOOptions()) }

// NAOOptions are those of NAO, with one origin whose pages may call it.
func (w *World) NAOOptions() nao.Options {
	return nao.Options{
		SignIn: w, Mint: w.Mint, Tokens: w.Tokens(), Keys: w.Keys(), Edge: edge(),
		AuthToken: func(context.Context, login.Caller, string) (keystile.Secret, error) { return UserKey, nil },
		User:      func(context.Context, string) (keystile.User, error) { return User("user"), nil },
		Origins:   []string{"https://app.example.com"}, MaxAge: time.Hour, Logger: slog.New(slog.DiscardHandler),
	}
}
