package federation

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/outbound"
)

// SignInOptions configure SignIns. All are required.
type SignInOptions struct {
	Verifier *Verifier
	// Ask is an outbound client's Do: it refuses addresses that are not public.
	Ask func(ctx context.Context, r outbound.Request, limit int64) (outbound.Answer, error)
	// Callback is the URL of ours that a provider sends browsers back to. Each provider
	// has its own, so that an answer of one is never taken for another's (RFC 9700, section 4.4.2).
	Callback func(provider string) string
	Random   io.Reader
}

// SignIns signs people in at identity providers, by the authorization code flow of
// OpenID Connect (Core, section 3.1) with PKCE (RFC 7636). It is safe for concurrent use.
type SignIns struct{ o SignInOptions }

// NewSignIns makes SignIns.
func NewSignIns(o SignInOptions) (*SignIns, error) {
	if o.Verifier == nil || o.Ask == nil || o.Callback == nil || o.Random == nil {
		return nil, errors.New("sign-in at providers: Verifier, Ask, Callback and Random are required")
	}
	return &SignIns{o}, nil
}

// Pending is a sign-in that was begun: what its answer must fit. It is for the browser
// that began it and for nobody else, and secret.
type Pending struct {
	Provider string `json:"p"`
	State    string `json:"s"`
	Nonce    string `json:"n"`
	// Verifier is the code verifier (RFC 7636, section 4.1).
	Verifier string `json:"v"`
	// Since is the second in which proof was asked for anew; 0: an earlier sign-in at the provider will do.
	Since int64 `json:"t,omitempty"`
}

const (
	// clientSkew is how far the provider's clock may be behind ours when it says when proof was given.
	clientSkew = time.Minute
	maxCode    = 4 << 10
	maxAnswer  = 64 << 10 // of the token endpoint
)

// Begin makes the URL of the provider that a browser is sent to. anew asks the
// provider for proof even if it knows the browser. A provider that is unknown,
// disabled or none to sign in at is [ErrInvalidToken].
func (s *SignIns) Begin(ctx context.Context, provider string, anew bool) (address string, pending Pending, err error) {
	p, found, err := s.provider(ctx, provider)
	if err != nil {
		return "", Pending{}, err
	}
	pending.Provider = p.Name
	for _, into := range []*string{&pending.State, &pending.Nonce, &pending.Verifier} {
		if *into, err = s.draw(); err != nil {
			return "", Pending{}, err
		}
	}
	scopes := p.SignIn.Scopes
	if len(scopes) == 0 {
		scopes = keystile.DefaultSignInScopes
	}
	challenge := sha256.Sum256([]byte(pending.Verifier))
	u, err := url.Parse(found.AuthorizationEndpoint)
	if err != nil {
		return "", Pending{}, fmt.Errorf("the authorization endpoint of provider %s: %w", p.Name, err)
	}
	q := u.Query()
	for name, value := range map[string]string{
		"response_type": "code", "client_id": p.SignIn.ClientID, "redirect_uri": s.o.Callback(p.Name), "scope": strings.Join(scopes, " "),
		"state": pending.State, "nonce": pending.Nonce,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	} {
		q.Set(name, value)
	}
	if found.TakesClaims {
		if err := askClaims(&p, q); err != nil {
			return "", Pending{}, err
		}
	}
	if anew {
		pending.Since = s.o.Verifier.o.Now().Unix()
		q.Set("prompt", "login")
		q.Set("max_age", "0") // which makes auth_time required (Core, section 3.1.2.1)
	}
	u.RawQuery = q.Encode()
	return u.String(), pending, nil
}

// members are those of a user that claims are read for.
var members = []string{"username", "email", "name", "role_id", "customer_ids", "group_id", "skin_id"}

// askClaims asks for what is read of an ID token to stand in it: a provider may tell what
// scopes ask for at its userinfo endpoint alone (Core, sections 5.4 and 5.5), which is not
// asked here.
func askClaims(p *keystile.IdentityProvider, q url.Values) error {
	wished := map[string]any{"email_verified": nil}
	for _, member := range members {
		if claim := claimOf(p, member); claim != "" {
			wished[claim] = nil
		}
	}
	text, err := json.Marshal(map[string]any{"id_token": wished})
	if err != nil {
		return fmt.Errorf("ask provider %s for claims: %w", p.Name, err)
	}
	q.Set("claims", string(text))
	return nil
}

