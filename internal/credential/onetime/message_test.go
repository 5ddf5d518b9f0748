package onetime_test

import (
	"errors"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/onetime"
	"keystile.dev/keystile/sdk/go/sign"
)

const target = "https://bank.example/finapi/payments?dry=1"

// post is a signed request with a body, changed on its way.
func post(t testing.TB, key string, change func(r *keystile.Request)) *keystile.Request {
	t.Helper()
	r := signed(t, signer(t, sharedKeys(t)[key]), "POST", target, `{"amount":"10.00"}`, sign.Stamp{Time: t0})
	r.Header["Content-Type"] = []string{"application/json"}
	if change != nil {
		change(r)
	}
	return r
}

func body(text string) func(int64) ([]byte, error) {
	return func(limit int64) ([]byte, error) {
		if int64(len(text)) > limit {
			return nil, keystile.ErrBodyTooLarge
		}
		return []byte(text), nil
	}
}

func TestWhatAMessageSignatureCoversCannotChangeOnItsWay(t *testing.T) {
	const invalid, malformed = keystile.ReasonSignatureInvalid, keystile.ReasonCredentialMalformed
	input := func(old, with string) func(*keystile.Request) {
		return func(r *keystile.Request) {
			lines := r.Header["Signature-Input"]
			if !strings.Contains(lines[0], old) {
				t.Fatalf("%q is not in %q", old, lines[0])
			}
			r.Header["Signature-Input"] = []string{strings.Replace(lines[0], old, with, 1)}
		}
	}
	for what, c := range map[string]struct {
		change func(*keystile.Request)
		want   keystile.Reason
	}{
		"nothing":                     {nil, ""},
		"a field that is not covered": {func(r *keystile.Request) { r.Header["Content-Type"] = []string{"text/plain"} }, ""},
		"another label": {func(r *keystile.Request) {
			r.Header["Signature-Input"][0] = strings.Replace(r.Header["Signature-Input"][0], "sig1", "*any-label_1", 1)
			r.Header["Signature"][0] = strings.Replace(r.Header["Signature"][0], "sig1", "*any-label_1", 1)
		}, ""},
		"white space of the field": {input(";created", "; created"), ""},
		"method":                   {func(r *keystile.Request) { r.Method = "PUT" }, invalid},
		"scheme":                   {func(r *keystile.Request) { r.Scheme = "http" }, invalid},
		"host":                     {func(r *keystile.Request) { r.Host = "other.example" }, invalid},
		"path":                     {func(r *keystile.Request) { r.Path = "/finapi/payouts" }, invalid},
		"path, encoded otherwise":  {func(r *keystile.Request) { r.Path = "/finapi/%70ayments" }, invalid},
		"query":                    {func(r *keystile.Request) { r.RawQuery = "dry=0" }, invalid},
		"query, more":              {func(r *keystile.Request) { r.RawQuery += "&x=1" }, invalid},
		"query, none":              {func(r *keystile.Request) { r.RawQuery = "" }, invalid},
		"body":                     {func(r *keystile.Request) { r.Body = body(`{"amount":"99.00"}`) }, invalid},
		"body, none":               {func(r *keystile.Request) { r.Body = body("") }, invalid},
		"body and digest": {func(r *keystile.Request) {
			r.Body = body("")
			r.Header["Content-Digest"] = []string{"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"}
		}, invalid},
		"digest gone": {func(r *keystile.Request) { delete(r.Header, "Content-Digest") }, invalid},
		"digest twice": {func(r *keystile.Request) {
			d := r.Header["Content-Digest"]
			r.Header["Content-Digest"] = append(d, d...)
		}, invalid},
		"digest no longer covered":   {input(` "content-digest"`, ""), invalid},
		"target no longer covered":   {input(` "@target-uri"`, ""), malformed},
		"method no longer covered":   {input(`"@method" `, ""), malformed},
		"order":                      {input(`"@method" "@target-uri"`, `"@target-uri" "@method"`), invalid},
		"created":                    {input("created=1700000000", "created=1700000001"), invalid},
		"created far off":            {input("created=1700000000", "created=1700000061"), keystile.ReasonClockSkew},
		"created gone":               {input("created=1700000000;", ""), malformed},
		"created as text":            {input("created=1700000000", `created="1700000000"`), malformed},
		"created as a decimal":       {input("created=1700000000", `created=1700000000.0`), malformed},
		"created as a date":          {input("created=1700000000", `created=@1700000000`), malformed},
		"created negative":           {input("created=1700000000", `created=-1`), malformed},
		"nonce gone":                 {input(";nonce=", ";nonsense="), malformed},
		"nonce another":              {input(`nonce="`, `nonce="x`), invalid},
		"nonce as a token":           {input(`nonce="`, `nonce=abcdefghijklmnopq;x="`), malformed},
		"keyid gone":                 {input(";keyid=", ";kid="), malformed},
		"keyid of an unknown key":    {input(`keyid="`, `keyid="x`), keystile.ReasonCredentialUnknown},
		"keyid of another key":       {input(`keyid="demo-api-key"`, `keyid="nl-api-key"`), invalid},
		"alg gone":                   {input(`;alg="hmac-sha256"`, ""), invalid},
		"a tag":                      {input(";created", `;tag="x";created`), invalid},
		"expires before created":     {input(";created", `;expires=1;created`), malformed},
		"a component twice":          {input(`"@method"`, `"@method" "@method"`), malformed},
		"a component of a response":  {input(`"@method"`, `"@status" "@method"`), malformed},
		"an unknown component":       {input(`"@method"`, `"@magic" "@method"`), malformed},
		"its own parameters":         {input(`"@method"`, `"@signature-params" "@method"`), malformed},
		"a parameter sf":             {input(`"content-digest"`, `"content-digest";sf`), malformed},
		"a parameter bs":             {input(`"content-digest"`, `"content-digest";bs`), malformed},
		"a parameter key":            {input(`"content-digest"`, `"content-digest";key="sha-256"`), malformed},
		"a parameter req":            {input(`"@method"`, `"@method";req`), malformed},
		"a parameter tr":             {input(`"content-digest"`, `"content-digest";tr`), malformed},
		"a query parameter nameless": {input(`"@method"`, `"@query-param" "@method"`), malformed},
		"a field name in upper case": {input(`"content-digest"`, `"Content-Digest"`), malformed},
		"a field that is not there":  {input(`"content-digest"`, `"content-digest" "x-absent"`), invalid},
		"two labels":                 {func(r *keystile.Request) { r.Header["Signature-Input"][0] += ", sig2=()" }, malformed},
		"two signatures":             {func(r *keystile.Request) { r.Header["Signature"][0] += ", sig2=:AAAA:" }, malformed},
		"two fields": {func(r *keystile.Request) {
			r.Header["Signature-Input"] = append(r.Header["Signature-Input"], "sig2=()")
		}, malformed},
		"two fields Signature": {func(r *keystile.Request) { r.Header["Signature"] = append(r.Header["Signature"], "sig2=:AAAA:") }, malformed},
		"labels that differ": {func(r *keystile.Request) {
			r.Header["Signature"][0] = strings.Replace(r.Header["Signature"][0], "sig1", "sig2", 1)
		}, malformed},
		"Signature alone":            {func(r *keystile.Request) { delete(r.Header, "Signature-Input") }, malformed},
		"Signature-Input alone":      {func(r *keystile.Request) { delete(r.Header, "Signature") }, malformed},
		"an API key beside it":       {func(r *keystile.Request) { r.Header["X-Api-Key"] = []string{"opa_prod_x"} }, malformed},
		"an Authorization beside it": {func(r *keystile.Request) { r.Header["Authorization"] = []string{"Bearer x"} }, malformed},
		"a body over 64 KiB":         {func(r *keystile.Request) { r.Body = body(strings.Repeat("x", 64<<10+1)) }, keystile.ReasonBodyTooLarge},
		"a compressed body":          {func(r *keystile.Request) { r.Header["Content-Encoding"] = []string{"gzip"} }, keystile.ReasonRequestInvalid},
		"a point that sees no body":  {func(r *keystile.Request) { r.Body = nil }, keystile.ReasonRequestInvalid},
		"a body that cannot be read": {func(r *keystile.Request) { r.Body = func(int64) ([]byte, error) { return nil, errors.New("reset") } }, keystile.ReasonStoreUnavailable},
		"a signature of draft-cavage": {func(r *keystile.Request) {
			delete(r.Header, "Signature-Input")
			r.Header["Signature"] = []string{`keyId="k",signature="x"`}
		}, malformed},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.want(t, post(t, "hs", c.change), true, c.want)
			if c.want != "" && len(w.ledger.spent) != 0 {
				t.Error("a nonce was spent")
			}
		})
	}
}

