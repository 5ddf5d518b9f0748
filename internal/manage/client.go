package manage

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/clientmetadata"
	"keystile.dev/keystile/internal/credential/oauthtoken"
	"keystile.dev/keystile/internal/jws"
	"keystile.dev/keystile/internal/mtls"
	"keystile.dev/keystile/internal/store"
)

// Bounds on an OAuth client.
const (
	maxRedirectURIs = 20
	maxResources    = 50
	maxClientJWKS   = 16 << 10
	// oauthCredential is the length of a drawn client_id or client_secret, in bytes before
	// hex: 64 digits, the platform's shape (protocols 4.3), and 256 bits.
	oauthCredential = 32
	// minClientSecret is the shortest secret that is taken in, in bytes.
	minClientSecret = 8
	maxClientSecret = 512
)

// OAuthClientFilter chooses clients.
type OAuthClientFilter = store.OAuthClientFilter

// MadeOAuthClient is a client and, where one was made, its secret: shown once.
type MadeOAuthClient struct {
	Client keystile.OAuthClient
	Secret keystile.Secret
}

// OAuthClients lists clients by id.
func (s *Service) OAuthClients(ctx context.Context, filter OAuthClientFilter) ([]keystile.OAuthClient, error) {
	var ok bool
	if filter.OrganizationID, ok = s.scope(filter.OrganizationID); !ok {
		return nil, nil
	}
	list, err := s.Store.OAuthClients(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list clients: %w", err)
	}
	return list, nil
}

// OAuthClient returns one client.
func (s *Service) OAuthClient(ctx context.Context, id string) (keystile.OAuthClient, error) {
	found, err := s.Store.FindOAuthClient(ctx, id)
	if err != nil {
		return keystile.OAuthClient{}, fmt.Errorf("client %q: %w", id, err)
	}
	if !s.sees(found.Application.OrganizationID) {
		return keystile.OAuthClient{}, missing("client", id)
	}
	return found.Client, nil
}

// ownClient is a client of the caller's own, inside a transaction.
func (s *Service) ownClient(ctx context.Context, tx *store.Tx, id string) (keystile.OAuthClient, error) {
	c, err := tx.OAuthClient(ctx, id)
	if err != nil {
		return c, fmt.Errorf("client %q: %w", id, err)
	}
	owner := ""
	if c.ApplicationID != "" {
		app, err := tx.Application(ctx, c.ApplicationID)
		if err != nil {
			return c, fmt.Errorf("application %q: %w", c.ApplicationID, err)
		}
		owner = app.OrganizationID
	}
	if !s.sees(owner) {
		return c, missing("client", id)
	}
	return c, nil
}

// CreateOAuthClient gives an application its client, with a secret unless it is
// public. Where app has no id, it is registered first: approved, if the caller
// speaks for the platform, and otherwise as a draft. The client's id is drawn if
// it has none.
func (s *Service) CreateOAuthClient(ctx context.Context, a store.Actor, app keystile.Application, c keystile.OAuthClient) (MadeOAuthClient, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (MadeOAuthClient, error) {
		owner, err := s.clientApplication(ctx, tx, app)
		if err != nil {
			return MadeOAuthClient{}, err
		}
		made := c
		made.ApplicationID = owner.ID
		if made.ID == "" {
			if made.ID, err = s.oauthCredential(); err != nil {
				return MadeOAuthClient{}, err
			}
		}
		var secret keystile.Secret
		if made.HasSecret() {
			text, err := s.oauthCredential()
			if err != nil {
				return MadeOAuthClient{}, err
			}
			secret = keystile.Secret(text)
		}
		made, err = s.CreateOAuthClientTx(ctx, tx, made)
		if err != nil || secret == "" {
			return MadeOAuthClient{Client: made}, err
		}
		_, err = s.AddOAuthSecretTx(ctx, tx, made.ID, secret)
		return MadeOAuthClient{Client: made, Secret: secret}, err
	})
}

