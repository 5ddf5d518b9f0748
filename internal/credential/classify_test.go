package credential_test

import (
	"encoding/base64"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
)

func jwt(header, claims string) string {
	enc := base64.RawURLEncoding
	return enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestTheTextAloneNamesTheKind(t *testing.T) {
	object := `{"organization":"bank-x","apiKey":"k"}`
	for name, c := range map[string]struct {
		text string
		want keystile.KindName
	}{
		"an API key of ours needs a look-up":         {"opa_prod_V24MWaMOt9xqkx6uRTOIOpVcS2MMOEFL25g303", ""},
		"a foreign key needs a look-up":              {"sk_live_0123456789", ""},
		"an application key":                         {"ak_test_x", keystile.KindPartner},
		"a session token":                            {"st_prod_x", keystile.KindPartner},
		"a temporary key":                            {"tk_test_fd1cc8562360ff06b6e524aa", keystile.KindPartner},
		"an opaque access token":                     {"ot_x", keystile.KindOAuthToken},
		"a JWT access token":                         {jwt(`{"alg":"ES256","typ":"at+jwt"}`, `{}`), keystile.KindOAuthToken},
		"a JWT access token with a full media type":  {jwt(`{"typ":"application/AT+JWT"}`, `{}`), keystile.KindOAuthToken},
		"a JWT with apiKey":                          {jwt(`{"alg":"HS256"}`, `{"apiKey":"k"}`), keystile.KindOneTime},
		"a JWT with sub and nonce":                   {jwt(`{"alg":"HS256"}`, `{"sub":"k","nonce":"n"}`), keystile.KindOneTime},
		"a JWT with sub, nonce and iss is a session": {jwt(`{}`, `{"sub":"k","nonce":"n","iss":"i"}`), keystile.KindSessionJWT},
		"a JWT with sub, nonce and sid is a session": {jwt(`{}`, `{"sub":"k","nonce":"n","sid":"i"}`), keystile.KindSessionJWT},
		"a JWT with apiKey in escapes":               {jwt(`{"alg":"HS256"}`, `{"\u0061piKey":"k"}`), keystile.KindOneTime},
		"a JWT with nonce in escapes":                {jwt(`{"alg":"HS256"}`, `{"sub":"k","n\u006fnce":"n"}`), keystile.KindOneTime},
		"a JWT with apiKey as a value":               {jwt(`{"alg":"HS256"}`, `{"x":"apiKey"}`), keystile.KindSessionJWT},
		"a JWT with apiKey further in":               {jwt(`{"alg":"HS256"}`, `{"x":{"apiKey":"k"}}`), keystile.KindSessionJWT},
		"a JWT with apiKey twice":                    {jwt(`{"alg":"HS256"}`, `{"apiKey":"k","apiKey":"l"}`), keystile.KindOneTime},
		"a JWT with a long payload":                  {jwt(`{"alg":"HS256"}`, `{"x":"`+strings.Repeat("x", 3000)+`","apiKey":"k"}`), keystile.KindOneTime},
		"a JWT whose typ has another name":           {jwt(`{"TYP":"at+jwt"}`, `{"apiKey":"k"}`), keystile.KindOneTime},
		"base64 of an empty object":                  {"e30=", keystile.KindOneTime},
		"a session JWT":                              {jwt(`{"alg":"HS256","typ":"JWT"}`, `{"user_id":"u"}`), keystile.KindSessionJWT},
		"three parts that cannot be read":            {"a.b.c", keystile.KindSessionJWT},
		"base64 of a JSON object":                    {base64.StdEncoding.EncodeToString([]byte(object)), keystile.KindOneTime},
		"base64url of a JSON object without padding": {base64.RawURLEncoding.EncodeToString([]byte(object)), keystile.KindOneTime},
		"base64 of an object with white space":       {base64.StdEncoding.EncodeToString([]byte("{\n \"a\":1}")), keystile.KindOneTime},
		"base64 of a JSON array":                     {base64.StdEncoding.EncodeToString([]byte(`["a"]`)), ""},
		"text that only begins like base64 JSON":     {"eyJ*", ""},
		"a key that begins with ez":                  {"ezABCDEFGHIJ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := credential.Classify(c.text); got != c.want {
				t.Errorf("Classify(%q) = %q, want %q", c.text, got, c.want)
			}
		})
	}
}

