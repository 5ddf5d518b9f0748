package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// OAuthClientFilter chooses clients.
type OAuthClientFilter struct {
	Page
	// OrganizationID: only those of this partner's applications; empty: all.
	OrganizationID string
}

// OAuthClient reads one client.
func (r *reads) OAuthClient(ctx context.Context, id string) (keystile.OAuthClient, error) {
	row, err := r.q.GetOAuthClient(ctx, id)
	return oauthClientOf(row), r.fail("read client "+clip(id), err)
}

// OAuthClientOfApplication reads the client of an application; none is [keystile.ErrNotFound].
func (r *reads) OAuthClientOfApplication(ctx context.Context, applicationID string) (keystile.OAuthClient, error) {
	row, err := r.q.GetOAuthClientOfApplication(ctx, nullText(applicationID))
	return oauthClientOf(row), r.fail("read the client of application "+clip(applicationID), err)
}

// OAuthClients lists clients by id.
func (r *reads) OAuthClients(ctx context.Context, f OAuthClientFilter) ([]keystile.OAuthClient, error) {
	if f.OrganizationID == "" {
		rows, err := r.q.ListOAuthClients(ctx, f.AfterID, rowLimit(f.Limit))
		clients := make([]keystile.OAuthClient, len(rows))
		for i, row := range rows {
			clients[i] = oauthClientOf(row)
		}
		return clients, r.fail("list clients", err)
	}
	rows, err := r.q.ListOAuthClientsOfOrganization(ctx, f.OrganizationID, f.AfterID, rowLimit(f.Limit))
	clients := make([]keystile.OAuthClient, len(rows))
	for i, row := range rows {
		clients[i] = oauthClientOf(row.OauthClient)
	}
	return clients, r.fail("list clients", err)
}

// OAuthSecrets lists the secrets of a client, oldest first: their digests, never themselves.
func (r *reads) OAuthSecrets(ctx context.Context, clientID string) ([]keystile.OAuthSecret, error) {
	return r.oauthSecrets(ctx, clientID, keystile.ClientSecret)
}

// RegistrationTokens lists the tokens with which a client that registered itself is
// managed.
func (r *reads) RegistrationTokens(ctx context.Context, clientID string) ([]keystile.OAuthSecret, error) {
	return r.oauthSecrets(ctx, clientID, keystile.RegistrationToken)
}

func (r *reads) oauthSecrets(ctx context.Context, clientID string, purpose keystile.SecretPurpose) ([]keystile.OAuthSecret, error) {
	rows, err := r.q.ListOAuthSecrets(ctx, clientID, string(purpose))
	if err != nil {
		return nil, r.fail("list secrets of client "+clip(clientID), err)
	}
	return mapRows(rows, oauthSecretOf, r.fail, "list secrets of client "+clip(clientID))
}

// OAuthClientLookup is a client with the application and the organisation it hangs on.
type OAuthClientLookup struct {
	Client keystile.OAuthClient
	// Application is without what no client needs: it has its id, name, homepage, review
	// and environment, and the organisation. The zero one: the client registered itself.
	Application keystile.Application
	OwnerName   string
	// OwnerTenantID is the organisation's id on the wire.
	OwnerTenantID string
	OwnerDisabled bool
}

// FindOAuthClient finds a client, its application and its organisation, with one
// statement. None is [keystile.ErrNotFound]; whether it may work is the caller's to judge.
func (s *Store) FindOAuthClient(ctx context.Context, id string) (OAuthClientLookup, error) {
	const op = "look up a client"
	if !keystile.ValidClientID(id) {
		return OAuthClientLookup{}, fmt.Errorf("%s: no id: %w", op, keystile.ErrNotFound)
	}
	row, err := s.lookups.FindOAuthClient(s.lookupContext(ctx), id)
	if err != nil {
		return OAuthClientLookup{}, s.fail(op, err)
	}
	client := oauthClientOf(row.OauthClient)
	found := OAuthClientLookup{Client: client, OwnerName: row.OwnerName, OwnerTenantID: row.OwnerTenantID, OwnerDisabled: row.OwnerDisabled}
	if client.ApplicationID != "" {
		found.Application = keystile.Application{
			ID: client.ApplicationID, OrganizationID: row.Owner, Name: row.ApplicationName, Homepage: row.Homepage,
			Review: keystile.ReviewState(row.Review), Environment: keystile.Environment(row.Environment),
		}
	}
	return found, nil
}

