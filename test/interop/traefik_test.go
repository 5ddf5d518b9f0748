package interop

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func startTraefik() (*site, error) {
	s, err := newSite("traefik")
	if err != nil {
		return nil, err
	}
	if err := s.serveForwardAuth("traefik.md"); err != nil {
		return nil, err
	}
	if s.callers, err = freeAddress(); err != nil {
		return nil, err
	}
	static, err := blockWith("traefik.md", "traefik.yaml",
		`":443"`, `"`+s.callers+`"`, "/etc/traefik/dynamic.yaml", s.path("dynamic.yaml"))
	if err != nil {
		return nil, err
	}
	dynamic, err := blockWith("traefik.md", "dynamic.yaml",
		"127.0.0.1:8080", s.witness.address, "127.0.0.1:9000", s.api.address(), "/etc/traefik/", s.dir+"/")
	if err != nil {
		return nil, err
	}
	for name, content := range map[string]string{"traefik.yaml": static, "dynamic.yaml": dynamic} {
		if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	return s, s.front("traefik", "--configFile="+s.path("traefik.yaml"))
}

// TestForwardAuthDecidesOnExactlyWhatTraefikSends holds the fields that its forwardAuth
// middleware sends with trustForwardHeader false, whichever release is installed.
func TestForwardAuthDecidesOnExactlyWhatTraefikSends(t *testing.T) {
	s, err := newSite("traefik-fields")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.serveForwardAuth("traefik.md"); err != nil {
		t.Fatal(err)
	}
	ask := func(uri string, header http.Header) *http.Response {
		r, err := http.NewRequest(http.MethodGet, "http://"+s.keystile+"/forward-auth", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		for name, value := range map[string]string{
			"Accept-Encoding": "gzip", "User-Agent": "curl/8.5.0", "X-Forwarded-For": "198.51.100.7",
			"X-Forwarded-Host": host, "X-Forwarded-Method": "GET", "X-Forwarded-Port": "443",
			"X-Forwarded-Proto": "https", "X-Forwarded-Server": "edge-1", "X-Forwarded-Uri": uri, "X-Real-Ip": "198.51.100.7",
		} {
			r.Header.Set(name, value)
		}
		answer, err := s.client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	good := http.Header{"X-Api-Key": {s.key.Secret}}
	answer := ask(pathNorth, good)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Keystile-Subject") != "key:"+s.key.ID {
		t.Errorf("a good key: %d, subject %q", answer.StatusCode, answer.Header.Get("Keystile-Subject"))
	}
	for _, name := range identityFields {
		if _, ok := answer.Header[http.CanonicalHeaderKey(name)]; !ok {
			t.Errorf("the answer has no %s to overwrite a caller's", name)
		}
	}
	if got := ask(pathNorth, http.Header{}).StatusCode; got != http.StatusUnauthorized {
		t.Errorf("no key: %d", got)
	}
	if got := ask(pathSouth, good).StatusCode; got != http.StatusForbidden {
		t.Errorf("another site: %d", got)
	}
}

func TestTheTraefikPageIsYAMLThatNamesOnlyWhatItDefines(t *testing.T) {
	text, err := block("traefik.md", "dynamic.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var dynamic struct {
		HTTP struct {
			Routers map[string]struct {
				Rule        string
				EntryPoints []string `yaml:"entryPoints"`
				Middlewares []string
				Service     string
				TLS         map[string]any
			}
			Middlewares map[string]map[string]map[string]any
			Services    map[string]any
		}
		TLS map[string]any
	}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&dynamic); err != nil {
		t.Fatal(err)
	}
	static, err := block("traefik.md", "traefik.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var entry struct {
		EntryPoints map[string]any `yaml:"entryPoints"`
		Providers   map[string]any
	}
	if err := yaml.Unmarshal([]byte(static), &entry); err != nil {
		t.Fatal(err)
	}
	for name, router := range dynamic.HTTP.Routers {
		for _, middleware := range router.Middlewares {
			if dynamic.HTTP.Middlewares[middleware] == nil {
				t.Errorf("router %s names the middleware %s, which is not there", name, middleware)
			}
		}
		if dynamic.HTTP.Services[router.Service] == nil {
			t.Errorf("router %s names the service %s, which is not there", name, router.Service)
		}
		for _, point := range router.EntryPoints {
			if entry.EntryPoints[point] == nil {
				t.Errorf("router %s names the entry point %s, which is not there", name, point)
			}
		}
	}
	if trust := dynamic.HTTP.Middlewares["keystile"]["forwardAuth"]["trustForwardHeader"]; trust != false {
		t.Errorf("trustForwardHeader is %v", trust)
	}
}
