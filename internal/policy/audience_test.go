package policy

import (
	"testing"

	keystile "keystile.dev/keystile"
)

func TestATokenForOneResourceOpensNoOther(t *testing.T) {
	for name, c := range map[string]struct {
		audiences  []string
		host, path string
		want       bool
	}{
		"no audience":             {nil, "api.example.com", "/a", true},
		"its host":                {[]string{"https://api.example.com"}, "api.example.com", "/a", true},
		"its host with a slash":   {[]string{"https://api.example.com/"}, "api.example.com", "/a", true},
		"its host in capitals":    {[]string{"https://api.example.com"}, "API.example.com:443", "/a", true},
		"a path above":            {[]string{"https://api.example.com/a"}, "api.example.com", "/a/b", true},
		"the path itself":         {[]string{"https://api.example.com/a"}, "api.example.com", "/a", true},
		"one of two":              {[]string{"https://other.example", "https://api.example.com/a"}, "api.example.com", "/a", true},
		"another host":            {[]string{"https://other.example"}, "api.example.com", "/a", false},
		"a host that begins so":   {[]string{"https://api.example.com"}, "api.example.com.evil.example", "/a", false},
		"another port":            {[]string{"https://api.example.com"}, "api.example.com:8443", "/a", false},
		"a path that begins so":   {[]string{"https://api.example.com/a"}, "api.example.com", "/ab", false},
		"a path below":            {[]string{"https://api.example.com/a/b"}, "api.example.com", "/a", false},
		"a path in another case":  {[]string{"https://api.example.com/a"}, "api.example.com", "/A", false},
		"a name that is no place": {[]string{"urn:example:api"}, "api.example.com", "/a", false},
		"an empty audience":       {[]string{""}, "api.example.com", "/a", false},
	} {
		_, rejection := authorize(t, testRoute("", "/**", "GET"), testRequest("GET", c.host, c.path), &keystile.Principal{Subject: "user:u", Audiences: c.audiences})
		if (rejection == nil) != c.want {
			t.Errorf("%s: %v", name, rejection)
		}
		if rejection != nil && rejection.Reason != keystile.ReasonResourceNotPermitted {
			t.Errorf("%s: %v", name, rejection)
		}
	}
}
