package clientmetadata

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/jws"
)

// MaxSize is the longest metadata that is read, in bytes.
const MaxSize = 64 << 10

// AuthMethod is how a client proves who it is at the token endpoint (RFC 7591,
// section 2: token_endpoint_auth_method).
type AuthMethod string

// The methods: of RFC 7591, OpenID Connect Core, section 9, and RFC 8705, section 2.
const (
	AuthNone          AuthMethod = "none" // a public client
	AuthBasic         AuthMethod = "client_secret_basic"
	AuthPost          AuthMethod = "client_secret_post"
	AuthPrivateKeyJWT AuthMethod = "private_key_jwt"
	AuthTLS           AuthMethod = "tls_client_auth"
	AuthSelfSignedTLS AuthMethod = "self_signed_tls_client_auth"
)

var authMethods = []AuthMethod{AuthNone, AuthBasic, AuthPost, AuthPrivateKeyJWT, AuthTLS, AuthSelfSignedTLS}

// Secret says whether the method needs a secret that both sides know.
func (m AuthMethod) Secret() bool { return m == AuthBasic || m == AuthPost }

// The grant types a client may ask for (RFC 7591, section 2). "implicit" and
// "password" are no longer given to anybody (RFC 9700, sections 2.1.2 and 2.4).
const (
	grantCode              = "authorization_code"
	grantRefresh           = "refresh_token"
	grantClientCredentials = "client_credentials"
	grantDevice            = "urn:ietf:params:oauth:grant-type:device_code"
	grantExchange          = "urn:ietf:params:oauth:grant-type:token-exchange"
	grantJWTBearer         = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

var grantTypes = []string{grantCode, grantRefresh, grantClientCredentials, grantDevice, grantExchange, grantJWTBearer}

// Metadata is what a client says of itself (RFC 7591, section 2; OpenID Connect
// Dynamic Client Registration, section 2), after it was judged. Defaults are filled in.
type Metadata struct {
	// ClientID is there in a metadata document alone.
	ClientID string
	// RedirectURIs passed CheckRedirect; empty only if there is no authorization_code.
	RedirectURIs           []string
	PostLogoutRedirectURIs []string
	// GrantTypes is never empty.
	GrantTypes []string
	// AuthMethod is never empty.
	AuthMethod AuthMethod
	// Name is a label nobody has verified, of at most 100 printable characters; empty: none.
	Name string
	// HomepageURL, PolicyURL and TermsURL are https links; empty: none.
	HomepageURL, PolicyURL, TermsURL string
	// Scopes are those it wants, each once; empty: it does not say.
	Scopes []string
	// JWKS are its public keys as JSON, JWKSURL is where they are; at most one is there.
	JWKS    string
	JWKSURL string
	// BackchannelLogoutURL is told of sign-outs; empty: it is not.
	BackchannelLogoutURL string
	// FrontchannelLogoutURL is loaded by browsers that sign out; empty: it is not.
	FrontchannelLogoutURL string
	// BackchannelSession and FrontchannelSession: it has to be told which session.
	BackchannelSession, FrontchannelSession bool
	// IDTokenAlgorithm is that of its ID tokens; empty: it does not say.
	IDTokenAlgorithm string
	// Pairwise asks for subjects of its own.
	Pairwise bool
	// DPoP says that all its tokens are to be bound to keys (RFC 9449, section 5.2).
	DPoP bool
	// PushedOnly says that it only pushes its requests (RFC 9126, section 6).
	PushedOnly bool
	// SoftwareID and SoftwareVersion name its program; empty: it does not say.
	SoftwareID, SoftwareVersion string
}

// Parse reads and judges metadata: one JSON object of at most 64 KiB, no member
// twice. Members that are not known are left alone (RFC 7591, section 2). An error is
// a *keystile.Invalid that names the member; its text quotes nothing of the input.
func Parse(data []byte) (*Metadata, error) {
	m, _, err := parse(data)
	return m, err
}

func parse(data []byte) (*Metadata, members, error) {
	var have members
	switch {
	case len(data) > MaxSize:
		return nil, nil, keystile.Invalidf("", "at most 64 KiB", "the metadata is too long")
	// This decoder refuses a member that is there twice.
	case !utf8.Valid(data) || !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) || json.Unmarshal(data, &have) != nil:
		return nil, nil, keystile.Invalidf("", "one JSON object with each member once", "the metadata is not well formed")
	}
	if have.there("software_statement") { // its claims would win over the members beside it (RFC 7591, section 2.3)
		return nil, nil, keystile.Invalidf("software_statement", "leave it out", "software statements are not taken")
	}
	m := &Metadata{}
	for _, read := range []func(members) error{m.readTexts, m.readLinks, m.readGrants, m.readRedirects, m.readKeys, m.readWishes} {
		if err := read(have); err != nil {
			return nil, nil, err
		}
	}
	return m, have, nil
}