// CreateOAuthClient adds a client. An id that exists, and a second client of one
// application, is [keystile.ErrConflict].
func (t *Tx) CreateOAuthClient(ctx context.Context, c keystile.OAuthClient) error {
	if err := checkOAuthClient(c); err != nil {
		return err
	}
	owner, err := t.clientOwner(ctx, c)
	if err != nil {
		return err
	}
	t.stamp(&c.CreatedAt, &c.UpdatedAt)
	row := oauthClientRow(c)
	n, err := t.q.InsertOAuthClient(ctx, gen.InsertOAuthClientParams(row))
	if err != nil {
		return t.fail("create client "+c.ID, err)
	}
	if n == 0 {
		return conflict("client %q exists already, or its application has a client", c.ID)
	}
	t.announceHere(keystile.ChangeApplication, subjectOfClient(c))
	return t.Record(ctx, owner, "client.create", "client:"+c.ID, whole(oauthClientMembers(c)))
}

// clientOwner locks and names the organisation of a client's application; empty: it has none.
func (t *Tx) clientOwner(ctx context.Context, c keystile.OAuthClient) (string, error) {
	if c.ApplicationID == "" {
		return "", nil
	}
	a, err := t.Application(ctx, c.ApplicationID)
	if err != nil {
		return "", dangling(err, "application", "application", c.ApplicationID)
	}
	return a.OrganizationID, nil
}

// subjectOfClient is what caches know changes of a client by.
func subjectOfClient(c keystile.OAuthClient) string {
	if c.ApplicationID != "" {
		return c.ApplicationID
	}
	return c.ID
}

// UpdateOAuthClient makes the stored client as c says, but for its times of creation
// and use; nothing is written if nothing differs. Its application cannot change.
func (t *Tx) UpdateOAuthClient(ctx context.Context, c keystile.OAuthClient) error {
	before, err := t.OAuthClient(ctx, c.ID)
	if err != nil {
		return err
	}
	owner, err := t.clientOwner(ctx, before)
	if err != nil {
		return err
	}
	if before, err = t.OAuthClient(ctx, c.ID); err != nil { // again, under the lock
		return err
	}
	if before.ApplicationID != c.ApplicationID {
		return keystile.Invalidf("application", "create another client", "the application of client %q cannot change", c.ID)
	}
	detail := difference(oauthClientMembers(before), oauthClientMembers(c))
	if len(detail) == 0 {
		return nil
	}
	if err := checkOAuthClient(c); err != nil {
		return err
	}
	row := oauthClientRow(c)
	err = t.q.UpdateOAuthClient(ctx, gen.UpdateOAuthClientParams{
		ID: row.ID, Name: row.Name, Public: row.Public, Jwks: row.Jwks, RedirectUris: row.RedirectUris, PostLogoutRedirectUris: row.PostLogoutRedirectUris,
		GrantTypes: row.GrantTypes, Scopes: row.Scopes, Audiences: row.Audiences, Serves: row.Serves, TokenFormat: row.TokenFormat, FirstParty: row.FirstParty,
		IDTokenAlgorithm: row.IDTokenAlgorithm, Pairwise: row.Pairwise, Dpop: row.Dpop, PushedOnly: row.PushedOnly,
		TlsSubject: row.TlsSubject, SelfSignedTls: row.SelfSignedTls, CertificateBound: row.CertificateBound, DpopNonce: row.DpopNonce,
		UpdatedAt: micros(t.now), RevokedAt: row.RevokedAt,
		BackchannelLogoutUri: row.BackchannelLogoutUri, BackchannelLogoutSessionRequired: row.BackchannelLogoutSessionRequired,
		FrontchannelLogoutUri: row.FrontchannelLogoutUri, FrontchannelLogoutSessionRequired: row.FrontchannelLogoutSessionRequired,
	})
	if err != nil {
		return t.fail("update client "+c.ID, err)
	}
	t.Announce(keystile.ChangeApplication, subjectOfClient(c))
	return t.Record(ctx, owner, "client.update", "client:"+c.ID, detail)
}

// DeleteOAuthClient removes a client with its secrets: every token of it is dead.
func (t *Tx) DeleteOAuthClient(ctx context.Context, id string) error {
	c, err := t.OAuthClient(ctx, id)
	if err != nil {
		return err
	}
	owner, err := t.clientOwner(ctx, c)
	if err != nil {
		return err
	}
	if err := t.q.DeleteOAuthSecrets(ctx, id); err != nil {
		return t.fail("delete client "+id, err)
	}
	if err := t.q.DeleteOAuthClient(ctx, id); err != nil {
		return t.fail("delete client "+id, err)
	}
	t.Announce(keystile.ChangeApplication, subjectOfClient(c))
	return t.Record(ctx, owner, "client.delete", "client:"+id, whole(oauthClientMembers(c)))
}

