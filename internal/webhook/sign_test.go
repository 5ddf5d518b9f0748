package webhook_test

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/webhook"
)

// The first is the known answer of the specification's own libraries, the others
// were signed by its Go library.
func TestASignatureIsTheOneOfStandardWebhooks(t *testing.T) {
	for _, c := range []struct {
		secret, id string
		at         int64
		body, want string
	}{
		{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, `{"test": 2432232314}`, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		{"whsec_AAsWISw3Qk1YY255hI+apbC7xtHc5/L9", "msg_0", 1764288000, "", "v1,AkxH+81ODx88i0/3em6pBm5c+oE++xfkoh/rIrfLnzY="},
		{"whsec_JTA7RlFcZ3J9iJOeqbS/ytXg6/YBDBciLThDTllkb3o=", "msg_1", 1764288001, `{"type":"app_status_changed","data":{}}`, "v1,IGg0eX3QyhZO0qOmB3xgRxWAld0sLzAG5kdrWglyYN4="},
		{
			"whsec_SlVga3aBjJeirbjDztnk7/oFEBsmMTxHUl1oc36JlJ+qtcDL1uHs9wINGCMuOURPWmVwe4aRnKeyvcjT3un0/w==", "msg_2", 1764288002,
			"ü\n.1614265330.", "v1,51HXcLPubJ1yEtEo1yYY7QF8eRksGWn/Lj9wyJEHPIw=",
		},
	} {
		got, err := webhook.Sign(c.id, time.Unix(c.at, 999), []byte(c.body), keystile.Secret(c.secret))
		if err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.id, got, err, c.want)
		}
	}
}

func TestEachSecretSigns(t *testing.T) {
	first, err := webhook.NewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	second, err := webhook.NewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	both, err := webhook.Sign("msg_1", time.Unix(1, 0), []byte("{}"), first, second)
	if err != nil {
		t.Fatal(err)
	}
	one, err := webhook.Sign("msg_1", time.Unix(1, 0), []byte("{}"), second)
	if err != nil {
		t.Fatal(err)
	}
	if list := strings.Split(both, " "); len(list) != 2 || list[1] != one || list[0] == list[1] || webhook.CheckSecret(first) != nil {
		t.Errorf("the signatures are %q", list)
	}
}

func TestThreat04_WithoutAGoodSecretNothingIsSigned(t *testing.T) {
	for _, secret := range []string{
		"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_short", "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 23)),
		"whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65)), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
	} {
		if webhook.CheckSecret(keystile.Secret(secret)) == nil {
			t.Errorf("%q is a secret", secret)
		}
		if got, err := webhook.Sign("msg_1", time.Unix(1, 0), nil, keystile.Secret(secret)); err == nil {
			t.Errorf("%q signed %s", secret, got)
		}
	}
	if got, err := webhook.Sign("msg_1", time.Unix(1, 0), nil); err == nil {
		t.Errorf("nothing signed %s", got)
	}
}

func TestThreat21_AnIDWithAFullStopIsNotSigned(t *testing.T) {
	for _, id := range []string{"", "msg.1", "."} {
		if _, err := webhook.Sign(id, time.Unix(1, 0), nil, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"); err == nil {
			t.Errorf("%q was signed", id)
		}
	}
}

func TestAHeaderThatSaysHowAMessageIsCarriedIsNotForWebhooks(t *testing.T) {
	for name, good := range map[string]bool{
		"Authorization": true, "X-Api-Key": true, "x_auth": true, "Cookie": true,
		"": false, "Host": false, "host": false, "Content-Length": false, "transfer-encoding": false, "Webhook-Signature": false, "proxy-authorization": false,
		"X Auth": false, "X:Auth": false, "X-Äuth": false, "X-Auth\r\nHost": false, strings.Repeat("x", 101): false,
	} {
		if err := webhook.CheckHeaderName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
	for value, good := range map[string]bool{
		"Basic dXNlcjpwYXNz": true, "Bearer a b": true, "": false, " a": false, "a\r\nb": false, "ä": false, strings.Repeat("x", 4097): false, "\x00": false,
	} {
		if err := webhook.CheckHeaderValue(value); (err == nil) != good {
			t.Errorf("%.20q: %v", value, err)
		}
	}
}
