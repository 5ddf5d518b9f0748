package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// OwnKey is what an API key may know about itself.
type OwnKey struct {
	APIKey
}

type ownKeyOutput struct{ Body OwnKey }

// registerOwnKey registers what an API key opens: it may read about itself and
// end itself, and nothing more. A key can never make, widen or prolong a key.
func registerOwnKey(a *API) error {
	return registerAll(
		handle(a, "get-own-key", func(ctx context.Context, _ *caller, _ *struct{}) (*ownKeyOutput, error) {
			principal, err := ownPrincipal(ctx)
			if err != nil {
				return nil, err
			}
			key, err := a.options.Service.APIKey(ctx, principal.CredentialID)
			if err != nil {
				return nil, err
			}
			return a.answerOwnKey(key, principal), nil
		}),
		handle(a, "revoke-own-key", a.revokeOwnKey),
		handle(a, "delete-own-key", func(ctx context.Context, c *caller, in *struct{}) (*struct{}, error) {
			_, err := a.revokeOwnKey(ctx, c, in)
			return nil, err
		}),
	)
}

// ownPrincipal is who the presented key was proven to be.
func ownPrincipal(ctx context.Context) (*keystile.Principal, error) {
	principal, ok := ctx.Value(keyOwnKey).(*keystile.Principal)
	if !ok {
		return nil, errNoToken // unreachable, like a handler without its caller
	}
	return principal, nil
}

// answerOwnKey shows what the key may really do: a personal key may what its user may.
func (a *API) answerOwnKey(key keystile.APIKey, principal *keystile.Principal) *ownKeyOutput {
	key.Scopes, key.PermittedSiteIDs, key.Limit = principal.Scopes, principal.SiteIDs, principal.Limit
	return &ownKeyOutput{Body: OwnKey{wireKey(key, a.options.Service.Now())}}
}

// revokeOwnKey ends the presented key. Whoever holds a key may do that: it is what
// an honest finder and a careful owner want, and all that a thief could do of it.
func (a *API) revokeOwnKey(ctx context.Context, _ *caller, _ *struct{}) (*ownKeyOutput, error) {
	principal, err := ownPrincipal(ctx)
	if err != nil {
		return nil, err
	}
	id := principal.CredentialID
	key, err := a.options.Service.RevokeKey(ctx, manage.Actor{Name: "key:" + id, RequestID: requestID(ctx)}, id)
	if err != nil {
		return nil, err
	}
	return a.answerOwnKey(key, principal), nil
}

// authenticateKey finds out which API key a request carries. Where it cannot,
// it has answered and ok is false.
func (a *API) authenticateKey(w http.ResponseWriter, r *http.Request) (principal *keystile.Principal, ok bool) {
	principal, err := a.proveKey(r.Context(), r)
	if err != nil {
		a.denied(w, r, err)
		return nil, false
	}
	return principal, true
}

// proveKey finds and verifies the API key of a request. It consumes nothing.
func (a *API) proveKey(ctx context.Context, r *http.Request) (*keystile.Principal, error) {
	found, err := presentedKey(r.Header)
	if err != nil {
		return nil, err
	}
	addr, err := a.options.ClientAddr(r)
	if err != nil {
		return nil, keystile.Reject(keystile.ReasonRequestInvalid, "the caller's address cannot be told")
	}
	request := &keystile.Request{
		ID: requestID(ctx), Point: keystile.PointDecisions, Method: r.Method, Host: r.Host, Path: r.URL.Path,
		RawQuery: r.URL.RawQuery, Header: keystile.Header(r.Header), ClientAddr: addr,
	}
	presented, err := a.options.APIKeys.Parse(request, found)
	if errors.Is(err, keystile.ErrMalformed) {
		return nil, keystile.Reject(keystile.ReasonCredentialMalformed, "not an API key")
	}
	if err != nil {
		return nil, err
	}
	principal, err := a.options.APIKeys.Verify(ctx, presented)
	if err != nil {
		return nil, err
	}
	if principal == nil || principal.Kind != keystile.KindAPIKey {
		return nil, keystile.Reject(keystile.ReasonKindNotAccepted, "not an API key")
	}
	if !principal.AllowsAddress(addr) {
		return nil, keystile.Reject(keystile.ReasonAddressNotAllowed, "the key may not be used from this address")
	}
	return principal, nil
}

// presentedKey finds the one API key of a request: x-api-key, or Authorization
// with or without the Bearer scheme. None, two, or an empty one is refused.
func presentedKey(h http.Header) (keystile.Found, error) {
	var none keystile.Found
	values, header := h.Values("X-Api-Key"), "X-Api-Key"
	authorization := h.Values("Authorization")
	switch {
	case len(values)+len(authorization) == 0:
		return none, keystile.Reject(keystile.ReasonCredentialMissing, "no API key")
	case len(values)+len(authorization) > 1:
		return none, keystile.Reject(keystile.ReasonCredentialMalformed, "more than one credential")
	case len(authorization) == 1:
		values, header = authorization, "Authorization"
	}
	found := keystile.Found{Header: header, Value: keystile.Secret(values[0])}
	if scheme, rest, ok := strings.Cut(values[0], " "); ok && header == "Authorization" && strings.EqualFold(scheme, "Bearer") {
		found.Scheme, found.Value = keystile.SchemeBearer, keystile.Secret(rest)
	}
	if found.Value == "" {
		return none, keystile.Reject(keystile.ReasonCredentialMalformed, "the credential is empty")
	}
	return found, nil
}
