package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/clientmetadata"
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
	// usedEvery is how far the time of a last use may lag.
	usedEvery = 24 * time.Hour
)

// registration is what is answered of what a client said of itself (RFC 7591, section
// 2). Addresses of pages, logos and terms are anybody's words, and are not kept.
type registration struct {
	RedirectURIs           []string        `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs []string        `json:"post_logout_redirect_uris,omitempty"`
	AuthMethod             string          `json:"token_endpoint_auth_method"`
	GrantTypes             []string        `json:"grant_types"`
	ResponseTypes          []string        `json:"response_types"`
	Name                   string          `json:"client_name"`
	Scope                  string          `json:"scope"`
	JWKS                   json.RawMessage `json:"jwks,omitempty"`
	SubjectType            string          `json:"subject_type"`
	IDTokenAlgorithm       string          `json:"id_token_signed_response_alg,omitempty"`
	PushedOnly             bool            `json:"require_pushed_authorization_requests,omitempty"`
	DPoP                   bool            `json:"dpop_bound_access_tokens,omitempty"`
	BackchannelURI         string          `json:"backchannel_logout_uri,omitempty"`
	BackchannelSession     bool            `json:"backchannel_logout_session_required,omitempty"`
	FrontchannelURI        string          `json:"frontchannel_logout_uri,omitempty"`
	FrontchannelSession    bool            `json:"frontchannel_logout_session_required,omitempty"`
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
		allowed := http.MethodPost
		if below {
			allowed = "GET, PUT, DELETE"
		}
		w.Header().Set("Allow", allowed)
		err = &Error{Code: "invalid_request", Description: "The endpoint does not take that method.", status: http.StatusMethodNotAllowed}
	}
	if err != nil {
		s.refuse(w, s.o.RequestID(r), err)
		return
	}
	write(w, status, body)
}

// readRegistration reads and judges what a client says of itself.
func readRegistration(w http.ResponseWriter, r *http.Request) (*clientmetadata.Metadata, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, badMetadata("The body has to be application/json.")
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRegistration))
	if err != nil {
		return nil, badMetadata("The body cannot be read, or is longer than 32 KiB.")
	}
	m, err := clientmetadata.Parse(data)
	if err != nil {
		return nil, wrongMetadata(err)
	}
	return m, nil
}

// wrongMetadata answers what is wrong with a client (RFC 7591, section 3.2.2).
func wrongMetadata(err error) *Error {
	var invalid *keystile.Invalid
	switch {
	case errors.As(err, &invalid) && strings.HasPrefix(invalid.Field, "redirect_uris"):
		return refuse("invalid_redirect_uri", err.Error())
	case invalid != nil && invalid.Field == "software_statement":
		return refuse("unapproved_software_statement", err.Error())
	}
	return badMetadata(err.Error()) // an *keystile.Invalid: safe to show to who sent it
}

// selfGrants are those that a client nobody knows may use: a user stands behind each.
var selfGrants = []keystile.GrantType{keystile.GrantAuthorizationCode, keystile.GrantRefreshToken, keystile.GrantDeviceCode}

// asClient is c as its metadata describes it.
func (s *Server) asClient(m *clientmetadata.Metadata, c keystile.OAuthClient) (keystile.OAuthClient, error) {
	c.Name, c.RedirectURIs, c.PostLogoutRedirectURIs = m.Name, m.RedirectURIs, m.PostLogoutRedirectURIs
	if c.Name == "" {
		c.Name = "An application without a name"
	}
	c.GrantTypes = nil
	for _, g := range m.GrantTypes {
		if !slices.Contains(selfGrants, keystile.GrantType(g)) {
			return c, badMetadata("A client that registers itself may use " + joined(selfGrants) + ".")
		}
		c.GrantTypes = append(c.GrantTypes, keystile.GrantType(g))
	}
	c.Scopes = []keystile.Scope{"openid", "profile", "email"}
	if s.o.Offered != nil { // the server may choose (RFC 7591, section 2); the user is asked about each
		c.Scopes = union(c.Scopes, s.o.Offered())
	}
	if len(m.Scopes) > 0 {
		c.Scopes = words[keystile.Scope](strings.Join(m.Scopes, " "))
	}
	c.Pairwise, c.PushedOnly, c.DPoP, c.IDTokenAlgorithm = m.Pairwise, m.PushedOnly, m.DPoP, keystile.SigningAlgorithm(m.IDTokenAlgorithm)
	c.Backchannel = keystile.LogoutURI{URI: m.BackchannelLogoutURL, SessionRequired: m.BackchannelSession}
	c.Frontchannel = keystile.LogoutURI{URI: m.FrontchannelLogoutURL, SessionRequired: m.FrontchannelSession}
	c.Public, c.JWKS = m.AuthMethod == clientmetadata.AuthNone, ""
	switch {
	case m.JWKSURL != "":
		return c, badMetadata("jwks_uri is not supported: send jwks.")
	case m.AuthMethod == clientmetadata.AuthPrivateKeyJWT:
		c.JWKS = m.JWKS
	case !c.Public && !m.AuthMethod.Secret():
		return c, badMetadata("token_endpoint_auth_method is not supported.")
	}
	checked, err := s.o.CheckClient(c)
	if err != nil {
		return c, wrongMetadata(err)
	}
	return checked, nil
}

// register makes a client that nobody vouches for: it belongs to no application, is never
// first-party, and says so on the consent page (rulings R41).
func (s *Server) register(w http.ResponseWriter, r *http.Request) (any, error) {
	now := s.now()
	if err := s.room(r, &s.registrations, now); err != nil {
		return nil, err
	}
	n, err := s.o.Store.RegisteredOAuthClients(r.Context())
	if err != nil {
		return nil, err
	}
	if n >= maxRegistered {
		return nil, crowded()
	}
	in, err := readRegistration(w, r)
	if err != nil {
		return nil, err
	}
	id, err := s.newID("reg_")
	if err != nil {
		return nil, err
	}
	c, err := s.asClient(in, keystile.OAuthClient{ID: id, CreatedAt: now, UpdatedAt: now})
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
		Name: c.Name, Scope: joined(c.Scopes), SubjectType: "public", IDTokenAlgorithm: string(c.IDTokenAlgorithm), PushedOnly: c.PushedOnly, DPoP: c.DPoP,
		BackchannelURI: c.Backchannel.URI, BackchannelSession: c.Backchannel.SessionRequired, FrontchannelURI: c.Frontchannel.URI, FrontchannelSession: c.Frontchannel.SessionRequired,
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
	changed, err := s.asClient(in, c)
	if err != nil {
		return nil, err
	}
	switch {
	case in.ClientID != "" && in.ClientID != id: // RFC 7592, section 2.2
		return nil, badMetadata("client_id is another client's.")
	case changed.Public != c.Public || (changed.JWKS != "") != (c.JWKS != ""):
		return nil, badMetadata("How a client proves who it is cannot change: register another one.")
	case changed.Pairwise && sectorOf(&changed) != sectorOf(&c): // what it was granted would tell it another's subjects
		return nil, badMetadata("The host of the redirect URIs of a pairwise client cannot change: register another one.")
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
