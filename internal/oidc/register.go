package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

const (
	// maxRegistration bounds the body, in bytes.
	maxRegistration = 32 << 10
	// maxRegistered is how many clients that registered themselves there may be, and
	// maxRegistrations how many one network may register in registrationWindow.
	maxRegistered      = 5000
	maxRegistrations   = 20
	registrationWindow = time.Hour
	maxNetworks        = 10_000
	// usedEvery is how far the time of a last use may lag.
	usedEvery = 24 * time.Hour
)

// registration is what a client says of itself (RFC 7591, section 2). What is not here is
// ignored: addresses of pages, logos and terms are anybody's words, and are not shown.
type registration struct {
	RedirectURIs           []string        `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs []string        `json:"post_logout_redirect_uris,omitempty"`
	AuthMethod             string          `json:"token_endpoint_auth_method,omitempty"`
	GrantTypes             []string        `json:"grant_types,omitempty"`
	ResponseTypes          []string        `json:"response_types,omitempty"`
	Name                   string          `json:"client_name,omitempty"`
	Scope                  string          `json:"scope,omitempty"`
	JWKS                   json.RawMessage `json:"jwks,omitempty"`
	SubjectType            string          `json:"subject_type,omitempty"`
	IDTokenAlgorithm       string          `json:"id_token_signed_response_alg,omitempty"`
	PushedOnly             bool            `json:"require_pushed_authorization_requests,omitempty"`
	SoftwareStatement      string          `json:"software_statement,omitempty"`
}

// registered is the answer about a client (RFC 7591, section 3.2.1; RFC 7592, section 3).
type registered struct {
	ClientID  string `json:"client_id"`
	Secret    string `json:"client_secret,omitempty"`
	IssuedAt  int64  `json:"client_id_issued_at"`
	ExpiresAt int64  `json:"client_secret_expires_at"` // 0: never
	registration
	Token string `json:"registration_access_token,omitempty"`
	URI   string `json:"registration_client_uri"`
}

func badMetadata(description string) *Error { return refuse("invalid_client_metadata", description) }

// registrations counts by network, so that one of them cannot fill the table.
type registrations struct {
	mu     sync.Mutex
	since  time.Time
	counts map[netip.Prefix]int
}

// more says whether a network may register one more client.
func (r *registrations) more(addr netip.Addr, now time.Time) bool {
	bits := 24
	if addr = addr.Unmap(); addr.Is6() {
		bits = 48
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil || now.Sub(r.since) >= registrationWindow || len(r.counts) >= maxNetworks {
		r.since, r.counts = now, map[netip.Prefix]int{}
	}
	r.counts[network]++
	return r.counts[network] <= maxRegistrations
}

// serveRegistration registers clients, and lets each read, change and remove itself.
func (s *Server) serveRegistration(w http.ResponseWriter, r *http.Request) {
	id, below := strings.CutPrefix(r.URL.Path, PathRegister+"/")
	var body any
	var err error
	status := http.StatusOK
	switch {
	case !below && r.Method == http.MethodPost:
		status = http.StatusCreated
		body, err = s.register(w, r)
	case below && r.Method == http.MethodGet:
		body, err = s.registeredClient(r, id)
	case below && r.Method == http.MethodPut:
		body, err = s.changeRegistered(w, r, id)
	case below && r.Method == http.MethodDelete:
		status = http.StatusNoContent
		err = s.removeRegistered(r, id)
	default:
		err = &Error{Code: "invalid_request", Description: "The endpoint does not take that method.", status: http.StatusMethodNotAllowed}
	}
	if err != nil {
		s.refuse(w, s.o.RequestID(r), err)
		return
	}
	write(w, status, body)
}

func readRegistration(w http.ResponseWriter, r *http.Request) (in registration, err error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return in, badMetadata("The body has to be application/json.")
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRegistration))
	if err != nil {
		return in, badMetadata("The body cannot be read, or is longer than 32 KiB.")
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return in, badMetadata("The body is not the JSON of a client.")
	}
	return in, nil
}

// selfGrants are those that a client nobody knows may use: a user stands behind each.
var selfGrants = []keystile.GrantType{keystile.GrantAuthorizationCode, keystile.GrantRefreshToken, keystile.GrantDeviceCode}

// asClient is the client that a registration describes.
//
//nolint:gocyclo // a list of checks, one after the other
func (s *Server) asClient(in *registration, c keystile.OAuthClient) (keystile.OAuthClient, error) {
	switch {
	case in.SoftwareStatement != "":
		return c, refuse("unapproved_software_statement", "Software statements are not taken.")
	case len(in.ResponseTypes) > 0 && !slices.Equal(in.ResponseTypes, []string{"code"}):
		return c, badMetadata("response_types is code.")
	case in.SubjectType != "" && in.SubjectType != "public" && in.SubjectType != "pairwise":
		return c, badMetadata("subject_type is public or pairwise.")
	}
	c.Name, c.RedirectURIs, c.PostLogoutRedirectURIs = in.Name, in.RedirectURIs, in.PostLogoutRedirectURIs
	if c.Name == "" {
		c.Name = "An application without a name"
	}
	c.GrantTypes = nil
	for _, g := range in.GrantTypes {
		if !slices.Contains(selfGrants, keystile.GrantType(g)) {
			return c, badMetadata("A client that registers itself may use " + joined(selfGrants) + ".")
		}
		c.GrantTypes = append(c.GrantTypes, keystile.GrantType(g))
	}
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []keystile.GrantType{keystile.GrantAuthorizationCode}
	}
	c.Scopes = words[keystile.Scope](in.Scope)
	if len(c.Scopes) == 0 {
		c.Scopes = []keystile.Scope{"openid", "profile", "email"}
	}
	c.Pairwise, c.PushedOnly, c.IDTokenAlgorithm = in.SubjectType == "pairwise", in.PushedOnly, keystile.SigningAlgorithm(in.IDTokenAlgorithm)
	c.Public, c.JWKS = false, ""
	switch in.AuthMethod {
	case "", "client_secret_basic", "client_secret_post":
	case "none":
		c.Public = true
	case "private_key_jwt":
		c.JWKS = string(in.JWKS)
	default:
		return c, badMetadata("token_endpoint_auth_method is not supported.")
	}
	if (c.JWKS != "") != (in.AuthMethod == "private_key_jwt") {
		return c, badMetadata("private_key_jwt needs jwks.")
	}
	checked, err := s.o.CheckClient(c)
	if err != nil {
		code := "invalid_client_metadata"
		if strings.Contains(err.Error(), "redirect_uris") {
			code = "invalid_redirect_uri"
		}
		return c, refuse(code, err.Error()) // an *keystile.Invalid: safe to show to who sent it
	}
	return checked, nil
}

// register makes a client that nobody vouches for: it belongs to no application, is never
// first-party, and says so on the consent page (rulings R41).
func (s *Server) register(w http.ResponseWriter, r *http.Request) (any, error) {
	addr, err := s.o.ClientAddr(r)
	if err != nil {
		return nil, badMetadata("The caller's address cannot be told.")
	}
	now := s.now()
	full := &Error{Code: "temporarily_unavailable", Description: "Too many clients were registered. Try again later.", status: http.StatusTooManyRequests}
	if !s.registrations.more(addr, now) {
		return nil, full
	}
	n, err := s.o.Store.RegisteredOAuthClients(r.Context())
	if err != nil {
		return nil, err
	}
	if n >= maxRegistered {
		return nil, full
	}
	in, err := readRegistration(w, r)
	if err != nil {
		return nil, err
	}
	id, err := s.newID("reg_")
	if err != nil {
		return nil, err
	}
	c, err := s.asClient(&in, keystile.OAuthClient{ID: id, CreatedAt: now, UpdatedAt: now})
	if err != nil {
		return nil, err
	}
	out := s.describeRegistered(c)
	secrets := map[keystile.SecretPurpose]*string{keystile.RegistrationToken: &out.Token}
	if !c.Public && c.JWKS == "" {
		secrets[keystile.ClientSecret] = &out.Secret
	}
	return out, s.keepRegistered(r, c, secrets)
}

func (s *Server) keepRegistered(r *http.Request, c keystile.OAuthClient, secrets map[keystile.SecretPurpose]*string) error {
	var kept []keystile.OAuthSecret
	for purpose, shown := range secrets {
		secret, err := s.draw("")
		if err != nil {
			return err
		}
		id, err := s.newID("ocs_")
		if err != nil {
			return err
		}
		one := keystile.OAuthSecret{ID: id, ClientID: c.ID, Purpose: purpose, CreatedAt: c.CreatedAt}
		one.Digest, one.PepperID = s.digest(secret)
		*shown = secret.Reveal()
		kept = append(kept, one)
	}
	return s.o.Store.Mutate(r.Context(), store.Actor{Name: "anonymous", RequestID: s.o.RequestID(r)}, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.CreateOAuthClient(ctx, c); err != nil {
			return err
		}
		for _, one := range kept {
			if err := tx.AddOAuthSecret(ctx, one); err != nil {
				return err
			}
		}
		return nil
	})
}

// describeRegistered is a client as it said it is.
func (s *Server) describeRegistered(c keystile.OAuthClient) registered {
	out := registered{ClientID: c.ID, IssuedAt: c.CreatedAt.Unix(), URI: s.o.Issuer + PathRegister + "/" + c.ID, registration: registration{
		RedirectURIs: c.RedirectURIs, PostLogoutRedirectURIs: c.PostLogoutRedirectURIs, AuthMethod: "client_secret_basic", ResponseTypes: []string{"code"},
		Name: c.Name, Scope: joined(c.Scopes), SubjectType: "public", IDTokenAlgorithm: string(c.IDTokenAlgorithm), PushedOnly: c.PushedOnly,
	}}
	for _, g := range c.GrantTypes {
		out.GrantTypes = append(out.GrantTypes, string(g))
	}
	if c.Pairwise {
		out.SubjectType = "pairwise"
	}
	switch {
	case c.Public:
		out.AuthMethod = "none"
	case c.JWKS != "":
		out.AuthMethod, out.JWKS = "private_key_jwt", json.RawMessage(c.JWKS)
	}
	return out
}

// ownRegistration is a client that registered itself, to whoever holds the token it was
// given then. Whatever is wrong looks alike (RFC 7592, section 2.1).
//
//nolint:gocyclo // a list of checks, one after the other
func (s *Server) ownRegistration(r *http.Request, id string) (keystile.OAuthClient, error) {
	no := bearerRefusal(http.StatusUnauthorized, "invalid_token")
	fields := r.Header["Authorization"]
	if !keystile.ValidID(id) || len(fields) != 1 || len(fields[0]) < len("Bearer ") || !strings.EqualFold(fields[0][:len("Bearer ")], "Bearer ") {
		return keystile.OAuthClient{}, no
	}
	c, err := s.o.Store.OAuthClient(r.Context(), id)
	if errors.Is(err, keystile.ErrNotFound) || err == nil && (c.ApplicationID != "" || !c.RevokedAt.IsZero()) {
		return c, no
	}
	if err != nil {
		return c, err
	}
	tokens, err := s.o.Store.RegistrationTokens(r.Context(), id)
	if err != nil {
		return c, err
	}
	candidates := s.candidates(keystile.Secret(fields[0][len("Bearer "):]))
	for _, kept := range tokens {
		if kept.RevokedAt.IsZero() && slices.Contains(candidates, kept.Digest) {
			return c, nil
		}
	}
	return c, no
}

func (s *Server) registeredClient(r *http.Request, id string) (any, error) {
	c, err := s.ownRegistration(r, id)
	if err != nil {
		return nil, err
	}
	return s.describeRegistered(c), nil
}

func (s *Server) changeRegistered(w http.ResponseWriter, r *http.Request, id string) (any, error) {
	c, err := s.ownRegistration(r, id)
	if err != nil {
		return nil, err
	}
	in, err := readRegistration(w, r)
	if err != nil {
		return nil, err
	}
	changed, err := s.asClient(&in, c)
	if err != nil {
		return nil, err
	}
	if changed.Public != c.Public || (changed.JWKS != "") != (c.JWKS != "") {
		return nil, badMetadata("How a client proves who it is cannot change: register another one.")
	}
	err = s.o.Store.Mutate(r.Context(), s.actor(id, s.o.RequestID(r)), func(ctx context.Context, tx *store.Tx) error { return tx.UpdateOAuthClient(ctx, changed) })
	return s.describeRegistered(changed), err
}

func (s *Server) removeRegistered(r *http.Request, id string) error {
	if _, err := s.ownRegistration(r, id); err != nil {
		return err
	}
	return s.o.Store.Mutate(r.Context(), s.actor(id, s.o.RequestID(r)), func(ctx context.Context, tx *store.Tx) error { return tx.DeleteOAuthClient(ctx, id) })
}
