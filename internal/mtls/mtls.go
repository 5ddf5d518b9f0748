package mtls

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// maxSubject bounds what a certificate has to name, in bytes.
	maxSubject = 512
	// maxSet bounds a set of keys with certificates, and maxCertificates how many are read of one.
	maxSet          = 64 << 10
	maxCertificates = 20
)

// Thumbprint is x5t#S256 of a certificate in DER (RFC 8705, section 3.1).
func Thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// CheckSubject says what is wrong with what a certificate is to name: "dn:" and the
// subject as RFC 4514 writes it, or "dns:", "uri:", "ip:" or "email:" and a subject
// alternative name (RFC 8705, section 2.1.2).
//
//nolint:gocyclo // a list of checks, one after the other
func CheckSubject(subject string) error {
	form, value, _ := strings.Cut(subject, ":")
	if value == "" || len(subject) > maxSubject || strings.TrimSpace(value) != value {
		return errors.New("not a form and a value")
	}
	switch form {
	case "dn":
		if !strings.Contains(value, "=") {
			return errors.New("not a distinguished name")
		}
		return nil
	case "dns":
		if strings.ContainsAny(value, "*/:@ ") {
			return errors.New("not a host name")
		}
		return nil
	case "uri":
		if u, err := url.Parse(value); err != nil || !u.IsAbs() {
			return errors.New("not an absolute URI")
		}
		return nil
	case "ip":
		if _, err := netip.ParseAddr(value); err != nil {
			return errors.New("not an IP address")
		}
		return nil
	case "email":
		if a, err := mail.ParseAddress(value); err != nil || a.Address != value {
			return errors.New("not an e-mail address")
		}
		return nil
	}
	return errors.New("not a form of name")
}

// Names says whether a certificate names a subject that CheckSubject took. Host names are
// compared without regard to case and without wildcards, everything else byte by byte.
func Names(c *x509.Certificate, subject string) bool {
	form, value, _ := strings.Cut(subject, ":")
	if value == "" {
		return false
	}
	switch form {
	case "dn":
		name, err := distinguishedName(c)
		return err == nil && name == value
	case "dns":
		return slices.ContainsFunc(c.DNSNames, func(name string) bool { return strings.EqualFold(name, value) })
	case "uri":
		return slices.ContainsFunc(c.URIs, func(u *url.URL) bool { return u.String() == value })
	case "ip":
		want, err := netip.ParseAddr(value)
		if err != nil {
			return false
		}
		for _, ip := range c.IPAddresses {
			if got, ok := netip.AddrFromSlice(ip); ok && got.Unmap() == want.Unmap() {
				return true
			}
		}
	case "email":
		return slices.Contains(c.EmailAddresses, value)
	}
	return false
}

// distinguishedName is the subject as RFC 4514 writes it, in the order of the certificate:
// [pkix.Name] would sort it.
func distinguishedName(c *x509.Certificate) (string, error) {
	var sequence pkix.RDNSequence
	rest, err := asn1.Unmarshal(c.RawSubject, &sequence)
	if err != nil || len(rest) > 0 {
		return "", fmt.Errorf("read the subject of a certificate: %w", errors.Join(err, errors.New("trailing bytes")))
	}
	return sequence.String(), nil
}

// CheckIssued says why a certificate, sent with others that may lie between, is none that
// an authority signed for a client of a subject; nil: it is.
func CheckIssued(sent []*x509.Certificate, authorities *x509.CertPool, subject string, now time.Time) error {
	if len(sent) == 0 || authorities == nil {
		return errors.New("there is no certificate, or no authority is configured")
	}
	between := x509.NewCertPool()
	for _, c := range sent[1:] {
		between.AddCert(c)
	}
	_, err := sent[0].Verify(x509.VerifyOptions{
		Roots: authorities, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("the certificate: %w", err)
	}
	if !Names(sent[0], subject) {
		return errors.New("the certificate names another subject")
	}
	return nil
}

// CheckRegistered says why a certificate is none of those that a client registered in its
// keys; nil: it is. Who signed it does not matter (RFC 8705, section 2.2).
func CheckRegistered(sent []*x509.Certificate, jwks []byte, now time.Time) error {
	if len(sent) == 0 {
		return errors.New("there is no certificate")
	}
	registered, err := Certificates(jwks)
	if err != nil {
		return err
	}
	own := sent[0]
	if !slices.ContainsFunc(registered, func(c *x509.Certificate) bool { return bytes.Equal(c.Raw, own.Raw) }) {
		return errors.New("the certificate is not registered")
	}
	if now.Before(own.NotBefore) || now.After(own.NotAfter) {
		return errors.New("the certificate has ended or is not good yet")
	}
	return nil
}

// Certificates are the first ones of "x5c" in a JSON Web Key Set (RFC 7517, section 4.7).
func Certificates(jwks []byte) ([]*x509.Certificate, error) {
	if len(jwks) > maxSet {
		return nil, errors.New("the set of keys is longer than 64 KiB")
	}
	var set struct {
		Keys []struct {
			Chain []string `json:"x5c"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		return nil, errors.New("not a set of keys")
	}
	var list []*x509.Certificate
	for _, key := range set.Keys {
		if len(key.Chain) == 0 {
			continue
		}
		if len(list) == maxCertificates {
			return nil, fmt.Errorf("there are more than %d certificates", maxCertificates)
		}
		der, err := base64.StdEncoding.Strict().DecodeString(key.Chain[0])
		if err != nil {
			return nil, errors.New("x5c is not base64")
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errors.New("x5c is no certificate")
		}
		list = append(list, c)
	}
	return list, nil
}

// ParseHeader reads Client-Cert (RFC 9440, section 2.2), the certificate that a proxy had
// its caller prove: exactly one field with one byte sequence (RFC 9651, section 3.3.5).
func ParseHeader(values []string) (*x509.Certificate, error) {
	bad := errors.New("Client-Cert cannot be read")
	if len(values) != 1 || len(values[0]) > maxSet {
		return nil, bad
	}
	text, ok := strings.CutPrefix(strings.Trim(values[0], " "), ":")
	if !ok {
		return nil, bad
	}
	if text, ok = strings.CutSuffix(text, ":"); !ok {
		return nil, bad
	}
	der, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, bad
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, bad
	}
	return c, nil
}
