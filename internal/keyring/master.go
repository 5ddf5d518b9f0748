package keyring

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
)

// MasterKeyLength is the length of a master key in bytes.
const MasterKeyLength = 32

// ErrWrongMaster says that something was sealed under another master key.
var ErrWrongMaster = errors.New("sealed under another master key")

// Master is the key that wraps the sealing keyset. It is safe for concurrent use.
type Master struct {
	id      string
	wrapper wrapper
	// elsewhere: the key has versions of its own where it is kept, and wraps with the newest.
	elsewhere bool
}

// wrapper encrypts under one master key, here or elsewhere, and binds what it
// encrypts to a place.
type wrapper interface {
	Encrypt(plain, place []byte) ([]byte, error)
	Decrypt(sealed, place []byte) ([]byte, error)
}

// NewMaster makes a Master of 32 random bytes. Keys that are plainly not
// random (one byte repeated, printable text of few different characters) are refused.
func NewMaster(raw []byte) (*Master, error) {
	if len(raw) != MasterKeyLength {
		return nil, fmt.Errorf("the master key has %d bytes, not %d: make one with `openssl rand -base64 32`", len(raw), MasterKeyLength)
	}
	if distinctBytes(raw) < 12 {
		return nil, errors.New("the master key is weak (few different bytes): make one with `openssl rand -base64 32`")
	}
	aead, err := subtle.NewAESGCM(raw)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte("keystile master key id"))
	return &Master{id: "mk_" + hex.EncodeToString(mac.Sum(nil)[:6]), wrapper: aead}, nil
}

func distinctBytes(raw []byte) int {
	seen := map[byte]bool{}
	for _, b := range raw {
		seen[b] = true
	}
	return len(seen)
}

// ID names the key without telling anything about it: "mk_" and 12 hex digits, or
// where it is kept, "vault/transit/keystile" or "aws-kms/REGION/ACCOUNT/KEY".
func (m *Master) ID() string { return m.id }

// KeptElsewhere says that the key never leaves a service, which may rotate it
// under the same name.
func (m *Master) KeptElsewhere() bool { return m.elsewhere }

// wrapped values begin with the id of the key they need: "mk_…:" + AES-256-GCM.
func (m *Master) wrap(plain, place []byte) ([]byte, error) {
	sealed, err := m.wrapper.Encrypt(plain, place)
	if err != nil {
		return nil, fmt.Errorf("wrap with master key %s: %w", m.id, err)
	}
	return append([]byte(m.id+":"), sealed...), nil
}

func (m *Master) unwrap(wrapped, place []byte) ([]byte, error) {
	id, sealed, ok := bytes.Cut(wrapped, []byte(":"))
	if !ok {
		return nil, errors.New("unwrap: the stored value is damaged")
	}
	if string(id) != m.id {
		return nil, fmt.Errorf("the store needs master key %s, and %s was given: %w", id, m.id, ErrWrongMaster)
	}
	plain, err := m.wrapper.Decrypt(sealed, place)
	if err != nil {
		return nil, fmt.Errorf("unwrap with master key %s: %w", m.id, err)
	}
	return plain, nil
}

// LoadMaster finds a master key as configuration names it: "file:PATH" or
// "env:NAME", 32 bytes as standard base64; "vault:URL/MOUNT/KEY", a key of the
// transit engine of Vault, with the token in VAULT_TOKEN; "aws-kms://ARN", a key of
// AWS KMS, with credentials where AWS's own libraries look for them. A key file that
// others may read is refused.
func LoadMaster(spec string, getenv func(string) string) (*Master, error) {
	kind, name, ok := strings.Cut(spec, ":")
	if !ok || name == "" {
		return nil, fmt.Errorf("master_key %q: %s", spec, masterRemedy)
	}
	var text string
	switch kind {
	case "file":
		var err error
		if text, err = readKeyFile(name); err != nil {
			return nil, fmt.Errorf("master_key: %w", err)
		}
	case "env":
		if text = getenv(name); text == "" {
			return nil, fmt.Errorf("master_key: the environment variable %s is not set", name)
		}
	case "vault":
		return newVaultMaster(name, getenv)
	case "aws-kms":
		return newAWSMaster(name, getenv)
	case "awskms", "gcp-kms", "gcpkms", "azure-kms", "azurekms", "azurekeyvault":
		return nil, fmt.Errorf("master_key: keys of %s are not in this build, which knows file:PATH, env:NAME, vault:https://HOST:8200/MOUNT/KEY and aws-kms://ARN", kind)
	default:
		return nil, fmt.Errorf("master_key %q: %s", spec, masterRemedy)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return nil, errors.New("master_key: the key is not standard base64: make one with `openssl rand -base64 32`")
	}
	m, err := NewMaster(raw)
	if err != nil {
		return nil, fmt.Errorf("master_key: %w", err)
	}
	return m, nil
}

const masterRemedy = "write file:PATH, env:NAME, vault:https://HOST:8200/MOUNT/KEY or aws-kms://ARN"

func readKeyFile(path string) (string, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return "", fmt.Errorf("open the key file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("look at the key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("the key file %s may be read by others (mode %04o): run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return "", fmt.Errorf("read the key file: %w", err)
	}
	return string(raw), nil
}

// NewMasterText draws a master key and returns it as LoadMaster reads it.
func NewMasterText(random io.Reader) (string, error) {
	raw := make([]byte, MasterKeyLength)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", fmt.Errorf("draw a master key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}
