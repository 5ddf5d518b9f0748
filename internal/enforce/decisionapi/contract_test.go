package decisionapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/enforce/decisionapi"
	"keystile.dev/keystile/internal/enforce/enforcetest"
	"keystile.dev/keystile/internal/problem"
)

func anyone(*http.Request) *problem.Problem { return nil }

func newHandler(t testing.TB, gate enforce.Gate) *decisionapi.Handler {
	t.Helper()
	h, err := decisionapi.New(decisionapi.Options{Gate: gate, Authorize: anyone})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// reply is a decision as a client reads it.
type reply struct {
	Allow     bool   `json:"allow"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	Observed  bool   `json:"observed"`
	Principal *struct {
		Subject      string
		Organization string
		Credential   struct{ Kind, ID string }
		Scopes       []string
		Sites        []string
	} `json:"principal"`
	Limit *struct {
		Per           string
		Quota         int
		WindowSeconds int `json:"window_seconds"`
		Remaining     int
		ResetSeconds  int `json:"reset_seconds"`
	} `json:"limit"`
	RequestID string `json:"request_id"`
}

func TestContract(t *testing.T) {
	enforcetest.Run(t, func(t *testing.T, gate enforce.Gate) enforcetest.Client {
		t.Helper()
		server := httptest.NewServer(newHandler(t, gate))
		t.Cleanup(server.Close)
		return enforcetest.Client{
			Route: keystile.Route{ID: "GET api.example.com/**"},
			Do: func(t *testing.T, c enforcetest.Call) enforcetest.Answer {
				t.Helper()
				return decide(t, server, c)
			},
		}
	})
}

// decide plays an application that asks for a decision and, if allowed, goes on
// with the identity of the answer in place of what its caller sent.
func decide(t *testing.T, server *httptest.Server, c enforcetest.Call) enforcetest.Answer {
	t.Helper()
	in, err := json.Marshal(map[string]any{"method": c.Method, "url": c.URL, "headers": c.Header, "ip": c.ClientIP})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.Client().Post(server.URL+"/v1/decisions", "application/json", strings.NewReader(string(in)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := enforcetest.Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
	if resp.StatusCode != http.StatusOK {
		return a
	}
	var out reply
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if a.Status = out.Status; !out.Allow {
		return a
	}
	a.Upstream = c.Header.Clone()
	enforce.StripIdentity(a.Upstream)
	a.Upstream.Set(enforce.HeaderRequestID, out.RequestID)
	if p := out.Principal; p != nil {
		a.Upstream.Set(enforce.HeaderSubject, p.Subject)
		a.Upstream.Set(enforce.HeaderOrganization, p.Organization)
		a.Upstream.Set(enforce.HeaderCredential, p.Credential.Kind+":"+p.Credential.ID)
		a.Upstream.Set(enforce.HeaderScopes, quoted(p.Scopes))
		a.Upstream.Set(enforce.HeaderSites, quoted(p.Sites))
	}
	return a
}

func quoted(members []string) string {
	out := make([]string, 0, len(members))
	for _, m := range members {
		out = append(out, `"`+strings.ReplaceAll(m, `"`, `\"`)+`"`)
	}
	return strings.Join(out, ", ")
}
