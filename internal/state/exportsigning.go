package state

import (
	"context"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/yamlfile"
)

// oneTime writes what an organisation asks of one-time requests unless it is the default.
func (s *section) oneTime(p keystile.OneTimePolicy) {
	var members []string
	if p.ClockWindow != 0 {
		members = append(members, "clock_window: "+windowText(p.ClockWindow))
	}
	if len(p.Forms) > 0 {
		members = append(members, "forms: ["+strings.Join(textsOf(p.Forms), ", ")+"]")
	}
	if len(members) > 0 {
		s.raw("onetime", "{"+strings.Join(members, ", ")+"}")
	}
}

func (s *section) leak(p keystile.LeakPolicy) {
	if p.Response == "" {
		return
	}
	members := "response: " + string(p.Response)
	if p.Grace != 0 {
		members += ", grace: " + windowText(p.Grace)
	}
	s.raw("leak", "{"+members+"}")
}

// block writes a text of whole lines as it stands.
func (s *section) block(name, text string) {
	const indent = "\n      "
	s.raw(name, "|"+indent+strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", indent))
}

// signingKeys writes live signing keys and returns the revoked ones, as keys does.
func (x *exporter) signingKeys(ctx context.Context, s *section) ([]keystile.SigningKey, error) {
	var revoked []keystile.SigningKey
	list := func(ctx context.Context, after string, limit int) ([]keystile.SigningKey, error) {
		return x.SigningKeys(ctx, store.SigningKeyFilter{Page: store.Page{AfterID: after, Limit: limit}})
	}
	err := every(ctx, list, storedSigningKeyID, func(a *keystile.SigningKey) error {
		if !a.RevokedAt.IsZero() {
			revoked = append(revoked, *a)
			return nil
		}
		if s.items.Len() > yamlfile.MaxState {
			return errTooLarge
		}
		return x.signingKey(s, a)
	})
	return revoked, err
}

func (x *exporter) revokedSigning(s *section, keys []keystile.SigningKey) error {
	for i := range keys {
		a := &keys[i]
		var sites []string
		for _, id := range a.PermittedSiteIDs {
			if x.sites[id] {
				sites = append(sites, id)
			}
		}
		a.PermittedSiteIDs = sites
		if err := x.signingKey(s, a); err != nil {
			return err
		}
	}
	return nil
}

func (x *exporter) signingKey(s *section, a *keystile.SigningKey) error {
	s.item()
	s.text("id", a.ID)
	s.text("organization", a.OrganizationID)
	s.text("api_key", a.APIKey)
	s.text("algorithm", string(a.Algorithm))
	switch {
	case a.Algorithm != keystile.HS256:
		s.block("public_key", a.PublicKey)
	case x.masterID == "":
		return errNoMasterID
	default:
		s.text("sealed", sealed{master: x.masterID, data: a.SealedSecret}.String())
	}
	s.text("name", a.Name)
	s.text("environment", string(a.Environment))
	s.list("permitted_site_ids", a.PermittedSiteIDs)
	s.list("scopes", textsOf(a.Scopes))
	s.text("expires_at", timeText(a.ExpiresAt))
	if a.Limit != nil {
		s.text("limit", a.Limit.String())
		s.text("limit_algorithm", string(a.Limit.Algorithm))
	}
	s.list("allowed_ips", textsOf(a.AllowedIPs))
	s.text("revoked_at", timeText(a.RevokedAt))
	return nil
}