// AddOAuthSecret gives a client one more secret.
func (t *Tx) AddOAuthSecret(ctx context.Context, s keystile.OAuthSecret) error {
	if s.Digest == [32]byte{} || s.PepperID == "" {
		return keystile.Invalidf("secret", "give its digest and the pepper's id", "the secret of client %q has no digest", s.ClientID)
	}
	c, owner, err := t.secretOwner(ctx, s.ClientID)
	if err != nil {
		return err
	}
	if s.CreatedAt.IsZero() {
		s.CreatedAt = t.now
	}
	n, err := t.q.InsertOAuthSecret(ctx, gen.InsertOAuthSecretParams{
		ID: s.ID, ClientID: s.ClientID, Purpose: string(s.Purpose), Digest: s.Digest[:], PepperID: s.PepperID,
		CreatedAt: micros(s.CreatedAt), ExpiresAt: nullMicros(s.ExpiresAt), RevokedAt: nullMicros(s.RevokedAt),
	})
	if err != nil {
		return t.fail("add a secret to client "+c.ID, err)
	}
	if n == 0 {
		return conflict("client secret %q exists already", s.ID)
	}
	detail := map[string]any{"secret": s.ID}
	if !s.ExpiresAt.IsZero() {
		detail["expires_at"] = instant(s.ExpiresAt)
	}
	t.Announce(keystile.ChangeApplication, subjectOfClient(c)) // servers remember a client's secrets
	return t.Record(ctx, owner, "client_secret.create", "client:"+c.ID, detail)
}

func (t *Tx) secretOwner(ctx context.Context, clientID string) (keystile.OAuthClient, string, error) {
	c, err := t.OAuthClient(ctx, clientID)
	if err != nil {
		return c, "", dangling(err, "client", "client", clientID)
	}
	owner, err := t.clientOwner(ctx, c)
	return c, owner, err
}

// ExpireOAuthSecrets ends every secret of a client but keep at a time, for a
// rotation; those that end earlier stay as they are.
func (t *Tx) ExpireOAuthSecrets(ctx context.Context, clientID, keep string, at time.Time) error {
	c, owner, err := t.secretOwner(ctx, clientID)
	if err != nil {
		return err
	}
	n, err := t.q.ExpireOtherOAuthSecrets(ctx, nullMicros(at), clientID, keep)
	if err != nil || n == 0 {
		return t.fail("end secrets of client "+clientID, err)
	}
	t.Announce(keystile.ChangeApplication, subjectOfClient(c))
	return t.Record(ctx, owner, "client_secret.expire", "client:"+c.ID, map[string]any{"expires_at": instant(at), "secrets": n})
}

// RevokeOAuthSecret ends one secret of a client.
func (t *Tx) RevokeOAuthSecret(ctx context.Context, clientID, id string) error {
	c, owner, err := t.secretOwner(ctx, clientID)
	if err != nil {
		return err
	}
	if err := t.q.RevokeOAuthSecret(ctx, id, nullMicros(t.now)); err != nil {
		return t.fail("revoke a secret of client "+clientID, err)
	}
	t.Announce(keystile.ChangeApplication, subjectOfClient(c))
	return t.Record(ctx, owner, "client_secret.revoke", "client:"+c.ID, map[string]any{"secret": id})
}

func checkOAuthClient(c keystile.OAuthClient) error {
	if !keystile.ValidClientID(c.ID) {
		return keystile.Invalidf("id", keystile.IDRule, "not the id of a client")
	}
	for _, list := range []struct {
		field  string
		values []string
	}{
		{"redirect_uris", c.RedirectURIs},
		{"post_logout_redirect_uris", c.PostLogoutRedirectURIs},
		{"grant_types", texts(c.GrantTypes)},
		{"scopes", texts(c.Scopes)},
		{"audiences", c.Audiences},
		{"serves", c.Serves},
	} {
		if err := checkList(list.field, list.values); err != nil {
			return err
		}
	}
	return checkTexts(text{"name", c.Name}, text{"jwks", c.JWKS}, text{"tls_subject", c.TLSSubject}, text{"token_format", string(c.TokenFormat)},
		text{"id_token_algorithm", string(c.IDTokenAlgorithm)}, text{"backchannel_logout_uri", c.Backchannel.URI}, text{"frontchannel_logout_uri", c.Frontchannel.URI})
}

