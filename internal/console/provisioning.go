package console

import (
	"encoding/base64"
	"errors"
	"html/template"
	"net/url"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login/totp"
)

// provisioning is a TOTP secret as people take it over: by camera or by hand.
type provisioning struct {
	// QR is a PNG as a data: URL.
	QR template.URL
	// Key is the secret in groups of four.
	Key string
	// URI opens an authenticator app on the same device.
	URI template.URL
	// Account is the name the app will show.
	Account string
}

// readProvisioning reads an otpauth://totp/ URI.
func readProvisioning(uri keystile.Secret) (*provisioning, error) {
	u, err := url.Parse(uri.Reveal())
	if err != nil || u.Scheme != "otpauth" || u.Query().Get("secret") == "" {
		return nil, errors.New("not an otpauth URI") // without its text, which holds the secret
	}
	png, err := totp.PNG(uri)
	if err != nil {
		return nil, err
	}
	var key strings.Builder
	for i, r := range u.Query().Get("secret") {
		if i > 0 && i%4 == 0 {
			key.WriteByte(' ')
		}
		key.WriteRune(r)
	}
	return &provisioning{
		QR:      template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(png)), //nolint:gosec // made here, base64
		Key:     key.String(),
		URI:     template.URL(uri.Reveal()), //nolint:gosec // its scheme is checked above
		Account: strings.TrimPrefix(u.Path, "/"),
	}, nil
}
