package oidc

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/oauthtoken"
	"keystile.dev/keystile/internal/gather"
	"keystile.dev/keystile/internal/jws"
	"keystile.dev/keystile/internal/store"
)

// Paths of the endpoints. Authorization is served by the pages, which call Begin.
const (
	PathAuthorize     = "/oauth/authorize"
	PathConsent       = "/oauth/consent"
	PathDevice        = "/oauth/device"
	PathLogout        = "/oauth/logout"
	PathToken         = "/oauth/token"
	PathPush          = "/oauth/par"
	PathRegister      = "/oauth/register"
	PathDeviceCode    = "/oauth/device_authorization"
	PathRevoke        = "/oauth/revoke"
	PathIntrospect    = "/oauth/introspect"
	PathUserinfo      = "/oauth/userinfo"
	PathConfiguration = "/.well-known/openid-configuration"
	PathMetadata      = "/.well-known/oauth-authorization-server"
	PathKeys          = "/.well-known/jwks.json"
)

// Paths are what ServeHTTP serves.
var Paths = []string{PathToken, PathPush, PathDeviceCode, PathRegister, PathRegister + "/", PathRevoke, PathIntrospect, PathUserinfo, PathConfiguration, PathMetadata}

// Digester makes the keyed digests that codes, tokens and secrets are stored as. It is
// safe for concurrent use.
type Digester interface {
	Digest(sum [32]byte) (digest [32]byte, pepperID string)
	// Candidates appends the digests under every live pepper, current first.
	Candidates(sum [32]byte, buf [][32]byte) [][32]byte
}

// Sealer seals values for one place each. It is safe for concurrent use.
type Sealer interface {
	Seal(plain []byte, place string) ([]byte, error)
	Open(sealed []byte, place string) ([]byte, error)
}

// Keys sign what the server issues and know it again. They are safe for concurrent
// use; any error means "cannot tell".
type Keys interface {
	// SignAs signs claims with the key of an algorithm, in a token of a type.
	SignAs(ctx context.Context, algorithm keystile.SigningAlgorithm, typ string, claims []byte) (keystile.Secret, error)
	// Verify says whether the key that the token names, one of ours, signed it.
	Verify(ctx context.Context, t *jws.Token) (bool, error)
}

// Claim spends what may be used once: nil once, keystile.ErrReplayed ever after. Any
// other error means "cannot tell". scope is whose value it is; stamp is when it says
// it was made, and lastValid the last instant at which it could be good.
type Claim func(ctx context.Context, scope, value string, stamp, lastValid time.Time) error

// Options are what the server stands on. All but Documents, Foreign, Offered, Assertions and MTLS are required.
type Options struct {
	Store    *store.Store
	Digester Digester
	Sealer   Sealer
	Keys     Keys
	Tokens   *oauthtoken.Kind
	Claim    Claim
	// Issuer is public_url: "iss", and the origin of every endpoint.
	Issuer string
	// Algorithm signs access tokens; ID tokens are signed as the client wants them.
	Algorithm keystile.SigningAlgorithm
	// CheckClient completes a client, or says everything that is wrong with it.
	CheckClient func(keystile.OAuthClient) (keystile.OAuthClient, error)
	// Documents are those of clients that call themselves by a URL; nil: they are not taken.
	Documents Documents
	// Foreign exchanges tokens of identity providers; nil: they are not taken.
	Foreign Foreign
	// Offered are the scopes that protected routes ask for: a client that nobody vouches for
	// and that names none is registered for them; nil: for those that tell of a person alone.
	Offered func() []keystile.Scope
	// Tell posts logout tokens to clients.
	Tell Tell
	// Assertions reads those of identity providers; nil: they are not taken.
	Assertions Assertions
	// MTLS is the listener for clients with certificates; nil: there is none.
	MTLS *MutualTLS
	// PairwiseKey makes subjects that only one client knows: 32 random bytes that live as
	// long as the store.
	PairwiseKey []byte
	// ClientAddr is the caller's address behind trusted proxies.
	ClientAddr func(*http.Request) (netip.Addr, error)
	RequestID  func(*http.Request) string
	// Fresh says whether changes are still heard of: while not, no client is remembered.
	Fresh  func(time.Time) bool
	Random io.Reader
	Now    func() time.Time
	Logger *slog.Logger
}

