package onetime_test

import (
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/sdk/go/sign"
)

func rawECDSA(t testing.TB, signature []byte) []byte {
	t.Helper()
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &pair); err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 64)
	pair.R.FillBytes(raw[:32])
	pair.S.FillBytes(raw[32:])
	return raw
}

// Headers whose signature is good for the text a lenient reader would sign.
func TestASpoiltHeaderIsMalformedAndSpendsNothing(t *testing.T) {
	const name, malformed = "demo-api-key", keystile.ReasonCredentialMalformed
	full := func(nonce, stamp string) string {
		return `{"organization":"bank-x","apiKey":"demo-api-key","nonce":"` + nonce + `","timestamp":` + stamp + `,"accessToken":"SIGNATURE"}`
	}
	for what, c := range map[string]struct {
		signed, json string
		want         keystile.Reason
	}{
		"as it should be":              {name + nonce + "1700000000", full(nonce, "1700000000"), ""},
		"timestamp 1.7e9":              {name + nonce + "1700000000", full(nonce, "1.7e9"), malformed},
		"timestamp 1.7e9 as signed":    {name + nonce + "1.7e9", full(nonce, "1.7e9"), malformed},
		"timestamp 17E8":               {name + nonce + "1700000000", full(nonce, "17E8"), malformed},
		"timestamp 1700000000.0":       {name + nonce + "1700000000.0", full(nonce, "1700000000.0"), malformed},
		"timestamp as text":            {name + nonce + "1700000000", full(nonce, `"1700000000"`), malformed},
		"timestamp 2^63":               {name + nonce + "9223372036854775808", full(nonce, "9223372036854775808"), malformed},
		"timestamp 2^64 + now":         {name + nonce + "18446744075409551616", full(nonce, "18446744075409551616"), malformed},
		"timestamp in milliseconds":    {name + nonce + "1700000000000", full(nonce, "1700000000000"), keystile.ReasonClockSkew},
		"timestamp of 15 digits":       {name + nonce + "999999999999999", full(nonce, "999999999999999"), keystile.ReasonClockSkew},
		"timestamp zero":               {name + nonce + "0", full(nonce, "0"), keystile.ReasonClockSkew},
		"timestamp negative":           {name + nonce + "-1700000000", full(nonce, "-1700000000"), malformed},
		"timestamp with a sign":        {name + nonce + "+1700000000", full(nonce, "+1700000000"), malformed},
		"timestamp with leading zeros": {name + nonce + "001700000000", full(nonce, "001700000000"), malformed},
		"timestamp null":               {name + nonce + "null", full(nonce, "null"), malformed},
		"timestamp true":               {name + nonce + "1700000000", full(nonce, "true"), malformed},
		"timestamp hexadecimal":        {name + nonce + "0x6553f100", full(nonce, "0x6553f100"), malformed},
		"timestamp in an array":        {name + nonce + "1700000000", full(nonce, "[1700000000]"), malformed},
		"nonce with NUL":               {name + nonce + "\x001700000000", full(nonce+`\u0000`, "1700000000"), malformed},
		"nonce with raw NUL":           {name + nonce + "\x001700000000", full(nonce+"\x00", "1700000000"), malformed},
		"nonce with newline":           {name + nonce + "\n1700000000", full(nonce+`\n`, "1700000000"), malformed},
		"nonce with raw newline":       {name + nonce + "\n1700000000", full(nonce+"\n", "1700000000"), malformed},
		"nonce with space":             {name + nonce + " 1700000000", full(nonce+" ", "1700000000"), malformed},
		"nonce in Unicode":             {name + nonce + "é1700000000", full(nonce+"é", "1700000000"), malformed},
		"nonce in escaped Unicode":     {name + nonce + "é1700000000", full(nonce+`\u00e9`, "1700000000"), malformed},
		"nonce with half a surrogate":  {name + nonce + "1700000000", full(nonce+`\ud800`, "1700000000"), malformed},
		"nonce with a bad escape":      {name + nonce + "x1700000000", full(nonce+`\x`, "1700000000"), malformed},
		"nonce not in UTF-8":           {name + nonce + "\xff1700000000", full(nonce+"\xff", "1700000000"), malformed},
		"nonce escaped":                {name + nonce + "1700000000", full(`\u0030`+nonce[1:], "1700000000"), ""},
		"nonce of 15":                  {name + nonce[:15] + "1700000000", full(nonce[:15], "1700000000"), malformed},
		"nonce of 16":                  {name + nonce[:16] + "1700000000", full(nonce[:16], "1700000000"), ""},
		"nonce of 128":                 {name + strings.Repeat("n", 128) + "1700000000", full(strings.Repeat("n", 128), "1700000000"), ""},
		"nonce empty":                  {name + "1700000000", full("", "1700000000"), malformed},
		"nonce as a number":            {name + "1234567890123456" + "1700000000", strings.Replace(full("N", "1700000000"), `"N"`, "1234567890123456", 1), malformed},
		"organisation twice":           {name + nonce + "1700000000", `{"organization":"bank-y",` + full(nonce, "1700000000")[1:], malformed},
		"nonce twice":                  {name + nonce + "1700000000", `{"nonce":"` + nonce + `",` + full(nonce, "1700000000")[1:], malformed},
		"timestamp twice":              {name + nonce + "1700000000", `{"timestamp":1,` + full(nonce, "1700000000")[1:], malformed},
		"accessToken twice":            {name + nonce + "1700000000", `{"accessToken":"00",` + full(nonce, "1700000000")[1:], malformed},
		"an unknown member twice":      {name + nonce + "1700000000", `{"x":1,"x":2,` + full(nonce, "1700000000")[1:], malformed},
		"twice by an escape":           {name + nonce + "1700000000", `{"\u0061piKey":"rsa-2048",` + full(nonce, "1700000000")[1:], malformed},
		"a name in another case":       {name + nonce + "1700000000", strings.Replace(full(nonce, "1700000000"), "apiKey", "apikey", 1), malformed},
		"two objects":                  {name + nonce + "1700000000", full(nonce, "1700000000") + "{}", malformed},
		"a byte after":                 {name + nonce + "1700000000", full(nonce, "1700000000") + "x", malformed},
		"a comma at the end":           {name + nonce + "1700000000", strings.TrimSuffix(full(nonce, "1700000000"), "}") + ",}", malformed},
		"a comment":                    {name + nonce + "1700000000", strings.Replace(full(nonce, "1700000000"), "{", "{/**/", 1), malformed},
		"half an object":               {name + nonce + "1700000000", full(nonce, "1700000000")[:60], malformed},
		"a byte order mark":            {name + nonce + "1700000000", "\ufeff" + full(nonce, "1700000000"), malformed},
		"white space":                  {name + nonce + "1700000000", strings.ReplaceAll(full(nonce, "1700000000"), ",", " ,\n\t "), ""},
		"organisation null":            {name + nonce + "1700000000", strings.Replace(full(nonce, "1700000000"), `"bank-x"`, "null", 1), malformed},
		"organisation empty":           {name + nonce + "1700000000", strings.Replace(full(nonce, "1700000000"), "bank-x", "", 1), malformed},
		"another organisation":         {name + nonce + "1700000000", strings.Replace(full(nonce, "1700000000"), "bank-x", "bank-y", 1), keystile.ReasonCredentialUnknown},
		"API key empty":                {nonce + "1700000000", strings.Replace(full(nonce, "1700000000"), "demo-api-key", "", 1), malformed},
		"odd hexadecimal":              {name + nonce + "1700000000", strings.Replace(full(nonce, "1700000000"), "SIGNATURE", "SIGNATUREa", 1), malformed},
		"no hexadecimal":               {name + nonce + "1700000000", strings.Replace(full(nonce, "1700000000"), "SIGNATURE", "zz", 1), malformed},
		"hexadecimal and more":         {name + nonce + "1700000000", strings.Replace(full(nonce, "1700000000"), "SIGNATURE", "SIGNATURE00", 1), keystile.ReasonSignatureInvalid},
		"no signature":                 {name + nonce + "1700000000", strings.Replace(full(nonce, "1700000000"), "SIGNATURE", "", 1), malformed},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.want(t, object(c.signed, "%s", c.json), true, c.want)
			if c.want != "" && len(w.ledger.spent) != 0 {
				t.Error("a nonce was spent")
			}
		})
	}
}

