package api

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// TokenKey is a key that session tokens are signed with, on the wire.
type TokenKey struct {
	ID            string     `json:"id" doc:"The kid of tokens under a public key"`
	Algorithm     string     `json:"algorithm" example:"EdDSA"`
	Organization  string     `json:"organization" doc:"Whose tokens an HS256 key signs; empty: those of everybody without one"`
	CreatedAt     time.Time  `json:"created_at"`
	SignsFrom     time.Time  `json:"signs_from" doc:"Until then it is only published"`
	VerifiesUntil *time.Time `json:"verifies_until" doc:"When the last token that it signed has ended; null: it signs, or will"`
}

// TokenKeySecret is the answer that holds a drawn HS256 secret, once.
type TokenKeySecret struct {
	TokenKey
	Secret string `json:"secret,omitempty" doc:"The secret of an HS256 key that was drawn, for those who verify with it. It is shown here and never again"`
}

// TokenKeyRotate is the body of rotate-token-key.
type TokenKeyRotate struct {
	Algorithm    string `json:"algorithm,omitempty" example:"EdDSA" enum:"EdDSA,ES256,RS256,HS256" doc:"Absent: EdDSA"`
	Organization string `json:"organization,omitempty" example:"sibaya-power" doc:"Gives an organization an HS256 secret of its own"`
	Secret       string `json:"secret,omitempty" doc:"HS256 secret of at least 32 bytes; absent: drawn"`
	AheadSeconds *int64 `json:"ahead_seconds,omitempty" minimum:"0" maximum:"2592000" doc:"How long it is published before it signs; absent: 600 for a public key, 0 for a secret"`
}

type tokenKeyOutput struct{ Body TokenKey }

type tokenKeySecretOutput struct{ Body TokenKeySecret }

func wireTokenKey(k manage.TokenKey) TokenKey {
	return TokenKey{
		ID: k.ID, Algorithm: string(k.Algorithm), Organization: k.OrganizationID, CreatedAt: k.CreatedAt, SignsFrom: k.SignsFrom,
		VerifiesUntil: moment(k.VerifiesUntil),
	}
}

func registerTokenKeys(a *API) error {
	return registerAll(
		handle(a, "list-token-keys", func(ctx context.Context, c *caller, in *Paging) (*listOutput[TokenKey], error) {
			return listPage(a, c, *in, listing[manage.TokenKey, TokenKey]{
				binding: []string{"token-keys"},
				read: func(after string, limit int) ([]manage.TokenKey, error) {
					return c.service.TokenKeys(ctx, manage.Page{AfterID: after, Limit: limit})
				},
				place: func(k manage.TokenKey) string { return k.ID },
				wire:  wireTokenKey,
			})
		}),
		handle(a, "rotate-token-key", func(ctx context.Context, c *caller, in *struct{ Body TokenKeyRotate }) (*tokenKeySecretOutput, error) {
			wanted := manage.NewTokenKey{
				Algorithm: keystile.SigningAlgorithm(in.Body.Algorithm), OrganizationID: in.Body.Organization, Secret: keystile.Secret(in.Body.Secret),
			}
			if in.Body.AheadSeconds != nil {
				ahead := time.Duration(*in.Body.AheadSeconds) * time.Second
				wanted.Ahead = &ahead
			}
			key, secret, err := c.service.RotateTokenKey(ctx, c.actor, wanted)
			if err != nil {
				return nil, err
			}
			// The one place where a drawn secret is shown.
			return &tokenKeySecretOutput{TokenKeySecret{TokenKey: wireTokenKey(key), Secret: secret.Reveal()}}, nil
		}),
		handle(a, "revoke-token-key", func(ctx context.Context, c *caller, in *ByID) (*tokenKeyOutput, error) {
			key, err := c.service.RevokeTokenKey(ctx, c.actor, in.ID)
			if err != nil {
				return nil, err
			}
			return &tokenKeyOutput{wireTokenKey(key)}, nil
		}),
	)
}