func (s *Service) clientApplication(ctx context.Context, tx *store.Tx, app keystile.Application) (keystile.Application, error) {
	if app.ID != "" {
		return s.ownApplication(ctx, tx, app.ID)
	}
	app.Kind, app.Review = keystile.ApplicationBackend, keystile.ReviewDraft
	if s.boundTo() == "" {
		app.Review = keystile.ReviewApproved
	}
	return s.CreateApplicationTx(ctx, tx, app)
}

// CreateOAuthClientTx is a new client as c says, inside a transaction.
func (s *Service) CreateOAuthClientTx(ctx context.Context, tx *store.Tx, c keystile.OAuthClient) (keystile.OAuthClient, error) {
	c = CompleteOAuthClient(c)
	if err := CheckOAuthClient(c); err != nil {
		return c, err
	}
	if err := s.mayBeFirstParty(c, keystile.OAuthClient{}); err != nil {
		return c, err
	}
	c.CreatedAt = s.now()
	c.UpdatedAt = c.CreatedAt
	if err := tx.CreateOAuthClient(ctx, c); err != nil {
		return c, fmt.Errorf("create client %q: %w", c.ID, err)
	}
	return c, nil
}

// UpdateOAuthClient changes a client as edit does. Its id, its application, whether it
// has a secret or keys, and its subjects stay: who authorized it did so for those.
func (s *Service) UpdateOAuthClient(ctx context.Context, a store.Actor, id string, edit func(*keystile.OAuthClient) error) (keystile.OAuthClient, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.OAuthClient, error) {
		old, err := s.ownClient(ctx, tx, id)
		if err != nil {
			return old, err
		}
		c := old
		if err := edit(&c); err != nil {
			return old, err
		}
		if err := editable(old, c); err != nil {
			return old, err
		}
		if err := s.UpdateOAuthClientTx(ctx, tx, c); err != nil {
			return old, err
		}
		return s.ownClient(ctx, tx, id)
	})
}

// editable refuses changes that are not a client's to make one by one.
func editable(old, c keystile.OAuthClient) error {
	var p problems
	switch {
	case !old.RevokedAt.IsZero():
		return fmt.Errorf("client %q is revoked; create another one: %w", old.ID, keystile.ErrConflict)
	case old.ApplicationID == "" && clientmetadata.IsDocumentURL(old.ID):
		return fmt.Errorf("client %q is what its document says; change that: %w", old.ID, keystile.ErrConflict)
	}
	if c.Name != old.Name && old.ApplicationID != "" {
		p.add("name", "change the name of its application", "a client is called as its application is")
	}
	if (c.JWKS == "") != (old.JWKS == "") {
		p.add("jwks", "create another client", "whether a client proves itself with keys cannot change")
	}
	return p.err()
}

// UpdateOAuthClientTx makes the stored client as c says, inside a transaction.
func (s *Service) UpdateOAuthClientTx(ctx context.Context, tx *store.Tx, c keystile.OAuthClient) error {
	old, err := s.ownClient(ctx, tx, c.ID)
	if err != nil {
		return err
	}
	c = CompleteOAuthClient(c)
	if err := CheckOAuthClient(c); err != nil {
		return err
	}
	if err := s.mayBeFirstParty(c, old); err != nil {
		return err
	}
	if err := tx.UpdateOAuthClient(ctx, c); err != nil {
		return fmt.Errorf("update client %q: %w", c.ID, err)
	}
	return nil
}

// mayBeFirstParty: that people are not asked is for the platform's reviewers to say.
func (s *Service) mayBeFirstParty(c, old keystile.OAuthClient) error {
	if !c.FirstParty || old.FirstParty {
		return nil
	}
	return s.global("make a client first-party")
}

