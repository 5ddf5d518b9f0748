package oidc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// Tell posts a form to a client and returns the status of the answer, of which nothing
// else is read. It follows no redirect, reaches nothing inside, must end when ctx does,
// and is safe for concurrent use.
type Tell func(ctx context.Context, address string, form url.Values) (status int, err error)

const (
	// typeLogoutToken is that of logout tokens (OpenID Connect Back-Channel Logout, section 2.4).
	typeLogoutToken = "logout+jwt"
	// logoutEvent is their one event.
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
	// logoutTokenLife: at most two minutes, as the section asks.
	logoutTokenLife = 2 * time.Minute

	// logoutPoll is how late a client is told at most, maxTelling how many sessions' ends are
	// told at once, and maxTellingEach how many to one client: one that hangs keeps no other
	// from being told. Not more than four have no room then (see [store.VisitRoom]).
	logoutPoll     = time.Second
	maxTelling     = 16
	maxTellingEach = maxTelling / 4
	// tellTimeout bounds one request, and logoutLease how long another server leaves it to
	// this one: longer than the request and its write.
	tellTimeout = 10 * time.Second
	logoutLease = tellTimeout + 20*time.Second
	// The first pause is logoutWait, each further one four times as long: the tries are
	// made within an hour and a half.
	logoutWait  = 15 * time.Second
	logoutTries = 6
	// logoutGrace is how long requests under way may go on when the server ends.
	logoutGrace = 5 * time.Second
)

// logoutClaims are those of a logout token. It has no nonce, so that nobody takes it for
// an ID token.
type logoutClaims struct {
	Issuer    string              `json:"iss"`
	Subject   string              `json:"sub"`
	Audience  string              `json:"aud"`
	IssuedAt  int64               `json:"iat"`
	Expires   int64               `json:"exp"`
	ID        string              `json:"jti"`
	Events    map[string]struct{} `json:"events"`
	SessionID string              `json:"sid"`
}

// RunLogouts tells clients of the sessions that ended, until ctx does. The store holds
// what has to be told: whoever ends a session waits for nobody, a server that dies loses
// nothing, and what was not told is told by the next. Any number of servers may do it.
func (s *Server) RunLogouts(ctx context.Context) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	t := telling{underWay: map[string]int{}, free: make(chan struct{}, 1)}
	poll := time.NewTicker(logoutPoll)
	defer poll.Stop()
	for {
		for _, v := range s.dueLogouts(work, t.room()) {
			t.begin(v.ClientID)
			t.all.Go(func() {
				defer t.end(v.ClientID)
				s.tellLogout(work, v)
			})
		}
		select {
		case <-ctx.Done():
			timer := time.AfterFunc(logoutGrace, cancel)
			defer timer.Stop()
			t.all.Wait()
			return
		case <-poll.C:
		case <-t.free:
		}
	}
}

// telling is what one server is telling clients at the moment.
type telling struct {
	all sync.WaitGroup
	// free says that there is room again.
	free chan struct{}

	mu       sync.Mutex
	total    int
	underWay map[string]int
}

func (t *telling) room() store.VisitRoom {
	t.mu.Lock()
	defer t.mu.Unlock()
	return store.VisitRoom{All: maxTelling - t.total, Each: maxTellingEach, UnderWay: maps.Clone(t.underWay)}
}

func (t *telling) begin(clientID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total++
	t.underWay[clientID]++
}

func (t *telling) end(clientID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total--
	if t.underWay[clientID]--; t.underWay[clientID] == 0 {
		delete(t.underWay, clientID)
	}
	select {
	case t.free <- struct{}{}:
	default:
	}
}

// dueLogouts takes what is due, as far as there is room.
func (s *Server) dueLogouts(ctx context.Context, room store.VisitRoom) []keystile.OAuthVisit {
	if room.All <= 0 {
		return nil
	}
	now := s.now()
	claimed, err := s.o.Store.ClaimOAuthVisits(ctx, now, now.Add(logoutLease), room)
	if err != nil {
		s.o.Logger.Warn("what clients have to be told of sign-outs could not be read; it waits", "error", err)
	}
	return claimed
}

