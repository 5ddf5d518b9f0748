package oidc

import (
	"encoding/json"
	"fmt"
	"net/http"

	keystile "keystile.dev/keystile"
)

// metadata describes the server to clients (OpenID Connect Discovery, section 3; RFC
// 8414, section 2).
type metadata struct {
	Issuer                       string   `json:"issuer"`
	AuthorizationEndpoint        string   `json:"authorization_endpoint"`
	TokenEndpoint                string   `json:"token_endpoint"`
	UserinfoEndpoint             string   `json:"userinfo_endpoint"`
	JWKSURI                      string   `json:"jwks_uri"`
	RevocationEndpoint           string   `json:"revocation_endpoint"`
	PushedEndpoint               string   `json:"pushed_authorization_request_endpoint"`
	DeviceEndpoint               string   `json:"device_authorization_endpoint"`
	EndSessionEndpoint           string   `json:"end_session_endpoint"`
	RegistrationEndpoint         string   `json:"registration_endpoint"`
	IntrospectionEndpoint        string   `json:"introspection_endpoint"`
	ScopesSupported              []string `json:"scopes_supported"`
	ResponseTypesSupported       []string `json:"response_types_supported"`
	ResponseModesSupported       []string `json:"response_modes_supported"`
	GrantTypesSupported          []string `json:"grant_types_supported"`
	SubjectTypesSupported        []string `json:"subject_types_supported"`
	IDTokenAlgorithms            []string `json:"id_token_signing_alg_values_supported"`
	TokenAuthMethods             []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgorithms          []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	RevocationAuthMethods        []string `json:"revocation_endpoint_auth_methods_supported"`
	IntrospectionAuthMethods     []string `json:"introspection_endpoint_auth_methods_supported"`
	ChallengeMethods             []string `json:"code_challenge_methods_supported"`
	ACRValues                    []string `json:"acr_values_supported"`
	ClaimsSupported              []string `json:"claims_supported"`
	PromptValues                 []string `json:"prompt_values_supported"`
	DPoPAlgorithms               []string `json:"dpop_signing_alg_values_supported"`
	Aliases                      *aliases `json:"mtls_endpoint_aliases,omitempty"`
	CertificateBound             bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	ClientDocuments              bool     `json:"client_id_metadata_document_supported"`
	IssuerInResponse             bool     `json:"authorization_response_iss_parameter_supported"`
	RequestParameterSupported    bool     `json:"request_parameter_supported"`
	RequestURIParameterSupported bool     `json:"request_uri_parameter_supported"`
	ClaimsParameterSupported     bool     `json:"claims_parameter_supported"`
	BackchannelLogout            bool     `json:"backchannel_logout_supported"`
	BackchannelLogoutSession     bool     `json:"backchannel_logout_session_supported"`
	FrontchannelLogout           bool     `json:"frontchannel_logout_supported"`
	FrontchannelLogoutSession    bool     `json:"frontchannel_logout_session_supported"`
}

func (s *Server) describe() ([]byte, error) {
	at := func(path string) string { return s.o.Issuer + path }
	algorithms := []string{string(keystile.RS256), string(keystile.ES256), string(keystile.EdDSA)}
	confidential := []string{"client_secret_basic", "client_secret_post", "private_key_jwt"}
	all := append(confidential[:len(confidential):len(confidential)], "none")
	names := make([]string, 0, len(grants))
	for _, g := range keystile.GrantTypes { // in the list's order: the document is the same at every start
		if grants[g] != nil {
			names = append(names, string(g))
		}
	}
	m := metadata{
		Issuer: s.o.Issuer, AuthorizationEndpoint: at(PathAuthorize), TokenEndpoint: at(PathToken), UserinfoEndpoint: at(PathUserinfo), JWKSURI: at(PathKeys),
		RevocationEndpoint: at(PathRevoke), IntrospectionEndpoint: at(PathIntrospect),
		PushedEndpoint: at(PathPush), DeviceEndpoint: at(PathDeviceCode), EndSessionEndpoint: at(PathLogout), RegistrationEndpoint: at(PathRegister),
		ScopesSupported: []string{"openid", "profile", "email"}, ResponseTypesSupported: []string{"code"}, ResponseModesSupported: responseModes,
		GrantTypesSupported: names, SubjectTypesSupported: []string{"public", "pairwise"},
		IDTokenAlgorithms: algorithms, TokenAuthMethods: all, TokenAuthAlgorithms: algorithms, RevocationAuthMethods: all, IntrospectionAuthMethods: confidential,
		ChallengeMethods: []string{"S256"}, DPoPAlgorithms: algorithms, ACRValues: contexts, PromptValues: prompts, IssuerInResponse: true, ClaimsParameterSupported: true, BackchannelLogout: true, BackchannelLogoutSession: true, FrontchannelLogout: true, FrontchannelLogoutSession: true, ClientDocuments: s.o.Documents != nil,
		ClaimsSupported: []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "sid", "name", "preferred_username", "updated_at", "email"},
	}
	s.certificatesIn(&m)
	data, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("describe the authorization server: %w", err)
	}
	return data, nil
}

func (s *Server) serveMetadata(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		write(w, http.StatusMethodNotAllowed, refuse("invalid_request", "The endpoint takes GET."))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("X-Content-Type-Options", "nosniff")
	if _, err := w.Write(s.metadata); err != nil {
		return // the caller has gone
	}
}
