package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	keystile "keystile.dev/keystile"
)

// OwnKey is what an API key may know about itself.
type OwnKey struct {
	APIKey
}

type ownKeyOutput struct{ Body OwnKey }

// registerOwnKey registers the one operation that an API key opens. It reads,
// and nothing more: a key can never make, widen or prolong a key.
func registerOwnKey(a *API) error {
	return handle(a, "get-own-key", func(ctx context.Context, _ *caller, _ *struct{}) (*ownKeyOutput, error) {
		id, ok := ctx.Value(keyOwnKey).(string)
		if !ok {
			return nil, errNoToken // unreachable, like a handler without its caller
		}
		key, err := a.options.Service.APIKey(ctx, id)
		if err != nil {
			return nil, err
		}
		return &ownKeyOutput{Body: OwnKey{wireKey(key, a.options.Service.Now())}}, nil
	})
}

// authenticateKey finds out which API key a request carries. Where it cannot,
// it has answered and ok is false.
func (a *API) authenticateKey(w http.ResponseWriter, r *http.Request) (id string, ok bool) {
	principal, err := a.proveKey(r.Context(), r)
	if err != nil {
		a.denied(w, r, err)
		return "", false
	}
	return principal.CredentialID, true
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
