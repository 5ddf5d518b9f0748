package sessionjwt_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
	"keystile.dev/keystile/internal/credential/credentialtest"
	"keystile.dev/keystile/internal/credential/sessionjwt"
)

func TestItBehavesAsEveryKindDoes(t *testing.T) {
	for name, mint := range map[string]func(*world, string) string{"ona": (*world).ona, "standard": (*world).standard} {
		t.Run(name, func(t *testing.T) {
			credentialtest.Run(t, func(t *testing.T) credentialtest.Fixture {
				w := newWorld(t, nil)
				return credentialtest.Fixture{
					Kind: w.kind,
					Good: func(*testing.T) (keystile.Found, keystile.Principal) {
						return found(mint(w, acmeSession)), keystile.Principal{CredentialID: acmeSession, OrganizationID: "acme"}
					},
					Revoke: func(*testing.T, keystile.Found) {
						w.change(acmeSession, keystile.ChangeSession, func(r *sessionjwt.Record) { r.Session.RevokedAt = w.now })
					},
					DisableOrganization: func(*testing.T) {
						w.change(acmeSession, keystile.ChangeOrganization, func(r *sessionjwt.Record) { r.Organization.Disabled = true })
					},
					BreakStore: func(*testing.T) { w.mu.Lock(); defer w.mu.Unlock(); w.broken = true },
				}
			})
		})
	}
}

func TestAnOnaTokenHasThePlatformsClaimsAndNoOthersButOurs(t *testing.T) {
	w := newWorld(t, nil)
	token := w.ona(acmeSession)
	if head := strings.Split(token, ".")[0]; head != part(`{"alg":"HS256","typ":"JWT"}`) || !strings.HasPrefix(token, "eyJhbGciOiJIUzI1NiIs") {
		t.Errorf("header %s", head)
	}
	claims := claimsOf(t, token)
	var names []string
	for name := range claims {
		names = append(names, name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"customer_ids", "exp", "group_id", "iat", "jti", "role_id", "sid", "skin_id", "user_id", "username"}) {
		t.Errorf("claims %v", names)
	}
	if claims["skin_id"] != nil || claims["group_id"] != "grp-1" || number(t, claims["exp"])-number(t, claims["iat"]) != 86400 || claims["sid"] != acmeSession {
		t.Errorf("%v", claims)
	}
	w.record[acmeSession].User.CustomerIDs, w.record[acmeSession].User.GroupID = nil, ""
	claims = claimsOf(t, w.ona(acmeSession))
	if list, ok := claims["customer_ids"].([]any); !ok || len(list) != 0 || claims["group_id"] != nil {
		t.Errorf("%v", claims)
	}
}

