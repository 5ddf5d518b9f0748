package onetime

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
)

// checkProof says what every proof that was parsed promises.
func checkProof(t *testing.T, p *proof, err error) {
	t.Helper()
	if err != nil {
		if !errors.Is(err, keystile.ErrMalformed) {
			t.Fatalf("an error that is no ErrMalformed: %v", err)
		}
		return
	}
	if len(p.nonce) < minNonce || len(p.nonce) > maxNonce || !printable(p.nonce) || !printable(p.apiKey) || len(p.apiKey) > maxName ||
		len(p.signature) > maxSignature || p.times.stamp < 0 {
		t.Fatalf("a proof outside its limits: %+v", p)
	}
}

func seedFromVectors(f *testing.F) {
	raw, err := os.ReadFile("testdata/onetime.json")
	if err != nil {
		f.Fatal(err)
	}
	var v struct {
		Cases []struct{ Authorization string }
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		f.Fatal(err)
	}
	for _, c := range v.Cases {
		f.Add(strings.TrimPrefix(c.Authorization, "Bearer "))
	}
}

func FuzzHeader(f *testing.F) {
	seedFromVectors(f)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseHeader(text)
		checkProof(t, p, err)
		if err != nil {
			return
		}
		// What we read is what the standard library reads.
		data, ok := credential.AppendBase64(nil, text, credential.AlphabetEither)
		var o struct {
			Organization, APIKey, Nonce string
			Timestamp                   json.Number
		}
		members := map[string]json.RawMessage{}
		if !ok || json.Unmarshal(data, &members) != nil {
			t.Fatalf("%q is not JSON", data)
		}
		for name, into := range map[string]any{"organization": &o.Organization, "apiKey": &o.APIKey, "nonce": &o.Nonce, "timestamp": &o.Timestamp} {
			if err := json.Unmarshal(members[name], into); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if o.Organization != string(p.organization) || string(p.signed) != o.APIKey+o.Nonce+o.Timestamp.String() {
			t.Fatalf("%q was read as %q %q", data, p.organization, p.signed)
		}
	})
}

func FuzzJWT(f *testing.F) {
	seedFromVectors(f)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, ".") != 2 {
			return
		}
		p, err := parseJWT(text)
		checkProof(t, p, err)
		if err == nil && (p.algorithm == "" || p.times.ends-p.times.stamp > maxLife || !strings.HasPrefix(text, string(p.signed)+".")) {
			t.Fatalf("%q was read as %+v", text, p)
		}
	})
}

func FuzzSignatureBase(f *testing.F) {
	for _, v := range rfcVectors {
		f.Add(v.input, "sig-b21=:AAAA:", "a=1&b=2", "value")
	}
	f.Add(`s=("@method" "@target-uri" "x");created=1;nonce="0123456789abcdef";keyid="k"`, "s=:AAAA:", "", "a\tb")
	f.Fuzz(func(t *testing.T, input, signature, query, value string) {
		r := rfcRequest()
		r.RawQuery = query
		r.Header["X"] = []string{value, value}
		r.Header[credential.HeaderSignatureInput] = []string{input}
		r.Header[credential.HeaderSignature] = []string{signature}
		p, err := parseMessage(r)
		checkProof(t, p, err)
		if err != nil || p.broken != "" {
			return
		}
		// One line a component and one for the parameters: no value makes another line.
		read, ok := parseSignatureInput([]string{input})
		if lines := bytes.Count(p.signed, []byte("\n")); !ok || lines != len(read.components) {
			t.Fatalf("%d lines for %d components: %q", lines, len(read.components), p.signed)
		}
	})
}

func FuzzStructuredFields(f *testing.F) {
	for _, v := range rfcVectors {
		f.Add(v.input)
	}
	f.Add(`sig=();a=?1;b=?0;c;d=token/x:y;e=:AAECAw==:;f="\"\\";g=-12`)
	f.Fuzz(func(t *testing.T, text string) {
		input, ok := parseSignatureInput([]string{text})
		if !ok {
			return
		}
		written := input.label + "=" + string(appendInnerList(nil, input.components, input.parameters))
		again, ok := parseSignatureInput([]string{written})
		if !ok || string(appendInnerList(nil, again.components, again.parameters)) != written[len(input.label)+1:] {
			t.Fatalf("%q was written as %q, which reads otherwise", text, written)
		}
	})
}

func FuzzContentDigest(f *testing.F) {
	f.Add("sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:, md5=:AAAA:")
	f.Fuzz(func(t *testing.T, text string) {
		if err := checkDigest([]string{text}, nil); err == nil && !strings.Contains(text, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=") &&
			!strings.Contains(text, "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==") {
			t.Fatalf("%q is no digest of nothing", text)
		}
	})
}
