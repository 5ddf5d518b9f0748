package api_test

import (
	"regexp"
	"strings"
	"testing"
)

func TestTheDocsPageShowsEveryOperationAndNeedsNoNetwork(t *testing.T) {
	s := newServer(t)
	a := s.request("GET", "/v1/docs", "", "").want(200)
	if !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		t.Errorf("Content-Type = %q", a.header.Get("Content-Type"))
	}
	for _, op := range s.handler.Operations() {
		if op.ID != "get-openapi" && !strings.Contains(a.body, `<article id="`+op.ID+`">`) {
			t.Errorf("%s is not on the page", op.ID)
		}
	}
	for _, link := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(a.body, -1) {
		if !strings.Contains(a.body, `id="`+link[1]+`"`) {
			t.Errorf("a link leads nowhere: #%s", link[1])
		}
	}
	policy := a.header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "script") {
		t.Errorf("policy %q", policy)
	}
	for _, unwanted := range []string{"<script", "http://", "https://unpkg", "<link", "<img", "url(", "@import", "style="} {
		if strings.Contains(a.body, unwanted) {
			t.Errorf("the page holds %s", unwanted)
		}
	}
	if !strings.Contains(a.body, "&#34;organization&#34;: &#34;sibaya-power&#34;") {
		t.Error("the page has no examples")
	}
	if other := s.request("GET", "http://evil.example/v1/docs", "", ""); other.body != a.body {
		t.Error("the page depends on the host asked")
	}
}

func TestAQueryParameterWithoutAValueIsRefused(t *testing.T) {
	s := newServer(t)
	for _, query := range []string{"organization=", "state=", "limit=", "site=&state=active", "organization"} {
		s.as(400, "GET", "/v1/keys?"+query, "")
	}
}

func TestTheColonOfAnIDMayBeEncodedAndNothingElse(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key:a")
	for _, path := range []string{"/v1/keys/key:a", "/v1/keys/key%3Aa", "/v1/keys/key%3aa"} {
		s.as(200, "GET", path, "")
	}
	for _, path := range []string{"/v1/keys/key%3Aa%2Fusage", "/v1/%6Beys/key:a", "/v1/keys/%2e%2e"} {
		s.as(400, "GET", path, "")
	}
}