// custom signs a GET request over the components and parameters of a test.
func custom(t testing.TB, components, parameters string, lines ...string) *keystile.Request {
	t.Helper()
	params := "(" + components + ");" + parameters
	base := strings.Join(append(lines, `"@signature-params": `+params), "\n")
	r := bearer("")
	r.Path, r.RawQuery = "/p", "a=1&b=2"
	r.Header = keystile.Header{
		"Signature-Input": {"s=" + params}, "Signature": {"s=:" + base64Of(hmacWith("demo-secret")([]byte(base))) + ":"},
	}
	return r
}

func TestTheTargetMayBeCoveredInParts(t *testing.T) {
	const parameters = `created=1700000000;nonce="` + nonce + `";keyid="demo-api-key"`
	method, scheme, authority := `"@method": GET`, `"@scheme": https`, `"@authority": bank.example`
	for what, c := range map[string]struct {
		components string
		lines      []string
		want       keystile.Reason
	}{
		"path and query":             {`"@method" "@scheme" "@authority" "@path" "@query"`, []string{method, scheme, authority, `"@path": /p`, `"@query": ?a=1&b=2`}, ""},
		"request target":             {`"@method" "@scheme" "@authority" "@request-target"`, []string{method, scheme, authority, `"@request-target": /p?a=1&b=2`}, ""},
		"URI and a query parameter":  {`"@method" "@target-uri" "@query-param";name="b"`, []string{method, `"@target-uri": https://bank.example/p?a=1&b=2`, `"@query-param";name="b": 2`}, ""},
		"without query":              {`"@method" "@scheme" "@authority" "@path"`, []string{method, scheme, authority, `"@path": /p`}, keystile.ReasonCredentialMalformed},
		"without authority":          {`"@method" "@scheme" "@path" "@query"`, []string{method, scheme, `"@path": /p`, `"@query": ?a=1&b=2`}, keystile.ReasonCredentialMalformed},
		"without scheme":             {`"@method" "@authority" "@path" "@query"`, []string{method, authority, `"@path": /p`, `"@query": ?a=1&b=2`}, keystile.ReasonCredentialMalformed},
		"host instead of authority":  {`"@method" "@scheme" "host" "@path" "@query"`, []string{method, scheme, `"host": bank.example`, `"@path": /p`, `"@query": ?a=1&b=2`}, keystile.ReasonCredentialMalformed},
		"query parameters for query": {`"@method" "@scheme" "@authority" "@path" "@query-param";name="a" "@query-param";name="b"`, []string{method, scheme, authority, `"@path": /p`, `"@query-param";name="a": 1`, `"@query-param";name="b": 2`}, keystile.ReasonCredentialMalformed},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.want(t, custom(t, c.components, parameters, c.lines...), true, c.want)
		})
	}
}