// readTexts reads what is shown to people.
func (m *Metadata) readTexts(have members) (err error) {
	for member, into := range map[string]*string{"software_id": &m.SoftwareID, "software_version": &m.SoftwareVersion, "client_name": &m.Name} {
		if *into, err = have.label(member); err != nil {
			return err
		}
	}
	if m.ClientID, err = have.text("client_id", maxURL); err != nil {
		return err
	}
	m.Scopes, err = have.scope()
	return err
}

// readLinks reads the https URLs. That of a logo is judged and forgotten.
func (m *Metadata) readLinks(have members) (err error) {
	var logo string
	for member, into := range map[string]*string{
		"client_uri": &m.HomepageURL, "policy_uri": &m.PolicyURL, "tos_uri": &m.TermsURL, "logo_uri": &logo, "jwks_uri": &m.JWKSURL,
		"backchannel_logout_uri": &m.BackchannelLogoutURL, "frontchannel_logout_uri": &m.FrontchannelLogoutURL,
	} {
		if *into, err = have.link(member); err != nil {
			return err
		}
	}
	return nil
}

// readGrants reads how the client gets tokens.
func (m *Metadata) readGrants(have members) (err error) {
	if m.GrantTypes, err = have.list("grant_types", len(grantTypes), grantTypes); err != nil {
		return err
	}
	if m.GrantTypes == nil {
		m.GrantTypes = []string{grantCode}
	}
	// "code" is the one response type; the others bring tokens into URLs (RFC 9700, section 2.1.2).
	responses, err := have.list("response_types", 1, []string{"code"})
	if err != nil {
		return err
	}
	code := slices.Contains(m.GrantTypes, grantCode)
	if responses != nil && (len(responses) == 1) != code {
		return keystile.Invalidf("response_types", "code with authorization_code, none without", "it does not go with grant_types (RFC 7591, section 2.1)")
	}
	if slices.Contains(m.GrantTypes, grantRefresh) && len(m.GrantTypes) == 1 {
		return keystile.Invalidf("grant_types", "the grant that gives the first one", "refresh_token alone leads to no token")
	}
	return m.readMethod(have)
}

// readMethod reads how the client proves who it is.
func (m *Metadata) readMethod(have members) error {
	method, err := have.text("token_endpoint_auth_method", 64)
	if m.AuthMethod = AuthMethod(method); method == "" {
		m.AuthMethod = AuthBasic
	}
	switch {
	case err != nil:
		return err
	case !slices.Contains(authMethods, m.AuthMethod):
		return keystile.Invalidf("token_endpoint_auth_method", "none, client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth or self_signed_tls_client_auth", "it is not known here")
	case m.AuthMethod == AuthNone && slices.Contains(m.GrantTypes, grantClientCredentials):
		return keystile.Invalidf("grant_types", "another token_endpoint_auth_method than none", "client_credentials is for clients that prove who they are")
	}
	return nil
}

