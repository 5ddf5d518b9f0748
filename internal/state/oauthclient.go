package state

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// oauthClient is an application's client of the authorization server.
type oauthClient struct {
	ClientID               string          `yaml:"client_id" doc:"Absent: the application's id."`
	ClientSecret           keystile.Secret `yaml:"client_secret" doc:"Absent, with no digests: generated and shown once, unless the client is public or has jwks."`
	SecretDigests          []digest        `yaml:"secret_digests" doc:"In place of client_secret, as an export writes them: hmac-sha256:PEPPER:HEX."`
	RedirectURIs           []string        `yaml:"redirect_uris" example:"[\"https://app.example.com/cb\"]" doc:"Where users are sent back, compared exactly; of a loopback address any port counts."`
	PostLogoutRedirectURIs []string        `yaml:"post_logout_redirect_uris" doc:"Where users may be sent after a sign-out."`
	GrantTypes             []string        `yaml:"grant_types" enum:"authorization_code refresh_token client_credentials urn:ietf:params:oauth:grant-type:device_code urn:ietf:params:oauth:grant-type:token-exchange urn:ietf:params:oauth:grant-type:jwt-bearer" doc:"Grants it may use. Absent: authorization_code and refresh_token with redirect URIs, else client_credentials."`
	Scopes                 []string        `yaml:"scopes" example:"[\"openid\"]" doc:"Scopes it may ask for; all of them if it asks for none."`
	Audiences              []string        `yaml:"audiences" example:"[\"https://api.example.com\"]" doc:"Resources that it may ask tokens for (RFC 8707)."`
	Serves                 []string        `yaml:"serves" doc:"Resources that it is: it may introspect tokens for them."`
	Public                 bool            `yaml:"public" doc:"It cannot keep a secret: it has none and needs PKCE."`
	TokenFormat            string          `yaml:"token_format" enum:"jwt opaque" doc:"How its access tokens are written. Absent: jwt."`
	FirstParty             bool            `yaml:"first_party" doc:"It is the platform's own: people are not asked for their consent."`
	IDTokenAlgorithm       string          `yaml:"id_token_algorithm" enum:"RS256 ES256 EdDSA" doc:"What its ID tokens are signed with. Absent: RS256."`
	JWKS                   string          `yaml:"jwks" doc:"JSON Web Key Set of its public keys, for private_key_jwt."`
	Pairwise               bool            `yaml:"pairwise" doc:"It is given subjects of its own."`
	DPoP                   bool            `yaml:"dpop" doc:"Every token it gets is bound to a key (RFC 9449)."`
	DPoPNonce              bool            `yaml:"dpop_nonce" doc:"Its proofs at the token endpoint have to carry a nonce of the server's (RFC 9449, section 8). With dpop."`
	TLSSubject             string          `yaml:"tls_subject" example:"dns:batch.example.com" doc:"It proves who it is with a certificate that an authority of mtls.client_ca signed and that names this (RFC 8705, section 2.1): dns:, uri:, ip: or email: and a subject alternative name, or dn: and the subject as RFC 4514 writes it."`
	SelfSignedTLS          bool            `yaml:"self_signed_tls" doc:"It proves who it is with a certificate that is in jwks, in x5c (RFC 8705, section 2.2)."`
	CertificateBound       bool            `yaml:"certificate_bound" doc:"Every token it gets is bound to the certificate that it was asked for with (RFC 8705, section 3)."`
	PushedOnly             bool            `yaml:"pushed_only" doc:"Its authorization requests have to be pushed (RFC 9126), with PKCE."`
	BackchannelLogoutURI   string          `yaml:"backchannel_logout_uri" example:"https://app.example.com/backchannel-logout" doc:"Where it is told, by a signed token, that a session ended."`
	BackchannelSession     bool            `yaml:"backchannel_logout_session_required" doc:"It has to be told which session; it always is."`
	FrontchannelLogoutURI  string          `yaml:"frontchannel_logout_uri" example:"https://app.example.com/frontchannel-logout" doc:"A page of its own, of the origin of a redirect URI, that browsers load when they sign out."`
	FrontchannelSession    bool            `yaml:"frontchannel_logout_session_required" doc:"It has to be told which session; it always is."`
	Revoked                bool            `yaml:"revoked" doc:"It was revoked: nothing of it is good."`
}

