package clients

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
)

// mcpPage shows how an MCP server stands behind the gateway: the route, and a client.
const mcpPage = "../../docs/mcp.md"

var (
	mcpRoute  = regexp.MustCompile("(?ms)^```yaml route\n(.*?)^```$")
	mcpClient = regexp.MustCompile("(?ms)^```js\n(.*?)^```$")
)

// mcpDocument is what a client says of itself at a URL, which is its client_id. It names
// no scopes: what to ask for it learns at the MCP server.
func mcpDocument(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"client_id":"https://%s%s","client_name":"Documented","redirect_uris":["http://127.0.0.1:33418/callback"],"token_endpoint_auth_method":"none"}`, r.Host, r.URL.Path) //nolint:errcheck // the caller has gone
}

func TestAnMCPClientThatKnowsOnlyTheURLSignsInAndCallsTools(t *testing.T) {
	page := string(must(os.ReadFile(mcpPage))(t))
	program := strings.ReplaceAll(mcpClient.FindStringSubmatch(page)[1], "https://mcp.example.com", apis)
	before, after, ok := strings.Cut(program, "  redirectUrl:")
	if !ok {
		t.Fatal("the program has no redirectUrl")
	}
	document := documents.URL + "/client.json"
	for name, c := range map[string]struct{ program, id string }{
		"and registers itself":           {program, "client_id=reg_"},
		"and says where its document is": {before + "  clientMetadataUrl: '" + document + "',\n  redirectUrl:" + after, "client_id=" + url.QueryEscape(document)},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPerson(t)
			said := p.converse(t, node(t, "mcp.mjs", c.program))
			for _, words := range []string{c.id, "list_sites count_trackables who_am_i\n", "1250\n", "user:user_"} {
				if !strings.Contains(said, words) {
					t.Errorf("it does not say %q:\n%s", words, said)
				}
			}
			if p.passwords != 1 || p.consents != 1 {
				t.Errorf("the person gave %d passwords and %d consents", p.passwords, p.consents)
			}
		})
	}
}
