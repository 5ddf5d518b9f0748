package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// APIKey is an API key on the wire, without its secret.
type APIKey struct {
	ID               string     `json:"id" example:"key_sibaya"`
	Organization     string     `json:"organization" example:"sibaya-power"`
	User             *string    `json:"user" doc:"Whose personal key it is: it may do what the user may; null: nobody's"`
	Name             string     `json:"name" example:"Telemetry export"`
	Environment      string     `json:"environment" enum:"production,sandbox"`
	State            string     `json:"state" enum:"active,expired,revoked"`
	Hint             string     `json:"hint" example:"opa_prod_V24M" doc:"How the newest secret begins; empty where only a hash was imported"`
	PermittedSiteIDs []string   `json:"permitted_site_ids" nullable:"false" example:"[\"Sibaya\"]" doc:"None permits none"`
	Scopes           []string   `json:"scopes" nullable:"false" example:"[\"telemetry:read\"]"`
	AllowedIPs       []string   `json:"allowed_ips" nullable:"false" example:"[\"10.0.0.0/8\"]" doc:"None allows any address"`
	Limit            *string    `json:"limit" example:"60/1m" doc:"Requests in any window; null: the route's own"`
	LimitAlgorithm   *string    `json:"limit_algorithm" enum:"window,gcra" doc:"How limit counts; null without one"`
	ExpiresAt        *time.Time `json:"expires_at" doc:"null: never"`
	RevokedAt        *time.Time `json:"revoked_at"`
	LastUsedAt       *time.Time `json:"last_used_at" doc:"May lag by up to five minutes"`
	LastUsedAddress  string     `json:"last_used_address" example:"198.51.100.7" doc:"Where from, as of last_used_at or a little earlier; empty: not known"`
	LastUsedRoute    string     `json:"last_used_route" example:"GET api.example.com/telemetry/**" doc:"For which route; empty: not known"`
	CreatedAt        time.Time  `json:"created_at"`
	UpdatedAt        time.Time  `json:"updated_at"`
}

// APIKeySecret is the answer that holds a new secret, once.
type APIKeySecret struct {
	APIKey
	Secret   string   `json:"secret,omitempty" example:"opa_prod_…" doc:"The new secret. It is shown here and never again; absent for an import"`
	Warnings []string `json:"warnings,omitempty" doc:"What was allowed but is probably not meant"`
}

