package door

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
)

// accepted are the kinds that may open something at a door. No message
// signature and no other kind of token is looked for.
var accepted = keystile.Route{Accept: []keystile.KindName{keystile.KindAPIKey, keystile.KindSessionJWT, keystile.KindOAuthToken}}

// Present finds the one credential in a request's header, by the classifier
// that the gate uses. None, two, or one that cannot be read is a
// *keystile.Rejection.
func Present(header keystile.Header) (keystile.Found, error) {
	found, rejection := credential.Find(&keystile.Request{Header: header}, &accepted)
	if rejection != nil {
		return keystile.Found{}, rejection
	}
	return found, nil
}

// Prove verifies a credential with the kind that it must be of. A credential
// that is not good, is of another kind or may not be used from addr is a
// *keystile.Rejection; any other error means that nobody can tell.
func Prove(ctx context.Context, kind keystile.Kind, found keystile.Found, addr netip.Addr, requestID string) (*keystile.Principal, error) {
	request := &keystile.Request{ID: requestID, Point: keystile.PointDecisions, ClientAddr: addr}
	presented, err := kind.Parse(request, found)
	if errors.Is(err, keystile.ErrMalformed) {
		return nil, keystile.Reject(keystile.ReasonCredentialMalformed, "not of the kind "+string(kind.Name()))
	}
	if err != nil {
		return nil, fmt.Errorf("read a credential: %w", err)
	}
	principal, err := kind.Verify(ctx, presented)
	if err != nil {
		return nil, fmt.Errorf("verify a credential: %w", err)
	}
	if principal == nil || principal.Kind != kind.Name() {
		return nil, keystile.Reject(keystile.ReasonKindNotAccepted, "not of the kind "+string(kind.Name()))
	}
	if !principal.AllowsAddress(addr) {
		return nil, keystile.Reject(keystile.ReasonAddressNotAllowed, "not from this address")
	}
	return principal, nil
}

// ReasonOf is why a credential was rejected; false: nobody could tell.
func ReasonOf(err error) (keystile.Reason, bool) {
	var rejection *keystile.Rejection
	if errors.As(err, &rejection) {
		return rejection.Reason, true
	}
	return keystile.ReasonNone, false
}