func oauthClientRow(c keystile.OAuthClient) gen.OauthClient {
	return gen.OauthClient{
		ID: c.ID, ApplicationID: nullText(c.ApplicationID), Name: c.Name, Public: c.Public, Jwks: c.JWKS,
		RedirectUris: joinList(c.RedirectURIs), PostLogoutRedirectUris: joinList(c.PostLogoutRedirectURIs), GrantTypes: joinList(c.GrantTypes),
		Scopes: joinList(c.Scopes), Audiences: joinList(c.Audiences), Serves: joinList(c.Serves), TokenFormat: string(c.TokenFormat), FirstParty: c.FirstParty,
		IDTokenAlgorithm: string(c.IDTokenAlgorithm), Pairwise: c.Pairwise, Dpop: c.DPoP, PushedOnly: c.PushedOnly,
		TlsSubject: c.TLSSubject, SelfSignedTls: c.SelfSignedTLS, CertificateBound: c.CertificateBound, DpopNonce: c.DPoPNonce,
		CreatedAt: micros(c.CreatedAt), UpdatedAt: micros(c.UpdatedAt), RevokedAt: nullMicros(c.RevokedAt), LastUsedAt: nullMicros(c.LastUsedAt),
		BackchannelLogoutUri: c.Backchannel.URI, BackchannelLogoutSessionRequired: c.Backchannel.SessionRequired,
		FrontchannelLogoutUri: c.Frontchannel.URI, FrontchannelLogoutSessionRequired: c.Frontchannel.SessionRequired,
	}
}

func oauthClientOf(row gen.OauthClient) keystile.OAuthClient {
	return keystile.OAuthClient{
		ID: row.ID, ApplicationID: row.ApplicationID.String, Name: row.Name, Public: row.Public, JWKS: row.Jwks,
		RedirectURIs: splitList[string](row.RedirectUris), PostLogoutRedirectURIs: splitList[string](row.PostLogoutRedirectUris),
		GrantTypes: splitList[keystile.GrantType](row.GrantTypes), Scopes: splitList[keystile.Scope](row.Scopes),
		Audiences: splitList[string](row.Audiences), Serves: splitList[string](row.Serves), TokenFormat: keystile.TokenFormat(row.TokenFormat),
		FirstParty: row.FirstParty, IDTokenAlgorithm: keystile.SigningAlgorithm(row.IDTokenAlgorithm), Pairwise: row.Pairwise, DPoP: row.Dpop,
		PushedOnly: row.PushedOnly, TLSSubject: row.TlsSubject, SelfSignedTLS: row.SelfSignedTls, CertificateBound: row.CertificateBound, DPoPNonce: row.DpopNonce,
		Backchannel:  keystile.LogoutURI{URI: row.BackchannelLogoutUri, SessionRequired: row.BackchannelLogoutSessionRequired},
		Frontchannel: keystile.LogoutURI{URI: row.FrontchannelLogoutUri, SessionRequired: row.FrontchannelLogoutSessionRequired},
		CreatedAt:    timeOf(row.CreatedAt), UpdatedAt: timeOf(row.UpdatedAt), RevokedAt: nullTimeOf(row.RevokedAt), LastUsedAt: nullTimeOf(row.LastUsedAt),
	}
}

func oauthSecretOf(row gen.OauthSecret) (keystile.OAuthSecret, error) {
	digest, err := digestOf(row.Digest)
	if err != nil {
		return keystile.OAuthSecret{}, fmt.Errorf("client secret %s: %w", row.ID, err)
	}
	return keystile.OAuthSecret{
		ID: row.ID, ClientID: row.ClientID, Purpose: keystile.SecretPurpose(row.Purpose), Digest: digest, PepperID: row.PepperID,
		CreatedAt: timeOf(row.CreatedAt), ExpiresAt: nullTimeOf(row.ExpiresAt), RevokedAt: nullTimeOf(row.RevokedAt),
	}, nil
}

func oauthClientMembers(c keystile.OAuthClient) []member {
	return []member{
		{"id", c.ID},
		{"application", c.ApplicationID},
		{"name", c.Name},
		{"public", c.Public},
		{"jwks", strings.TrimSpace(c.JWKS)},
		{"redirect_uris", texts(c.RedirectURIs)},
		{"post_logout_redirect_uris", texts(c.PostLogoutRedirectURIs)},
		{"grant_types", texts(c.GrantTypes)},
		{"scopes", texts(c.Scopes)},
		{"audiences", texts(c.Audiences)},
		{"serves", texts(c.Serves)},
		{"token_format", string(c.TokenFormat)},
		{"first_party", c.FirstParty},
		{"id_token_algorithm", string(c.IDTokenAlgorithm)},
		{"pairwise", c.Pairwise},
		{"dpop", c.DPoP},
		{"pushed_only", c.PushedOnly},
		{"tls_subject", c.TLSSubject},
		{"self_signed_tls", c.SelfSignedTLS},
		{"certificate_bound", c.CertificateBound},
		{"dpop_nonce", c.DPoPNonce},
		{"backchannel_logout_uri", c.Backchannel.URI},
		{"backchannel_logout_session_required", c.Backchannel.SessionRequired},
		{"frontchannel_logout_uri", c.Frontchannel.URI},
		{"frontchannel_logout_session_required", c.Frontchannel.SessionRequired},
		{"revoked_at", instant(c.RevokedAt)},
	}
}

// nullText keeps the empty text as NULL.
func nullText(text string) sql.NullString { return sql.NullString{String: text, Valid: text != ""} }
