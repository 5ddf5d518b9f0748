package oidc_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/oidc"
)

func encoded(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// byKey is how app says who it is, with an assertion for the issuer; change replaces its
// claims, and nil takes one out.
func (w *world) byKey(key ed25519.PrivateKey, change map[string]any) []string {
	w.t.Helper()
	claims := map[string]any{"iss": "app", "sub": "app", "aud": issuer, "jti": rand.Text(), "iat": w.now().Unix(), "exp": w.now().Add(time.Minute).Unix()}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return []string{"client_secret", "", "client_assertion_type", byKey, "client_assertion", signed(w.t, key, "EdDSA", claims)}
}

// profiled is app as a client of FAPI 2.0 Security Profile: private_key_jwt and DPoP.
type profiled struct {
	*relyingParty
	key ed25519.PrivateKey
	h   *holder
}

// ask is a request of the plan.
func (p *profiled) ask(pairs ...string) []string {
	return flat(query(append([]string{"client_id", ""}, pairs...)...))
}

func (p *profiled) push(pairs []string, more ...string) reply {
	p.t.Helper()
	return p.post("/oauth/par", slices.Concat(p.byKey(p.key, nil), pairs, more)...)
}

// pushed is the authorization request that a pushed one is used by, with nothing twice.
func (p *profiled) pushed(pairs ...string) url.Values {
	p.t.Helper()
	got := p.push(p.ask(pairs...))
	if life, _ := got.body["expires_in"].(float64); got.status != http.StatusCreated || life <= 0 || life >= 600 { //nolint:errcheck // 0 fails
		p.t.Fatalf("%d %v", got.status, got.body)
	}
	return url.Values{"client_id": {"app"}, "request_uri": {got.text("request_uri")}}
}

// code is that of a pushed request which was allowed.
func (p *profiled) code(pairs ...string) string {
	p.t.Helper()
	got := answerOf(p.t, p.decide(p.pushed(pairs...)))
	if len(got.Get("code")) < 40 || got.Get("iss") != issuer {
		p.t.Fatalf("%v", got)
	}
	return got.Get("code")
}

func (p *profiled) proof(claims map[string]any) []string {
	return []string{p.h.proofWith(p.t, claims, "POST", issuer+"/oauth/token", p.now(), "")}
}

// exchange redeems a code with a proof; pairs replace what is sent.
func (p *profiled) exchange(code string, proofs []string, pairs ...string) reply {
	p.t.Helper()
	return p.postWith(proofs, slices.Concat(p.byKey(p.key, nil), []string{"grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", verifier}, pairs)...)
}

func (p *profiled) tokens() reply {
	p.t.Helper()
	got := p.exchange(p.code(), p.proof(map[string]any{}))
	if got.status != http.StatusOK || got.text("token_type") != "DPoP" {
		p.t.Fatalf("%d %v", got.status, got.body)
	}
	return got
}

// resource asks userinfo with a token and proofs for it.
func (p *profiled) resource(scheme, token string, proofs ...string) reply {
	p.t.Helper()
	r := httptest.NewRequest(http.MethodGet, issuer+"/oauth/userinfo", nil)
	r.Header.Set("Authorization", scheme+" "+token)
	r.Header["Dpop"] = proofs
	return p.send(r)
}

// want checks an answer against a status and an error code.
func (p *profiled) want(got reply, status int, codes ...string) {
	p.t.Helper()
	if got.status != status || len(codes) > 0 && !slices.Contains(codes, got.text("error")) {
		p.t.Errorf("%d %v, want %d %v", got.status, got.body, status, codes)
	}
}

// notTaken wants a request that is answered with an error, or with a page.
func (p *profiled) notTaken(q url.Values) {
	p.t.Helper()
	step, err := p.server.Begin(p.t.Context(), q, &p.person, time.Time{})
	if refused := new(oidc.Refused); err == nil && parameters(p.t, step.Location).Get("error") == "" || err != nil && !errors.As(err, &refused) {
		p.t.Errorf("%+v, %v", step, err)
	}
}

// pushing is a module that wants a pushed request refused.
func pushing(status int, code string, pairs ...string) func(*profiled) {
	return func(p *profiled) { p.want(p.push(p.ask(pairs...)), status, code) }
}

// asserting is one that wants an assertion refused, wherever it is sent.
func asserting(change func(now time.Time) map[string]any) func(*profiled) {
	return func(p *profiled) {
		who := func() []string { return p.byKey(p.key, change(p.now())) }
		p.want(p.post("/oauth/par", slices.Concat(who(), p.ask())...), http.StatusUnauthorized, "invalid_client")
		p.want(p.exchange(p.code(), p.proof(map[string]any{}), who()...), http.StatusUnauthorized, "invalid_client")
	}
}

// succeeding goes the whole way with more in the request, and more in every proof.
func succeeding(claims func(now time.Time) map[string]any, pairs ...string) func(*profiled) {
	return func(p *profiled) {
		if claims == nil {
			claims = func(time.Time) map[string]any { return map[string]any{} }
		}
		got := p.exchange(p.code(pairs...), p.proof(claims(p.now())))
		p.want(got, http.StatusOK)
		token := got.text("access_token")
		p.want(p.resource("DPoP", token, p.h.proofWith(p.t, claims(p.now()), "GET", issuer+"/oauth/userinfo", p.now(), token)), http.StatusOK)
	}
}

// shifted are proofs of a clock that goes wrong by so much.
func shifted(d time.Duration, status int) func(*profiled) {
	return func(p *profiled) {
		code := p.code()
		got := p.exchange(code, []string{p.h.proof(p.t, "POST", issuer+"/oauth/token", p.now().Add(d), "")})
		if p.want(got, status); status != http.StatusOK {
			return
		}
		token := got.text("access_token")
		p.want(p.resource("DPoP", token, p.h.proof(p.t, "GET", issuer+"/oauth/userinfo", p.now().Add(d), token)), http.StatusOK)
	}
}

// secured are the modules of the plan for FAPI 2.0 Security Profile with private_key_jwt,
// DPoP and unsigned requests, by the names that the suite's classes have behind
// "FAPI2SPFinal". RefreshToken is not all of it: see docs/standards.md.
var secured = map[string]func(*profiled){
	"DiscoveryEndpointVerification": func(p *profiled) {
		m := p.metadata()
		for name, want := range map[string]string{
			"dpop_signing_alg_values_supported": "ES256", "id_token_signing_alg_values_supported": "ES256", "token_endpoint_auth_methods_supported": "private_key_jwt",
			"token_endpoint_auth_signing_alg_values_supported": "ES256", "code_challenge_methods_supported": "S256",
		} {
			if list, _ := m[name].([]any); !slices.Contains(list, any(want)) { //nolint:errcheck // none fails
				p.t.Errorf("%s: %v", name, m[name])
			}
		}
		if m["pushed_authorization_request_endpoint"] != issuer+"/oauth/par" || m["authorization_response_iss_parameter_supported"] != true {
			p.t.Errorf("%v", m)
		}
	},
	"HappyFlow": succeeding(nil),
	"UserRejectsAuthentication": func(p *profiled) {
		step, err := p.server.Decide(p.t.Context(), p.pushed(), p.person, time.Time{}, false)
		if err != nil || p.checkError(p.answer(step)) != "access_denied" {
			p.t.Errorf("%+v, %v", step, err)
		}
	},
	"EnsureAuthorizationRequestWithoutStateSuccess":    succeeding(nil, "state", ""),
	"EnsureAuthorizationRequestWithoutNonceSuccess":    succeeding(nil, "nonce", ""),
	"EnsureAuthorizationRequestWith64CharNonceSuccess": succeeding(nil, "nonce", strings.Repeat("n", 64)),
	"EnsureAuthorizationRequestWithLongNonce":          succeeding(nil, "nonce", strings.Repeat("n", 384)),
	"EnsureAuthorizationRequestWithLongState":          succeeding(nil, "state", strings.Repeat("s", 384)),
	"EnsureOtherScopeOrderSucceeds":                    succeeding(nil, "scope", "sites:read openid"),
	"CheckDpopProofNbfExp": succeeding(func(now time.Time) map[string]any {
		return map[string]any{"nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	}),
	"EnsureDpopProofWithIat10SecondsBeforeSucceeds": shifted(-10*time.Second, http.StatusOK),
	"EnsureDpopProofWithIat10SecondsAfterSucceeds":  shifted(10*time.Second, http.StatusOK),
	"AccessTokenTypeHeaderCaseSensitivity": func(p *profiled) {
		token := p.tokens().text("access_token")
		for _, scheme := range []string{"DPoP", "dpop", "DPOP", "dPoP"} {
			p.want(p.resource(scheme, token, p.h.proof(p.t, "GET", issuer+"/oauth/userinfo", p.now(), token)), http.StatusOK)
		}
	},
	"TestClaimsParameterIdentityClaims": func(p *profiled) {
		got := p.exchange(p.code("scope", "openid", "claims", `{"id_token":{"name":null},"userinfo":{"email":null}}`), p.proof(map[string]any{}))
		if id := claimsOf(p.t, got.text("id_token")); id["name"] != "Ann Archer" || id["email"] != nil {
			p.t.Errorf("%v", id)
		}
	},
	"EnsureRequestObjectWithoutRedirectUriFails":             pushing(http.StatusBadRequest, "invalid_request", "redirect_uri", ""),
	"EnsureRedirectUriInAuthorizationRequest":                pushing(http.StatusBadRequest, "invalid_request", "redirect_uri", ""),
	"EnsureRegisteredRedirectUri":                            pushing(http.StatusBadRequest, "invalid_request", "redirect_uri", callback+"/other"),
	"EnsureResponseTypeCodeIdTokenFails":                     pushing(http.StatusBadRequest, "unsupported_response_type", "response_type", "code id_token"),
	"EnsureResponseTypeTokenFails":                           pushing(http.StatusBadRequest, "unsupported_response_type", "response_type", "token"),
	"PAREnsurePKCERequired":                                  pushing(http.StatusBadRequest, "invalid_request", "code_challenge", "", "code_challenge_method", ""),
	"PAREnsurePlainPKCERejected":                             pushing(http.StatusBadRequest, "invalid_request", "code_challenge_method", "plain"),
	"PARRejectRequestUriInParAuthorizationFormParams":        pushing(http.StatusBadRequest, "invalid_request", "request_uri", "urn:ietf:params:oauth:request_uri:x"),
	"EnsureUnsignedAuthorizationRequestWithoutUsingParFails": func(p *profiled) { p.notTaken(query()) },
	"StateOnlyOutsideRequestObjectNotUsed": func(p *profiled) {
		q := p.pushed("state", "")
		q.Set("state", "outside")
		if got := answerOf(p.t, p.decide(q)); got.Has("state") || got.Get("code") == "" {
			p.t.Errorf("%v", got)
		}
	},
	"PARRejectInvalidHttpVerb": func(p *profiled) {
		for _, method := range []string{"GET", "PUT"} {
			got := p.send(httptest.NewRequest(method, issuer+"/oauth/par", nil))
			if p.want(got, http.StatusMethodNotAllowed); got.header.Get("Allow") != "POST" {
				p.t.Errorf("%v", got.header)
			}
		}
	},
	"PARWithoutDuplicateParameters": succeeding(nil),
	"PAREnsureServerAcceptsReusedRequestUriBeforeAuthenticationCompletion": func(p *profiled) {
		q := p.pushed()
		for range 2 {
			if step := p.begin(q, time.Time{}); step.Consent == nil {
				p.t.Fatalf("%+v", step)
			}
		}
		if got := answerOf(p.t, p.decide(q)); got.Get("code") == "" {
			p.t.Errorf("%v", got)
		}
	},
	"PARAttemptReuseRequestUri": func(p *profiled) {
		q := p.pushed()
		p.decide(q)
		p.notTaken(q)
	},
	"PARAttemptToUseExpiredRequestUri": func(p *profiled) {
		q := p.pushed()
		p.pass(9 * time.Minute)
		p.notTaken(q)
	},
	"PAREnsureRequestUriIsBoundToClient": func(p *profiled) {
		q := p.pushed()
		q.Set("client_id", "twin")
		p.notTaken(q)
	},
	"PAREnsurePKCECodeVerifierRequired": func(p *profiled) {
		p.want(p.exchange(p.code(), p.proof(map[string]any{}), "code_verifier", ""), http.StatusBadRequest, "invalid_grant")
	},
	"PARIncorrectPKCECodeVerifierRejected": func(p *profiled) {
		p.want(p.exchange(p.code(), p.proof(map[string]any{}), "code_verifier", verifier+"x"), http.StatusBadRequest, "invalid_grant")
	},
	"EnsureHolderOfKeyRequired": func(p *profiled) { p.want(p.exchange(p.code(), nil), http.StatusBadRequest, "invalid_dpop_proof") },
	"EnsureClientAssertionInTokenEndpoint": func(p *profiled) {
		p.want(p.exchange(p.code(), p.proof(map[string]any{}), "client_assertion", "", "client_assertion_type", ""), http.StatusUnauthorized, "invalid_client")
	},
	"EnsureClientIdInTokenEndpoint": func(p *profiled) {
		p.want(p.exchange(p.code(), p.proof(map[string]any{}), "client_id", "twin"), http.StatusUnauthorized, "invalid_client")
	},
	"EnsureAuthorizationCodeIsBoundToClient": func(p *profiled) {
		key := p.signerOf("twin")
		p.want(p.exchange(p.code(), p.proof(map[string]any{}), append(p.byKey(key, map[string]any{"iss": "twin", "sub": "twin"}), "client_id", "twin")...), http.StatusBadRequest, "invalid_grant")
	},
	"AttemptReuseAuthorizationCodeAfterOneSecond": func(p *profiled) {
		code := p.code()
		token := p.exchange(code, p.proof(map[string]any{})).text("access_token")
		p.pass(time.Second)
		p.want(p.exchange(code, p.proof(map[string]any{})), http.StatusBadRequest, "invalid_grant")
		p.want(p.resource("DPoP", token, p.h.proof(p.t, "GET", issuer+"/oauth/userinfo", p.now(), token)), http.StatusUnauthorized, "invalid_token")
	},
	"AttemptToUseExpiredAuthCode": func(p *profiled) {
		code := p.code()
		p.pass(time.Minute)
		p.want(p.exchange(code, p.proof(map[string]any{})), http.StatusBadRequest, "invalid_grant")
	},
	"EnsureClientAssertionWithExpIs5MinutesInPastFails": asserting(func(now time.Time) map[string]any {
		return map[string]any{"exp": now.Add(-5 * time.Minute).Unix(), "iat": now.Add(-6 * time.Minute).Unix()}
	}),
	"EnsureClientAssertionWithWrongAudFails": asserting(func(time.Time) map[string]any { return map[string]any{"aud": "https://other.example.com"} }),
	"EnsureClientAssertionWithNoSubFails":    asserting(func(time.Time) map[string]any { return map[string]any{"sub": nil} }),
	"PAREndpointAsArrayAudienceFails": asserting(func(time.Time) map[string]any {
		return map[string]any{"aud": []string{issuer, "https://other.example.com"}}
	}),
	"PAREndpointAsAudienceFails":      asserting(func(time.Time) map[string]any { return map[string]any{"aud": issuer + "/oauth/par"} }),
	"PARTokenEndpointAsAudienceFails": asserting(func(time.Time) map[string]any { return map[string]any{"aud": issuer + "/oauth/token"} }),
	"PAREnsureJWTClientAssertionWithIatNbfOver60SecondsInTheFutureFails": asserting(func(now time.Time) map[string]any {
		return map[string]any{"iat": now.Add(65 * time.Second).Unix(), "nbf": now.Add(65 * time.Second).Unix(), "exp": now.Add(2 * time.Minute).Unix()}
	}),
	"PAREnsureJWTClientAssertionWithIatNbf8SecondsInTheFutureIsAccepted": func(p *profiled) {
		soon := p.now().Add(8 * time.Second).Unix()
		p.want(p.post("/oauth/par", slices.Concat(p.byKey(p.key, map[string]any{"iat": soon, "nbf": soon}), p.ask())...), http.StatusCreated)
	},
	"DpopNegativeTests": func(p *profiled) {
		token := p.tokens().text("access_token")
		target := issuer + "/oauth/userinfo"
		good := func() string { return p.h.proof(p.t, "GET", target, p.now(), token) }
		p.want(p.resource("DPoP", token, p.h.proof(p.t, "GET", target+"?a=b#c", p.now(), token)), http.StatusOK)
		once := good()
		p.want(p.resource("DPoP", token, once), http.StatusOK)
		other := newHolder(p.t)
		for name, proofs := range map[string][]string{
			"none": nil, "two": {good(), good()}, "no token": {"x"}, "cut short": {good()[:40]}, "of another key": {other.proof(p.t, "GET", target, p.now(), token)},
			"for another token": {p.h.proof(p.t, "GET", target, p.now(), "x")}, "for none": {p.h.proof(p.t, "GET", target, p.now(), "")}, "another method": {p.h.proof(p.t, "PUT", target, p.now(), token)},
			"another URL": {p.h.proof(p.t, "GET", issuer+"/oauth/token", p.now(), token)}, "an hour ago": {p.h.proof(p.t, "GET", target, p.now().Add(-time.Hour), token)},
			"in an hour": {p.h.proof(p.t, "GET", target, p.now().Add(time.Hour), token)}, "a second time": {once},
		} {
			if got := p.resource("DPoP", token, proofs...); got.status != http.StatusUnauthorized || got.header.Get("Www-Authenticate") != `DPoP realm="keystile", error="invalid_token", algs="RS256 ES256 EdDSA"` {
				p.t.Errorf("%s: %d %v", name, got.status, got.body)
			}
		}
		p.want(p.resource("Bearer", token), http.StatusUnauthorized, "invalid_token")
	},
	"RefreshToken": func(p *profiled) {
		first := p.tokens()
		ask := func(proofs []string) reply {
			return p.postWith(proofs, append(p.byKey(p.key, nil), "grant_type", "refresh_token", "refresh_token", first.text("refresh_token"))...)
		}
		p.want(ask(nil), http.StatusBadRequest, "invalid_dpop_proof")
		p.h = newHolder(p.t) // a client that proves who it is may change its key
		again := ask(p.proof(map[string]any{}))
		if p.want(again, http.StatusOK); again.text("token_type") != "DPoP" || again.header.Get("Cache-Control") != "no-store" {
			p.t.Errorf("%v", again.body)
		}
	},
}

// TestConformanceOfFAPI2SecurityProfile goes through the modules of the OpenID Foundation's
// plan for FAPI 2.0 Security Profile, Final. What tokens bound to certificates do
// otherwise is tested where there is TLS.
func TestConformanceOfFAPI2SecurityProfile(t *testing.T) {
	for name, module := range secured {
		t.Run("fapi2-security-profile-final-test-plan/"+name, func(t *testing.T) {
			w := newWorld(t)
			p := &profiled{&relyingParty{w, ""}, w.signerOf("app"), newHolder(t)}
			p.named("Ann Archer", "ann@example.com")
			p.changeClient("app", func(c *keystile.OAuthClient) { c.PushedOnly, c.DPoP = true, true })
			module(p)
		})
	}
}
