package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// MaxBulk bounds the body of bulk operations, in bytes.
const MaxBulk = 4 << 20

// KeysCreate is the body of create-keys.
type KeysCreate struct {
	Keys []KeyCreate `json:"keys" nullable:"false" minItems:"1" maxItems:"1000"`
}

// KeysMade are new keys with their secrets.
type KeysMade struct {
	Items []APIKeySecret `json:"items" nullable:"false" doc:"In the order of the request"`
}

// KeysRevoke is the body of revoke-keys.
type KeysRevoke struct {
	IDs []string `json:"ids" nullable:"false" minItems:"1" maxItems:"1000" example:"[\"key_sibaya\"]"`
}

// KeysRevoked are the keys that were revoked.
type KeysRevoked struct {
	Items []APIKey `json:"items" nullable:"false" doc:"In the order of the request"`
}

type keysMadeOutput struct{ Body KeysMade }

type keysRevokedOutput struct{ Body KeysRevoked }

func registerBulkKeys(a *API) error {
	large := func(op *huma.Operation) {
		op.MaxBodyBytes = MaxBulk + 1
		op.BodyReadTimeout = time.Minute
	}
	return registerAll(
		handle(a, "create-keys", func(ctx context.Context, c *caller, in *struct{ Body KeysCreate }) (*keysMadeOutput, error) {
			wanted := make([]manage.NewKey, len(in.Body.Keys))
			for i := range in.Body.Keys {
				wanted[i] = in.Body.Keys[i].newKey()
			}
			made, err := c.service.CreateKeys(ctx, c.actor, wanted)
			if err != nil {
				return nil, err
			}
			out := &keysMadeOutput{Body: KeysMade{Items: []APIKeySecret{}}}
			for i, m := range made {
				out.Body.Items = append(out.Body.Items, a.answerSecret(m.Key, m.Secret, wanted[i].Warnings()).Body)
			}
			return out, nil
		}, large),
		handle(a, "revoke-keys", func(ctx context.Context, c *caller, in *struct{ Body KeysRevoke }) (*keysRevokedOutput, error) {
			revoked, err := c.service.RevokeKeys(ctx, c.actor, in.Body.IDs)
			if err != nil {
				return nil, err
			}
			out := &keysRevokedOutput{Body: KeysRevoked{Items: []APIKey{}}}
			for _, key := range revoked {
				out.Body.Items = append(out.Body.Items, wireKey(key, a.options.Service.Now()))
			}
			return out, nil
		}, large),
		handle(a, "get-key-usage", a.keyUsage),
	)
}

// keyFilter is the input of list-keys.
type keyFilter struct {
	Paging
	Organization  string    `query:"organization" pattern:"^[A-Za-z0-9._:-]{1,128}$" doc:"Only keys of this organization"`
	User          string    `query:"user" pattern:"^[A-Za-z0-9._:-]{1,128}$" doc:"Only keys that this user owns"`
	State         string    `query:"state" enum:"active,expired,revoked" doc:"Only keys in this state"`
	Site          string    `query:"site" pattern:"^[A-Za-z0-9._:-]{1,128}$" doc:"Only keys that permit this site"`
	Scope         string    `query:"scope" maxLength:"128" doc:"Only keys that grant this scope, by itself or with noun:*"`
	Prefix        string    `query:"prefix" maxLength:"32" pattern:"^[!-~]*$" doc:"Only keys whose newest secret begins so: as much of it as a hint shows, never a whole key" example:"opa_prod_V24M"`
	IdleSince     time.Time `query:"idle_since" doc:"Only keys that were not used from then on"`
	ExpiresBefore time.Time `query:"expires_before" doc:"Only keys that end before then"`
}

// listKeys lists keys. A page of a filtered list may hold fewer than asked for, or
// none, before the end: how long one page looks is bounded where no index serves
// what is asked for.
func (a *API) listKeys(ctx context.Context, c *caller, in *keyFilter) (*listOutput[APIKey], error) {
	now := a.options.Service.Now()
	var through string
	return listPage(a, c, in.Paging, listing[keystile.APIKey, APIKey]{
		binding: []string{
			"keys", in.Organization, in.User, in.State, in.Site, in.Scope, in.Prefix,
			in.IdleSince.UTC().Format(time.RFC3339Nano), in.ExpiresBefore.UTC().Format(time.RFC3339Nano),
		},
		read: func(after string, limit int) (keys []keystile.APIKey, err error) {
			keys, through, err = c.service.FilteredKeys(ctx, manage.APIKeyFilter{
				Page: manage.Page{AfterID: after, Limit: limit}, OrganizationID: in.Organization, UserID: in.User, State: in.State, SiteID: in.Site,
				Scope: keystile.Scope(in.Scope), Head: in.Prefix, IdleSince: in.IdleSince, ExpiresBefore: in.ExpiresBefore,
			})
			return keys, err
		},
		place:   func(k keystile.APIKey) string { return k.ID },
		through: func() string { return through },
		wire:    func(k keystile.APIKey) APIKey { return wireKey(k, now) },
	})
}
