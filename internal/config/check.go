package config

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/yamlfile"
)

// minSecret is the length of a secret that tokens are minted with, in bytes: as
// long as the output of its hash (RFC 7518, section 3.2, for HS256).
const minSecret = 32

// maxSecretFile bounds a file that holds a secret, in bytes.
const maxSecretFile = 64 << 10

// checker gathers what is wrong with a Config.
type checker struct {
	*Config
	demo     bool
	problems yamlfile.Problems
}

func (c *checker) add(path, remedy, format string, args ...any) {
	c.problems = append(c.problems, c.Problem(path, remedy, fmt.Sprintf(format, args...)))
}

func (c *checker) warn(path, remedy, format string, args ...any) {
	c.Warnings = append(c.Warnings, c.Problem(path, remedy, fmt.Sprintf(format, args...)))
}

func (c *checker) check() {
	c.readSecretFiles()
	c.checkListeners()
	c.checkPublicURL()
	c.checkTLS()
	c.checkMTLS()
	c.checkStore()
	c.checkShared()
	c.checkMasterKey()
	c.checkProxies()
	c.checkDialects()
	c.checkOutbound()
	c.checkMail()
	c.checkEndpoint()
	if c.Audit.CheckpointFile != "" {
		c.Audit.CheckpointFile = c.fromBase("audit.checkpoint_file", c.Audit.CheckpointFile)
	}
	c.convertRoutes()
}

// readSecretFiles puts the contents of *_file options where they belong.
func (c *checker) readSecretFiles() {
	c.secretFile("store", &c.Store, &c.StoreFile)
	c.secretFile("shared", &c.Shared, &c.SharedFile)
	c.secretFile("mail.password", &c.Mail.Password, &c.Mail.PasswordFile)
	if c.Dialects.ONA != nil {
		c.secretFile("dialects.ona.jwt.secret", &c.Dialects.ONA.JWT.Secret, &c.Dialects.ONA.JWT.SecretFile)
	}
}

func (c *checker) secretFile(path string, secret *keystile.Secret, file *string) {
	if *file == "" {
		if c.isSet(path + "_file") {
			c.add(path+"_file", "name a file or remove the option", "is empty")
		}
		return
	}
	if c.isSet(path) {
		c.add(path+"_file", "keep one of them", "%s is given as well", path)
		return
	}
	*file = c.fromBase(path+"_file", *file)
	if text, ok := c.readSecret(path+"_file", *file); ok {
		*secret = keystile.Secret(text)
	}
}

// isSet says whether an option was given rather than left to its default.
func (c *checker) isSet(path string) bool {
	_, overridden := c.overridden[path]
	return overridden || c.positions.Has(path)
}

// readSecret reads a secret from a file, without the line end that editors add.
func (c *checker) readSecret(path, file string) (string, bool) {
	text, mode, err := readSmall(file)
	if err != nil {
		c.add(path, "name a file that can be read", "%s", err)
		return "", false
	}
	if mode&0o007 != 0 {
		c.warn(path, "run chmod o= "+file, "everybody on this machine may open the file")
	}
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	if text == "" {
		c.add(path, "write the secret into it", "the file is empty")
		return "", false
	}
	return text, true
}

func readSmall(file string) (text string, mode os.FileMode, err error) {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return "", 0, fmt.Errorf("cannot open the file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return "", 0, fmt.Errorf("cannot look at the file: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", 0, fmt.Errorf("cannot read the file: %w", err)
	}
	if len(raw) > maxSecretFile {
		return "", 0, fmt.Errorf("the file %s has more than %d bytes", file, maxSecretFile)
	}
	return string(raw), info.Mode().Perm(), nil
}

func (c *checker) checkListeners() {
	c.checkListen("listen", c.Listen)
	seen := map[string]string{c.Listen: "listen"}
	for _, other := range []struct{ path, address string }{{"admin_listen", c.AdminListen}, {"ext_authz_listen", c.ExtAuthzListen}, {"mtls.listen", c.MTLS.Listen}} {
		if other.address == "" {
			continue
		}
		c.checkListen(other.path, other.address)
		if first, ok := seen[other.address]; ok && !strings.HasSuffix(other.address, ":0") {
			c.add(other.path, "use another port", "is the same address as %s", first)
		}
		seen[other.address] = other.path
	}
	if c.ExtAuthzListen != "" {
		c.warn("ext_authz_listen", "use /forward-auth or /v1/decisions", "this version does not serve ext_authz: nothing listens there")
	}
	if c.TLS.Mode == "off" && !c.demo && !loopback(c.Listen) && !strings.HasPrefix(c.PublicURL, "https://") {
		c.warn("tls.mode", "set tls.mode, or public_url to the https URL of the proxy in front", "credentials cross the network in clear on %s", c.Listen)
	}
}

