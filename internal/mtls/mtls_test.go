package mtls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"keystile.dev/keystile/internal/mtls"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// issue makes a certificate, signed by an authority; without one by itself.
func issue(t testing.TB, authority *x509.Certificate, key *ecdsa.PrivateKey, change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "batch", Organization: []string{"Example, Inc."}}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(c)
	}
	if authority == nil {
		authority, key = c, own
	}
	der, err := x509.CreateCertificate(rand.Reader, c, authority, own.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, own
}

func ca(c *x509.Certificate) {
	c.Subject, c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = pkix.Name{CommonName: "authority"}, true, true, x509.KeyUsageCertSign, nil
}

func named(c *x509.Certificate) {
	c.DNSNames, c.EmailAddresses, c.IPAddresses = []string{"batch.example.com", "*.wild.example.com"}, []string{"batch@example.com"}, []net.IP{net.ParseIP("192.0.2.1")}
	c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.com", Path: "/batch"}}
}

func TestACertificateNamesASubjectByteByByte(t *testing.T) {
	c, _ := issue(t, nil, nil, named)
	for _, subject := range []string{
		"dns:batch.example.com", "dns:BATCH.example.com", "uri:spiffe://example.com/batch", "ip:192.0.2.1", "email:batch@example.com", `dn:CN=batch,O=Example\, Inc.`,
	} {
		if err := mtls.CheckSubject(subject); err != nil || !mtls.Names(c, subject) {
			t.Errorf("%s: %v", subject, err)
		}
	}
	for _, subject := range []string{
		"dns:example.com", "dns:a.wild.example.com", "dns:batch.example.com.", "uri:spiffe://example.com/batch/", "uri:spiffe://EXAMPLE.com/batch", "ip:192.0.2.2",
		"email:Batch@example.com", "dn:CN=batch", "dn:O=Example\\, Inc.,CN=batch", "dn:CN=batch,O=Example, Inc.",
	} {
		if mtls.Names(c, subject) {
			t.Errorf("%s is named", subject)
		}
	}
	for _, bad := range []string{"", "dns", "dns:", "dns: a", "dns:*.example.com", "cn:batch", "batch.example.com", "uri:/batch", "ip:batch", "email:batch", "email:a <a@example.com>", "dn:batch", "DNS:batch.example.com"} {
		if mtls.CheckSubject(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
		if mtls.Names(c, bad) {
			t.Errorf("%q is named", bad)
		}
	}
}

func TestThreat10_OnlyACertificateOfTheAuthorityForClientsThatHasNotEndedIsGood(t *testing.T) {
	root, rootKey := issue(t, nil, nil, ca)
	other, otherKey := issue(t, nil, nil, ca)
	between, betweenKey := issue(t, root, rootKey, func(c *x509.Certificate) { ca(c); c.Subject.CommonName = "between" })
	pool := x509.NewCertPool()
	pool.AddCert(root)
	const subject = "dns:batch.example.com"
	good, goodKey := issue(t, root, rootKey, named)
	below, _ := issue(t, between, betweenKey, named)
	for name, sent := range map[string][]*x509.Certificate{"directly": {good}, "with one between": {below, between}} {
		if err := mtls.CheckIssued(sent, pool, subject, now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	self, _ := issue(t, nil, nil, named)
	strange, _ := issue(t, other, otherKey, named)
	server, _ := issue(t, root, rootKey, func(c *x509.Certificate) { named(c); c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	another, _ := issue(t, root, rootKey, func(c *x509.Certificate) { c.DNSNames = []string{"other.example.com"} })
	leaf, _ := issue(t, good, goodKey, named)
	for name, sent := range map[string][]*x509.Certificate{
		"none": nil, "signed by itself": {self}, "of another authority": {strange}, "of another authority that is sent along": {strange, other}, "of a server": {server},
		"of another subject": {another}, "below one that is no authority": {leaf, good}, "what lies between left out": {below}, "a good one that is not first": {self, good},
	} {
		if mtls.CheckIssued(sent, pool, subject, now) == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for name, at := range map[string]time.Time{"ended": now.Add(time.Hour + time.Second), "not yet": now.Add(-time.Hour - time.Second)} {
		if mtls.CheckIssued([]*x509.Certificate{good}, pool, subject, at) == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if mtls.CheckIssued([]*x509.Certificate{good}, nil, subject, now) == nil || mtls.CheckIssued([]*x509.Certificate{good}, x509.NewCertPool(), subject, now) == nil {
		t.Error("taken without an authority")
	}
}

func set(certificates ...*x509.Certificate) []byte {
	text := `{"keys":[{"kty":"EC"}`
	for _, c := range certificates {
		text += fmt.Sprintf(`,{"kty":"EC","x5c":[%q]}`, base64.StdEncoding.EncodeToString(c.Raw))
	}
	return []byte(text + "]}")
}

func TestThreat10_OnlyACertificateThatTheClientRegisteredIsGood(t *testing.T) {
	own, _ := issue(t, nil, nil, nil)
	second, _ := issue(t, nil, nil, nil)
	other, _ := issue(t, nil, nil, nil)
	registered := set(own, second)
	for _, c := range []*x509.Certificate{own, second} {
		if err := mtls.CheckRegistered([]*x509.Certificate{c}, registered, now); err != nil {
			t.Error(err)
		}
	}
	for name, c := range map[string]struct {
		sent []*x509.Certificate
		jwks string
		at   time.Time
	}{
		"none": {nil, string(registered), now}, "another": {[]*x509.Certificate{other}, string(registered), now}, "its own second": {[]*x509.Certificate{other, own}, string(registered), now},
		"ended": {[]*x509.Certificate{own}, string(registered), now.Add(2 * time.Hour)}, "not yet": {[]*x509.Certificate{own}, string(registered), now.Add(-2 * time.Hour)},
		"no keys": {[]*x509.Certificate{own}, "", now}, "none registered": {[]*x509.Certificate{own}, `{"keys":[{"kty":"EC"}]}`, now}, "not base64": {[]*x509.Certificate{own}, `{"keys":[{"x5c":["-"]}]}`, now},
		"no certificate": {[]*x509.Certificate{own}, `{"keys":[{"x5c":["AAAA"]}]}`, now},
	} {
		if mtls.CheckRegistered(c.sent, []byte(c.jwks), c.at) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestTheThumbprintIsThatOfTheStandard(t *testing.T) {
	// RFC 8705, appendix A.
	const der = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY="
	raw, err := base64.StdEncoding.DecodeString(der)
	if got := mtls.Thumbprint(raw); err != nil || got != "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0" {
		t.Errorf("%s %v", got, err)
	}
}

func TestThreat12_AClientCertThatCannotBeReadIsNone(t *testing.T) {
	own, _ := issue(t, nil, nil, nil)
	text := ":" + base64.StdEncoding.EncodeToString(own.Raw) + ":"
	if c, err := mtls.ParseHeader([]string{text}); err != nil || !c.Equal(own) {
		t.Errorf("%v", err)
	}
	for _, values := range [][]string{nil, {}, {""}, {":"}, {"::"}, {text, text}, {text + "," + text}, {text[1:]}, {text[:len(text)-1]}, {":AAAA:"}, {text + ";a=b"}, {`"` + text + `"`}} {
		if _, err := mtls.ParseHeader(values); err == nil {
			t.Errorf("%q is taken", values)
		}
	}
}

func FuzzCertificates(f *testing.F) {
	own, _ := issue(f, nil, nil, nil)
	f.Add(set(own))
	f.Add([]byte(`{"keys":[{"x5c":[null]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := mtls.Certificates(data)
		if err != nil && list != nil {
			t.Errorf("%q: %d and %v", data, len(list), err)
		}
		for _, c := range list {
			if c == nil || len(c.Raw) == 0 {
				t.Errorf("%q: an empty certificate", data)
			}
		}
	})
}

func FuzzHeader(f *testing.F) {
	own, _ := issue(f, nil, nil, nil)
	f.Add(":" + base64.StdEncoding.EncodeToString(own.Raw) + ":")
	f.Add("::")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := mtls.ParseHeader([]string{text}); (c == nil) == (err == nil) {
			t.Errorf("%q: %v %v", text, c, err)
		}
	})
}

func FuzzSubject(f *testing.F) {
	own, _ := issue(f, nil, nil, named)
	f.Add("dns:batch.example.com")
	f.Add(`dn:CN=batch,O=Example\, Inc.`)
	f.Fuzz(func(t *testing.T, subject string) {
		if mtls.Names(own, subject) && subject == "" {
			t.Error("nothing is named")
		}
		if mtls.CheckSubject(subject) == nil && len(subject) > 512 {
			t.Errorf("%d bytes are taken", len(subject))
		}
	})
}
