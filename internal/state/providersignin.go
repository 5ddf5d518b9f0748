package state

import (
	"bytes"
	"fmt"
	"slices"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// signIn is how people sign in at an identity provider.
type signIn struct {
	ClientID     string          `yaml:"client_id,required" doc:"Our client id at the provider. The redirect URI to register there is PUBLIC_URL/login/with/NAME/callback."`
	ClientSecret keystile.Secret `yaml:"client_secret" doc:"Our client secret there. Without one we are a public client."`
	Sealed       *sealed         `yaml:"sealed" doc:"In place of client_secret, as an export writes it: MASTERKEY:BASE64."`
	Label        string          `yaml:"label" doc:"What its button says. Absent: the name."`
	Scopes       []string        `yaml:"scopes" doc:"Scopes to ask for. Absent: openid, email, profile."`
	LinkByEmail  bool            `yaml:"link_by_email" doc:"Whether the first sign-in finds a user that is there by an e-mail address that the provider says it has verified."`
	TrustedAMR   []string        `yaml:"trusted_amr" doc:"Values of amr (RFC 8176), such as mfa, that stand for a second factor the provider has asked for. Absent: Keystile asks for its own."`
	Unlisted     bool            `yaml:"unlisted" doc:"Its button is on /login?organization=ORGANIZATION alone."`
}

// settings is what an entry says, without its secret; nil for none.
func (s *signIn) settings() *keystile.ProviderSignIn {
	if s == nil {
		return nil
	}
	return &keystile.ProviderSignIn{
		ClientID: s.ClientID, Label: s.Label, Scopes: slices.Clone(s.Scopes), LinkByEmail: s.LinkByEmail, TrustedAMR: slices.Clone(s.TrustedAMR), Unlisted: s.Unlisted,
	}
}

// checkSecret checks the client secret of an entry.
func (s *signIn) checkSecret(c *checker, e *entry[identityProvider]) {
	if s == nil {
		return
	}
	if s.ClientSecret != "" && s.Sealed != nil {
		c.add(e.from, e.path("sign_in.sealed"), "keep one of them", "client_secret and sealed exclude each other")
	}
	if s.ClientSecret != "" {
		c.adopt(e.from, e.path(""), manage.CheckProviderClientSecret(s.ClientSecret))
	}
}

// clientSecret gives want the client secret of the file. One that is the stored one
// stays sealed as it is, so that applying again writes nothing.
func clientSecret(r *run, file *signIn, old keystile.IdentityProvider, want *manage.NewIdentityProvider, d *diff) error {
	var stored []byte
	if old.SignIn != nil {
		stored = old.SignIn.SealedSecret
	}
	var given keystile.Secret
	var err error
	switch {
	case file == nil || file.ClientSecret == "" && file.Sealed == nil:
		if len(stored) > 0 {
			d.text("sign_in.client_secret", "old", "none")
		}
		return nil
	case file.ClientSecret != "":
		given = file.ClientSecret
	case bytes.Equal(file.Sealed.data, stored):
		want.Provider.SignIn.SealedSecret = stored
		return nil
	default:
		if given, err = r.service.OpenClientSecret(old.Name, file.Sealed.data); err != nil {
			return keystile.Invalidf("sign_in.sealed", "apply it to the store that it was exported from, or give the secret", "does not open in this store")
		}
	}
	if len(stored) > 0 {
		kept, err := r.service.OpenClientSecret(old.Name, stored)
		if err != nil {
			return fmt.Errorf("compare the client secret with the stored one: %w", err)
		}
		if kept.Equal(given) {
			want.Provider.SignIn.SealedSecret = stored
			return nil
		}
	}
	want.ClientSecret = given
	d.text("sign_in.client_secret", oldOrNone(string(stored)), "new")
	return nil
}

func signInDiff(d *diff, old, want *keystile.ProviderSignIn) {
	if old == nil {
		old = &keystile.ProviderSignIn{}
	}
	if want == nil {
		want = &keystile.ProviderSignIn{}
	}
	d.text("sign_in.client_id", old.ClientID, want.ClientID)
	d.text("sign_in.label", old.Label, want.Label)
	list(d, "sign_in.scopes", old.Scopes, want.Scopes)
	d.text("sign_in.link_by_email", fmt.Sprint(old.LinkByEmail), fmt.Sprint(want.LinkByEmail))
	list(d, "sign_in.trusted_amr", old.TrustedAMR, want.TrustedAMR)
	d.text("sign_in.unlisted", fmt.Sprint(old.Unlisted), fmt.Sprint(want.Unlisted))
}

// signIn writes how people sign in at a provider, in one line.
func (x *exporter) signIn(s *section, p *keystile.ProviderSignIn) error {
	if p == nil {
		return nil
	}
	text := "{client_id: " + scalar(p.ClientID)
	if len(p.SealedSecret) > 0 {
		value, err := x.sealed(p.SealedSecret)
		if err != nil {
			return err
		}
		text += ", sealed: " + scalar(value)
	}
	if p.Label != "" {
		text += ", label: " + scalar(p.Label)
	}
	for _, l := range []struct {
		name  string
		words []string
	}{{"scopes", p.Scopes}, {"trusted_amr", p.TrustedAMR}} {
		if len(l.words) > 0 {
			text += ", " + l.name + ": " + flow(l.words)
		}
	}
	if p.LinkByEmail {
		text += ", link_by_email: true"
	}
	if p.Unlisted {
		text += ", unlisted: true"
	}
	s.raw("sign_in", text+"}")
	return nil
}
