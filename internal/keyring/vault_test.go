package keyring_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keystile.dev/keystile/internal/keyring"
)

// transit is Vault's transit engine as its API documents it: key versions,
// associated data, tokens, namespaces and errors.
type transit struct {
	*httptest.Server
	t        *testing.T
	versions []cipher.AEAD
	token    string
	sealed   bool
	calls    int
}

func newTransit(t *testing.T) *transit {
	t.Helper()
	v := &transit{t: t, token: "hvs.token"}
	v.rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/transit/encrypt/keystile", v.handle(func(in map[string]string) (map[string]any, string) {
		plain, err := base64.StdEncoding.DecodeString(in["plaintext"])
		if err != nil {
			return nil, "failed to base64-decode plaintext"
		}
		aad, err := base64.StdEncoding.DecodeString(in["associated_data"])
		if err != nil {
			return nil, "failed to base64-decode associated_data"
		}
		nonce := make([]byte, 12)
		if _, err := rand.Read(nonce); err != nil {
			return nil, err.Error()
		}
		sealed := v.versions[len(v.versions)-1].Seal(nonce, nonce, plain, aad)
		text := fmt.Sprintf("vault:v%d:%s", len(v.versions), base64.StdEncoding.EncodeToString(sealed))
		return map[string]any{"ciphertext": text, "key_version": len(v.versions)}, ""
	}))
	mux.HandleFunc("POST /v1/transit/decrypt/keystile", v.handle(func(in map[string]string) (map[string]any, string) {
		var version int
		var text string
		if n, err := fmt.Sscanf(strings.NewReplacer("vault:v", "", ":", " ").Replace(in["ciphertext"]), "%d %s", &version, &text); n != 2 || err != nil || version < 1 || version > len(v.versions) {
			return nil, "invalid ciphertext: no prefix"
		}
		sealed, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(sealed) < 12 {
			return nil, "invalid ciphertext: could not decode base64"
		}
		aad, err := base64.StdEncoding.DecodeString(in["associated_data"])
		if err != nil {
			return nil, "failed to base64-decode associated_data"
		}
		plain, err := v.versions[version-1].Open(nil, sealed[:12], sealed[12:], aad)
		if err != nil {
			return nil, "cipher: message authentication failed"
		}
		return map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)}, ""
	}))
	v.Server = httptest.NewServer(mux)
	t.Cleanup(v.Close)
	return v
}

// rotate adds a version of the key.
func (v *transit) rotate() {
	v.t.Helper()
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		v.t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		v.t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		v.t.Fatal(err)
	}
	v.versions = append(v.versions, aead)
}

func (v *transit) handle(do func(map[string]string) (map[string]any, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v.calls++
		refuse := func(status int, why string) {
			w.WriteHeader(status)
			if err := json.NewEncoder(w).Encode(map[string][]string{"errors": {why}}); err != nil {
				v.t.Error(err)
			}
		}
		var in map[string]string
		switch {
		case v.sealed:
			refuse(http.StatusServiceUnavailable, "Vault is sealed")
		case r.Header.Get("X-Vault-Token") != v.token || r.Header.Get("X-Vault-Request") != "true":
			refuse(http.StatusForbidden, "permission denied")
		case json.NewDecoder(r.Body).Decode(&in) != nil:
			refuse(http.StatusBadRequest, "failed to parse JSON input")
		default:
			data, why := do(in)
			if why != "" {
				refuse(http.StatusBadRequest, why)
				return
			}
			if err := json.NewEncoder(w).Encode(map[string]any{"request_id": "r", "lease_id": "", "data": data, "warnings": nil}); err != nil {
				v.t.Error(err)
			}
		}
	}
}

func (v *transit) master(t *testing.T, set map[string]string) *keyring.Master {
	t.Helper()
	m, err := keyring.LoadMaster("vault:"+v.URL+"/transit/keystile", variables(set))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAKeyOfVaultsTransitEngineWrapsTheKeyset(t *testing.T) {
	v := newTransit(t)
	m := v.master(t, map[string]string{"VAULT_TOKEN": "hvs.token"})
	if v.calls != 0 {
		t.Error("loading the key asked Vault")
	}
	sealer, wrapped, err := keyring.NewSealer(m)
	if err != nil {
		t.Fatal(err)
	}
	if m.ID() != "vault/transit/keystile" || !strings.Contains(string(wrapped), "vault/transit/keystile:vault:v1:") {
		t.Errorf("id %q", m.ID())
	}
	sealed, err := sealer.Seal([]byte("secret"), "a/b/c")
	if err != nil {
		t.Fatal(err)
	}
	v.rotate() // in Vault: older ciphertexts still open
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("hvs.token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := keyring.OpenSealer(v.master(t, map[string]string{"VAULT_TOKEN_FILE": file}), wrapped)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := again.Open(sealed, "a/b/c"); err != nil || string(plain) != "secret" {
		t.Errorf("%q, %v", plain, err)
	}
	newer, err := again.Rewrap(m)
	if err != nil || !strings.Contains(string(newer), "vault:v2:") {
		t.Errorf("wrapped again: %v", err)
	}
	if _, err := keyring.OpenSealer(master(t), wrapped); !errors.Is(err, keyring.ErrWrongMaster) || !strings.Contains(err.Error(), "vault/transit/keystile") {
		t.Errorf("another master key: %v", err)
	}
}

func TestWhatVaultRefusesIsToldInItsWords(t *testing.T) {
	v := newTransit(t)
	good := map[string]string{"VAULT_TOKEN": "hvs.token"}
	_, wrapped, err := keyring.NewSealer(v.master(t, good))
	if err != nil {
		t.Fatal(err)
	}
	wants := func(set map[string]string, want string) {
		t.Helper()
		_, err := keyring.OpenSealer(v.master(t, set), wrapped)
		if err == nil || errors.Is(err, keyring.ErrWrongMaster) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hvs.") {
			t.Errorf("it says: %v, want %s", err, want)
		}
	}
	wants(map[string]string{"VAULT_TOKEN": "hvs.other"}, "403 Forbidden permission denied")
	wants(nil, "set VAULT_TOKEN")
	wants(map[string]string{"VAULT_TOKEN_FILE": filepath.Join(t.TempDir(), "absent")}, "read the token for Vault")
	v.sealed = true
	wants(good, "Vault is sealed")
	v.sealed = false
	v.versions = nil
	v.rotate()
	wants(good, "message authentication failed")
	v.Close()
	wants(good, "ask Vault")
}

func TestAnAddressThatIsNoKeyOfVaultsIsRefused(t *testing.T) {
	for spec, want := range map[string]string{
		"vault:http://vault.example:8200/transit/k":     "https only",
		"vault:https://vault.example:8200/k":            "no mount and key",
		"vault:https://vault.example:8200/":             "no mount and key",
		"vault:https://user:pw@vault.example/transit/k": "write vault:https",
		"vault:transit/k":                               "write vault:https",
		"vault:https://vault.example/transit/k?x=1":     "write vault:https",
		"gcp-kms://projects/p/locations/l":              "are not in this build",
	} {
		_, err := keyring.LoadMaster(spec, variables(nil))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: %v, want %s", spec, err, want)
		}
	}
}

func variables(set map[string]string) func(string) string {
	return func(name string) string { return set[name] }
}
