package passkey_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/descope/virtualwebauthn"

	"keystile.dev/keystile/internal/login/passkey"
)

const origin = "https://auth.example.com"

var site = virtualwebauthn.RelyingParty{ID: "auth.example.com", Name: "Keystile", Origin: origin}

func party(t *testing.T) *passkey.RelyingParty {
	t.Helper()
	r, err := passkey.New(origin, "Keystile")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// device is an authenticator with one key.
type device struct {
	virtualwebauthn.Authenticator
	key virtualwebauthn.Credential
}

func newDevice() *device {
	return &device{Authenticator: virtualwebauthn.NewAuthenticator(), key: virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)}
}

func (d *device) register(t *testing.T, options []byte, at virtualwebauthn.RelyingParty) []byte {
	t.Helper()
	parsed, err := virtualwebauthn.ParseAttestationOptions(string(options))
	if err != nil {
		t.Fatal(err)
	}
	d.Options.UserHandle = []byte(parsed.UserID)
	d.AddCredential(d.key)
	return []byte(virtualwebauthn.CreateAttestationResponse(at, d.Authenticator, d.key, *parsed))
}

func (d *device) use(t *testing.T, options []byte, at virtualwebauthn.RelyingParty) []byte {
	t.Helper()
	parsed, err := virtualwebauthn.ParseAssertionOptions(string(options))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(virtualwebauthn.CreateAssertionResponse(at, d.Authenticator, d.key, *parsed))
}

// enrolled registers a device for a user.
func enrolled(t *testing.T, r *passkey.RelyingParty, id string, d *device) passkey.User {
	t.Helper()
	u := passkey.User{ID: id, Name: id, DisplayName: id}
	options, state, err := r.BeginRegistration(u)
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.FinishRegistration(u, state, d.register(t, options, site))
	if err != nil {
		t.Fatal(err)
	}
	u.Records = append(u.Records, c.Record)
	return u
}

func TestAPasskeyIsRegisteredAndUsedAsSecondFactorAndAsSignIn(t *testing.T) {
	r, d := party(t), newDevice()
	u := enrolled(t, r, "user_1", d)
	for _, asked := range []*passkey.User{&u, nil} {
		options, state, err := r.BeginUse(asked)
		if err != nil {
			t.Fatal(err)
		}
		d.key.Counter++
		response := d.use(t, options, site)
		if id := passkey.Named(response); string(id) != string(d.key.ID) {
			t.Errorf("names %x", id)
		}
		c, err := r.FinishUse(u, state, response)
		if err != nil {
			t.Fatal(err)
		}
		if c.Counter != int64(d.key.Counter) {
			t.Errorf("counter %d", c.Counter)
		}
		u.Records[0] = c.Record
	}
}

func TestAResponseThatProvesLessThanWasAskedIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, d *device, options []byte) []byte{
		"the user was not verified": func(t *testing.T, d *device, options []byte) []byte {
			d.Options.UserNotVerified = true
			return d.use(t, options, site)
		},
		"the user was not there": func(t *testing.T, d *device, options []byte) []byte {
			d.Options.UserNotPresent = true
			return d.use(t, options, site)
		},
		"made on another site": func(t *testing.T, d *device, options []byte) []byte {
			return d.use(t, options, virtualwebauthn.RelyingParty{ID: "auth.example.com", Origin: "https://auth.example.com.evil.example"})
		},
		"made for another site": func(t *testing.T, d *device, options []byte) []byte {
			return d.use(t, options, virtualwebauthn.RelyingParty{ID: "evil.example", Origin: origin})
		},
		"signed by another key": func(t *testing.T, d *device, options []byte) []byte {
			other := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
			other.ID = d.key.ID
			d.key = other
			return d.use(t, options, site)
		},
		"an answer to another challenge": func(t *testing.T, d *device, _ []byte) []byte {
			options, _, err := party(t).BeginUse(nil)
			if err != nil {
				t.Fatal(err)
			}
			return d.use(t, options, site)
		},
		"a counter that did not grow": func(t *testing.T, d *device, options []byte) []byte {
			d.key.Counter = 5
			return d.use(t, options, site)
		},
		"nothing":    func(*testing.T, *device, []byte) []byte { return nil },
		"no JSON":    func(*testing.T, *device, []byte) []byte { return []byte("{") },
		"a megabyte": func(*testing.T, *device, []byte) []byte { return []byte(`{"id":"` + strings.Repeat("A", 1<<20) + `"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			r, d := party(t), newDevice()
			d.key.Counter = 5
			u := enrolled(t, r, "user_1", d)
			d.key.Counter = 6
			options, state, err := r.BeginUse(&u)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.FinishUse(u, state, spoil(t, d, options)); !errors.Is(err, passkey.ErrWrong) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAPasskeyOfAnotherUserIsRefused(t *testing.T) {
	r, mine, theirs := party(t), newDevice(), newDevice()
	u := enrolled(t, r, "user_1", mine)
	enrolled(t, r, "user_2", theirs)
	for _, asked := range []*passkey.User{&u, nil} {
		options, state, err := r.BeginUse(asked)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.FinishUse(u, state, theirs.use(t, options, site)); !errors.Is(err, passkey.ErrWrong) {
			t.Errorf("got %v", err)
		}
	}
}

func TestPasskeysNeedAHostNameAndHTTPSOrLocalhost(t *testing.T) {
	for at, want := range map[string]bool{
		"https://auth.example.com": true, "http://localhost:8080": true, "https://localhost": true,
		"http://auth.example.com": false, "https://127.0.0.1": false, "http://127.0.0.1:8080": false, "": false, "https://[::1]": false,
	} {
		if _, err := passkey.New(at, "Keystile"); (err == nil) != want {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func FuzzAResponseIsRefusedOrReadAndNothingElse(f *testing.F) {
	r, err := passkey.New(origin, "Keystile")
	if err != nil {
		f.Fatal(err)
	}
	_, state, err := r.BeginUse(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"authenticatorData":"","clientDataJSON":"","signature":"","userHandle":""}}`))
	f.Fuzz(func(t *testing.T, response []byte) {
		passkey.Named(response)
		if _, err := r.FinishUse(passkey.User{ID: "u"}, state, response); err == nil {
			t.Error("taken")
		}
		if _, err := r.FinishRegistration(passkey.User{ID: "u"}, state, response); err == nil {
			t.Error("registered")
		}
	})
}