// CompleteOAuthClient fills what a client leaves to defaults: the grants by whether
// people are sent back to it, and JWT access tokens.
func CompleteOAuthClient(c keystile.OAuthClient) keystile.OAuthClient {
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []keystile.GrantType{keystile.GrantClientCredentials}
		if len(c.RedirectURIs) > 0 {
			c.GrantTypes = []keystile.GrantType{keystile.GrantAuthorizationCode, keystile.GrantRefreshToken}
		}
	}
	if c.TokenFormat == "" {
		c.TokenFormat = keystile.TokenJWT
	}
	if c.IDTokenAlgorithm == "" {
		c.IDTokenAlgorithm = keystile.RS256
	}
	return c
}

// CheckOAuthClient says everything that is wrong with a client, without the store.
func CheckOAuthClient(c keystile.OAuthClient) error {
	c = CompleteOAuthClient(c)
	var p problems
	if c.ApplicationID == "" && clientmetadata.IsDocumentURL(c.ID) {
		p.adopt(clientmetadata.CheckDocumentURL(c.ID))
	} else {
		p.id("client_id", c.ID)
	}
	p.name("name", c.Name)
	p.scopes("scopes", c.Scopes)
	p.grants(&c)
	p.redirects("redirect_uris", c.RedirectURIs)
	p.redirects("post_logout_redirect_uris", c.PostLogoutRedirectURIs)
	p.logouts(&c)
	p.resources("audiences", c.Audiences)
	p.resources("serves", c.Serves)
	if c.TokenFormat != keystile.TokenJWT && c.TokenFormat != keystile.TokenOpaque {
		p.add("token_format", "use jwt or opaque", "not a format")
	}
	if !slices.Contains([]keystile.SigningAlgorithm{keystile.RS256, keystile.ES256, keystile.EdDSA}, c.IDTokenAlgorithm) {
		p.add("id_token_algorithm", "use RS256, ES256 or EdDSA", "not an algorithm for ID tokens")
	}
	if c.JWKS != "" {
		if _, err := jws.ParseSet([]byte(c.JWKS)); err != nil || len(c.JWKS) > maxClientJWKS {
			p.add("jwks", "give a JSON Web Key Set of public keys (RFC 7517, section 5)", "not a set with a usable key, or longer than 16 KiB")
		}
	}
	p.certificates(&c)
	return p.err()
}

// certificates checks how a client uses certificates (RFC 8705).
//
//nolint:gocyclo // a list of checks, one after the other
func (p *problems) certificates(c *keystile.OAuthClient) {
	if c.TLSSubject != "" {
		if err := mtls.CheckSubject(c.TLSSubject); err != nil {
			p.add("tls_subject", "write dns:batch.example.com, uri:, ip:, email: or dn:CN=batch,O=Example", "%s", err.Error())
		}
	}
	switch {
	case c.Public && (c.ByTLS() || c.CertificateBound):
		p.add("public", "leave it out", "a public client has no certificate")
	case c.TLSSubject != "" && (c.SelfSignedTLS || c.JWKS != ""):
		p.add("tls_subject", "keep one of them", "tls_subject goes with neither self_signed_tls nor jwks: a client proves who it is in one way")
	}
	if c.SelfSignedTLS {
		if certificates, err := mtls.Certificates([]byte(c.JWKS)); err != nil || len(certificates) == 0 {
			p.add("jwks", "give each key its certificate in x5c (RFC 7517, section 4.7)", "self_signed_tls needs a certificate, and there is none that can be read")
		}
	}
	if c.DPoPNonce && !c.DPoP {
		p.add("dpop_nonce", "set dpop as well", "only a client that has to send proofs can be asked for nonces in them")
	}
}