// wanted is the client as the file wants it; old is the stored one.
func (o *oauthClient) wanted(applicationID string, old keystile.OAuthClient) keystile.OAuthClient {
	want := old
	want.ID, want.ApplicationID = o.ClientID, applicationID
	if want.ID == "" {
		want.ID = applicationID
	}
	want.RedirectURIs, want.PostLogoutRedirectURIs = o.RedirectURIs, o.PostLogoutRedirectURIs
	want.GrantTypes, want.Scopes = converted[keystile.GrantType](o.GrantTypes), converted[keystile.Scope](o.Scopes)
	want.Audiences, want.Serves = o.Audiences, o.Serves
	want.Public, want.TokenFormat, want.FirstParty = o.Public, keystile.TokenFormat(o.TokenFormat), o.FirstParty
	want.IDTokenAlgorithm, want.JWKS = keystile.SigningAlgorithm(o.IDTokenAlgorithm), strings.TrimSpace(o.JWKS)
	want.Pairwise, want.DPoP, want.PushedOnly = o.Pairwise, o.DPoP, o.PushedOnly
	want.DPoPNonce, want.TLSSubject, want.SelfSignedTLS, want.CertificateBound = o.DPoPNonce, o.TLSSubject, o.SelfSignedTLS, o.CertificateBound
	want.Backchannel = keystile.LogoutURI{URI: o.BackchannelLogoutURI, SessionRequired: o.BackchannelSession}
	want.Frontchannel = keystile.LogoutURI{URI: o.FrontchannelLogoutURI, SessionRequired: o.FrontchannelSession}
	return manage.CompleteOAuthClient(want)
}

// checkClient checks the client of an application. ids holds whose each client_id is.
func (k *applications) checkClient(c *checker, e *entry[application], ids map[string]string) {
	o := e.value.OAuth
	want := o.wanted(e.value.ID, keystile.OAuthClient{})
	c.adopt(e.from, e.path("oauth"), manage.CheckOAuthClient(want))
	if o.ClientSecret != "" {
		c.adopt(e.from, e.path("oauth"), manage.CheckOAuthSecret(o.ClientSecret))
	}
	if secrets := o.ClientSecret != "" || len(o.SecretDigests) > 0; secrets && o.Public {
		c.add(e.from, e.path("oauth.client_secret"), "remove it, or public", "a public client has no secret")
	}
	if o.ClientSecret != "" && len(o.SecretDigests) > 0 {
		c.add(e.from, e.path("oauth.client_secret"), "keep one of them", "client_secret and secret_digests exclude each other")
	}
	if first, there := ids[want.ID]; there {
		c.add(e.from, e.path("oauth.client_id"), "give each client an id of its own", "is the client of application %s, too", first)
	}
	ids[want.ID] = e.value.ID
}

// putClient makes the client of an application that of the file. d is nil for a new
// application.
func (k *applications) putClient(ctx context.Context, tx *store.Tx, r *run, a *application, d *diff) error {
	o := a.OAuth
	if o == nil {
		return nil
	}
	old, err := tx.OAuthClientOfApplication(ctx, a.ID)
	if err != nil && !errors.Is(err, keystile.ErrNotFound) {
		return err
	}
	want := o.wanted(a.ID, old)
	if err == nil && old.ID != want.ID {
		return keystile.Invalidf("oauth.client_id", "keep it, or register another application", "the client's id is %q and cannot change", old.ID)
	}
	if o.Revoked && old.RevokedAt.IsZero() {
		want.RevokedAt = r.service.Now().UTC()
	} else if !o.Revoked {
		want.RevokedAt = time.Time{}
	}
	if err != nil {
		if _, err := r.service.CreateOAuthClientTx(ctx, tx, want); err != nil {
			return err
		}
	} else {
		clientDiff(d, old, want)
		if err := r.service.UpdateOAuthClientTx(ctx, tx, want); err != nil {
			return err
		}
	}
	return o.putSecrets(ctx, tx, r, want, d)
}