func wireKey(k keystile.APIKey, now time.Time) APIKey {
	out := APIKey{
		ID: k.ID, Organization: k.OrganizationID, Name: k.Name, Environment: string(k.Environment),
		State: string(manage.StateOf(k, now)), Hint: k.Hint, PermittedSiteIDs: list(k.PermittedSiteIDs),
		Scopes: words(k.Scopes), AllowedIPs: []string{}, ExpiresAt: moment(k.ExpiresAt), RevokedAt: moment(k.RevokedAt),
		LastUsedAt: moment(k.LastUsedAt), LastUsedAddress: k.LastUsedAddr, LastUsedRoute: k.LastUsedRoute,
		CreatedAt: k.CreatedAt, UpdatedAt: k.UpdatedAt,
	}
	if k.UserID != "" {
		out.User = &k.UserID
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

// steadyKey is a key without what changes by itself, for its version.
func steadyKey(k keystile.APIKey) APIKey {
	k.LastUsedAt, k.LastUsedAddr, k.LastUsedRoute = time.Time{}, "", ""
	out := wireKey(k, time.Time{})
	out.State = ""
	return out
}

// KeyCreate is the body of create-key.
type KeyCreate struct {
	ID               string     `json:"id,omitempty" example:"key_sibaya" doc:"Absent: drawn"`
	Organization     string     `json:"organization,omitempty" example:"sibaya-power" doc:"Absent: the one the admin token is bound to"`
	Name             string     `json:"name,omitempty" example:"Telemetry export"`
	Environment      string     `json:"environment,omitempty" enum:"production,sandbox" doc:"Absent: the organization's"`
	PermittedSiteIDs []string   `json:"permitted_site_ids,omitempty" nullable:"false" example:"[\"Sibaya\"]"`
	Scopes           []string   `json:"scopes,omitempty" nullable:"false" example:"[\"telemetry:read\"]"`
	AllowedIPs       []string   `json:"allowed_ips,omitempty" nullable:"false" example:"[\"10.0.0.0/8\"]"`
	Limit            string     `json:"limit,omitempty" example:"60/1m" doc:"Requests in any window; absent: the route's own"`
	LimitAlgorithm   string     `json:"limit_algorithm,omitempty" enum:"window,gcra" doc:"window: never more than that in any rolling window; gcra: paced; absent: window"`
	ExpiresAt        *time.Time `json:"expires_at,omitempty" doc:"Absent: never"`
	Secret           string     `json:"secret,omitempty" writeOnly:"true" doc:"Imports this key in place of generating one"`
	SHA256           string     `json:"sha256,omitempty" writeOnly:"true" doc:"Imports a key by the SHA-256 of its text, 64 hexadecimal digits"`
}

func (in KeyCreate) newKey() manage.NewKey {
	key := manage.NewKey{
		ID: in.ID, OrganizationID: in.Organization, Name: in.Name, Environment: keystile.Environment(in.Environment),
		PermittedSiteIDs: in.PermittedSiteIDs, Scopes: scopes(in.Scopes), Secret: keystile.Secret(in.Secret),
	}
	if in.ExpiresAt != nil {
		key.ExpiresAt = *in.ExpiresAt
	}
	var errIPs, errHash error
	limit, err := rate(in.Limit, in.LimitAlgorithm)
	key.Limit = limit
	key.AllowedIPs, errIPs = prefixes("allowed_ips", in.AllowedIPs)
	if in.SHA256 != "" {
		sum, err := hex.DecodeString(in.SHA256)
		key.SHA256 = sum
		if err != nil {
			key.SHA256, errHash = nil, keystile.Invalidf("sha256", "write 64 hexadecimal digits", "not hexadecimal")
		}
	}
	key.Faults = errors.Join(err, errIPs, errHash)
	return key
}

// rate reads a limit; neither text is no limit.
func rate(text, algorithm string) (*keystile.Rate, error) {
	if text == "" {
		if algorithm == "" {
			return nil, nil
		}
		return nil, keystile.Invalidf("limit_algorithm", "give limit too", "says how a limit counts that is not there")
	}
	parsed, err := keystile.ParseRate(text, keystile.Algorithm(algorithm))
	var invalid *keystile.Invalid
	if errors.As(err, &invalid) {
		// The problem's own text quotes what was sent.
		return nil, keystile.Invalidf("limit", invalid.Remedy, "not a limit")
	}
	return parsed, err
}

// prefixes reads networks. A bare address is that one address.
func prefixes(field string, texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	var errs []error
	for i, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			if addr, addrErr := netip.ParseAddr(text); addrErr == nil && addr.Zone() == "" {
				prefix, err = addr.Prefix(addr.BitLen())
			}
		}
		if err != nil {
			errs = append(errs, keystile.Invalidf(fmt.Sprintf("%s[%d]", field, i), "write a network such as 10.0.0.0/8", "not a network"))
			continue
		}
		out = append(out, prefix)
	}
	return out, errors.Join(errs...)
}

// KeyUpdate is the body of update-key, a merge patch.
type KeyUpdate struct {
	Name             member[string]       `json:"name,omitzero" example:"Telemetry export"`
	PermittedSiteIDs member[[]string]     `json:"permitted_site_ids,omitzero" example:"[\"Sibaya\"]"`
	Scopes           member[[]string]     `json:"scopes,omitzero" example:"[\"telemetry:read\"]"`
	AllowedIPs       member[[]string]     `json:"allowed_ips,omitzero" example:"[\"10.0.0.0/8\"]"`
	Limit            clearable[string]    `json:"limit,omitzero" example:"60/1m" doc:"null: the route's own"`
	LimitAlgorithm   member[string]       `json:"limit_algorithm,omitzero" enum:"window,gcra"`
	ExpiresAt        clearable[time.Time] `json:"expires_at,omitzero" doc:"null: never"`
}

func (u KeyUpdate) edit(k *keystile.APIKey) error {
	granted, networks := words(k.Scopes), []string(nil)
	err := errors.Join(
		u.Name.onto("name", &k.Name), u.PermittedSiteIDs.onto("permitted_site_ids", &k.PermittedSiteIDs),
		u.Scopes.onto("scopes", &granted), u.AllowedIPs.onto("allowed_ips", &networks),
	)
	k.Scopes = scopes(granted)
	if u.AllowedIPs.Set {
		var errIPs error
		k.AllowedIPs, errIPs = prefixes("allowed_ips", networks)
		err = errors.Join(err, errIPs)
	}
	if u.ExpiresAt.Set {
		k.ExpiresAt = u.ExpiresAt.Value // null: the zero time, never
	}
	return errors.Join(err, u.editLimit(k))
}

