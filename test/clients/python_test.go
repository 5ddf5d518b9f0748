package clients

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// keyed is an application whose client proves itself with a key: its JSON Web Key Set
// comes last.
const keyed = `
applications:
  - id: 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b01
    name: Keyed
    kind: backend
    environment: production
    organization: roof-tools-inc
    review: approved
    oauth: {client_id: keyed, grant_types: [client_credentials], scopes: ["sites:read"], jwks: '%s'}
`

// registerKeyed makes that client and returns its private key.
func registerKeyed(t *testing.T) string {
	t.Helper()
	key := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}}
	state := filepath.Join(t.TempDir(), "keyed.yaml")
	check(t, os.WriteFile(state, fmt.Appendf(nil, keyed, must(json.Marshal(set))(t)), 0o600))
	must(command(t.Context(), house, binary, "apply", "-f", state, "--yes"))(t)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))(t)}))
}

func TestAuthlibWorksWithCodesRefreshIntrospectionAndKeys(t *testing.T) {
	website := register(t, "--redirect-uri", callback, "--scope", "openid", "--scope", "profile", "--scope", "sites:read")
	program := register(t, "--scope", "sites:read")
	cmd := exec.CommandContext(t.Context(), python(t), "python/authlib_client.py", website.ID, website.Secret, program.ID, program.Secret, "keyed", registerKeyed(t))
	cmd.Env = environment()
	if said := newPerson(t).converse(t, cmd); !strings.HasSuffix(said, "authlib: done\n") {
		t.Errorf("Authlib did not come to its end:\n%s", said)
	}
}
