package onetime_test

import (
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/sdk/go/sign"
)

func TestEveryPlatformVectorIsAnsweredAsItSays(t *testing.T) {
	var v struct {
		Cases []struct {
			Name, Key, Authorization string
			Now                      int64
			Accept                   bool
			Reason                   keystile.Reason
		}
	}
	readJSON(t, "testdata/onetime.json", &v)
	if len(v.Cases) != 55 {
		t.Fatalf("%d cases", len(v.Cases))
	}
	keys := readKeys(t, "testdata/onetime.json")
	for _, c := range v.Cases {
		t.Run(c.Name, func(t *testing.T) {
			w := newWorld(t)
			w.at(time.Unix(c.Now, 0))
			principal, reason, err := w.present(bearer(c.Authorization), true)
			if reason != c.Reason {
				t.Fatalf("got %q (%v), want %q", reason, err, c.Reason)
			}
			if !c.Accept {
				if len(w.ledger.spent) != 0 {
					t.Error("a refused request spent a nonce")
				}
				return
			}
			if k := keys[c.Key]; principal.OrganizationID != k.Organization || principal.Subject != "signing_key:sk_"+k.APIKey ||
				principal.Kind != keystile.KindOneTime || principal.CredentialID != "sk_"+k.APIKey {
				t.Errorf("principal %+v", principal)
			}
			w.want(t, bearer(c.Authorization), true, keystile.ReasonReplayed)
		})
	}
}

func TestTheSharedVectorsAreAcceptedOnce(t *testing.T) {
	var v struct {
		Cases []struct {
			Name, Form, Key, Nonce, Authorization, Signature string
			ContentDigest                                    string `json:"content_digest"`
			SignatureInput                                   string `json:"signature_input"`
			Request                                          struct{ Method, URL, Body string }
		}
	}
	readJSON(t, "../../../testdata/onetime/vectors.json", &v)
	keys := sharedKeys(t)
	for _, c := range v.Cases {
		t.Run(c.Name, func(t *testing.T) {
			w := newWorld(t)
			r := bearer(c.Authorization)
			if c.Form == "http_signature" {
				r = signed(t, signer(t, keys[c.Key]), c.Request.Method, c.Request.URL, c.Request.Body, sign.Stamp{Nonce: c.Nonce, Time: t0})
				r.Header = keystile.Header{"Signature-Input": {c.SignatureInput}, "Signature": {c.Signature}}
				if c.ContentDigest != "" {
					r.Header["Content-Digest"] = []string{c.ContentDigest}
				}
			}
			w.want(t, r, true, "")
			w.want(t, r, true, keystile.ReasonReplayed)
		})
	}
}
