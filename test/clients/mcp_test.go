package clients

import (
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

func TestAnMCPClientThatKnowsOnlyTheURLRegistersSignsInAndCallsTools(t *testing.T) {
	page := string(must(os.ReadFile(mcpPage))(t))
	program := strings.ReplaceAll(mcpClient.FindStringSubmatch(page)[1], "https://mcp.example.com", apis)
	p := newPerson(t)
	said := p.converse(t, node(t, "mcp.mjs", program))
	for _, words := range []string{"list_sites count_trackables who_am_i\n", "1250\n", "user:user_"} {
		if !strings.Contains(said, words) {
			t.Errorf("it does not say %q:\n%s", words, said)
		}
	}
	if p.passwords != 1 || p.consents != 1 {
		t.Errorf("the person gave %d passwords and %d consents", p.passwords, p.consents)
	}
}