func TestExpiresNarrowsTheWindow(t *testing.T) {
	w := newWorld(t)
	r := custom(t, `"@method" "@target-uri"`, `created=1700000000;expires=1700000010;nonce="`+nonce+`";keyid="demo-api-key";tag="x";other=?0`,
		`"@method": GET`, `"@target-uri": https://bank.example/p?a=1&b=2`)
	w.at(t0.Add(10e9))
	w.want(t, r, false, "")
	w.at(t0.Add(10e9 + 1))
	w.want(t, r, true, keystile.ReasonCredentialExpired)
}

func TestABodyNeedsAContentDigest(t *testing.T) {
	bodiless := func() *keystile.Request {
		return custom(t, `"@method" "@target-uri"`, `created=1700000000;nonce="`+nonce+`";keyid="demo-api-key"`,
			`"@method": GET`, `"@target-uri": https://bank.example/p?a=1&b=2`)
	}
	for what, c := range map[string]struct {
		change func(*keystile.Request)
		want   keystile.Reason
	}{
		"no body": {func(*keystile.Request) {}, ""},
		"a body":  {func(r *keystile.Request) { r.Body = body("x") }, keystile.ReasonSignatureInvalid},
		"a body, digest not covered": {func(r *keystile.Request) {
			r.Body = body("x")
			r.Header["Content-Digest"] = []string{"sha-256=:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=:"}
		}, keystile.ReasonSignatureInvalid},
		"a point that sees no body":             {func(r *keystile.Request) { r.Body = nil }, ""},
		"a body out of sight":                   {func(r *keystile.Request) { r.Body = nil; r.Header["Content-Length"] = []string{"1"} }, keystile.ReasonRequestInvalid},
		"a body of unknown length out of sight": {func(r *keystile.Request) { r.Body = nil; r.Header["Transfer-Encoding"] = []string{"chunked"} }, keystile.ReasonRequestInvalid},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			r := bodiless()
			c.change(r)
			w.want(t, r, true, c.want)
		})
	}
}

