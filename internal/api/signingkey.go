package api

import (
	"context"
	"errors"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// SigningKey is a signing key on the wire, without its secret.
type SigningKey struct {
	ID               string     `json:"id" example:"demo-api-key"`
	Organization     string     `json:"organization" example:"bank-x"`
	Name             string     `json:"name" example:"Treasury"`
	Environment      string     `json:"environment" enum:"production,sandbox"`
	State            string     `json:"state" enum:"active,expired,revoked"`
	APIKey           string     `json:"api_key" example:"demo-api-key" doc:"The public name of the key that callers send"`
	Algorithm        string     `json:"algorithm" enum:"HS256,RS256,ES256,EdDSA"`
	PublicKey        *string    `json:"public_key" doc:"PEM, PKCS#1 or SPKI; null for HS256"`
	PermittedSiteIDs []string   `json:"permitted_site_ids" nullable:"false" example:"[\"Sibaya\"]" doc:"None permits none"`
	Scopes           []string   `json:"scopes" nullable:"false" example:"[\"finapi:*\"]"`
	AllowedIPs       []string   `json:"allowed_ips" nullable:"false" example:"[\"10.0.0.0/8\"]" doc:"None allows any address"`
	Limit            *string    `json:"limit" example:"60/1m" doc:"Requests in any window; null: the route's own"`
	LimitAlgorithm   *string    `json:"limit_algorithm" enum:"window,gcra" doc:"How limit counts; null without one"`
	ExpiresAt        *time.Time `json:"expires_at" doc:"null: never"`
	RevokedAt        *time.Time `json:"revoked_at"`
	LastUsedAt       *time.Time `json:"last_used_at" doc:"May lag by seconds"`
	CreatedAt        time.Time  `json:"created_at"`
	UpdatedAt        time.Time  `json:"updated_at"`
}

// SigningKeySecret is the answer that holds a new secret or private key, once.
type SigningKeySecret struct {
	SigningKey
	Secret     string   `json:"secret,omitempty" doc:"HS256: the new secret, whose text is the HMAC key. It is shown here and never again; absent for an import"`
	PrivateKey string   `json:"private_key,omitempty" doc:"RS256, ES256, EdDSA: the new private key, PEM PKCS#8. It is shown here and kept nowhere; absent for an import"`
	Warnings   []string `json:"warnings,omitempty" doc:"What was allowed but is probably not meant"`
}

func wireSigningKey(k keystile.SigningKey, now time.Time) SigningKey {
	out := SigningKey{
		ID: k.ID, Organization: k.OrganizationID, Name: k.Name, Environment: string(k.Environment),
		State: string(manage.SigningStateOf(k, now)), APIKey: k.APIKey, Algorithm: string(k.Algorithm),
		PermittedSiteIDs: list(k.PermittedSiteIDs), Scopes: words(k.Scopes), AllowedIPs: []string{},
		ExpiresAt: moment(k.ExpiresAt), RevokedAt: moment(k.RevokedAt), LastUsedAt: moment(k.LastUsedAt), CreatedAt: k.CreatedAt, UpdatedAt: k.UpdatedAt,
	}
	if k.PublicKey != "" {
		out.PublicKey = &k.PublicKey
	}
	for _, prefix := range k.AllowedIPs {
		out.AllowedIPs = append(out.AllowedIPs, prefix.String())
	}
	if k.Limit != nil {
		rate, algorithm := k.Limit.String(), string(k.Limit.Algorithm)
		out.Limit, out.LimitAlgorithm = &rate, &algorithm
	}
	return out
}

// steadySigningKey is a signing key without what changes by itself, for its version.
func steadySigningKey(k keystile.SigningKey) SigningKey {
	k.LastUsedAt = time.Time{}
	out := wireSigningKey(k, time.Time{})
	out.State = ""
	return out
}

// SigningKeyCreate is the body of create-signing-key.
type SigningKeyCreate struct {
	ID               string     `json:"id,omitempty" example:"demo-api-key" doc:"Absent: the api_key where that is an id, else made from it"`
	Organization     string     `json:"organization,omitempty" example:"bank-x" doc:"Absent: the one the admin token is bound to"`
	Name             string     `json:"name,omitempty" example:"Treasury"`
	Environment      string     `json:"environment,omitempty" enum:"production,sandbox" doc:"Absent: the organization's"`
	APIKey           string     `json:"api_key,omitempty" example:"demo-api-key" doc:"1 to 200 printable ASCII characters without space, never used before; absent: drawn"`
	Algorithm        string     `json:"algorithm" enum:"HS256,RS256,ES256,EdDSA"`
	PermittedSiteIDs []string   `json:"permitted_site_ids,omitempty" nullable:"false" example:"[\"Sibaya\"]"`
	Scopes           []string   `json:"scopes,omitempty" nullable:"false" example:"[\"finapi:*\"]"`
	AllowedIPs       []string   `json:"allowed_ips,omitempty" nullable:"false" example:"[\"10.0.0.0/8\"]"`
	Limit            string     `json:"limit,omitempty" example:"60/1m" doc:"Requests in any window; absent: the route's own"`
	LimitAlgorithm   string     `json:"limit_algorithm,omitempty" enum:"window,gcra" doc:"window: never more than that in any rolling window; gcra: paced; absent: window"`
	ExpiresAt        *time.Time `json:"expires_at,omitempty" doc:"Absent: never"`
	Secret           string     `json:"secret,omitempty" writeOnly:"true" doc:"Imports an HS256 key: its bytes are the HMAC key. Absent: generated"`
	PublicKey        string     `json:"public_key,omitempty" doc:"Imports an RS256, ES256 or EdDSA key: PEM, PKCS#1 or SPKI. Absent: a key pair is generated"`
}

func (in SigningKeyCreate) newSigningKey() manage.NewSigningKey {
	key := manage.NewSigningKey{
		ID: in.ID, OrganizationID: in.Organization, Name: in.Name, Environment: keystile.Environment(in.Environment),
		APIKey: in.APIKey, Algorithm: keystile.SigningAlgorithm(in.Algorithm), PermittedSiteIDs: in.PermittedSiteIDs, Scopes: scopes(in.Scopes),
		Secret: keystile.Secret(in.Secret), PublicKey: in.PublicKey,
	}
	if in.ExpiresAt != nil {
		key.ExpiresAt = *in.ExpiresAt
	}
	var errLimit, errIPs error
	key.Limit, errLimit = rate(in.Limit, in.LimitAlgorithm)
	key.AllowedIPs, errIPs = prefixes("allowed_ips", in.AllowedIPs)
	key.Faults = errors.Join(errLimit, errIPs)
	return key
}

// editSigningKey applies a patch of what a key may do. A signing key and an API
// key have the same rights, and one patch.
func editSigningKey(u KeyUpdate, k *keystile.SigningKey) error {
	rights := keystile.APIKey{
		Name: k.Name, PermittedSiteIDs: k.PermittedSiteIDs, Scopes: k.Scopes, AllowedIPs: k.AllowedIPs, Limit: k.Limit, ExpiresAt: k.ExpiresAt,
	}
	err := u.edit(&rights)
	k.Name, k.PermittedSiteIDs, k.Scopes = rights.Name, rights.PermittedSiteIDs, rights.Scopes
	k.AllowedIPs, k.Limit, k.ExpiresAt = rights.AllowedIPs, rights.Limit, rights.ExpiresAt
	return err
}

// SigningKeyRotate is the body of rotate-signing-key.
type SigningKeyRotate struct {
	Overlap   string `json:"overlap" example:"24h" doc:"How long the old key stays good: a duration from 0s (it ends at once) to 2160h"`
	APIKey    string `json:"api_key,omitempty" example:"demo-api-key-2" doc:"Of the new key; absent: drawn"`
	Secret    string `json:"secret,omitempty" writeOnly:"true" doc:"Imports the new HS256 key; absent: generated"`
	PublicKey string `json:"public_key,omitempty" doc:"Imports the new RS256, ES256 or EdDSA key; absent: a key pair is generated"`
}

type signingKeyOutput struct {
	ETag string `header:"ETag"`
	Body SigningKey
}

type signingKeySecretOutput struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     SigningKeySecret
}

