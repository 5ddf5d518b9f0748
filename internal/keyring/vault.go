package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// vaultTimeout bounds one call; it is made at start, at rotation and when the
	// key is looked for.
	vaultTimeout = 10 * time.Second
	// maxVaultAnswer bounds an answer in bytes.
	maxVaultAnswer = 1 << 20
)

// vaultTransit wraps with a key of Vault's transit engine, which never leaves it
// (https://developer.hashicorp.com/vault/api-docs/secret/transit). The place is
// the associated data, so the key must be of an AEAD type: aes256-gcm96, the
// default, or chacha20-poly1305.
type vaultTransit struct {
	base   *url.URL // …/v1/MOUNT
	key    string
	getenv func(string) string
	client *http.Client
}

// newVaultMaster takes "https://HOST:8200/MOUNT/KEY". It asks nothing of Vault yet.
func newVaultMaster(address string, getenv func(string) string) (*Master, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("master_key: write vault:https://HOST:8200/MOUNT/KEY")
	}
	mount, key, ok := cutLast(strings.Trim(u.Path, "/"), "/")
	if !ok || strings.ContainsAny(u.Path, ":%") {
		return nil, errors.New("master_key: write vault:https://HOST:8200/MOUNT/KEY: the URL names no mount and key")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopbackHost(u.Hostname())) {
		return nil, errors.New("master_key: Vault is asked over https only, but on this machine")
	}
	v := &vaultTransit{
		base: &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/v1/" + mount}, key: key, getenv: getenv,
		client: &http.Client{
			Timeout:       vaultTimeout, // a redirect would carry the token elsewhere
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	return &Master{id: "vault/" + mount + "/" + key, wrapper: v, elsewhere: true}, nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i <= 0 || i == len(s)-1 {
		return "", "", false
	}
	return s[:i], s[i+len(sep):], true
}

func loopbackHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost"
}

// token is what Vault knows the caller by. A file is read anew each time: an
// agent renews it.
func (v *vaultTransit) token() (string, error) {
	if token := v.getenv("VAULT_TOKEN"); token != "" {
		return token, nil
	}
	path := v.getenv("VAULT_TOKEN_FILE")
	if path == "" {
		return "", errors.New("no token for Vault: set VAULT_TOKEN, or VAULT_TOKEN_FILE to a file that holds it")
	}
	raw, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return "", fmt.Errorf("read the token for Vault: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// vaultRequest and vaultAnswer are the bodies of both operations.
type vaultRequest struct {
	Plaintext      string `json:"plaintext,omitempty"`
	Ciphertext     string `json:"ciphertext,omitempty"`
	AssociatedData string `json:"associated_data"`
}

type vaultAnswer struct {
	Data struct {
		Plaintext  string `json:"plaintext"`
		Ciphertext string `json:"ciphertext"`
	} `json:"data"`
	Errors []string `json:"errors"`
}

// Encrypt implements wrapper. What it returns is Vault's own text, "vault:v1:…".
func (v *vaultTransit) Encrypt(plain, place []byte) ([]byte, error) {
	answer, err := v.call("encrypt", vaultRequest{Plaintext: base64.StdEncoding.EncodeToString(plain), AssociatedData: base64.StdEncoding.EncodeToString(place)})
	if err != nil {
		return nil, err
	}
	if answer.Data.Ciphertext == "" {
		return nil, errors.New("Vault answered without a ciphertext") //nolint:staticcheck // Vault is a name
	}
	return []byte(answer.Data.Ciphertext), nil
}

// Decrypt implements wrapper.
func (v *vaultTransit) Decrypt(sealed, place []byte) ([]byte, error) {
	answer, err := v.call("decrypt", vaultRequest{Ciphertext: string(sealed), AssociatedData: base64.StdEncoding.EncodeToString(place)})
	if err != nil {
		return nil, err
	}
	plain, err := base64.StdEncoding.DecodeString(answer.Data.Plaintext)
	if err != nil || len(plain) == 0 {
		return nil, errors.New("Vault answered without a plaintext") //nolint:staticcheck // Vault is a name
	}
	return plain, nil
}

func (v *vaultTransit) call(operation string, body vaultRequest) (answer vaultAnswer, err error) {
	token, err := v.token()
	if err != nil {
		return answer, err
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return answer, fmt.Errorf("ask Vault: %w", err)
	}
	request, err := http.NewRequest(http.MethodPost, v.base.JoinPath(operation, v.key).String(), bytes.NewReader(raw)) //nolint:noctx // the client has a timeout; the callers, of Tink, have no context
	if err != nil {
		return answer, fmt.Errorf("ask Vault: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Vault-Request", "true")
	request.Header.Set("X-Vault-Token", token)
	if namespace := v.getenv("VAULT_NAMESPACE"); namespace != "" {
		request.Header.Set("X-Vault-Namespace", namespace)
	}
	response, err := v.client.Do(request)
	if err != nil {
		return answer, fmt.Errorf("ask Vault to %s: %w", operation, err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxVaultAnswer))
	if err != nil {
		return answer, fmt.Errorf("ask Vault to %s: %w", operation, err)
	}
	broken := json.Unmarshal(text, &answer)
	if response.StatusCode != http.StatusOK {
		// Vault's own words, such as "permission denied"; they repeat nothing that was sent.
		return answer, fmt.Errorf("Vault does not %s with key %s: %s %s", operation, v.key, response.Status, strings.Join(answer.Errors, "; ")) //nolint:staticcheck // Vault is a name
	}
	if broken != nil {
		return answer, fmt.Errorf("Vault's answer cannot be read: %w", broken) //nolint:staticcheck // Vault is a name
	}
	return answer, nil
}