func TestContentDigestsOfBothAlgorithmsAreChecked(t *testing.T) {
	const sha256 = "sha-256=:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=:"
	const sha512 = "sha-512=:pKvURIxJVi2CgRXROh/M6pJ/UrTVRZKX+LQ+QtqJI4vBNibkPcs43bCCSIkn7JBPtCBXRDmD6IWFF51QVRr+Yg==:"
	w := newWorld(t)
	for digest, want := range map[string]keystile.Reason{
		sha256:                           "",
		sha256 + ", md5=:AAAA:":          "",
		sha512:                           "",
		sha256 + "," + sha512:            "",
		sha512 + ",sha-256=:AAAA:":       keystile.ReasonSignatureInvalid,
		"sha-512=:AAAA:":                 keystile.ReasonSignatureInvalid,
		"md5=:ndTkRMvNjVpGTFzFpFDTcw==:": keystile.ReasonCredentialMalformed,
		"sha-256=LXEW":                   keystile.ReasonCredentialMalformed,
		"SHA-256=:LXEW:":                 keystile.ReasonCredentialMalformed,
		sha256 + ", " + sha256:           keystile.ReasonCredentialMalformed,
		"":                               keystile.ReasonCredentialMalformed,
	} {
		t.Run(digest, func(t *testing.T) {
			r := custom(t, `"@method" "@target-uri" "content-digest"`, `created=1700000000;nonce="`+nonce+`";keyid="demo-api-key"`,
				`"@method": GET`, `"@target-uri": https://bank.example/p?a=1&b=2`, `"content-digest": `+digest)
			r.Header["Content-Digest"] = []string{digest}
			r.Body = body("x")
			w.want(t, r, false, want)
		})
	}
}

func TestAMessageSignatureIsGoodForEveryKeyAndOnce(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"hs", "hs-newline", "rs", "es", "ed"} {
		r := post(t, key, nil)
		w.want(t, r, true, "")
		w.want(t, r, true, keystile.ReasonReplayed)
		w.change(sharedKeys(t)[key].APIKey, func(r *onetime.Record) { r.Key.RevokedAt = t0 })
		w.want(t, post(t, key, nil), true, keystile.ReasonCredentialRevoked)
	}
}
