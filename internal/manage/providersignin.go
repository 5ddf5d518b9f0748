package manage

import (
	"fmt"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
)

// Bounds on how people sign in at an identity provider.
const (
	// MaxSignInScopes bounds the scopes that are asked for, and maxTrustedAMR what stands for a second factor.
	MaxSignInScopes = 32
	maxTrustedAMR   = 16
	maxScope        = 128
)

// CheckProviderClientSecret says whether a text may be our client secret at an identity
// provider. Its error is *keystile.Invalid.
func CheckProviderClientSecret(secret keystile.Secret) error {
	if n := len(secret); n == 0 || n > maxProviderSecret {
		return keystile.Invalidf("sign_in.client_secret", fmt.Sprintf("use 1 to %d bytes, as the provider gave it to you", maxProviderSecret), "has %d bytes", n)
	}
	return nil
}

// settleSignIn fills in what a provider that people sign in at need not say: its ID
// tokens are for our client, and signed with RS256 (OpenID Connect Core, sections 2
// and 3.1.3.7) unless it says otherwise.
func settleSignIn(in *keystile.IdentityProvider, secret bool) {
	if in.SignIn == nil {
		return
	}
	if in.Audience == "" {
		in.Audience = in.SignIn.ClientID
	}
	if len(in.Algorithms) == 0 && !secret {
		in.Algorithms = []keystile.SigningAlgorithm{keystile.RS256}
	}
	if len(in.SignIn.Scopes) == 0 {
		in.SignIn.Scopes = nil
	}
	if len(in.SignIn.TrustedAMR) == 0 {
		in.SignIn.TrustedAMR = nil
	}
}

func checkSignIn(p *problems, in *keystile.IdentityProvider) {
	s := in.SignIn
	if s == nil {
		return
	}
	if s.ClientID == "" || len(s.ClientID) > maxIssuer || !printable(s.ClientID) {
		p.add("sign_in.client_id", "write the client id that the provider gave you", "is missing or cannot be one")
	}
	if !strings.Contains(in.Issuer, "://") { // with it the form was checked already
		p.add("issuer", "write the issuer's https URL: its endpoints are found from there", "is not a URL")
	}
	p.name("sign_in.label", s.Label)
	checkWords(p, "sign_in.scopes", s.Scopes, MaxSignInScopes)
	checkWords(p, "sign_in.trusted_amr", s.TrustedAMR, maxTrustedAMR)
	if len(s.Scopes) > 0 && !slices.Contains(s.Scopes, "openid") {
		p.add("sign_in.scopes", "add openid: without it there is no ID token", "lacks openid")
	}
}

// checkWords wants short words, each once (RFC 6749, section 3.3: scope-token).
func checkWords(p *problems, field string, words []string, most int) {
	if len(words) > most {
		p.add(field, fmt.Sprintf("name at most %d", most), "names %d", len(words))
		return
	}
	for i, word := range words {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case word == "" || len(word) > maxScope || !printable(word) || strings.ContainsAny(word, `"\`):
			p.add(at, "write it as the provider does", "cannot be one")
		case slices.Contains(words[:i], word):
			p.add(at, "name it once", "is named a second time")
		}
	}
}

// clientSecret is our sealed client secret at a provider; nil for none.
func (s *Service) clientSecret(p *problems, in NewIdentityProvider) ([]byte, error) {
	name := in.Provider.Name
	switch {
	case in.ClientSecret != "" && in.SealedClientSecret != nil:
		p.add("sign_in.client_secret", "keep one of them", "client_secret and sealed exclude each other")
	case in.SealedClientSecret != nil:
		if _, err := s.OpenClientSecret(name, in.SealedClientSecret); err != nil {
			p.add("sign_in.sealed", "apply it to the store that it was exported from, or give the secret", "does not open in this store")
		}
		return in.SealedClientSecret, nil
	case in.ClientSecret != "":
		if err := CheckProviderClientSecret(in.ClientSecret); err != nil {
			return nil, p.take(err)
		}
		if s.Sealer == nil {
			return nil, errNoSealer
		}
		sealed, err := s.Sealer.Seal([]byte(in.ClientSecret.Reveal()), keystile.ProviderClientSecretPlace(name))
		if err != nil {
			return nil, fmt.Errorf("seal the client secret of identity provider %q: %w", name, err)
		}
		return sealed, nil
	}
	return nil, nil
}

// OpenClientSecret opens our client secret at an identity provider.
func (s *Service) OpenClientSecret(name string, sealed []byte) (keystile.Secret, error) {
	if s.Sealer == nil {
		return "", errNoSealer
	}
	plain, err := s.Sealer.Open(sealed, keystile.ProviderClientSecretPlace(name))
	if err != nil {
		return "", fmt.Errorf("open the client secret of identity provider %q: %w", name, err)
	}
	return keystile.Secret(plain), nil
}