// clientDiff adds what differs between a client as it is and as the file wants it.
func clientDiff(d *diff, old, want keystile.OAuthClient) {
	list(d, "oauth.redirect_uris", old.RedirectURIs, want.RedirectURIs)
	list(d, "oauth.post_logout_redirect_uris", old.PostLogoutRedirectURIs, want.PostLogoutRedirectURIs)
	list(d, "oauth.grant_types", old.GrantTypes, want.GrantTypes)
	list(d, "oauth.scopes", old.Scopes, want.Scopes)
	list(d, "oauth.audiences", old.Audiences, want.Audiences)
	list(d, "oauth.serves", old.Serves, want.Serves)
	d.text("oauth.token_format", string(old.TokenFormat), string(want.TokenFormat))
	d.text("oauth.id_token_algorithm", string(old.IDTokenAlgorithm), string(want.IDTokenAlgorithm))
	d.text("oauth.jwks", old.JWKS, want.JWKS)
	d.text("oauth.tls_subject", old.TLSSubject, want.TLSSubject)
	d.text("oauth.backchannel_logout_uri", old.Backchannel.URI, want.Backchannel.URI)
	d.text("oauth.frontchannel_logout_uri", old.Frontchannel.URI, want.Frontchannel.URI)
	for _, flag := range []struct {
		name     string
		old, new bool
	}{
		{"public", old.Public, want.Public},
		{"first_party", old.FirstParty, want.FirstParty},
		{"pairwise", old.Pairwise, want.Pairwise},
		{"dpop", old.DPoP, want.DPoP},
		{"pushed_only", old.PushedOnly, want.PushedOnly},
		{"dpop_nonce", old.DPoPNonce, want.DPoPNonce},
		{"self_signed_tls", old.SelfSignedTLS, want.SelfSignedTLS},
		{"certificate_bound", old.CertificateBound, want.CertificateBound},
		{"backchannel_logout_session_required", old.Backchannel.SessionRequired, want.Backchannel.SessionRequired},
		{"frontchannel_logout_session_required", old.Frontchannel.SessionRequired, want.Frontchannel.SessionRequired},
		{"revoked", !old.RevokedAt.IsZero(), !want.RevokedAt.IsZero()},
	} {
		d.text("oauth."+flag.name, strconv.FormatBool(flag.old), strconv.FormatBool(flag.new))
	}
}

// putSecrets makes the live secrets of a client those of the file. Secrets that are
// not in the file are revoked; without any in the file they stay, and a client that
// needs one and has none is given one.
//
//nolint:gocyclo // a list of checks, one after the other
func (o *oauthClient) putSecrets(ctx context.Context, tx *store.Tx, r *run, c keystile.OAuthClient, d *diff) error {
	have, err := tx.OAuthSecrets(ctx, c.ID)
	if err != nil {
		return fmt.Errorf("secrets of client %s: %w", c.ID, err)
	}
	if o.ClientSecret == "" && o.SecretDigests == nil {
		if !c.HasSecret() || len(have) > 0 {
			return nil
		}
		made, err := r.service.RotateOAuthSecretTx(ctx, tx, c.ID, 0)
		if err != nil {
			return err
		}
		r.summary.Secrets = append(r.summary.Secrets, NewSecret{Kind: "client", KeyID: c.ID, Secret: made})
		return nil
	}
	kept, added, err := o.addSecrets(ctx, tx, r, c.ID, have)
	if err != nil {
		return err
	}
	changed := added
	for _, stored := range have {
		if stored.RevokedAt.IsZero() && !slices.Contains(kept, stored.ID) {
			changed = true
			if err := tx.RevokeOAuthSecret(ctx, c.ID, stored.ID); err != nil {
				return err
			}
		}
	}
	if changed && d != nil {
		d.text("oauth.client_secret", "old", "new")
	}
	return nil
}