// readRedirects reads where browsers are sent.
func (m *Metadata) readRedirects(have members) (err error) {
	for member, into := range map[string]*[]string{"redirect_uris": &m.RedirectURIs, "post_logout_redirect_uris": &m.PostLogoutRedirectURIs} {
		if *into, err = have.redirects(member); err != nil {
			return err
		}
	}
	if len(m.RedirectURIs) == 0 && slices.Contains(m.GrantTypes, grantCode) {
		return keystile.Invalidf("redirect_uris", "one absolute URI or more", "authorization_code needs one")
	}
	kind, err := have.text("application_type", 16)
	switch {
	case err != nil:
		return err
	case kind != "" && kind != "web" && kind != "native":
		return keystile.Invalidf("application_type", "web or native", "it is not known")
	case kind == "web":
		for i, uri := range m.RedirectURIs {
			if own := RedirectHost(uri); own[len(own)-1] == ':' {
				return keystile.Invalidf(indexed("redirect_uris", i), "application_type native", "a scheme of an app's own is for native apps")
			}
		}
	}
	return nil
}

// readKeys reads the client's public keys. One that cannot verify anything here is
// an error now rather than a client that cannot sign in later.
func (m *Metadata) readKeys(have members) error {
	raw, there := have["jwks"]
	if there && string(raw) != "null" {
		if _, err := jws.ParseSet(raw); err != nil {
			return keystile.Invalidf("jwks", "a JSON Web Key Set of public keys: RSA from 2048 bits, P-256 or Ed25519", "no signature can be verified with it")
		}
		if private(raw) {
			return keystile.Invalidf("jwks", "public keys alone; make new ones, for these are known now", "it holds a private key or a secret")
		}
		m.JWKS = string(raw)
	}
	switch {
	case m.JWKS != "" && m.JWKSURL != "":
		return keystile.Invalidf("jwks", "one of jwks and jwks_uri", "both are there (RFC 7591, section 2)")
	case (m.AuthMethod == AuthPrivateKeyJWT || m.AuthMethod == AuthSelfSignedTLS) && m.JWKS == "" && m.JWKSURL == "":
		return keystile.Invalidf("jwks", "jwks or jwks_uri", "%s needs keys", m.AuthMethod)
	}
	return nil
}

// private says whether a key of a set has a private member.
func private(set []byte) bool {
	var raw struct {
		Keys []map[string]json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(set, &raw) != nil {
		return true // twice the same member, or no objects
	}
	for _, key := range raw.Keys {
		for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			if _, there := key[name]; there {
				return true
			}
		}
	}
	return false
}

// readWishes reads what the client asks of its tokens and requests.
func (m *Metadata) readWishes(have members) (err error) {
	for member, into := range map[string]*bool{
		"dpop_bound_access_tokens": &m.DPoP, "require_pushed_authorization_requests": &m.PushedOnly,
		"backchannel_logout_session_required": &m.BackchannelSession, "frontchannel_logout_session_required": &m.FrontchannelSession,
	} {
		if *into, err = have.flag(member); err != nil {
			return err
		}
	}
	if m.IDTokenAlgorithm, err = have.text("id_token_signed_response_alg", 16); err != nil {
		return err
	}
	if m.IDTokenAlgorithm != "" && !slices.Contains([]string{"RS256", "ES256", "EdDSA"}, m.IDTokenAlgorithm) {
		return keystile.Invalidf("id_token_signed_response_alg", "RS256, ES256 or EdDSA", "it is not known here")
	}
	subjects, err := have.text("subject_type", 16)
	switch {
	case err != nil:
		return err
	case subjects != "" && subjects != "public" && subjects != "pairwise":
		return keystile.Invalidf("subject_type", "public or pairwise", "it is not known")
	}
	m.Pairwise = subjects == "pairwise"
	return m.checkSector(have)
}

// checkSector wants one host of a client with subjects of its own: what it is told is by
// that host. The list of a sector's hosts (OpenID Connect Core, section 8.1) is somebody's
// words at an address of their choice, which is not asked for.
func (m *Metadata) checkSector(have members) error {
	switch {
	case !m.Pairwise:
		return nil
	case have.there("sector_identifier_uri"):
		return keystile.Invalidf("sector_identifier_uri", "leave it out, and register redirect URIs of one host", "it is not fetched here")
	}
	for _, uri := range m.RedirectURIs {
		if SectorHost(uri) != SectorHost(m.RedirectURIs[0]) {
			return keystile.Invalidf("subject_type", "redirect URIs of one host, or public", "pairwise subjects are those of one host")
		}
	}
	return nil
}