// draw is 256 bits as base64url.
func (s *SignIns) draw() (string, error) {
	var bits [32]byte
	if _, err := io.ReadFull(s.o.Random, bits[:]); err != nil {
		return "", fmt.Errorf("draw a state: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(bits[:]), nil
}

// provider reads a provider that people sign in at, and what its issuer says of itself.
func (s *SignIns) provider(ctx context.Context, name string) (p keystile.IdentityProvider, found *configuration, err error) {
	if p, err = s.o.Verifier.enabled(ctx, name); err != nil {
		return p, nil, err
	}
	if p.SignIn == nil {
		return p, nil, refuse("provider " + p.Name + " is none to sign in at")
	}
	found, err = s.o.Verifier.configuration(ctx, &p)
	return p, found, err
}

// Finish says whom a provider's answer stands for: the parameters of the callback
// of that provider, and what Begin made for the same browser. A "no" is
// [ErrInvalidToken]; that the person or the provider declined is a *[Declined], too;
// any other error means that it cannot be told.
func (s *SignIns) Finish(ctx context.Context, provider string, pending Pending, callback url.Values) (Identity, error) {
	p, found, err := s.provider(ctx, provider)
	if err != nil {
		return Identity{}, err
	}
	code, err := answered(&p, found, pending, callback)
	if err != nil {
		return Identity{}, err
	}
	token, err := s.exchange(ctx, &p, found, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {s.o.Callback(p.Name)}, "code_verifier": {pending.Verifier},
	})
	if err != nil {
		return Identity{}, err
	}
	return s.o.Verifier.idToken(ctx, &p, pending, token)
}

// Declined is an answer without a code: the person changed their mind, or the
// provider did not let them in. It is an [ErrInvalidToken].
type Declined struct {
	// Cancelled says that the person did not allow it (access_denied).
	Cancelled bool
	// Code is the provider's error code, if it is one of the standard's; "other" otherwise.
	Code string
}

// Error implements error.
func (d *Declined) Error() string { return "the provider declined: " + d.Code }

// Is makes it an ErrInvalidToken.
func (d *Declined) Is(target error) bool { return target == error(ErrInvalidToken) }

// Unwrap makes it a "no".
func (d *Declined) Unwrap() error { return keystile.ErrRejected }

// declines are the error codes of RFC 6749, section 4.1.2.1, and OpenID Connect Core, section 3.1.2.6.
var declines = []string{
	"access_denied", "invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope", "server_error", "temporarily_unavailable",
	"interaction_required", "login_required", "account_selection_required", "consent_required",
}

// answered is the code of an answer that fits what was asked, by the same browser,
// of the same provider.
func answered(p *keystile.IdentityProvider, found *configuration, pending Pending, callback url.Values) (code string, err error) {
	for _, name := range []string{"state", "code", "iss", "error"} {
		if len(callback[name]) > 1 {
			return "", refuse(name + " is in the answer more than once")
		}
	}
	// Nothing else of the answer is looked at before: what did not come with our state was not asked for.
	if pending.State == "" || subtle.ConstantTimeCompare([]byte(callback.Get("state")), []byte(pending.State)) != 1 {
		return "", refuse("the answer has another state than this browser was sent with")
	}
	if pending.Provider != p.Name {
		return "", refuse("the answer came to another provider's address")
	}
	// RFC 9207, section 2.4: compared as text, and missed where it was promised.
	if (callback.Has("iss") || found.NamesIssuer) && callback.Get("iss") != p.Issuer {
		return "", refuse("the answer is of another issuer, or does not say of which")
	}
	if failure := callback.Get("error"); failure != "" {
		return "", declined(failure)
	}
	return codeOf(callback)
}

func codeOf(callback url.Values) (string, error) {
	code := callback.Get("code")
	if code == "" || len(code) > maxCode {
		return "", refuse("the answer has no code, or one that is too long")
	}
	return code, nil
}

// declined is an answer with an error code; one that no standard names is not repeated.
func declined(code string) error {
	if !slices.Contains(declines, code) {
		code = "other"
	}
	return &Declined{Code: code, Cancelled: code == "access_denied"}
}

// exchange exchanges a code for an ID token (Core, section 3.1.3). The access token that
// comes with it is not kept: we ask the provider nothing else.
func (s *SignIns) exchange(ctx context.Context, p *keystile.IdentityProvider, found *configuration, form url.Values) (keystile.Secret, error) {
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if err := s.authenticate(p, found, form, header); err != nil {
		return "", err
	}
	answer, err := s.o.Ask(ctx, outbound.Request{Method: http.MethodPost, URL: found.TokenEndpoint, Header: header, Body: []byte(form.Encode())}, maxAnswer)
	switch {
	case err != nil:
		return "", fmt.Errorf("the token endpoint of provider %s: %w: %w", p.Name, keystile.ErrUnavailable, err)
	case answer.Status >= 400 && answer.Status < 500 && answer.Status != http.StatusTooManyRequests:
		return "", refuse(fmt.Sprintf("the token endpoint of provider %s took neither code nor client: %d", p.Name, answer.Status))
	case answer.Status != http.StatusOK:
		return "", fmt.Errorf("the token endpoint of provider %s answers %d: %w", p.Name, answer.Status, keystile.ErrUnavailable)
	}
	var tokens struct {
		IDToken string `json:"id_token"`
	}
	if err := json.Unmarshal(answer.Body, &tokens); err != nil || tokens.IDToken == "" {
		return "", refuse("the token endpoint of provider " + p.Name + " answered without an ID token")
	}
	return keystile.Secret(tokens.IDToken), nil
}

// authenticate proves at a token endpoint who we are (RFC 6749, section 2.3.1).
func (s *SignIns) authenticate(p *keystile.IdentityProvider, found *configuration, form url.Values, header http.Header) error {
	id := p.SignIn.ClientID
	if len(p.SignIn.SealedSecret) == 0 {
		form.Set("client_id", id)
		return nil
	}
	secret, err := s.o.Verifier.o.Open(p.SignIn.SealedSecret, keystile.ProviderClientSecretPlace(p.Name))
	if err != nil {
		return fmt.Errorf("open the client secret of provider %s: %w: %w", p.Name, keystile.ErrUnavailable, err)
	}
	if found.basic() {
		pair := url.QueryEscape(id) + ":" + url.QueryEscape(string(secret))
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
		return nil
	}
	form.Set("client_id", id)
	form.Set("client_secret", string(secret))
	return nil
}

// idTypes are the "typ" of ID tokens: an access token for us is none.
var idTypes = []string{"", "jwt", "application/jwt"}

// idToken is whom an ID token stands for that a provider gave us for a code (Core, section 3.1.3.7).
func (v *Verifier) idToken(ctx context.Context, p *keystile.IdentityProvider, pending Pending, token keystile.Secret) (Identity, error) {
	payload, err := v.signed(ctx, p, idTypes, token)
	if err != nil {
		return Identity{}, err
	}
	c, err := readClaims(payload)
	if err != nil {
		return Identity{}, err
	}
	id, err := c.identify(p, p.SignIn.ClientID, v.o.Now())
	if err != nil {
		return Identity{}, err
	}
	if err := c.checkAsked(p.SignIn.ClientID, pending.Nonce); err != nil {
		return Identity{}, err
	}
	if id.AuthenticatedAt, err = c.provenAt(pending, v.o.Now()); err != nil {
		return Identity{}, err
	}
	means, err := c.list("amr", maxCustomers)
	if err != nil {
		return Identity{}, err
	}
	id.SecondFactor = slices.ContainsFunc(means, func(m string) bool { return slices.Contains(p.SignIn.TrustedAMR, m) })
	return id, nil
}

// checkAsked says whether an ID token was issued because this client asked, for this
// sign-in: where it names the party that asked, that is us (checks 4 and 5), and it has our nonce (11).
func (c claims) checkAsked(client, nonce string) error {
	if party, err := c.text("azp", false); err != nil || party != "" && party != client {
		return refuse("it was issued to another party")
	}
	got, err := c.text("nonce", true)
	if err != nil {
		return err
	}
	if nonce == "" || subtle.ConstantTimeCompare([]byte(got), []byte(nonce)) != 1 {
		return refuse("it was issued for another sign-in")
	}
	return nil
}

// provenAt is "auth_time", which is required and recent where proof was asked for anew.
func (c claims) provenAt(pending Pending, now time.Time) (time.Time, error) {
	at, there, err := c.time("auth_time")
	switch {
	case err != nil:
		return time.Time{}, err
	case there && at.After(now.Add(clockSkew)):
		return time.Time{}, refuse("auth_time is in the future")
	case pending.Since == 0:
		return at, nil
	case !there:
		return time.Time{}, refuse("the provider does not say that it asked for proof anew (auth_time)")
	case at.Before(time.Unix(pending.Since, 0).Add(-clientSkew)):
		return time.Time{}, refuse("the provider did not ask for proof anew")
	}
	return at, nil
}
