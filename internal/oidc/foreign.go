package oidc

import (
	"context"
	"net/http"
	"net/url"
)

// ProviderParameter names the identity provider whose token is exchanged.
const ProviderParameter = "subject_issuer"

// Foreign exchanges a token of an identity provider for a session token, by the
// parameters of RFC 8693, section 2.1, and subject_issuer. organizationID is whose
// client asks: only a provider of that organisation will do. The answer is one of RFC
// 8693, section 2.2.1; a "no" is an *Error.
type Foreign func(r *http.Request, organizationID string, parameters url.Values) (any, error)

// NewError is a "no" of [Foreign]: an error code of RFC 6749, section 5.2, what the
// caller is told, and what the log is.
func NewError(code, description string, cause error) *Error {
	return &Error{Code: code, Description: description, cause: cause}
}

// exchangeForeign exchanges the token of an identity provider. The client belongs to an
// application of the provider's own organisation and proves who it is.
func (s *Server) exchangeForeign(_ context.Context, r *request, c *client) (any, error) {
	switch {
	case s.o.Foreign == nil:
		return nil, badRequest(ProviderParameter + " is not supported.")
	case c.Client.Public || c.Client.ApplicationID == "":
		return nil, refuse("unauthorized_client", "Tokens of identity providers are exchanged for confidential clients of their own organization.")
	case c.Client.DPoP || r.thumbprint != "" || r.certificate != "":
		return nil, badRequest("What a provider's token is exchanged for cannot be bound to a key.")
	}
	parameters := url.Values{}
	for name, values := range r.form {
		parameters[name] = values
	}
	for _, name := range append([]string{"client_id"}, clientParameters...) {
		parameters.Del(name)
	}
	return s.o.Foreign(r.http, c.Application.OrganizationID, parameters)
}