func TestAStandardTokenTellsIssuerAudienceAndHowTheUserSignedIn(t *testing.T) {
	w := newWorld(t, nil)
	r := w.record[acmeSession]
	token, expires, err := w.minter.Standard(t.Context(), r.Session, r.User, "https://api.example.com", time.Hour)
	if err != nil || !expires.Equal(w.now.Add(time.Hour)) {
		t.Fatal(expires, err)
	}
	claims := claimsOf(t, token.Reveal())
	for name, want := range map[string]any{
		"iss": issuer, "sub": "user_acme", "aud": "https://api.example.com", "sid": acmeSession, "organization": "acme", "auth_time": 1.7e9,
	} {
		if claims[name] != want {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}
	// It was made for somebody else: this server is not its audience.
	w.wants(token.Reveal(), keystile.ReasonCredentialUnknown)
	w.wants(w.standard(acmeSession), "")
}

func TestThePrincipalIsWhatTheStoreSaysAndNotTheToken(t *testing.T) {
	w := newWorld(t, nil)
	for _, mint := range []func(string) string{w.ona, w.standard} {
		token := mint(acmeSession)
		p := w.wants(token, "")
		if p.Subject != "user:user_acme" || p.OrganizationID != "acme" || p.Kind != keystile.KindSessionJWT || p.CredentialID != acmeSession ||
			p.UserID != "user_acme" || p.Username != "ann@acme.example" || p.Role != "role_analyst" || p.GroupID != "grp-1" || p.SessionID != acmeSession ||
			p.Environment != keystile.Production || !slices.Equal(p.Scopes, []keystile.Scope{"telemetry:read"}) || !slices.Equal(p.SiteIDs, []string{"Sibaya"}) ||
			len(p.Methods) != 3 || !p.AuthenticatedAt.Equal(w.now) || !p.ExpiresAt.Equal(w.now.Add(24*time.Hour)) {
			t.Errorf("%+v", p)
		}
		w.change(acmeSession, keystile.ChangeUser, func(r *sessionjwt.Record) {
			r.User.RoleID, r.Role = "role_guest", keystile.Role{ID: "role_guest"}
		})
		if p := w.wants(token, ""); p.Role != "role_guest" || len(p.Scopes) != 0 {
			t.Errorf("demoted: %+v", p)
		}
		w.add(acmeSession, "acme")
		w.kind.Apply(keystile.Change{Kind: keystile.ChangeAll})
	}
}

func TestThreat27_WhatEndedIsRefusedAtTheNextRequest(t *testing.T) {
	for name, c := range map[string]struct {
		kind   keystile.ChangeKind
		edit   func(*sessionjwt.Record)
		reason keystile.Reason
	}{
		"signed out":                         {keystile.ChangeSession, func(r *sessionjwt.Record) { r.Session.RevokedAt = time.Unix(1, 0) }, keystile.ReasonCredentialRevoked},
		"disabled":                           {keystile.ChangeUser, func(r *sessionjwt.Record) { r.User.Disabled = true }, keystile.ReasonCredentialRevoked},
		"of a disabled organisation":         {keystile.ChangeOrganization, func(r *sessionjwt.Record) { r.Organization.Disabled = true }, keystile.ReasonCredentialRevoked},
		"moved to another organisation":      {keystile.ChangeUser, func(r *sessionjwt.Record) { r.User.OrganizationID = "other" }, keystile.ReasonCredentialUnknown},
		"a session cut short":                {keystile.ChangeSession, func(r *sessionjwt.Record) { r.Session.ExpiresAt = time.Unix(1_700_000_000, 0) }, keystile.ReasonCredentialExpired},
		"a row of another session":           {keystile.ChangeSession, func(r *sessionjwt.Record) { r.Session.ID = strings.ToUpper(acmeSession) }, keystile.ReasonCredentialUnknown},
		"a session given to another user":    {keystile.ChangeSession, func(r *sessionjwt.Record) { r.Session.UserID = "user_other" }, keystile.ReasonCredentialUnknown},
		"a role that is not the user's role": {keystile.ChangeRole, func(r *sessionjwt.Record) { r.Role.ID = "role_admin" }, keystile.ReasonCredentialUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			tokens := []string{w.ona(acmeSession), w.standard(acmeSession)}
			for _, token := range tokens {
				w.wants(token, "")
			}
			w.change(acmeSession, c.kind, c.edit)
			for _, token := range tokens {
				w.wants(token, c.reason)
			}
		})
	}
	t.Run("deleted", func(t *testing.T) {
		w := newWorld(t, nil)
		token := w.ona(acmeSession)
		w.wants(token, "")
		delete(w.record, acmeSession)
		w.kind.Apply(keystile.Change{Kind: keystile.ChangeSession, ID: acmeSession})
		w.wants(token, keystile.ReasonCredentialUnknown)
	})
}

func TestThreat28_ASessionIsReadAgainWhenTheKeyOrProviderThatOpenedItChanges(t *testing.T) {
	for _, kind := range []keystile.ChangeKind{keystile.ChangeKey, keystile.ChangeProvider, keystile.ChangeRole} {
		w := newWorld(t, nil)
		r := w.record[acmeSession]
		r.Session.APIKeyID, r.Session.ProviderName = "key_1", "external-sso"
		token := w.ona(acmeSession)
		w.wants(token, "")
		w.wants(token, "")
		if w.reads != 1 {
			t.Errorf("%d reads", w.reads)
		}
		w.change(acmeSession, kind, func(r *sessionjwt.Record) { r.ParentsLive = false })
		w.wants(token, keystile.ReasonCredentialRevoked)
	}
}

func TestATokenEndsAtItsExpAndNeverAfterItsSession(t *testing.T) {
	w := newWorld(t, nil)
	tokens := []string{w.ona(acmeSession), w.standard(acmeSession)}
	for _, token := range tokens {
		w.wants(token, "")
	}
	w.now = w.now.Add(24*time.Hour - time.Second)
	for _, token := range tokens {
		w.wants(token, "")
	}
	w.now = w.now.Add(time.Second)
	for _, token := range tokens {
		w.wants(token, keystile.ReasonCredentialExpired)
	}
	w.record[acmeSession].Session.ExpiresAt = w.now.Add(time.Hour)
	r := w.record[acmeSession]
	token, expires, err := w.minter.Ona(t.Context(), r.Session, r.User)
	if err != nil || !expires.Equal(r.Session.ExpiresAt) || claimsOf(t, token.Reveal())["exp"] != float64(expires.Unix()) {
		t.Errorf("it ends %s, %v", expires, err)
	}
}

