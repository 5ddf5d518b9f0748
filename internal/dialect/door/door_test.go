package door

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
)

func TestEveryErrorOfTheLoginServiceHasItsVerdictAndAllElseFails(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Verdict
		wait time.Duration
	}{
		{login.ErrInvalidCredentials, BadCredentials, 0},
		{login.ErrInactive, Inactive, 0},
		{login.ErrInvalidCode, BadCode, 0},
		{login.ErrChallengeExpired, ChallengeGone, 0},
		{&login.Throttled{RetryAfter: time.Minute}, Throttled, time.Minute},
		{&login.Busy{RetryAfter: time.Second}, Busy, time.Second},
		{&login.ChangeRequired{}, ChangePassword, 0},
		{login.ErrSessionEnded, SessionGone, 0},
		{login.ErrStepUp, Failed, 0},
		{keystile.ErrNotFound, SessionGone, 0},
		{keystile.Reject(keystile.ReasonCredentialRevoked, ""), SessionGone, 0},
		{keystile.ErrUnavailable, Failed, 0},
		{errors.Join(keystile.ErrNotFound, keystile.ErrUnavailable), Failed, 0},
		{context.DeadlineExceeded, Failed, 0},
		{errors.New("anything"), Failed, 0},
	} {
		got, wait := Judge(fmt.Errorf("sign in: %w", c.err))
		if got != c.want || wait != c.wait {
			t.Errorf("%v: %v %v", c.err, got, wait)
		}
	}
}

func TestRetryAfterIsWholeSecondsAndNeverTooSoon(t *testing.T) {
	for wait, want := range map[time.Duration]string{0: "1", -time.Second: "1", time.Millisecond: "1", time.Second: "1", 1001 * time.Millisecond: "2", time.Hour: "3600"} {
		if got := RetryAfter(wait); got != want {
			t.Errorf("%v: %s", wait, got)
		}
	}
}

func TestAnAddressIsCountedWithItsNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
	} {
		if got := Network(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

func TestThreat33_AUserAgentIsKeptAsShortPlainText(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	r.Header.Set("User-Agent", "curl/8\x1b[31m\u202e"+strings.Repeat("a", 500))
	if got := UserAgent(r); len(got) > maxUserAgent || !strings.HasPrefix(got, "curl/8[31ma") {
		t.Errorf("%q", got)
	}
}

// liar is a kind that names a principal of another kind.
type liar struct{ principal *keystile.Principal }

func (liar) Name() keystile.KindName { return keystile.KindSessionJWT }

func (liar) Parse(*keystile.Request, keystile.Found) (keystile.Presented, error) {
	return keystile.Presented{}, nil
}

func (l liar) Verify(context.Context, keystile.Presented) (*keystile.Principal, error) {
	return l.principal, nil
}

func TestThreat02_ACredentialOfAnotherKindIsNotProven(t *testing.T) {
	for name, principal := range map[string]*keystile.Principal{
		"nobody":           nil,
		"an API key":       {Kind: keystile.KindAPIKey},
		"from elsewhere":   {Kind: keystile.KindSessionJWT, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		"without any kind": {},
	} {
		_, err := Prove(t.Context(), liar{principal}, keystile.Found{}, netip.MustParseAddr("192.0.2.1"), "")
		if _, told := ReasonOf(err); !told {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestThreat18_OnlyOneReadableCredentialIsPresented(t *testing.T) {
	for name, header := range map[string]keystile.Header{
		"none":     {},
		"two":      {"Authorization": {"a", "b"}},
		"and more": {"Authorization": {"a"}, "X-Api-Key": {"b"}},
		"empty":    {"Authorization": {"Bearer "}},
		"AWS":      {"Authorization": {"AWS4-HMAC-SHA256 Credential=a"}},
		"Basic":    {"Authorization": {"Basic YTpi"}},
		"control":  {"Authorization": {"a\x00"}},
	} {
		if found, err := Present(header); err == nil {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func TestThreat37_ABodyThatComesTooSlowlyIsNotAwaited(t *testing.T) {
	for name, w := range map[string]http.ResponseWriter{"real": nil, "without deadlines": httptest.NewRecorder()} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader("{}"))
		var set []time.Time
		if w == nil {
			w = deadlines{httptest.NewRecorder(), &set}
		}
		if body, err := ReadBody(w, r); string(body) != "{}" || err != nil {
			t.Errorf("%s: %q %v", name, body, err)
		}
		if name == "real" && (len(set) != 2 || set[0].IsZero() || !set[1].IsZero()) {
			t.Errorf("deadlines: %v", set)
		}
	}
}

// deadlines notes the read deadlines that are set.
type deadlines struct {
	http.ResponseWriter
	set *[]time.Time
}

func (d deadlines) SetReadDeadline(at time.Time) error {
	*d.set = append(*d.set, at)
	return nil
}