// tellLogout tells one client of one session's end, and writes down what became of it.
func (s *Server) tellLogout(ctx context.Context, v keystile.OAuthVisit) {
	bounded, cancel := context.WithTimeout(ctx, tellTimeout)
	err := s.sendLogout(bounded, v)
	cancel()
	if ctx.Err() != nil { // this server ends: it is told again, by another
		return
	}
	var due time.Time
	if err != nil {
		s.o.Logger.Info("a client was not told of a sign-out", "client", v.ClientID, "try", v.Tries, "last", v.Tries >= logoutTries, "cause", err)
		if v.Tries < logoutTries {
			wait := logoutWait
			for range v.Tries - 1 {
				wait *= 4
			}
			due = s.now().Add(wait)
		}
	}
	if err := s.o.Store.EndOAuthVisit(ctx, v, due); err != nil {
		s.o.Logger.Warn("it could not be written that a client was told of a sign-out; it is told again", "client", v.ClientID, "error", err)
	}
}

// sendLogout posts a logout token (section 2.5). A client that is gone, or does not want
// to know any more, is told nothing.
func (s *Server) sendLogout(ctx context.Context, v keystile.OAuthVisit) error {
	c, err := s.o.Store.OAuthClient(ctx, v.ClientID)
	if errors.Is(err, keystile.ErrNotFound) || err == nil && (!c.RevokedAt.IsZero() || c.Backchannel.URI == "") {
		return nil
	}
	if err != nil {
		return err
	}
	token, err := s.logoutToken(ctx, &c, v)
	if err != nil {
		return err
	}
	status, err := s.o.Tell(ctx, c.Backchannel.URI, url.Values{"logout_token": {token.Reveal()}})
	if err != nil {
		return fmt.Errorf("tell of a sign-out: %w", err)
	}
	if status < 200 || status > 299 { // 200, and 204 from some (section 2.8)
		return errors.New("the answer is " + strconv.Itoa(status))
	}
	return nil
}

func (s *Server) logoutToken(ctx context.Context, c *keystile.OAuthClient, v keystile.OAuthVisit) (keystile.Secret, error) {
	id, err := s.newID("lot_")
	if err != nil {
		return "", err
	}
	now := s.now()
	return s.sign(ctx, c.IDTokenAlgorithm, typeLogoutToken, logoutClaims{
		Issuer: s.o.Issuer, Subject: s.subject(*c, v.UserID), Audience: c.ID, IssuedAt: now.Unix(), Expires: now.Add(logoutTokenLife).Unix(),
		ID: id, Events: map[string]struct{}{logoutEvent: {}}, SessionID: v.SID,
	})
}

// wantsLogout says whether a client is to be told when a session ends.
func wantsLogout(c *keystile.OAuthClient) bool {
	return c.Backchannel.URI != "" || c.Frontchannel.URI != ""
}

// sessionLives refuses the code of a session that ended since, to a client that was told
// of its end before it could know the session: it would sign in somebody who signed out.
func (s *Server) sessionLives(ctx context.Context, c *client, sessionID string) error {
	if !wantsLogout(&c.Client) {
		return nil
	}
	session, err := s.o.Store.Session(ctx, sessionID)
	if errors.Is(err, keystile.ErrNotFound) || err == nil && !session.RevokedAt.IsZero() {
		return badGrant("session " + sessionID + " ended before its code was redeemed")
	}
	return err
}

// LogoutFrames are the pages of clients that the browser loads when a session signs out,
// so that they sign out, too (OpenID Connect Front-Channel Logout, section 3). They have
// to be asked for before the session ends.
func (s *Server) LogoutFrames(ctx context.Context, sessionID string) ([]LogoutFrame, error) {
	visits, err := s.o.Store.OAuthVisits(ctx, sessionID)
	if err != nil {
		return nil, err
	}
	var frames []LogoutFrame
	for _, v := range visits {
		c, err := s.o.Store.OAuthClient(ctx, v.ClientID)
		if errors.Is(err, keystile.ErrNotFound) || err == nil && (!c.RevokedAt.IsZero() || c.Frontchannel.URI == "") {
			continue
		}
		if err != nil {
			return nil, err
		}
		frames = append(frames, LogoutFrame{
			URL: withParameters(c.Frontchannel.URI, url.Values{"iss": {s.o.Issuer}, "sid": {v.SID}}), Origin: originOf(c.Frontchannel.URI),
		})
	}
	return frames, nil
}

// LogoutFrame is a client's page, and its origin, as frame-src takes it.
type LogoutFrame struct{ URL, Origin string }
