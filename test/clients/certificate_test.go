package clients

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"keystile.dev/keystile/test/e2e/program"
)

// mtlsLine is the line of the page with which a server asks for certificates.
var mtlsLine = regexp.MustCompile(`(?m)^mtls: .+$`)

// certificates makes an authority of clients and the certificate of one, and returns the
// page's line with their places, and a free address.
func certificates(ctx context.Context) (string, error) {
	text, err := os.ReadFile(page)
	if err != nil {
		return "", err
	}
	address, err := program.FreeAddress(ctx)
	if err != nil {
		return "", err
	}
	certified = "https://localhost:" + address[strings.LastIndexByte(address, ':')+1:]
	if err := makeCertificates(); err != nil {
		return "", err
	}
	places := strings.NewReplacer(
		"0.0.0.0:8443", address, "https://auth.example.com:8443", certified, "/etc/keystile/clients.pem", filepath.Join(house, "clients.pem"),
	)
	return places.Replace(string(mtlsLine.Find(text))), nil
}

// makeCertificates writes clients.pem, batch.pem and batch.key.
func makeCertificates() error {
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Clients"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), DNSNames: []string{"batch.example.com"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, leafKey.Public(), rootKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return err
	}
	write := func(name, kind string, der []byte) error {
		return os.WriteFile(filepath.Join(house, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	}
	return errors.Join(write("clients.pem", "CERTIFICATE", rootDER), write("batch.pem", "CERTIFICATE", leafDER), write("batch.key", "PRIVATE KEY", keyDER))
}
