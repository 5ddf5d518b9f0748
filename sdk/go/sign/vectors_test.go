package sign_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keystile.dev/keystile/sdk/go/sign"
)

var update = flag.Bool("update", false, "write what is expected into the shared vectors")

const vectorsFile = "../../../testdata/onetime/vectors.json"

// vectors are shared by the helpers of all languages. Keys, nonce, time and
// request are given; the rest is expected.
type vectors struct {
	Note  string               `json:"note"`
	Keys  map[string]vectorKey `json:"keys"`
	Cases []vectorCase         `json:"cases"`
}

type vectorKey struct {
	Organization string `json:"organization"`
	APIKey       string `json:"api_key"`
	Algorithm    string `json:"algorithm"`
	Secret       string `json:"secret,omitempty"`
	PublicKey    string `json:"public_key,omitempty"`
	PrivateKey   string `json:"private_key,omitempty"`
}

type vectorCase struct {
	Name    string         `json:"name"`
	Form    string         `json:"form"`
	Key     string         `json:"key"`
	Nonce   string         `json:"nonce"`
	Time    int64          `json:"time"`
	Request *vectorRequest `json:"request,omitempty"`
	// Deterministic says that signing again gives the very same text.
	Deterministic  bool   `json:"deterministic"`
	Signed         string `json:"signed,omitempty"`
	Authorization  string `json:"authorization,omitempty"`
	ContentDigest  string `json:"content_digest,omitempty"`
	SignatureInput string `json:"signature_input,omitempty"`
	Signature      string `json:"signature,omitempty"`
}

type vectorRequest struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	Body   string `json:"body"`
}

// repeatable signs with ECDSA as RFC 6979 says, so that the vectors stay the same.
type repeatable struct{ crypto.Signer }

func (r repeatable) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, ok := r.Signer.(*ecdsa.PrivateKey); ok {
		random = nil
	}
	return r.Signer.Sign(random, digest, opts)
}

func signerOf(t *testing.T, k vectorKey) *sign.Signer {
	t.Helper()
	var s *sign.Signer
	var err error
	if k.Algorithm == "HS256" {
		s, err = sign.NewHMAC(k.Organization, k.APIKey, k.Secret)
	} else {
		var private crypto.Signer
		if private, err = sign.ParsePrivateKey([]byte(k.PrivateKey)); err != nil {
			t.Fatal(err)
		}
		s, err = sign.New(k.Organization, k.APIKey, repeatable{private})
	}
	if err != nil || string(s.Algorithm()) != k.Algorithm {
		t.Fatal(s, err)
	}
	return s
}

// expect signs a case as given and returns it with everything expected filled in.
func expect(t *testing.T, k vectorKey, c vectorCase) vectorCase {
	t.Helper()
	s, stamp := signerOf(t, k), sign.Stamp{Nonce: c.Nonce, Time: time.Unix(c.Time, 0)}
	c.Deterministic = k.Algorithm != "ES256"
	var err error
	switch c.Form {
	case "header":
		c.Authorization, err = s.Header(stamp)
		c.Signed = k.APIKey + c.Nonce + strconv.FormatInt(c.Time, 10)
	case "jwt":
		c.Authorization, err = s.JWT(stamp)
		c.Signed = strings.TrimPrefix(c.Authorization[:strings.LastIndexByte(c.Authorization, '.')], "Bearer ")
	case "http_signature":
		var body io.Reader
		if c.Request.Body != "" {
			body = strings.NewReader(c.Request.Body)
		}
		req, bad := http.NewRequest(c.Request.Method, c.Request.URL, body)
		if bad != nil {
			t.Fatal(bad)
		}
		err = s.Request(req, stamp)
		c.ContentDigest, c.SignatureInput = req.Header.Get("Content-Digest"), req.Header.Get("Signature-Input")
		c.Signature = req.Header.Get("Signature")
		c.Signed = sign.Base(s, req, c.Nonce, c.Time)
	default:
		t.Fatalf("form %q", c.Form)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheSharedVectorsAreSignedByteForByte(t *testing.T) {
	raw, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil || len(v.Cases) == 0 {
		t.Fatal(len(v.Cases), err)
	}
	for i, c := range v.Cases {
		t.Run(c.Name, func(t *testing.T) {
			got := expect(t, v.Keys[c.Key], c)
			if *update {
				v.Cases[i] = got
				return
			}
			if diff := cmp.Diff(c, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if *update {
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(v); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorsFile, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
