package totp

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"image/png"
	"net/url"
	"strings"
	"testing"
	"time"
)

// RFC 6238, appendix B.
func TestTheVectorsOfRFC6238Hold(t *testing.T) {
	seed := strings.Repeat("1234567890", 7)
	for _, v := range []struct {
		at                   int64
		sha1, sha256, sha512 string
	}{
		{59, "94287082", "46119246", "90693936"},
		{1111111109, "07081804", "68084774", "25091201"},
		{1111111111, "14050471", "67062674", "99943326"},
		{1234567890, "89005924", "91819424", "93441116"},
		{2000000000, "69279037", "90698825", "38618901"},
		{20000000000, "65353130", "77737706", "47863826"},
	} {
		for _, c := range []struct {
			h    func() hash.Hash
			size int
			want string
		}{{sha1.New, 20, v.sha1}, {sha256.New, 32, v.sha256}, {sha512.New, 64, v.sha512}} {
			if got := code(c.h, []byte(seed[:c.size]), Step(time.Unix(v.at, 0)), 8); got != c.want {
				t.Errorf("at %d with %d bytes: %s, want %s", v.at, c.size, got, c.want)
			}
		}
		if got := Code([]byte(seed[:20]), Step(time.Unix(v.at, 0))); got != v.sha1[2:] {
			t.Errorf("six digits at %d: %s", v.at, got)
		}
	}
}

func TestThreat23_ACodeIsGoodOneStepAroundItsOwnAndAfterTheLastOneAccepted(t *testing.T) {
	secret := []byte("12345678901234567890")
	now := time.Unix(1_700_000_010, 0)
	for offset := int64(-3); offset <= 3; offset++ {
		step, ok := Match(secret, Code(secret, Step(now)+offset), now, 0)
		if want := offset >= -1 && offset <= 1; ok != want || ok && step != Step(now)+offset {
			t.Errorf("a code of %+d steps: step %d, %v", offset, step, ok)
		}
	}
	for last := Step(now) - 2; last <= Step(now)+2; last++ {
		if _, ok := Match(secret, Code(secret, Step(now)), now, last); ok != (last < Step(now)) {
			t.Errorf("after step %+d: %v", last-Step(now), ok)
		}
	}
	for _, wrong := range []string{"", "0", "00000", "0000000", Code(secret, Step(now)) + "0", "abcdef"} {
		if _, ok := Match(secret, wrong, now, 0); ok {
			t.Errorf("%q was taken", wrong)
		}
	}
}

func TestTheURINamesIssuerAndAccountAndEveryParameter(t *testing.T) {
	uri := URI("Ona: Cloud", "thandi@example.com", []byte("12345678901234567890"))
	u, err := url.Parse(uri.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/Ona  Cloud:thandi@example.com" || q.Get("secret") != "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" ||
		q.Get("issuer") != "Ona  Cloud" || q.Get("digits") != "6" || q.Get("period") != "30" || q.Get("algorithm") != "SHA1" || strings.Contains(u.RawQuery, "+") {
		t.Errorf("got %s", uri.Reveal())
	}
	raw, err := PNG(uri)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(raw)); err != nil {
		t.Error(err)
	}
	if text, err := Terminal(uri); err != nil || strings.Count(text, "\n") < 15 {
		t.Errorf("%v\n%s", err, text)
	}
}