func (c *checker) checkListen(path, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		c.add(path, "write host:port, such as 127.0.0.1:8080", "%s is not an address", yamlfile.Quote(address))
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		c.add(path, "use a port from 0 to 65535", "%s is not a port", yamlfile.Quote(port))
	}
	if host != "" && !validHost(host) {
		c.add(path, "use an IP address or a host name", "%s is not a host", yamlfile.Quote(host))
	}
}

// validHost takes IP addresses and names of letters, digits, hyphens and dots
// (RFC 1123, section 2.1).
func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	for _, label := range strings.Split(strings.TrimSuffix(host, "."), ".") {
		if !validLabel(label) {
			return false
		}
	}
	return len(host) <= 253
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := range len(label) {
		b := label[i] | 0x20 // lower case, for letters
		if (b < 'a' || b > 'z') && (label[i] < '0' || label[i] > '9') && label[i] != '-' {
			return false
		}
	}
	return true
}

// loopback says whether only this machine reaches the address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || strings.EqualFold(host, "localhost")
}

// checkMTLS wants what the listener that asks for certificates needs.
//
//nolint:gocyclo // a list of checks, one after the other
func (c *checker) checkMTLS() {
	m := &c.MTLS
	if m.Listen == "" {
		for path, value := range map[string]string{"mtls.url": m.URL, "mtls.client_ca": m.ClientCA} {
			if value != "" {
				c.add(path, "set mtls.listen, or remove it", "nothing asks for certificates without mtls.listen")
			}
		}
		return
	}
	if c.TLS.Mode == "off" {
		c.add("mtls.listen", "set tls.mode", "a caller proves in TLS that it holds a certificate, and tls is off")
	}
	if c.PublicURL == "" {
		c.add("mtls.listen", "set public_url", "the authorization server is off without public_url")
	}
	const remedy = "write scheme, host and port, such as https://auth.example.com:8443"
	u, err := url.Parse(m.URL)
	switch {
	case err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		c.add("mtls.url", remedy, "is not the https URL of a server")
	case strings.TrimSuffix(m.URL, "/") == strings.TrimSuffix(c.PublicURL, "/"):
		c.add("mtls.url", remedy, "is public_url, whose listener asks nobody for a certificate")
	}
	m.URL = strings.TrimSuffix(m.URL, "/")
	if m.ClientCA != "" {
		m.ClientCA = c.fromBase("mtls.client_ca", m.ClientCA)
	}
}

const publicURLRemedy = "write scheme and host, such as https://auth.example.com"

func (c *checker) checkPublicURL() {
	if c.PublicURL == "" {
		return
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		c.add("public_url", publicURLRemedy, "is not an http or https URL")
		return
	}
	c.checkOrigin(u)
	if u.Scheme == "http" && !loopback(net.JoinHostPort(u.Hostname(), "80")) {
		c.warn("public_url", "use https", "credentials cross the network in clear")
	}
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
}

// checkOrigin refuses what is no part of an origin (RFC 6454, section 4).
func (c *checker) checkOrigin(u *url.URL) {
	switch {
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(c.PublicURL, "#"):
		c.add("public_url", publicURLRemedy, "has a user, a query or a fragment")
	case u.Path != "" && u.Path != "/":
		c.add("public_url", publicURLRemedy, "has a path; the server's own paths begin at the root")
	case !validHost(u.Hostname()):
		c.add("public_url", "use a host name in its ASCII form", "%s is not a host", yamlfile.Quote(u.Hostname()))
	case u.Port() != "" && !validPort(u.Port()):
		c.add("public_url", "use a port from 1 to 65535", "%s is not a port", yamlfile.Quote(u.Port()))
	}
}

func validPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

