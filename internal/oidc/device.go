package oidc

import (
	"context"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/oauthtoken"
)

const (
	// deviceLife is how long a device waits, and deviceInterval how long between two of its
	// questions (RFC 8628, section 3.2).
	deviceLife     = 10 * time.Minute
	deviceInterval = 5 * time.Second
	// userCodeLetters are hard to mistake for each other and spell no words (section 6.1).
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

// deviceAnswer is the answer to a device (RFC 8628, section 3.2).
type deviceAnswer struct {
	DeviceCode   string `json:"device_code"`
	UserCode     string `json:"user_code"`
	URI          string `json:"verification_uri"`
	URIComplete  string `json:"verification_uri_complete"`
	ExpiresIn    int64  `json:"expires_in"`
	PollInterval int64  `json:"interval"`
}

// device begins the authorization of a device that has no browser.
func (s *Server) device(ctx context.Context, r *request) (any, error) {
	c, err := s.authenticate(ctx, r)
	if err != nil {
		return nil, err
	}
	if !c.may(keystile.GrantDeviceCode) {
		return nil, refuse("unauthorized_client", "The client may not use this grant.")
	}
	scopes := askedScopes(c, words[keystile.Scope](r.get("scope")))
	if scopes == nil {
		return nil, refuse("invalid_scope", "The client may not ask for that scope.")
	}
	audiences, e := audiencesOf(c, r.form["resource"])
	if e != nil {
		return nil, e
	}
	if err := s.roomFor(r, c); err != nil {
		return nil, err
	}
	secret, err := s.draw("od_")
	if err != nil {
		return nil, err
	}
	now := s.now()
	d := keystile.OAuthDevice{ClientID: c.id(), Scopes: scopes, Audiences: audiences, Interval: deviceInterval, CreatedAt: now, ExpiresAt: now.Add(deviceLife)}
	d.Digest, d.PepperID = s.digest(secret)
	for { // a code in use is one in 25 thousand million
		if d.UserCode, err = s.userCode(); err != nil {
			return nil, err
		}
		err = s.o.Store.CreateOAuthDevice(ctx, d)
		if err == nil {
			break
		}
		if !errors.Is(err, keystile.ErrConflict) {
			return nil, err
		}
	}
	shown := shownCode(d.UserCode)
	return deviceAnswer{
		DeviceCode: secret.Reveal(), UserCode: shown, URI: s.o.Issuer + PathDevice, URIComplete: s.o.Issuer + PathDevice + "?user_code=" + url.QueryEscape(shown),
		ExpiresIn: int64(deviceLife / time.Second), PollInterval: int64(deviceInterval / time.Second),
	}, nil
}

// shownCode is a user code as the device shows it.
func shownCode(code string) string { return code[:userCodeLength/2] + "-" + code[userCodeLength/2:] }

// userCode draws a code, each letter with the same chance.
func (s *Server) userCode() (string, error) {
	code := make([]byte, 0, userCodeLength)
	var buf [4 * userCodeLength]byte
	for len(code) < userCodeLength {
		if _, err := io.ReadFull(s.o.Random, buf[:]); err != nil {
			return "", err
		}
		for _, b := range buf {
			if b < 240 && len(code) < userCodeLength { // 240 is the largest multiple of 20 in a byte
				code = append(code, userCodeLetters[b%20])
			}
		}
	}
	return string(code), nil
}

// poll answers a device that asks whether its user has decided (section 3.4).
//
//nolint:gocyclo // a list of checks, one after the other
func (s *Server) poll(ctx context.Context, r *request, c *client) (any, error) {
	if r.get("device_code") == "" {
		return nil, badRequest("device_code is missing.")
	}
	d, err := s.o.Store.FindOAuthDevice(ctx, s.candidates(keystile.Secret(r.get("device_code"))))
	if errors.Is(err, keystile.ErrNotFound) || err == nil && d.ClientID != c.id() {
		return nil, badGrant("client " + c.id() + " sent a device code that is not its own")
	}
	if err != nil {
		return nil, err
	}
	now := s.now()
	switch {
	case !now.Before(d.ExpiresAt):
		return nil, refuse("expired_token", "The user took too long.")
	case d.State == keystile.DeviceDenied:
		return nil, refuse("access_denied", "The user said no.")
	case d.State == keystile.DevicePending:
		return nil, s.wait(ctx, d, now)
	}
	user, err := s.person(ctx, d.UserID)
	if err != nil {
		return nil, err
	}
	id, err := s.newID("gra_")
	if err != nil {
		return nil, err
	}
	grant := keystile.OAuthGrant{
		ID: id, ClientID: c.id(), UserID: d.UserID, SessionID: d.SessionID, Scopes: d.Scopes, Audiences: d.Audiences, Methods: d.Methods,
		AuthenticatedAt: d.AuthenticatedAt, CreatedAt: now, ExpiresAt: now.Add(keystile.OAuthTokenLife),
	}
	if c.Client.Public {
		grant.Thumbprint = r.thumbprint
	}
	i := issuing{client: c, user: user, scopes: d.Scopes, audiences: d.Audiences, thumbprint: r.thumbprint, certificate: r.certificate, withID: true, refresh: c.may(keystile.GrantRefreshToken)}
	if i.refresh {
		grant.ExpiresAt = now.Add(grantLife)
	}
	i.grant = grant
	given, answer, err := s.make(ctx, &i, now)
	if err != nil {
		return nil, err
	}
	given.Device, given.Grant = &d.Digest, &grant
	issued, err := s.o.Store.IssueOAuth(ctx, given)
	if err != nil {
		return nil, err
	}
	if !issued {
		return nil, badGrant("a device code was used twice at once")
	}
	return answer, nil
}

// wait tells a device to ask again, and one that asks too often to ask less (section 3.5).
func (s *Server) wait(ctx context.Context, d keystile.OAuthDevice, now time.Time) error {
	early := now.Sub(d.PolledAt) < d.Interval
	d.PolledAt = now
	if early {
		d.Interval += deviceInterval
	}
	if err := s.o.Store.PollOAuthDevice(ctx, d); err != nil {
		return err
	}
	if early {
		return refuse("slow_down", "The device asks too often.")
	}
	return refuse("authorization_pending", "The user has not decided yet.")
}

// maxGuesses is how many user codes a person may get wrong in guessWindow (section 5.1).
const (
	maxGuesses  = 10
	guessWindow = 10 * time.Minute
	maxGuessers = 10_000
)

// guesses counts wrong user codes of people who are signed in.
type guesses struct {
	mu     sync.Mutex
	since  time.Time
	counts map[string]int
}

// exhausted says whether a person guessed too often.
func (g *guesses) exhausted(userID string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.begin(now)
	return g.counts[userID] >= maxGuesses
}

func (g *guesses) wrong(userID string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.begin(now)
	g.counts[userID]++
}

// begin starts a new window where the last one is over, or where memory is.
func (g *guesses) begin(now time.Time) {
	if g.counts == nil || now.Sub(g.since) >= guessWindow || len(g.counts) >= maxGuessers {
		g.since, g.counts = now, map[string]int{}
	}
}

// ErrUserCode is a user code that no waiting device shows.
var ErrUserCode = errors.New("no device that waits shows that code")

// Device is what a person is asked about the device that shows a user code. A wrong code
// is [ErrUserCode], and so is every code once a person has guessed too often.
func (s *Server) Device(ctx context.Context, person Person, code string) (Consent, error) {
	d, c, err := s.waiting(ctx, person, code)
	if err != nil {
		return Consent{}, err
	}
	user, err := s.person(ctx, person.User.ID)
	if err != nil {
		return Consent{}, err
	}
	return Consent{
		Client: c.name(), Owner: c.OwnerName, Homepage: c.Application.Homepage, Verified: c.Client.ApplicationID != "", UserCode: shownCode(d.UserCode),
		Scopes: oauthtoken.Effective(d.Scopes, user.Role.Scopes), Resources: d.Audiences, Lasting: c.may(keystile.GrantRefreshToken),
	}, nil
}

// DecideDevice writes what a person decided about the device that shows a user code.
func (s *Server) DecideDevice(ctx context.Context, person Person, code string, allow bool) error {
	d, c, err := s.waiting(ctx, person, code)
	if err != nil {
		return err
	}
	user, err := s.person(ctx, person.User.ID)
	if err != nil {
		return err
	}
	if app := c.Application; app.ID != "" && app.Environment != user.Organization.Environment {
		return ErrUserCode
	}
	d.State = keystile.DeviceDenied
	d.UserID, d.SessionID, d.Methods, d.AuthenticatedAt = person.User.ID, person.Session.ID, person.Session.Methods, person.Session.AuthenticatedAt
	d.Scopes = oauthtoken.Effective(d.Scopes, user.Role.Scopes)
	if allow {
		d.State = keystile.DeviceAllowed
		if err := s.remember(ctx, &authorization{client: c, audiences: d.Audiences}, &person, d.Scopes); err != nil {
			return err
		}
	}
	decided, err := s.o.Store.DecideOAuthDevice(ctx, d, s.now())
	if err == nil && !decided {
		return ErrUserCode
	}
	return err
}

// waiting finds the device that waits with a user code, as people type it.
func (s *Server) waiting(ctx context.Context, person Person, code string) (keystile.OAuthDevice, *client, error) {
	now := s.now()
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			r -= 'a' - 'A'
		}
		if !slices.Contains([]rune(userCodeLetters), r) {
			return -1
		}
		return r
	}, code)
	if s.guesses.exhausted(person.User.ID, now) {
		return keystile.OAuthDevice{}, nil, ErrUserCode
	}
	d, err := s.o.Store.OAuthDeviceByUserCode(ctx, plain)
	if errors.Is(err, keystile.ErrNotFound) || err == nil && (d.State != keystile.DevicePending || !now.Before(d.ExpiresAt)) {
		s.guesses.wrong(person.User.ID, now)
		return d, nil, ErrUserCode
	}
	if err != nil {
		return d, nil, err
	}
	c, err := s.find(ctx, d.ClientID)
	if errors.Is(err, keystile.ErrNotFound) {
		return d, nil, ErrUserCode
	}
	return d, c, err
}