func (a *API) answerSigningKey(k keystile.SigningKey) *signingKeyOutput {
	return &signingKeyOutput{ETag: version(steadySigningKey(k)), Body: wireSigningKey(k, a.options.Service.Now())}
}

func (a *API) answerSigningSecret(made manage.MadeSigningKey, warnings []string) *signingKeySecretOutput {
	return &signingKeySecretOutput{
		ETag: version(steadySigningKey(made.Key)), Location: "/v1/signing-keys/" + made.Key.ID,
		// The one place where a new secret or private key is shown.
		Body: SigningKeySecret{
			SigningKey: wireSigningKey(made.Key, a.options.Service.Now()),
			Secret:     made.Secret.Reveal(), PrivateKey: made.PrivateKey.Reveal(), Warnings: warnings,
		},
	}
}

func registerSigningKeys(a *API) error {
	return registerAll(
		handle(a, "list-signing-keys", a.listSigningKeys),
		handle(a, "create-signing-key", func(ctx context.Context, c *caller, in *struct{ Body SigningKeyCreate }) (*signingKeySecretOutput, error) {
			wanted := in.Body.newSigningKey()
			made, err := c.service.CreateSigningKey(ctx, c.actor, wanted)
			if err != nil {
				return nil, err
			}
			return a.answerSigningSecret(made, wanted.Warnings()), nil
		}),
		handle(a, "get-signing-key", func(ctx context.Context, c *caller, in *ByID) (*signingKeyOutput, error) {
			key, err := c.service.SigningKey(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return a.answerSigningKey(key), nil
		}),
		handle(a, "update-signing-key", func(ctx context.Context, c *caller, in *changing[KeyUpdate]) (*signingKeyOutput, error) {
			key, err := c.service.UpdateSigningKey(ctx, c.actor, in.ID, func(k *keystile.SigningKey) error {
				if err := sameVersion(in.IfMatch, steadySigningKey(*k)); err != nil {
					return err
				}
				return editSigningKey(in.Body, k)
			})
			if err != nil {
				return nil, err
			}
			return a.answerSigningKey(key), nil
		}),
		handle(a, "rotate-signing-key", a.rotateSigningKey),
		handle(a, "revoke-signing-key", func(ctx context.Context, c *caller, in *ByID) (*signingKeyOutput, error) {
			key, err := c.service.RevokeSigningKey(ctx, c.actor, in.ID)
			if err != nil {
				return nil, err
			}
			return a.answerSigningKey(key), nil
		}),
	)
}

func (a *API) listSigningKeys(ctx context.Context, c *caller, in *ofOrganization) (*listOutput[SigningKey], error) {
	now := a.options.Service.Now()
	return listPage(a, c, in.Paging, listing[keystile.SigningKey, SigningKey]{
		binding: []string{"signing-keys", in.Organization},
		read: func(after string, limit int) ([]keystile.SigningKey, error) {
			return c.service.SigningKeys(ctx, manage.SigningKeyFilter{
				Page: manage.Page{AfterID: after, Limit: limit}, OrganizationID: in.Organization,
			})
		},
		place: func(k keystile.SigningKey) string { return k.ID },
		wire:  func(k keystile.SigningKey) SigningKey { return wireSigningKey(k, now) },
	})
}

func (a *API) rotateSigningKey(ctx context.Context, c *caller, in *struct {
	ByID
	Body SigningKeyRotate
},
) (*signingKeySecretOutput, error) {
	overlap, err := time.ParseDuration(in.Body.Overlap)
	if err != nil {
		return nil, keystile.Invalidf("overlap", "write a duration such as 24h, or 0s", "not a duration")
	}
	rotation := manage.SigningRotation{
		Overlap: overlap, APIKey: in.Body.APIKey, Secret: keystile.Secret(in.Body.Secret), PublicKey: in.Body.PublicKey,
	}
	made, err := c.service.RotateSigningKey(ctx, c.actor, in.ID, rotation)
	if err != nil {
		return nil, err
	}
	return a.answerSigningSecret(made, manage.NewSigningKey{Secret: rotation.Secret}.Warnings()), nil
}