func TestNoTokenIsMintedForASessionThatEndedOrIsAnothersOrIsTooLong(t *testing.T) {
	w := newWorld(t, nil)
	good := *w.record[acmeSession]
	for name, edit := range map[string]func(*sessionjwt.Record){
		"revoked":       func(r *sessionjwt.Record) { r.Session.RevokedAt = w.now },
		"ended":         func(r *sessionjwt.Record) { r.Session.ExpiresAt = w.now },
		"another's":     func(r *sessionjwt.Record) { r.User.ID = "user_other" },
		"elsewhere":     func(r *sessionjwt.Record) { r.User.OrganizationID = "other" },
		"no session":    func(r *sessionjwt.Record) { r.Session.ID = "" },
		"no end stated": func(r *sessionjwt.Record) { r.Session.ExpiresAt = time.Time{} },
	} {
		r := good
		edit(&r)
		if _, _, err := w.minter.Ona(t.Context(), r.Session, r.User); err == nil {
			t.Errorf("%s: minted", name)
		}
		if _, _, err := w.minter.Standard(t.Context(), r.Session, r.User, "", 0); err == nil {
			t.Errorf("%s: minted", name)
		}
	}
	r := good
	r.User.CustomerIDs = slices.Repeat([]string{"customer-0123456789"}, 400)
	if _, _, err := w.minter.Ona(t.Context(), r.Session, r.User); err == nil || !strings.Contains(err.Error(), "too many customers") {
		t.Errorf("a token longer than %d bytes: %v", credential.MaxLength, err)
	}
}

func TestARememberedTokenReadsNothingAndItsUseIsReportedOnce(t *testing.T) {
	w := newWorld(t, nil)
	token := w.standard(acmeSession)
	for range 20 {
		w.wants(token, "")
	}
	if w.reads != 1 || len(w.used) != 1 || w.used[0].SessionID != acmeSession {
		t.Errorf("%d reads, used %v", w.reads, w.used)
	}
	if w.kind.Warm() != 1 {
		t.Errorf("%d are remembered", w.kind.Warm())
	}
}

func TestConfiguredIssuerAndAudienceOfOnaTokensAreWrittenAndAskedFor(t *testing.T) {
	w := newWorld(t, func(o *sessionjwt.Options, m *sessionjwt.MinterOptions) {
		o.OnaIssuer, o.OnaAudience, m.OnaIssuer, m.OnaAudience = "ona", "terminal", "ona", "terminal"
	})
	token := w.ona(acmeSession)
	if claims := claimsOf(t, token); claims["iss"] != "ona" || claims["aud"] != "terminal" {
		t.Errorf("%v", claims)
	}
	w.wants(token, "")
	for name, change := range map[string]func(map[string]any){
		"no issuer":                 func(c map[string]any) { delete(c, "iss") },
		"another issuer":            func(c map[string]any) { c["iss"] = "Ona" },
		"no audience":               func(c map[string]any) { delete(c, "aud") },
		"another audience":          func(c map[string]any) { c["aud"] = "terminal2" },
		"our own issuer's standard": func(c map[string]any) { c["iss"] = issuer },
	} {
		t.Log(name)
		w.wants(with(t, token, change), keystile.ReasonCredentialUnknown)
	}
	w.wants(with(t, token, func(c map[string]any) { c["aud"] = []string{"terminal"} }), "malformed")
}

func TestThreat20_64CallersWithOneTokenAreOneLookUpAndAFloodOfOthersRefusesNone(t *testing.T) {
	w := newWorld(t, nil)
	good := w.ona(acmeSession)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			if _, err := w.verify(good); err != nil {
				t.Error(err)
			}
			bad := good[:len(good)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"[i%32])
			if bad == good {
				return
			}
			if p, err := w.verify(bad); err == nil {
				t.Errorf("a changed signature was taken: %v", p)
			}
		})
	}
	wg.Wait()
}

func TestACallerWhoGivesUpLeavesNothingBehind(t *testing.T) {
	w := newWorld(t, nil)
	token := w.ona(acmeSession)
	presented := must(w.kind.Parse(request(), found(token)))(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.kind.Verify(ctx, presented); err != nil && (errors.Is(err, keystile.ErrRejected) || !errors.Is(err, keystile.ErrUnavailable)) {
		t.Errorf("got %v", err)
	}
	w.wants(token, "")
}

func TestWhatWasNotParsedIsNoToken(t *testing.T) {
	w := newWorld(t, nil)
	if p, err := w.kind.Verify(t.Context(), keystile.Presented{Kind: keystile.KindSessionJWT}); p != nil || !errors.Is(err, keystile.ErrRejected) {
		t.Errorf("%v %v", p, err)
	}
}

func TestTheKindAndTheMinterNeedTheirParts(t *testing.T) {
	if _, err := sessionjwt.New(sessionjwt.Options{}); err == nil {
		t.Error("a kind without parts")
	}
	if _, err := sessionjwt.NewMinter(sessionjwt.MinterOptions{}); err == nil {
		t.Error("a minter without parts")
	}
}

func BenchmarkARememberedToken(b *testing.B) {
	w := newWorld(b, nil)
	r := request()
	r.Header = keystile.Header{"Authorization": {"Bearer " + w.ona(acmeSession)}}
	route := &keystile.Route{Accept: []keystile.KindName{keystile.KindSessionJWT}}
	b.ReportAllocs()
	for b.Loop() {
		f, rejection := credential.Find(r, route)
		if rejection != nil {
			b.Fatal(rejection)
		}
		presented, err := w.kind.Parse(r, f)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.kind.Verify(context.Background(), presented); err != nil {
			b.Fatal(err)
		}
	}
}
