package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"keystile.dev/keystile/internal/config"
)

// buildTLS makes the TLS configuration of the listeners; nil is plain HTTP.
func buildTLS(cfg *config.Config, a *app) (*tls.Config, error) {
	base := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	switch cfg.TLS.Mode {
	case "", "off":
		return nil, nil
	case "files":
		pair, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key)
		if err != nil {
			return nil, cfg.Problem("tls.cert", "name a PEM certificate chain and its key", err.Error())
		}
		base.Certificates = []tls.Certificate{pair}
		return base, nil
	case "dev":
		dir := filepath.Join(dataDir(cfg), "dev-ca")
		pair, caFile, err := devCertificate(dir)
		if err != nil {
			return nil, fmt.Errorf("tls: dev: %w", err)
		}
		fmt.Fprintf(a.stderr, "tls: dev certificates are signed by %s; for example: curl --cacert %s https://localhost:PORT/healthz\n", caFile, caFile)
		base.Certificates = []tls.Certificate{pair}
		return base, nil
	case "acme":
		host := cfg.PublicHost()
		if host == "" {
			return nil, cfg.Problem("tls.mode", "set public_url to the https URL certificates are for", "acme needs public_url")
		}
		hosts := []string{host}
		if cfg.MTLS.Listen != "" {
			hosts = append(hosts, cfg.MTLS.Host())
		}
		manager := &autocert.Manager{
			Prompt: autocert.AcceptTOS, HostPolicy: autocert.HostWhitelist(hosts...), Cache: autocert.DirCache(filepath.Join(dataDir(cfg), "acme")),
		}
		base.GetCertificate = manager.GetCertificate
		base.NextProtos = append(base.NextProtos, acme.ALPNProto)
		return base, nil
	}
	return nil, fmt.Errorf("tls.mode %q is not known", cfg.TLS.Mode)
}

// askingForCertificates is the configuration of a listener where each caller proves that
// it holds the key of some certificate. Whose it is, the authorization server and the
// tokens say: those that a client registered are signed by nobody (RFC 8705, section 2.2).
func askingForCertificates(base *tls.Config) *tls.Config {
	c := base.Clone()
	c.ClientAuth = tls.RequireAnyClientCert
	return c
}

// clientAuthorities reads those that sign certificates of clients; nil: none is configured.
func clientAuthorities(cfg *config.Config) (*x509.CertPool, error) {
	if cfg.MTLS.ClientCA == "" {
		return nil, nil
	}
	const remedy = "name a PEM file with the certificates of the authorities"
	data, err := os.ReadFile(cfg.MTLS.ClientCA)
	if err != nil {
		return nil, cfg.Problem("mtls.client_ca", remedy, err.Error())
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, cfg.Problem("mtls.client_ca", remedy, "there is no certificate in it")
	}
	return pool, nil
}

// dataDir is the directory of the SQLite store, or the working directory.
func dataDir(cfg *config.Config) string {
	if path, ok := strings.CutPrefix(cfg.Store.Reveal(), "sqlite:"); ok {
		return filepath.Dir(path)
	}
	return "."
}

const devLife = 90 * 24 * time.Hour

// devCertificate makes a certificate for localhost, signed by a local authority
// that is made at first start. The authority may sign for localhost only (RFC
// 5280, section 4.2.1.10), its key is readable by its owner only, and it is never
// installed anywhere.
func devCertificate(dir string) (tls.Certificate, string, error) {
	caFile, keyFile := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return tls.Certificate{}, "", fmt.Errorf("make %s: %w", dir, err)
	}
	authority, err := tls.LoadX509KeyPair(caFile, keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		if err := newDevAuthority(caFile, keyFile); err != nil {
			return tls.Certificate{}, "", err
		}
		authority, err = tls.LoadX509KeyPair(caFile, keyFile)
	}
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("read the local authority: %w", err)
	}
	issuer, err := x509.ParseCertificate(authority.Certificate[0])
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("read the local authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), randomSource)
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("make a key: %w", err)
	}
	leaf, err := certificateTemplate("localhost")
	if err != nil {
		return tls.Certificate{}, "", err
	}
	leaf.DNSNames = []string{"localhost"}
	leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	raw, err := x509.CreateCertificate(randomSource, leaf, issuer, key.Public(), authority.PrivateKey)
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("sign a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{raw, authority.Certificate[0]}, PrivateKey: key}, caFile, nil
}

func certificateTemplate(name string) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	if _, err := randomSource.Read(serial); err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(devLife), KeyUsage: x509.KeyUsageDigitalSignature,
	}, nil
}

func newDevAuthority(caFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), randomSource)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	ca, err := certificateTemplate("Keystile dev authority (localhost only)")
	if err != nil {
		return err
	}
	ca.IsCA, ca.BasicConstraintsValid, ca.MaxPathLenZero = true, true, true
	ca.KeyUsage = x509.KeyUsageCertSign
	ca.PermittedDNSDomainsCritical = true
	ca.PermittedDNSDomains = []string{"localhost"}
	ca.PermittedIPRanges = []*net.IPNet{
		{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}, {IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
	}
	raw, err := x509.CreateCertificate(randomSource, ca, ca, key.Public(), key)
	if err != nil {
		return fmt.Errorf("sign the local authority: %w", err)
	}
	keyRaw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode a key: %w", err)
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyRaw}), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", keyFile, err)
	}
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", caFile, err)
	}
	return nil
}
