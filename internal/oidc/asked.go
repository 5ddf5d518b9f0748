package oidc

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/oauthtoken"
)

// The ways in which a code is answered (OAuth 2.0 Multiple Response Type Encoding
// Practices, section 2.1). Fragments are for tokens, which no redirect carries here.
const (
	modeQuery    = "query"
	modeFormPost = "form_post"
)

var responseModes = []string{modeQuery, modeFormPost}

// take reads what a client asks for. A refusal is an *Error, for the client.
func (s *Server) take(ctx context.Context, a *authorization, query url.Values) error {
	if e := a.take(query); e != nil {
		return e
	}
	hint := query.Get("id_token_hint")
	if hint == "" {
		return nil
	}
	c, err := s.hinted(ctx, hint)
	var refused *Refused
	switch {
	case errors.As(err, &refused) || err == nil && c.text("aud") != a.client.id():
		return badRequest("id_token_hint is not a token of this server for this client.")
	case err != nil:
		return err
	}
	a.subjects = append(a.subjects, []string{c.text("sub")})
	return nil
}

// take reads what a client asks for.
//
//nolint:gocyclo // a list of checks, one after the other
func (a *authorization) take(query url.Values) *Error {
	if err := checkOnce(query); err != nil {
		return badRequest("A parameter is there more than once.")
	}
	switch {
	case len(query.Get("state")) > maxParameter || len(query.Get("nonce")) > maxParameter:
		return badRequest("state or nonce is too long.")
	case query.Has("request") || query.Has("request_uri"):
		name := "request_not_supported"
		if query.Has("request_uri") {
			name = "request_uri_not_supported"
		}
		return refuse(name, "Request objects are not taken.")
	case query.Get("response_type") == "":
		return badRequest("response_type is missing.")
	case query.Get("response_type") != "code":
		return refuse("unsupported_response_type", "Only response_type=code is supported.")
	case query.Get("response_mode") != "" && !slices.Contains(responseModes, query.Get("response_mode")):
		return badRequest("The response_mode is not supported.")
	case query.Get("response_mode") == modeFormPost && !postable(a.redirectURI):
		return badRequest("A form can be posted to http and https alone.")
	case a.pushed == nil && a.client.Client.PushedOnly:
		return badRequest("The client has to push its requests.")
	case !a.client.may(keystile.GrantAuthorizationCode):
		return refuse("unauthorized_client", "The client may not use authorization codes.")
	}
	a.nonce, a.hint, a.thumbprint = query.Get("nonce"), query.Get("login_hint"), query.Get("dpop_jkt")
	if a.thumbprint != "" && !isChallenge(a.thumbprint) { // both are base64url of 32 bytes
		return badRequest("dpop_jkt is not a thumbprint.")
	}
	if e := a.takeChallenge(query); e != nil {
		return e
	}
	if e := a.takePrompt(query); e != nil {
		return e
	}
	if e := a.takeClaims(query); e != nil {
		return e
	}
	if a.scopes = askedScopes(a.client, words[keystile.Scope](query.Get("scope"))); a.scopes == nil {
		return refuse("invalid_scope", "The client may not ask for that scope.")
	}
	var e *Error
	a.audiences, e = audiencesOf(a.client, query["resource"])
	return e
}

// takeChallenge reads PKCE (RFC 7636): S256 alone, because plain protects nothing, and
// required of clients that have no secret.
func (a *authorization) takeChallenge(query url.Values) *Error {
	a.challenge = query.Get("code_challenge")
	switch {
	case a.challenge == "" && query.Get("code_challenge_method") != "":
		return badRequest("code_challenge is missing.")
	case a.challenge == "" && a.client.Client.Public:
		return badRequest("A public client has to send code_challenge (PKCE).")
	case a.challenge == "" && a.client.Client.PushedOnly: // FAPI 2.0 Security Profile, section 5.3.2.2
		return badRequest("A client whose requests have to be pushed has to send code_challenge (PKCE).")
	case a.challenge == "":
		return nil
	case query.Get("code_challenge_method") != "S256": // absent means plain (section 4.3)
		return badRequest("code_challenge_method has to be S256.")
	case !isChallenge(a.challenge):
		return badRequest("code_challenge is not that of S256.")
	}
	return nil
}

// isChallenge knows base64url of 32 bytes.
func isChallenge(text string) bool {
	return len(text) == 43 && !strings.ContainsFunc(text, func(r rune) bool { return !isUnreserved(r) || r == '.' || r == '~' })
}

func isUnreserved(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' || r == '~'
}

// takePrompt reads what is asked of the sign-in (OpenID Connect Core, section 3.1.2.1).
func (a *authorization) takePrompt(query url.Values) *Error {
	a.prompt = words[string](query.Get("prompt"))
	for _, p := range a.prompt {
		if !slices.Contains(prompts, p) {
			return badRequest("prompt is not supported.")
		}
	}
	if slices.Contains(a.prompt, "none") && len(a.prompt) > 1 {
		return badRequest("prompt=none stands alone.")
	}
	a.maxAge = -1
	if text := query.Get("max_age"); text != "" {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return badRequest("max_age is not a number of seconds.")
		}
		a.maxAge = time.Duration(seconds) * time.Second
	}
	return nil
}

// takeClaims reads which claims, and which authentication context, are asked for (OpenID
// Connect Core, sections 5.5 and 3.1.2.1). The claim says more than acr_values.
func (a *authorization) takeClaims(query url.Values) *Error {
	if text := query.Get("claims"); text != "" {
		var ok bool
		if a.claims, ok = parseClaims(text); !ok {
			return badRequest("claims is not what OpenID Connect Core, section 5.5, says, or longer than 4 KiB.")
		}
	}
	a.claims.userinfo, a.claims.idToken = allowedClaims(&a.client.Client, a.claims.userinfo), allowedClaims(&a.client.Client, a.claims.idToken)
	a.subjects, a.acr = a.claims.subjects, a.claims.acr
	if len(query.Get("acr_values")) > maxParameter {
		return badRequest("acr_values is too long.")
	}
	if len(a.acr.values) == 0 {
		a.acr.values = words[string](query.Get("acr_values"))
	}
	return nil
}

// prompts are the values of prompt that are supported.
var prompts = []string{"none", "login", "consent", "select_account"}

// askedScopes are the scopes a client asks for: those it is registered for, if it names
// none. Of those that tell of a person the ones it is not registered for are left out
// (OpenID Connect Core, section 5.4); any other is refused: nil.
func askedScopes(c *client, asked []keystile.Scope) []keystile.Scope {
	if len(asked) == 0 {
		return append([]keystile.Scope{}, c.Client.Scopes...)
	}
	scopes := []keystile.Scope{}
	for _, want := range asked {
		covered := slices.ContainsFunc(c.Client.Scopes, func(have keystile.Scope) bool { return have.Covers(want) })
		switch {
		case covered:
			scopes = append(scopes, want)
		case !oauthtoken.IsIdentity(want) && want != "address" && want != "phone": // of which nothing is known here
			return nil
		}
	}
	if len(scopes) == 0 {
		return nil
	}
	return scopes
}

// audiencesOf are the resources that are asked for: those that the client may ask for
// (RFC 8707, section 2). None: tokens for this server's own gateway.
func audiencesOf(c *client, asked []string) ([]string, *Error) {
	var list []string
	for _, resource := range asked {
		if !c.mayTarget(resource) {
			return nil, refuse("invalid_target", "The client may not ask for tokens for that resource.")
		}
		if !slices.Contains(list, resource) {
			list = append(list, resource)
		}
	}
	return list, nil
}