func TestASpoiltJWTIsMalformed(t *testing.T) {
	const malformed = keystile.ReasonCredentialMalformed
	claims := func(old, with string) string { return strings.Replace(payload("demo-api-key"), old, with, 1) }
	const tail = "010101010101010101010101010101010101010101010101"
	for what, c := range map[string]struct {
		header, payload string
		want            keystile.Reason
	}{
		"as it should be":         {`{"alg":"HS256"}`, payload("demo-api-key"), ""},
		"iat 1.7e9":               {`{"alg":"HS256"}`, claims("1700000000", "1.7e9"), malformed},
		"iat 1700000000.0":        {`{"alg":"HS256"}`, claims("1700000000", "1700000000.0"), malformed},
		"exp as text":             {`{"alg":"HS256"}`, claims("1700000030", `"1700000030"`), malformed},
		"exp 2^63":                {`{"alg":"HS256"}`, claims("1700000030", "9223372036854775808"), malformed},
		"exp before iat":          {`{"alg":"HS256"}`, claims("1700000030", "1699999999"), malformed},
		"iat absent":              {`{"alg":"HS256"}`, claims(`"iat":1700000000,`, ""), malformed},
		"300 s":                   {`{"alg":"HS256"}`, claims("1700000030", "1700000300"), ""},
		"nbf now":                 {`{"alg":"HS256"}`, claims(`"iat"`, `"nbf":1700000000,"iat"`), ""},
		"nbf far ahead":           {`{"alg":"HS256"}`, claims(`"iat"`, `"nbf":1700000061,"iat"`), keystile.ReasonClockSkew},
		"nbf as text":             {`{"alg":"HS256"}`, claims(`"iat"`, `"nbf":"1700000000","iat"`), malformed},
		"aud a list":              {`{"alg":"HS256"}`, claims(`"bank-x"`, `["bank-x"]`), malformed},
		"aud absent":              {`{"alg":"HS256"}`, claims(`"aud":"bank-x",`, ""), malformed},
		"aud of another":          {`{"alg":"HS256"}`, claims("bank-x", "bank-y"), keystile.ReasonCredentialUnknown},
		"aud twice":               {`{"alg":"HS256"}`, claims(`"aud"`, `"aud":"bank-y","aud"`), malformed},
		"apiKey twice":            {`{"alg":"HS256"}`, claims(`"apiKey"`, `"apiKey":"rsa-2048","apiKey"`), malformed},
		"apiKey and the same sub": {`{"alg":"HS256"}`, claims(`"iat"`, `"sub":"demo-api-key","iat"`), ""},
		"apiKey a number":         {`{"alg":"HS256"}`, claims(`"demo-api-key"`, `7`), malformed},
		"nonce with newline":      {`{"alg":"HS256"}`, claims(nonce, nonce+`\n`), malformed},
		"nonce tail 5 s off":      {`{"alg":"HS256"}`, claims(nonce, tail+"000000006553f105"), ""},
		"nonce tail 6 s off":      {`{"alg":"HS256"}`, claims(nonce, tail+"000000006553f106"), keystile.ReasonClockSkew},
		"nonce tail huge":         {`{"alg":"HS256"}`, claims(nonce, tail+"ffffffffffffffff"), keystile.ReasonClockSkew},
		"nonce of 64 no hex":      {`{"alg":"HS256"}`, claims(nonce, strings.Repeat("g", 64)), ""},
		"alg twice":               {`{"alg":"none","alg":"HS256"}`, payload("demo-api-key"), malformed},
		"alg absent":              {`{"typ":"JWT"}`, payload("demo-api-key"), malformed},
		"alg a number":            {`{"alg":1}`, payload("demo-api-key"), malformed},
		"crit empty":              {`{"alg":"HS256","crit":[]}`, payload("demo-api-key"), malformed},
		"unencoded payload":       {`{"alg":"HS256","b64":false,"crit":["b64"]}`, payload("demo-api-key"), malformed},
		"jku, x5u and kid":        {`{"alg":"HS256","jku":"https://evil.example","x5u":"https://evil.example","kid":"../../x"}`, payload("demo-api-key"), ""},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.want(t, bearer(jwt(c.header, c.payload, hmacWith("demo-secret"))), true, c.want)
		})
	}
	t.Run("four parts are no JWT", func(t *testing.T) {
		w := newWorld(t)
		if _, _, err := w.present(bearer(jwt(`{"alg":"HS256"}`, payload("demo-api-key"), hmacWith("demo-secret"))+".x"), true); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("padding", func(t *testing.T) {
		w := newWorld(t)
		w.want(t, bearer(jwt(`{"alg":"HS256"}`, payload("demo-api-key"), hmacWith("demo-secret"))+"="), true, malformed)
	})
}

// A key of another organisation signs for that one only, in every form.
func TestAGoodKeyOfAnotherOrganisationSpeaksForItsOwnOnly(t *testing.T) {
	k := sharedKeys(t)["rs"]
	k.Organization = "bank-y"
	w := newWorld(t)
	s := signer(t, k)
	header, err := s.Header(sign.Stamp{Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.JWT(sign.Stamp{Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	w.want(t, bearer(header), true, keystile.ReasonCredentialUnknown)
	w.want(t, bearer(token), true, keystile.ReasonCredentialUnknown)
	principal, _, err := w.present(signed(t, s, "GET", "https://bank.example/x", "", sign.Stamp{Time: t0}), true)
	if err != nil || principal.OrganizationID != "bank-x" {
		t.Errorf("a message signature names no organisation, so the key's is meant: %+v, %v", principal, err)
	}
}