func TestExactlyOneCredentialIsFound(t *testing.T) {
	route := &keystile.Route{CredentialHeader: "X-Device-Key", CredentialQuery: "key"}
	plain := &keystile.Route{}
	for name, c := range map[string]struct {
		route  *keystile.Route
		header keystile.Header
		query  string
		want   string
		reason keystile.Reason
	}{
		"x-api-key":                        {plain, keystile.Header{"X-Api-Key": {"k1"}}, "", "k1", ""},
		"bearer":                           {plain, keystile.Header{"Authorization": {"Bearer k1"}}, "", "k1", ""},
		"bearer in any case":               {plain, keystile.Header{"Authorization": {"bEARER k1"}}, "", "k1", ""},
		"raw authorization":                {plain, keystile.Header{"Authorization": {"k1"}}, "", "k1", ""},
		"a key that begins with bearer":    {plain, keystile.Header{"Authorization": {"bearerkey1"}}, "", "bearerkey1", ""},
		"the route's own header":           {route, keystile.Header{"X-Device-Key": {"k1"}}, "", "k1", ""},
		"the route's query parameter":      {route, nil, "a=1&key=k1", "k1", ""},
		"none":                             {plain, nil, "", "", keystile.ReasonCredentialMissing},
		"the query where no route says so": {plain, nil, "key=k1", "", keystile.ReasonCredentialMissing},
		"another route's header":           {plain, keystile.Header{"X-Device-Key": {"k1"}}, "", "", keystile.ReasonCredentialMissing},
		"doubled":                          {plain, keystile.Header{"X-Api-Key": {"k1", "k1"}}, "", "", keystile.ReasonCredentialMalformed},
		"two different":                    {plain, keystile.Header{"X-Api-Key": {"k1"}, "Authorization": {"Bearer k2"}}, "", "", keystile.ReasonCredentialMalformed},
		"header and query":                 {route, keystile.Header{"X-Api-Key": {"k1"}}, "key=k1", "", keystile.ReasonCredentialMalformed},
		"doubled in the query":             {route, nil, "key=k1&k%65y=k2", "", keystile.ReasonCredentialMalformed},
		"empty":                            {plain, keystile.Header{"X-Api-Key": {""}}, "", "", keystile.ReasonCredentialMalformed},
		"empty bearer":                     {plain, keystile.Header{"Authorization": {"Bearer "}}, "", "", keystile.ReasonCredentialMalformed},
		"bearer alone":                     {plain, keystile.Header{"Authorization": {"Bearer"}}, "", "", keystile.ReasonCredentialMalformed},
		"another scheme":                   {plain, keystile.Header{"Authorization": {"Basic azE6"}}, "", "", keystile.ReasonCredentialMalformed},
		"over-long":                        {plain, keystile.Header{"X-Api-Key": {strings.Repeat("k", 8<<10+1)}}, "", "", keystile.ReasonCredentialMalformed},
		"non-ASCII":                        {plain, keystile.Header{"X-Api-Key": {"kéy"}}, "", "", keystile.ReasonCredentialMalformed},
		"a control character":              {plain, keystile.Header{"X-Api-Key": {"k\x00y"}}, "", "", keystile.ReasonCredentialMalformed},
		"a bad escape in the query":        {route, nil, "key=%zz", "", keystile.ReasonCredentialMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			found, rejection := credential.Find(&keystile.Request{Header: c.header, RawQuery: c.query}, c.route)
			var reason keystile.Reason
			if rejection != nil {
				reason = rejection.Reason
			}
			if found.Value.Reveal() != c.want || reason != c.reason {
				t.Errorf("got %q, %q; want %q, %q", found.Value.Reveal(), reason, c.want, c.reason)
			}
		})
	}
}

func TestAMessageSignatureIsACredentialOnlyWhereOneTimeRequestsAreTaken(t *testing.T) {
	once := &keystile.Route{Accept: []keystile.KindName{keystile.KindOneTime}}
	both := &keystile.Route{Accept: []keystile.KindName{keystile.KindAPIKey, keystile.KindOneTime}}
	keys := &keystile.Route{Accept: []keystile.KindName{keystile.KindAPIKey}}
	signature := keystile.Header{"Signature": {"s=:AA==:"}, "Signature-Input": {"s=()"}}
	with := func(name, value string) keystile.Header {
		h := keystile.Header{name: {value}}
		for k, v := range signature {
			h[k] = v
		}
		return h
	}
	for name, c := range map[string]struct {
		route  *keystile.Route
		header keystile.Header
		kind   keystile.KindName
		from   string
		reason keystile.Reason
	}{
		"a signature":                            {once, signature, keystile.KindOneTime, "Signature", ""},
		"a signature, where keys are taken too":  {both, signature, keystile.KindOneTime, "Signature", ""},
		"half of one":                            {once, keystile.Header{"Signature-Input": {"s=()"}}, keystile.KindOneTime, "Signature", ""},
		"the other half":                         {once, keystile.Header{"Signature": {"s=:AA==:"}}, keystile.KindOneTime, "Signature", ""},
		"a signature meant for the upstream":     {keys, with("X-Api-Key", "k"), "", "X-Api-Key", ""},
		"no credential but one for the upstream": {keys, signature, "", "", keystile.ReasonCredentialMissing},
		"a signature and a key":                  {both, with("X-Api-Key", "k"), "", "", keystile.ReasonCredentialMalformed},
		"a signature and an Authorization":       {once, with("Authorization", "Bearer x"), "", "", keystile.ReasonCredentialMalformed},
		"a spoilt header is a one-time request":  {once, keystile.Header{"Authorization": {"Bearer ***"}}, keystile.KindOneTime, "Authorization", ""},
		"or a key, where keys are taken":         {both, keystile.Header{"Authorization": {"Bearer ***"}}, "", "Authorization", ""},
		"a key of ours stays one":                {once, keystile.Header{"Authorization": {"Bearer opa_prod_x"}}, "", "Authorization", ""},
		"a key in its own field stays one":       {once, keystile.Header{"X-Api-Key": {"aGVsbG8="}}, "", "X-Api-Key", ""},
	} {
		t.Run(name, func(t *testing.T) {
			found, rejection := credential.Find(&keystile.Request{Header: c.header}, c.route)
			var reason keystile.Reason
			if rejection != nil {
				reason = rejection.Reason
			}
			if found.Kind != c.kind || found.Header != c.from || reason != c.reason {
				t.Errorf("got %+v, %q", found, reason)
			}
		})
	}
}

func FuzzClassify(f *testing.F) {
	for _, seed := range []string{"opa_prod_x", "a.b.c", "eyJhIjoxfQ==", "ak_", "..", "e", "ey=="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if first, second := credential.Classify(text), credential.Classify(text); first != second {
			t.Fatalf("Classify(%q) = %q, then %q", text, first, second)
		}
		found, rejection := credential.Find(&keystile.Request{Header: keystile.Header{"Authorization": {text}}}, &keystile.Route{})
		if rejection == nil && found.Value == "" {
			t.Fatalf("Find(%q) found an empty credential", text)
		}
	})
}
