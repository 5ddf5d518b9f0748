package onetime_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/sdk/go/sign"
)

// What the helper signs is what arrives over a real connection, whatever the
// URL looks like; and the body is still there for the upstream.
func TestSignedRequestsSurviveARealConnection(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, hr *http.Request) {
		r, err := enforce.NewRequest(hr, keystile.PointGateway, enforce.Trust{}, "id")
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		if _, reason, err := w.present(r, true); err != nil {
			http.Error(rw, string(reason)+": "+err.Error(), http.StatusUnauthorized)
			return
		}
		if _, err := io.Copy(rw, hr.Body); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	s := signer(t, sharedKeys(t)["es"])
	for _, target := range []string{
		"", "/", "?", "/?", "/?a", "/x?a=1&a=2", "/a%20b/%C3%BC%2F?q=why%3F", "/x?q=a?b?", "/x;p=1?x=%00", "//x/../y", "/x#fragment", "/X?y=+%2B",
	} {
		for _, body := range []string{"", `{"amount":"10.00"}`} {
			t.Run(target+" "+body, func(t *testing.T) {
				method := http.MethodGet
				if body != "" {
					method = http.MethodPost
				}
				req, err := http.NewRequest(method, server.URL+target, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Request(req, sign.Stamp{Time: t0}); err != nil {
					t.Fatal(err)
				}
				response, err := server.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				got, err := io.ReadAll(response.Body)
				if err != nil || response.StatusCode != http.StatusOK || string(got) != body {
					t.Errorf("%d %q %v", response.StatusCode, got, err)
				}
			})
		}
	}
	server.Client().CloseIdleConnections()
}