// grants checks the grants of a client against what it is.
//
//nolint:gocyclo // a list of checks, one after the other
func (p *problems) grants(c *keystile.OAuthClient) {
	for i, g := range c.GrantTypes {
		if !slices.Contains(keystile.GrantTypes, g) || slices.Contains(c.GrantTypes[:i], g) {
			p.add(fmt.Sprintf("grant_types[%d]", i), "use "+grantNames()+", each once", "not a grant type, or there twice")
		}
	}
	has := func(g keystile.GrantType) bool { return slices.Contains(c.GrantTypes, g) }
	if has(keystile.GrantAuthorizationCode) && len(c.RedirectURIs) == 0 {
		p.add("redirect_uris", "give one or more", "the grant authorization_code needs one")
	}
	if has(keystile.GrantRefreshToken) && !has(keystile.GrantAuthorizationCode) && !has(keystile.GrantDeviceCode) {
		p.add("grant_types", "add authorization_code, or leave refresh_token out", "refresh tokens come with an authorization by a user")
	}
	if c.Public && (has(keystile.GrantClientCredentials) || has(keystile.GrantTokenExchange) || has(keystile.GrantJWTBearer)) {
		p.add("public", "give it a secret", "a public client cannot prove who it is, which these grants ask for")
	}
	if c.Public && c.JWKS != "" {
		p.add("jwks", "leave it out, or leave public out", "a public client has no keys of its own")
	}
}

func grantNames() string {
	names := make([]string, len(keystile.GrantTypes))
	for i, g := range keystile.GrantTypes {
		names[i] = string(g)
	}
	return strings.Join(names, ", ")
}

func (p *problems) redirects(field string, uris []string) {
	if len(uris) > maxRedirectURIs {
		p.add(field, fmt.Sprintf("name at most %d", maxRedirectURIs), "names %d", len(uris))
		return
	}
	for i, text := range uris {
		p.adopt(clientmetadata.CheckRedirect(fmt.Sprintf("%s[%d]", field, i), text))
	}
}

// logouts checks where a client is told of sign-outs. Browsers load the page of the front
// channel, so it has to be where they are sent back to (OpenID Connect Front-Channel
// Logout, section 2).
func (p *problems) logouts(c *keystile.OAuthClient) {
	if c.Backchannel.URI != "" {
		p.adopt(clientmetadata.CheckLogout("backchannel_logout_uri", c.Backchannel.URI))
	}
	if c.Frontchannel.URI == "" {
		return
	}
	p.adopt(clientmetadata.CheckLogout("frontchannel_logout_uri", c.Frontchannel.URI))
	own := clientmetadata.RedirectHost(c.Frontchannel.URI)
	if !slices.ContainsFunc(c.RedirectURIs, func(uri string) bool { return sameOrigin(uri, c.Frontchannel.URI) }) {
		p.add("frontchannel_logout_uri", "use the scheme, host and port of a redirect URI", "%s is no host of its redirect URIs", own)
	}
}

func sameOrigin(a, b string) bool {
	x, err := url.Parse(a)
	if err != nil {
		return false
	}
	y, err := url.Parse(b)
	return err == nil && x.Host != "" && x.Scheme == y.Scheme && x.Host == y.Host
}

// resources checks resource indicators: absolute, without a fragment (RFC 8707, section 2).
func (p *problems) resources(field string, list []string) {
	if len(list) > maxResources {
		p.add(field, fmt.Sprintf("name at most %d", maxResources), "names %d", len(list))
		return
	}
	for i, text := range list {
		u, err := url.Parse(text)
		if err != nil || !u.IsAbs() || strings.ContainsAny(text, "# ") || len(text) > 500 {
			p.add(fmt.Sprintf("%s[%d]", field, i), "use an absolute URI without a fragment, such as https://api.example.com", "not a resource")
		}
	}
}

