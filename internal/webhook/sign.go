package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
)

const (
	// secretPrefix tells a signing secret from other text (Standard Webhooks, "Signature scheme").
	secretPrefix = "whsec_"
	// minSecret and maxSecret are how many bytes a symmetric secret has.
	minSecret, maxSecret = 24, 64
	// newSecret is how many a drawn one has.
	newSecret = 32
)

// NewSecret draws a signing secret.
func NewSecret(random io.Reader) (keystile.Secret, error) {
	var raw [newSecret]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", fmt.Errorf("draw a signing secret: %w", err)
	}
	return keystile.Secret(secretPrefix + base64.StdEncoding.EncodeToString(raw[:])), nil
}

// errSecretForm says what a signing secret looks like.
var errSecretForm = errors.New("is not whsec_ and the base64 of 24 to 64 bytes")

// CheckSecret says what is wrong with a signing secret, or nil.
func CheckSecret(secret keystile.Secret) error {
	_, err := secretKey(secret)
	return err
}

func secretKey(secret keystile.Secret) ([]byte, error) {
	text, ok := strings.CutPrefix(secret.Reveal(), secretPrefix)
	if !ok || strings.ContainsAny(text, "\r\n") { // which the decoder would pass over
		return nil, errSecretForm
	}
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(key) < minSecret || len(key) > maxSecret {
		return nil, errSecretForm
	}
	return key, nil
}

// Sign is the value of webhook-signature: one signature for each secret, of the id,
// the time and the body joined by full stops. An id holds none, so that no two
// messages are signed as one text.
func Sign(id string, at time.Time, body []byte, secrets ...keystile.Secret) (string, error) {
	if id == "" || strings.Contains(id, ".") {
		return "", fmt.Errorf("sign a webhook: %q is no id", id)
	}
	if len(secrets) == 0 {
		return "", errors.New("sign a webhook: no secret")
	}
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		key, err := secretKey(secret)
		if err != nil {
			return "", fmt.Errorf("sign a webhook: the secret %w", err)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " "), nil
}