func (u KeyUpdate) editLimit(k *keystile.APIKey) error {
	if !u.Limit.Set && !u.LimitAlgorithm.Set {
		return nil
	}
	var text, algorithm string
	if k.Limit != nil {
		text, algorithm = k.Limit.String(), string(k.Limit.Algorithm)
	}
	if u.Limit.Set {
		text = u.Limit.Value // null: "", none
	}
	if text == "" {
		algorithm = ""
	}
	err := u.LimitAlgorithm.onto("limit_algorithm", &algorithm)
	limit, errRate := rate(text, algorithm)
	k.Limit = limit
	return errors.Join(err, errRate)
}

// KeyRotate is the body of rotate-key.
type KeyRotate struct {
	Overlap string `json:"overlap" example:"24h" doc:"How long the older secrets stay good: a duration from 0s (they end at once) to 2160h"`
}

// APIKeyChanged is a key after a change.
type APIKeyChanged struct {
	APIKey
	Warnings []string `json:"warnings,omitempty" doc:"What was allowed but is probably not meant"`
}

type keyChangedOutput struct {
	ETag string `header:"ETag"`
	Body APIKeyChanged
}

type keyOutput struct {
	ETag string `header:"ETag"`
	Body APIKey
}

type keySecretOutput struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     APIKeySecret
}

func (a *API) answerKey(k keystile.APIKey) *keyOutput {
	return &keyOutput{ETag: version(steadyKey(k)), Body: wireKey(k, a.options.Service.Now())}
}

func (a *API) answerSecret(k keystile.APIKey, secret keystile.Secret, warnings []string) *keySecretOutput {
	return &keySecretOutput{
		ETag: version(steadyKey(k)), Location: "/v1/keys/" + k.ID,
		// The one place where a new secret is shown.
		Body: APIKeySecret{APIKey: wireKey(k, a.options.Service.Now()), Secret: secret.Reveal(), Warnings: warnings},
	}
}

func registerKeys(a *API) error {
	return registerAll(
		handle(a, "list-keys", a.listKeys),
		handle(a, "create-key", func(ctx context.Context, c *caller, in *struct{ Body KeyCreate }) (*keySecretOutput, error) {
			wanted := in.Body.newKey()
			key, secret, err := c.service.CreateKey(ctx, c.actor, wanted)
			if err != nil {
				return nil, err
			}
			return a.answerSecret(key, secret, wanted.Warnings()), nil
		}),
		handle(a, "get-key", func(ctx context.Context, c *caller, in *ByID) (*keyOutput, error) {
			key, err := c.service.APIKey(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return a.answerKey(key), nil
		}),
		handle(a, "update-key", func(ctx context.Context, c *caller, in *changing[KeyUpdate]) (*keyChangedOutput, error) {
			key, err := c.service.UpdateKey(ctx, c.actor, in.ID, func(k *keystile.APIKey) error {
				if err := sameVersion(in.IfMatch, steadyKey(*k)); err != nil {
					return err
				}
				return in.Body.edit(k)
			})
			if err != nil {
				return nil, err
			}
			out := a.answerKey(key)
			return &keyChangedOutput{ETag: out.ETag, Body: APIKeyChanged{out.Body, manage.KeyWarnings(key)}}, nil
		}),
		handle(a, "delete-key", func(ctx context.Context, c *caller, in *ByID) (*struct{}, error) {
			return nil, c.service.DeleteKey(ctx, c.actor, in.ID)
		}),
		handle(a, "rotate-key", a.rotateKey),
		handle(a, "revoke-key", func(ctx context.Context, c *caller, in *ByID) (*keyOutput, error) {
			key, err := c.service.RevokeKey(ctx, c.actor, in.ID)
			if err != nil {
				return nil, err
			}
			return a.answerKey(key), nil
		}),
	)
}

func (a *API) rotateKey(ctx context.Context, c *caller, in *struct {
	ByID
	Body KeyRotate
},
) (*keySecretOutput, error) {
	overlap, err := time.ParseDuration(in.Body.Overlap)
	if err != nil {
		return nil, keystile.Invalidf("overlap", "write a duration such as 24h, or 0s", "not a duration")
	}
	key, secret, err := c.service.RotateKey(ctx, c.actor, in.ID, overlap)
	if err != nil {
		return nil, err
	}
	return a.answerSecret(key, secret, nil), nil
}
