package browser

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"keystile.dev/keystile/test/e2e/program"
)

// apacheConfiguration is an Apache whose sites let nobody in whom Keystile does not know:
// directory, port, and then the sites.
const apacheConfiguration = `
ServerRoot %[1]s
PidFile %[1]s/pid
User www-data
Group www-data
ErrorLog /dev/stderr
LogLevel warn
Listen 127.0.0.1:%[2]s
ServerName localhost
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
LoadModule filter_module /usr/lib/apache2/modules/mod_filter.so
LoadModule include_module /usr/lib/apache2/modules/mod_include.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
LoadModule auth_openidc_module /usr/lib/apache2/modules/mod_auth_openidc.so
TypesConfig /dev/null
AddType text/html .html
AddOutputFilter INCLUDES .html
SSLEngine on
SSLCertificateFile %[1]s/certificate.pem
SSLSessionCache none
%[3]s`

// apacheSite takes the site's name, the directory, the port, and what the page of the
// documentation says about it.
const apacheSite = `
<VirtualHost 127.0.0.1:%[3]s>
  ServerName %[1]s.localhost
  SSLEngine on
  SSLCertificateFile %[2]s/certificate.pem
  DocumentRoot %[2]s/pages
  OIDCCABundlePath %[2]s/ca.pem
  <Directory %[2]s/pages>
    Options +Includes
    Require all granted
  </Directory>
  %[4]s
</VirtualHost>
`

// documented is the page's block for Apache.
func documented(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/sign-in-with-keystile.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^```apache\n(.*?)^```$").FindSubmatch(text)
	if block == nil {
		t.Fatal("the page has no block for Apache")
	}
	return string(block[1])
}

// apache is a running Apache with its sites' addresses by name.
type apache struct{ port string }

func (a *apache) at(site, path string) string {
	return "https://" + site + ".localhost:" + a.port + path
}

// startApache serves sites, each a client of its own. Their one page greets by name.
func startApache(t *testing.T, names ...string) *apache {
	t.Helper()
	address, err := program.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a, dir := &apache{port: address[strings.LastIndexByte(address, ':')+1:]}, publicDirectory(t)
	var sites strings.Builder
	for _, name := range names {
		id, secret := registerClient(t, name+" site", "--redirect-uri", a.at(name, "/private/callback"), "--post-logout-redirect-uri", a.at(name, "/bye.html"), "--scope", "openid", "--scope", "profile")
		said := strings.NewReplacer("https://auth.example.com", origin, "https://app.example.com", a.at(name, ""), "CLIENT_ID", id, "CLIENT_SECRET", secret, "ANOTHER_SECRET", secret).Replace(documented(t))
		fmt.Fprintf(&sites, apacheSite, name, dir, a.port, said)
	}
	authority, err := os.ReadFile(filepath.Join(filepath.Dir(config), "dev-ca", "ca.crt"))
	configuration := filepath.Join(dir, "apache.conf")
	err = errors.Join(
		err, os.WriteFile(filepath.Join(dir, "ca.pem"), authority, 0o644),
		os.MkdirAll(filepath.Join(dir, "pages", "private"), 0o755),
		writeCertificate(filepath.Join(dir, "certificate.pem"), names),
		os.WriteFile(filepath.Join(dir, "pages", "private", "index.html"), []byte(`<!doctype html><title>Site</title><p>Hello, <!--#echo var="OIDC_CLAIM_name" --> (<!--#echo var="REMOTE_USER" -->)`), 0o644),
		os.WriteFile(filepath.Join(dir, "pages", "bye.html"), []byte(`<!doctype html><title>Site</title><p>You left the site.`), 0o644),
		os.WriteFile(configuration, fmt.Appendf(nil, apacheConfiguration, dir, a.port, sites.String()), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Start(t.Context(), program.Command{Dir: dir, Argv: []string{"/usr/sbin/apache2", "-X", "-f", configuration}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(p.Stderr())
		}
	})
	err = p.Eventually(t.Context(), func() error {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// publicDirectory is a temporary one that Apache may read, which as root runs as another user.
func publicDirectory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "keystile-apache-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writeCertificate makes a certificate of its own for the sites, with its key.
func writeCertificate(file string, names []string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sites"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	for _, name := range names {
		template.DNSNames = append(template.DNSNames, name+".localhost")
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	return os.WriteFile(file, text, 0o600)
}

// host is where the page is from.
func (b *tab) host() string {
	b.t.Helper()
	where, err := chromedp.Run(b.ctx, chromedp.Location())
	if err != nil {
		b.t.Fatal(err)
	}
	u, err := url.Parse(where)
	if err != nil {
		b.t.Fatal(err)
	}
	return u.Hostname()
}

// goTo opens an address anywhere, and stands still where that leads.
func (b *tab) goTo(address string) {
	b.t.Helper()
	b.do(chromedp.Navigate(address))
}

func TestASiteBehindApacheGreetsByNameASecondAsksForNoPasswordAndSignOutReachesKeystile(t *testing.T) {
	a := startApache(t, "one", "two")
	b := newTab(t)
	b.goTo(a.at("one", "/private/index.html"))
	b.mustBeAt("/login")
	b.fill("username", "apache@example.com")
	b.fill("password", password)
	b.press(mainButton)
	b.mustBeAt("/oauth/authorize")
	b.mustSay("one site")
	b.look("consent")
	b.press(mainButton)
	b.mustBeAt("/private/index.html")
	b.mustSay("Hello, Apache Visitor (user_")

	// The second site: another client, its own consent, no password.
	b.goTo(a.at("two", "/private/index.html"))
	b.mustBeAt("/oauth/authorize")
	b.mustSay("two site")
	b.press(mainButton)
	b.mustBeAt("/private/index.html")
	b.mustSay("Hello, Apache Visitor (user_")
	if b.host() != "two.localhost" {
		t.Errorf("the second site is at %s", b.host())
	}

	// Signing out at the first site signs out at Keystile.
	b.goTo(a.at("one", "/private/callback?logout="+url.QueryEscape(a.at("one", "/bye.html"))))
	b.mustSay("You left the site.")
	if b.host() != "one.localhost" {
		t.Errorf("after the sign-out the browser is at %s", b.host())
	}
	b.open("/account")
	b.mustBeAt("/login")

	// Who comes back gives a password again, and no second consent.
	b.goTo(a.at("one", "/private/index.html"))
	b.mustBeAt("/login")
	b.fill("username", "apache@example.com")
	b.fill("password", password)
	b.press(mainButton)
	b.mustSay("Hello, Apache Visitor (user_")
}

func TestWhoSaysNoToASiteBehindApacheDoesNotGetIn(t *testing.T) {
	a := startApache(t, "no")
	b := newTab(t)
	b.signIn("apacheno@example.com")
	b.goTo(a.at("no", "/private/index.html"))
	b.press("main button[value=deny]")
	// The module takes an error with "iss" (RFC 9207, section 2.2) for a sign-in that
	// the provider wants to begin, and refuses that.
	if b.host() != "no.localhost" || strings.Contains(b.text(), "Hello") {
		t.Errorf("after a no, at %s: %s", b.host(), b.text())
	}
	b.goTo(a.at("no", "/private/index.html"))
	b.mustBeAt("/oauth/authorize") // asked once more
}
