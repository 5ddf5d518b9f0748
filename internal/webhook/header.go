package webhook

import (
	"errors"
	"net/textproto"
	"strings"
)

const (
	maxHeaderName  = 100
	maxHeaderValue = 4 << 10
)

// reserved are headers that say how a message is carried, or what this program says itself.
var reserved = []string{
	"Host", "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Content-Length", "Content-Type", "Content-Encoding",
	"User-Agent", "Accept", "Accept-Encoding", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature",
}

// CheckHeaderName says what is wrong with the name of a header that a webhook is to
// carry, or nil (RFC 9110, section 5.1).
func CheckHeaderName(name string) error {
	const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if name == "" || len(name) > maxHeaderName || strings.Trim(name, token) != "" {
		return errors.New("is not the name of a header")
	}
	for _, r := range reserved {
		if strings.EqualFold(name, r) || strings.HasPrefix(textproto.CanonicalMIMEHeaderKey(name), "Proxy-") {
			return errors.New("is a header that deliveries set themselves")
		}
	}
	return nil
}

// CheckHeaderValue says what is wrong with its value, or nil: visible ASCII and
// spaces within.
func CheckHeaderValue(value string) error {
	strange := func(r rune) bool { return r < ' ' || r > '~' }
	if value == "" || len(value) > maxHeaderValue || strings.ContainsFunc(value, strange) || strings.TrimSpace(value) != value {
		return errors.New("is empty, longer than 4 KiB, or not plain text")
	}
	return nil
}
