package console

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
)

// minKey is the least size of the key, in bytes.
const minKey = 32

// seals makes and checks the MACs of cookies and form tokens.
type seals struct{ key []byte }

// mac is HMAC-SHA-256 over a purpose and a text; purposes hold no NUL, so no two
// pairs are the same bytes.
func (s seals) mac(purpose, text string) string {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(purpose + "\x00" + text)) // a hash never fails
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// session is the cookie's value for a session id: "ID.MAC".
func (s seals) session(sid string) string { return sid + "." + s.mac("session", sid) }

// maxCookie bounds a session cookie's value: longer ones are not ours.
const maxCookie = 256

// openSession is the session id of a cookie's value; false: it is not ours.
func (s seals) openSession(value string) (sid string, ok bool) {
	if len(value) > maxCookie {
		return "", false
	}
	sid, mac, ok := strings.Cut(value, ".")
	if !ok || !hmac.Equal([]byte(mac), []byte(s.mac("session", sid))) {
		return "", false
	}
	return sid, true
}

// formToken is what the forms of a session carry.
func (s seals) formToken(sid string) string { return s.mac("form", sid) }

// is compares a MAC in constant time.
func (s seals) is(mac, purpose, text string) bool {
	return hmac.Equal([]byte(mac), []byte(s.mac(purpose, text)))
}

// isFormToken compares in constant time.
func (s seals) isFormToken(token, sid string) bool {
	return hmac.Equal([]byte(token), []byte(s.formToken(sid)))
}

// The cookies, without the prefix. The gateway strips them from what it forwards.
const (
	cookieSession   = "keystile"
	cookieChallenge = "keystile_challenge" // a sign-in, reset or enrolment under way
	cookieNotice    = "keystile_notice"    // what to say on the next page: a name of noticeTexts
)

// cookies reads and writes cookies in one way.
type cookies struct{ secure bool }

// name is a cookie's full name. The prefix makes browsers refuse it from a
// sibling host or over plain http (RFC 6265bis, section 4.1.3.2): nobody
// but this origin can plant one.
func (k cookies) name(short string) string {
	if k.secure {
		return "__Host-" + short
	}
	return short
}

// read is a cookie's value; empty: none, or several of the name, of which no one can say which is ours.
func (k cookies) read(r *http.Request, short string) string {
	found := r.CookiesNamed(k.name(short))
	if len(found) != 1 {
		return ""
	}
	return found[0].Value
}

// set makes a cookie that ends after life, or with the browser if that is 0.
// Lax, because a sign-in page is often reached from another site.
func (k cookies) set(short, value string, life time.Duration) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // G124: Secure is left out for plain http on this machine alone
		Name: k.name(short), Value: value, Path: "/", MaxAge: int(life / time.Second),
		Secure: k.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// drop makes the cookie that ends one.
func (k cookies) drop(short string) *http.Cookie {
	c := k.set(short, "", 0) //nolint:gosec // G124: as set says
	c.MaxAge = -1
	return c
}

// challengeLife is how long a browser keeps a challenge's token; the challenge itself ends by its own clock.
const challengeLife = 30 * time.Minute

func (k cookies) challenge(token keystile.Secret) *http.Cookie {
	return k.set(cookieChallenge, token.Reveal(), challengeLife)
}