// RotateOAuthSecret gives a client a new secret; those before it end after overlap.
func (s *Service) RotateOAuthSecret(ctx context.Context, a store.Actor, id string, overlap time.Duration) (MadeOAuthClient, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return MadeOAuthClient{}, keystile.Invalidf("overlap", "use a duration from 0s to 2160h", "not an overlap")
	}
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (MadeOAuthClient, error) {
		c, err := s.ownClient(ctx, tx, id)
		if err != nil {
			return MadeOAuthClient{}, err
		}
		if c.Public || c.ByTLS() || !c.RevokedAt.IsZero() {
			return MadeOAuthClient{}, fmt.Errorf("give client %q a secret: it is public, proves who it is with a certificate, or is revoked: %w", id, keystile.ErrConflict)
		}
		secret, err := s.RotateOAuthSecretTx(ctx, tx, id, overlap)
		return MadeOAuthClient{Client: c, Secret: secret}, err
	})
}

// RotateOAuthSecretTx is RotateOAuthSecret inside a transaction, of whatever client.
func (s *Service) RotateOAuthSecretTx(ctx context.Context, tx *store.Tx, id string, overlap time.Duration) (keystile.Secret, error) {
	text, err := s.oauthCredential()
	if err != nil {
		return "", err
	}
	kept, err := s.AddOAuthSecretTx(ctx, tx, id, keystile.Secret(text))
	if err != nil {
		return "", err
	}
	if err := tx.ExpireOAuthSecrets(ctx, id, kept, s.now().Add(overlap)); err != nil {
		return "", fmt.Errorf("end the earlier secrets of client %q: %w", id, err)
	}
	return keystile.Secret(text), nil
}

// RevokeOAuthClient ends a client, with every grant and token it has.
func (s *Service) RevokeOAuthClient(ctx context.Context, a store.Actor, id string) (keystile.OAuthClient, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.OAuthClient, error) {
		c, err := s.ownClient(ctx, tx, id)
		if err != nil || !c.RevokedAt.IsZero() {
			return c, err
		}
		c.RevokedAt = s.now()
		return c, tx.UpdateOAuthClient(ctx, c)
	})
}

// AddOAuthSecretTx keeps a given secret of a client, inside a transaction, and returns
// the secret's id.
func (s *Service) AddOAuthSecretTx(ctx context.Context, tx *store.Tx, clientID string, secret keystile.Secret) (string, error) {
	if err := CheckOAuthSecret(secret); err != nil {
		return "", err
	}
	digest, pepper := s.Digester.Digest(OAuthSecretSum(secret))
	return s.AddOAuthSecretDigestTx(ctx, tx, keystile.OAuthSecret{ClientID: clientID, Digest: digest, PepperID: pepper})
}

// AddOAuthSecretDigestTx keeps a secret that is known by its digest alone.
func (s *Service) AddOAuthSecretDigestTx(ctx context.Context, tx *store.Tx, secret keystile.OAuthSecret) (string, error) {
	id, err := s.newID("ocs_")
	if err != nil {
		return "", err
	}
	secret.ID, secret.CreatedAt = id, s.now()
	if err := tx.AddOAuthSecret(ctx, secret); err != nil {
		return "", fmt.Errorf("add a secret to client %q: %w", secret.ClientID, err)
	}
	return id, nil
}

// CheckOAuthSecret says what is wrong with a client secret that somebody chose.
func CheckOAuthSecret(secret keystile.Secret) error {
	text := secret.Reveal()
	if len(text) < minClientSecret || len(text) > maxClientSecret || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		return keystile.Invalidf("client_secret", "use the output of openssl rand -hex 32", "not 8 to 512 printable ASCII characters")
	}
	return nil
}

// OAuthSecretSum is SHA-256 of a client secret, of which the keyed digest is kept.
func OAuthSecretSum(secret keystile.Secret) [32]byte { return oauthtoken.Sum(secret) }

func (s *Service) oauthCredential() (string, error) {
	raw := make([]byte, oauthCredential)
	if _, err := io.ReadFull(s.Random, raw); err != nil {
		return "", fmt.Errorf("draw a client's credential: %w", err)
	}
	return hex.EncodeToString(raw), nil
}