func (c *checker) checkTLS() {
	for _, file := range []struct {
		path  string
		value *string
	}{{"tls.cert", &c.TLS.Cert}, {"tls.key", &c.TLS.Key}} {
		switch {
		case c.TLS.Mode == "files" && *file.value == "":
			c.add(file.path, "name the PEM file", "is missing, and tls.mode is files")
		case c.TLS.Mode != "files" && *file.value != "":
			c.add(file.path, "set tls.mode: files, or remove it", "means nothing while tls.mode is %s", c.TLS.Mode)
		}
		*file.value = c.fromBase(file.path, *file.value)
	}
	if c.TLS.Mode == "acme" && (!strings.HasPrefix(c.PublicURL, "https://") || loopback(net.JoinHostPort(c.PublicHost(), "443"))) {
		c.add("tls.mode", "set public_url to the https URL that the authority can reach", "acme needs a public host name")
	}
}

func (c *checker) checkProxies() {
	for i, prefix := range c.TrustedProxies {
		if prefix.Bits() == 0 {
			c.warn(fmt.Sprintf("trusted_proxies[%d]", i), "name the networks of your proxies", "%s lets every caller choose its own address", prefix)
		}
	}
}

func (c *checker) checkOutbound() {
	for i, prefix := range c.Outbound.AllowPrivate {
		if prefix.Bits() == 0 {
			c.warn(fmt.Sprintf("outbound.allow_private[%d]", i), "name the networks of your identity providers", "%s lets a URL reach everything that this machine reaches", prefix)
		}
	}
	if c.Outbound.Proxy == "" {
		return
	}
	u, err := url.Parse(c.Outbound.Proxy)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		c.add("outbound.proxy", "write a URL such as http://proxy.internal:3128", "is not an http or https URL")
	}
}

func (c *checker) checkEndpoint() {
	if c.OTLPEndpoint == "" {
		return
	}
	u, err := url.Parse(c.OTLPEndpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		c.add("otlp_endpoint", "write a URL such as http://127.0.0.1:4318", "is not an http or https URL")
	}
}

func (c *checker) checkDialects() {
	if d := c.Dialects.ONA; d != nil {
		for i, path := range d.BasePaths {
			if path != "" && (!strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") || strings.ContainsAny(path, "*?#%\\ ") || strings.Contains(path, "//")) {
				c.add(fmt.Sprintf("dialects.ona.base_paths[%d]", i), `write "" for the root or a path such as /prod`, "%s is not a base path", yamlfile.Quote(path))
			}
		}
		if len(d.BasePaths) == 0 {
			c.add("dialects.ona.base_paths", `write [""] for the root`, "names no path")
		}
		c.checkSecret("dialects.ona.jwt.secret", d.JWT.Secret)
	}
	if d := c.Dialects.Aurora; d != nil {
		if len(d.Environments) == 0 {
			c.add("dialects.aurora.environments", "name sandbox, production or both", "names no environment")
		}
		c.checkLaunch(&d.Launch)
	}
}

// checkLaunch refuses names of query parameters that would have to be escaped, or
// that stand for two things.
func (c *checker) checkLaunch(l *AuroraLaunch) {
	const section, letters = "dialects.aurora.launch.", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
	seen := map[string]bool{}
	for _, p := range []struct{ key, name string }{
		{"session_token", l.SessionToken}, {"tenant_id", l.TenantID}, {"application_id", l.ApplicationID},
	} {
		switch {
		case p.name == "" || len(p.name) > 64 || strings.Trim(p.name, letters) != "":
			c.add(section+p.key, "use 1 to 64 of letters, digits and -._~", "%s is not a name for a query parameter", yamlfile.Quote(p.name))
		case seen[p.name]:
			c.add(section+p.key, "give each of the three a name of its own", "%s is the name of another parameter, too", yamlfile.Quote(p.name))
		}
		seen[p.name] = true
	}
}

// checkSecret refuses a secret that somebody might guess: whoever has it mints
// tokens for any user. Absent is fine: then one is drawn.
func (c *checker) checkSecret(path string, secret keystile.Secret) {
	const remedy = "use the output of openssl rand -base64 32, or remove it and one is drawn and kept sealed"
	if !c.isSet(path) && !c.isSet(path+"_file") || c.demo {
		return
	}
	switch {
	case secret == "":
		c.add(path, remedy, "is empty")
	case len(secret) < minSecret:
		c.add(path, remedy, "has %d bytes; fewer than %d can be guessed", len(secret), minSecret)
	case distinct(secret.Reveal()) < 8:
		c.add(path, remedy, "is weak: it repeats a few characters")
	}
}

func distinct(text string) int {
	seen := map[byte]bool{}
	for i := range len(text) {
		seen[text[i]] = true
	}
	return len(seen)
}