// Server is the authorization server. It is safe for concurrent use.
type Server struct {
	o        Options
	metadata []byte
	handlers map[string]http.HandlerFunc
	known    *known
	// tokens writes those that nothing is spent for, many at once.
	tokens  *gather.Committer[keystile.OAuthToken, struct{}]
	guesses guesses
	// registrations bounds anonymous registration, and pending what public clients begin.
	registrations, pending quota
}

// New makes the server. Apply is to be told of changes, and Close ends it.
//
//nolint:gocyclo // a list of checks, one after the other
func New(o Options) (*Server, error) {
	if o.Store == nil || o.Digester == nil || o.Sealer == nil || o.Keys == nil || o.Tokens == nil || o.Claim == nil || o.CheckClient == nil || o.Tell == nil || o.Issuer == "" || o.Algorithm == "" ||
		len(o.PairwiseKey) < 32 || o.ClientAddr == nil || o.RequestID == nil || o.Fresh == nil || o.Random == nil || o.Now == nil || o.Logger == nil {
		return nil, errors.New("oidc: an option is missing")
	}
	o.Issuer = strings.TrimSuffix(o.Issuer, "/")
	s := &Server{o: o, known: newKnown(o.Fresh), registrations: quota{limit: maxRegistrations, window: registrationWindow}, pending: quota{limit: maxPending, window: pendingWindow}}
	s.tokens = gather.New(s.writeTokens)
	var err error
	if s.metadata, err = s.describe(); err != nil {
		return nil, err
	}
	s.handlers = map[string]http.HandlerFunc{
		PathToken: s.form(s.token), PathPush: s.form(s.push), PathDeviceCode: s.form(s.device), PathRevoke: s.form(s.revoke), PathIntrospect: s.form(s.introspect),
		PathRegister: s.serveRegistration, PathUserinfo: s.serveUserinfo, PathConfiguration: s.serveMetadata, PathMetadata: s.serveMetadata,
	}
	return s, nil
}

// ServeHTTP serves Paths.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, ok := s.handlers[r.URL.Path]
	if strings.HasPrefix(r.URL.Path, PathRegister+"/") {
		h, ok = s.serveRegistration, true
	}
	if !ok {
		write(w, http.StatusNotFound, &Error{Code: "invalid_request", Description: "There is no such endpoint."})
		return
	}
	h(w, r)
}

// now is the clock in the resolution that the store keeps.
func (s *Server) now() time.Time { return s.o.Now().UTC().Truncate(time.Microsecond) }

// digest is the keyed digest of a code, a token or a secret, to be stored.
func (s *Server) digest(secret keystile.Secret) (digest [32]byte, pepper string) {
	return s.o.Digester.Digest(sha256.Sum256([]byte(secret.Reveal())))
}

// candidates are the digests that it may be stored under.
func (s *Server) candidates(secret keystile.Secret) [][32]byte {
	return s.o.Digester.Candidates(sha256.Sum256([]byte(secret.Reveal())), make([][32]byte, 0, 3))
}

// draw makes a secret of 40 letters and digits, 238 bits, with a prefix.
func (s *Server) draw(prefix string) (keystile.Secret, error) {
	text, err := oauthtoken.Random(s.o.Random, 40)
	return keystile.Secret(prefix + text), err
}

// newID makes the id of something, which is no secret.
func (s *Server) newID(prefix string) (string, error) {
	text, err := oauthtoken.Random(s.o.Random, 24)
	return prefix + text, err
}

// actor is who the audit log says it was.
func (s *Server) actor(clientID, requestID string) store.Actor {
	return store.Actor{Name: "client:" + clientID, RequestID: requestID}
}

// endGrant revokes a grant with all that was issued from it.
func (s *Server) endGrant(ctx context.Context, a store.Actor, grantID, cause string) error {
	err := s.o.Store.Mutate(ctx, a, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeOAuthGrant(ctx, grantID, cause) })
	if errors.Is(err, keystile.ErrNotFound) { // a code that was spent for nothing that is left
		return nil
	}
	if err != nil {
		return fmt.Errorf("revoke grant %s: %w", grantID, err)
	}
	return nil
}