// addSecrets adds the file's secrets that are not there, and names those that are to stay.
func (o *oauthClient) addSecrets(ctx context.Context, tx *store.Tx, r *run, clientID string, have []keystile.OAuthSecret) (kept []string, added bool, err error) {
	find := func(candidates [][32]byte) string {
		for _, stored := range have {
			if stored.RevokedAt.IsZero() && slices.Contains(candidates, stored.Digest) {
				return stored.ID
			}
		}
		return ""
	}
	if o.ClientSecret != "" {
		id := find(r.service.Digester.Candidates(manage.OAuthSecretSum(o.ClientSecret), nil))
		if id == "" {
			added = true
			id, err = r.service.AddOAuthSecretTx(ctx, tx, clientID, o.ClientSecret)
		}
		return []string{id}, added, err
	}
	for _, given := range o.SecretDigests {
		id := find([][32]byte{given.sum})
		if id == "" {
			added = true
			id, err = r.service.AddOAuthSecretDigestTx(ctx, tx, keystile.OAuthSecret{ClientID: clientID, Digest: given.sum, PepperID: given.pepper, ExpiresAt: given.until})
			if err != nil {
				return nil, false, err
			}
		}
		kept = append(kept, id)
	}
	return kept, added, nil
}

// client writes the client of an application, with the secrets that are live.
func (x *exporter) client(ctx context.Context, s *section, applicationID string) error {
	c, err := x.OAuthClientOfApplication(ctx, applicationID)
	if errors.Is(err, keystile.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	secrets, err := x.OAuthSecrets(ctx, c.ID)
	if err != nil {
		return fmt.Errorf("secrets of client %s: %w", c.ID, err)
	}
	var live []string
	for _, secret := range secrets {
		if secret.RevokedAt.IsZero() && (secret.ExpiresAt.IsZero() || x.now.Before(secret.ExpiresAt)) {
			live = append(live, digest{pepper: secret.PepperID, sum: secret.Digest, until: secret.ExpiresAt}.String())
		}
	}
	n := newSection("")
	n.members = 1 // no item of a list: members one by one
	if c.ID != applicationID {
		n.text("client_id", c.ID)
	}
	n.list("secret_digests", live)
	n.list("redirect_uris", c.RedirectURIs)
	n.list("post_logout_redirect_uris", c.PostLogoutRedirectURIs)
	n.list("grant_types", textsOf(c.GrantTypes))
	n.list("scopes", textsOf(c.Scopes))
	n.list("audiences", c.Audiences)
	n.list("serves", c.Serves)
	n.text("token_format", string(c.TokenFormat))
	n.text("id_token_algorithm", string(c.IDTokenAlgorithm))
	n.text("jwks", c.JWKS)
	n.text("tls_subject", c.TLSSubject)
	n.text("backchannel_logout_uri", c.Backchannel.URI)
	n.text("frontchannel_logout_uri", c.Frontchannel.URI)
	for _, flag := range []struct {
		name string
		set  bool
	}{
		{"public", c.Public},
		{"first_party", c.FirstParty},
		{"pairwise", c.Pairwise},
		{"dpop", c.DPoP},
		{"pushed_only", c.PushedOnly},
		{"dpop_nonce", c.DPoPNonce},
		{"self_signed_tls", c.SelfSignedTLS},
		{"certificate_bound", c.CertificateBound},
		{"backchannel_logout_session_required", c.Backchannel.SessionRequired},
		{"frontchannel_logout_session_required", c.Frontchannel.SessionRequired},
		{"revoked", !c.RevokedAt.IsZero()},
	} {
		if flag.set {
			n.raw(flag.name, "true")
		}
	}
	s.items.WriteString("    oauth:\n")
	for line := range strings.Lines(n.items.String()) {
		s.items.WriteString("  " + line)
	}
	return nil
}

// lookAtClient refuses digests of client secrets that this store cannot check.
func (k *applications) lookAtClient(r *run, e *entry[application]) {
	if e.value.OAuth == nil {
		return
	}
	for n, given := range e.value.OAuth.SecretDigests {
		if !r.service.Digester.Knows(given.pepper) {
			report(r, e, keystile.Invalidf(fmt.Sprintf("oauth.secret_digests[%d]", n), "apply it to the store that it was exported from, or give client_secret",
				"was made with pepper %s, which this store does not have", given.pepper))
		}
	}
}
