package federation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4/json"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/outbound"
)

// maxConfiguration is the longest discovery document that is read, in bytes.
const maxConfiguration = 64 << 10

// configuration is what a discovery document says (OpenID Connect Discovery, section 3).
type configuration struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	// NamesIssuer says that it puts "iss" into every answer (RFC 9207, section 3).
	NamesIssuer bool `json:"authorization_response_iss_parameter_supported"`
	// TakesClaims says that it can be asked for single claims (Core, section 5.5).
	TakesClaims bool `json:"claims_parameter_supported"`
}

// parseConfiguration reads a discovery document. Members that are not used here are
// left alone; no member is there twice.
func parseConfiguration(data []byte) (*configuration, error) {
	c := &configuration{}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("the discovery document cannot be read: %w", err)
	}
	for name, text := range map[string]string{"authorization_endpoint": c.AuthorizationEndpoint, "token_endpoint": c.TokenEndpoint, "jwks_uri": c.JWKSURI} {
		if _, err := outbound.CheckURL(text); err != nil {
			return nil, fmt.Errorf("%s of the discovery document: %w", name, err)
		}
	}
	return c, nil
}

// configurationURL is where an issuer's discovery document is (section 4).
func configurationURL(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// configuration is what an issuer says of itself. A document of another issuer is
// none: what it said would send codes and secrets there (section 4.3).
func (v *Verifier) configuration(ctx context.Context, p *keystile.IdentityProvider) (*configuration, error) {
	found, err := v.configurations.of(ctx, place{p.Name, configurationURL(p.Issuer)})
	if err == nil && found.Issuer != p.Issuer {
		err = errors.New("it is that of another issuer")
	}
	if err != nil {
		return nil, fmt.Errorf("the discovery document of provider %s: %w: %w", p.Name, keystile.ErrUnavailable, err)
	}
	return found, nil
}

// basic says whether our secret goes into the Authorization field, which is what
// stands where the issuer says nothing (section 3).
func (c *configuration) basic() bool {
	return len(c.AuthMethods) == 0 || slices.Contains(c.AuthMethods, "client_secret_basic")
}
