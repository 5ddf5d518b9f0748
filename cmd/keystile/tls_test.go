package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// overTLS asks the server for /healthz, trusting a PEM file and nothing else.
func (r *running) overTLS(trusted string, change func(*tls.Config)) (*http.Response, error) {
	r.t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(must(os.ReadFile(trusted))(r.t)) {
		r.t.Fatalf("%s holds no certificate", trusted)
	}
	settings := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	if change != nil {
		change(settings)
	}
	transport := &http.Transport{TLSClientConfig: settings, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	request := must(http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+"/healthz", http.NoBody))(r.t)
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	check(r.t, err)
	check(r.t, response.Body.Close())
	return response, nil
}

// speaksTLS wants modern TLS and no other, and no plain HTTP.
func (r *running) speaksTLS(trusted string) {
	r.t.Helper()
	response := must(r.overTLS(trusted, nil))(r.t)
	if response.StatusCode != 200 || response.ProtoMajor != 2 || response.TLS.Version < tls.VersionTLS12 {
		r.t.Errorf("%d %s, TLS %x", response.StatusCode, response.Proto, response.TLS.Version)
	}
	if _, err := r.overTLS(trusted, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }); err == nil {
		r.t.Error("TLS 1.1 is spoken")
	}
	plain := &http.Client{}
	request := must(http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http"+strings.TrimPrefix(r.url, "https")+"/healthz", http.NoBody))(r.t)
	answer := must(plain.Do(request))(r.t)
	check(r.t, answer.Body.Close())
	if answer.StatusCode != 400 {
		r.t.Errorf("plain HTTP is answered with %d", answer.StatusCode)
	}
}

func TestDevTLSHasAnAuthorityForThisMachineAlone(t *testing.T) {
	r := startServer(t, "\ntls: {mode: dev}"+simpleRoutes, simpleWorld)
	dir := filepath.Join(r.dir, "dev-ca")
	ca := filepath.Join(dir, "ca.crt")
	if !strings.HasPrefix(r.url, "https://") || !strings.Contains(r.log.String(), ca) {
		t.Errorf("%s; the authority's place is not printed:\n%s", r.url, r.log)
	}
	r.speaksTLS(ca)
	for name, mode := range map[string]os.FileMode{dir: 0o700, ca: 0o600, filepath.Join(dir, "ca.key"): 0o600} {
		if info := must(os.Stat(name))(t); info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	block, _ := pem.Decode(must(os.ReadFile(ca))(t))
	authority := must(x509.ParseCertificate(block.Bytes))(t)
	if !authority.PermittedDNSDomainsCritical || len(authority.PermittedDNSDomains) != 1 || authority.PermittedDNSDomains[0] != "localhost" || !authority.MaxPathLenZero {
		t.Errorf("the authority may sign for %q, critical: %v, path length zero: %v", authority.PermittedDNSDomains, authority.PermittedDNSDomainsCritical, authority.MaxPathLenZero)
	}
	// Whoever steals its key gains nothing elsewhere: what it signs for another name is not believed.
	pair := must(tls.LoadX509KeyPair(ca, filepath.Join(dir, "ca.key")))(t)
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	for name, believed := range map[string]bool{"localhost": true, "evil.example": false, "bank.com": false} {
		leaf := must(certificateTemplate(name))(t)
		leaf.DNSNames, leaf.ExtKeyUsage = []string{name}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		key := must(ecdsa.GenerateKey(elliptic.P256(), randomSource))(t)
		raw := must(x509.CreateCertificate(randomSource, leaf, authority, key.Public(), pair.PrivateKey))(t)
		_, err := must(x509.ParseCertificate(raw))(t).Verify(x509.VerifyOptions{Roots: pool, DNSName: name})
		if (err == nil) != believed {
			t.Errorf("a certificate for %s: %v", name, err)
		}
	}
}

func TestADevAuthorityIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dev-ca")
	_, first, err := devCertificate(dir)
	check(t, err)
	before := must(os.ReadFile(first))(t)
	_, second, err := devCertificate(dir)
	check(t, err)
	if after := must(os.ReadFile(second))(t); string(after) != string(before) {
		t.Error("the second start made another authority")
	}
	check(t, os.WriteFile(filepath.Join(dir, "ca.key"), []byte("damaged"), 0o600))
	if _, _, err := devCertificate(dir); err == nil {
		t.Error("a damaged authority is used, or replaced without a word")
	}
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	pair, _, err := devCertificate(filepath.Join(dir, "made"))
	check(t, err)
	leaf := must(x509.ParseCertificate(pair.Certificate[0]))(t)
	own := must(ecdsa.GenerateKey(elliptic.P256(), randomSource))(t)
	leaf.SerialNumber, leaf.PublicKey = big.NewInt(1), own.Public()
	raw := must(x509.CreateCertificate(randomSource, leaf, leaf, own.Public(), own))(t)
	keyRaw := must(x509.MarshalPKCS8PrivateKey(own))(t)
	check(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600))
	check(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyRaw}), 0o600))
	return cert, key
}

func TestTLSFilesAreServedAndWrongOnesNameTheirOption(t *testing.T) {
	dir := t.TempDir()
	cert, key := selfSigned(t, dir)
	r := startServer(t, "\ntls: {mode: files, cert: "+cert+", key: "+key+"}"+simpleRoutes, simpleWorld)
	r.speaksTLS(cert)

	config := filepath.Join(dir, "keystile.yaml")
	for text, words := range map[string]string{
		"tls: {mode: files, cert: " + cert + ", key: " + cert + "}":          "keystile.yaml:3: tls.cert: ",
		"tls: {mode: files, cert: " + dir + "/absent.crt, key: " + key + "}": "keystile.yaml:3: tls.cert: ",
		"tls: {mode: files, cert: " + cert + "}":                             "keystile.yaml:3: tls.key: ",
		"tls: {mode: off, cert: " + cert + ", key: " + key + "}":             "keystile.yaml:3: tls.cert: ",
		"tls: {mode: ssl}":  "keystile.yaml:3: tls.mode: ",
		"tls: {mode: acme}": "keystile.yaml:3: tls.mode: ",
		"tls: {mode: files, cert: " + cert + ", key: " + key + ", password: abc}": "keystile.yaml:3: tls.password: ",
	} {
		check(t, os.WriteFile(config, []byte("store: sqlite:"+dir+"/keystile.db\nmaster_key: file:"+r.dir+"/master.key\n"+text+"\n"), 0o600))
		status, _, stderr := command(t, "serve", "--config", config, "--listen", freeAddress(t))
		if status != 1 || !strings.Contains(stderr, words) || !strings.Contains(stderr, "; ") {
			t.Errorf("%s: status %d\n%s", text, status, stderr)
		}
	}
}
