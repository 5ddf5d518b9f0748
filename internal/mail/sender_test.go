package mail_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"math/big"
	"mime/quotedprintable"
	"net"
	stdmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/mail"
)

// server is a small SMTP server (RFC 5321) on a socket of its own.
type server struct {
	t        *testing.T
	listener net.Listener
	tls      *tls.Config
	starttls bool
	refuse   string // the answer to RCPT, if not 250

	mu       sync.Mutex
	messages []received
	open     []net.Conn
	wg       sync.WaitGroup
}

type received struct {
	from, data, auth string
	to               []string
	encrypted        bool
}

func start(t *testing.T, s *server) (address string) {
	t.Helper()
	var err error
	s.t = t
	s.listener, err = net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	s.wg.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.open = append(s.open, conn)
			s.mu.Unlock()
			s.wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		s.listener.Close()
		s.mu.Lock()
		for _, conn := range s.open {
			conn.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	_, port, err := net.SplitHostPort(s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "localhost:" + port
}

func (s *server) serve(conn net.Conn) {
	defer func() { conn.Close() }()
	var got received
	if s.tls != nil && !s.starttls {
		conn = tls.Server(conn, s.tls)
		got.encrypted = true
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return
	}
	in := bufio.NewReader(conn)
	say := func(line string) {
		if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
			conn.Close() // the next read ends it
		}
	}
	say("220 localhost ready")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			if s.starttls && !got.encrypted {
				say("250-localhost")
				say("250 STARTTLS")
				continue
			}
			say("250-localhost")
			say("250 AUTH PLAIN")
		case "STARTTLS":
			say("220 go on")
			conn = tls.Server(conn, s.tls)
			in, got.encrypted = bufio.NewReader(conn), true
		case "AUTH":
			got.auth = rest
			say("235 welcome")
		case "MAIL":
			got.from = rest
			say("250 ok")
		case "RCPT":
			if s.refuse != "" {
				say(s.refuse)
				continue
			}
			got.to = append(got.to, rest)
			say("250 ok")
		case "DATA":
			say("354 go on")
			var b strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil || line == ".\r\n" {
					break
				}
				b.WriteString(strings.TrimPrefix(line, "."))
			}
			got.data = b.String()
			s.mu.Lock()
			s.messages = append(s.messages, got)
			s.mu.Unlock()
			say("250 kept")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (s *server) all() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received{}, s.messages...)
}

// certificate is one for localhost, and what trusts it.
func certificate(t *testing.T) (serve *tls.Config, trust *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}}, pool
}

func sender(t *testing.T, o mail.Options) *mail.Sender {
	t.Helper()
	o.From = "Keystile <no-reply@example.com>"
	o.Timeout = 5 * time.Second
	s, err := mail.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAMessageArrivesAsItWasWrittenUnderEachProtection(t *testing.T) {
	serve, trust := certificate(t)
	const text = "Hello Thandi,\n\n  https://auth.example.com/login/reset?token=AbC\n\n.a line with a dot\nGrüße\n"
	for security, s := range map[mail.Security]*server{
		mail.None: {}, mail.STARTTLS: {tls: serve, starttls: true}, mail.TLS: {tls: serve},
	} {
		t.Run(string(security), func(t *testing.T) {
			o := mail.Options{Server: start(t, s), Security: security, Roots: trust}
			if security != mail.None {
				o.Username, o.Password = "keystile", "hunter2"
			}
			if err := sender(t, o).Send(t.Context(), "thandi@example.com", "Ona: Wähle ein Passwort", text); err != nil {
				t.Fatal(err)
			}
			all := s.all()
			if len(all) != 1 || len(all[0].to) != 1 || !strings.Contains(all[0].to[0], "<thandi@example.com>") || all[0].encrypted != (security != mail.None) {
				t.Fatalf("got %+v", all)
			}
			if want := base64.StdEncoding.EncodeToString([]byte("\x00keystile\x00hunter2")); security != mail.None && !strings.Contains(all[0].auth, want) {
				t.Errorf("authenticated by %q", all[0].auth)
			}
			m, err := stdmail.ReadMessage(strings.NewReader(all[0].data))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
			if err != nil || strings.TrimSpace(strings.ReplaceAll(string(body), "\r\n", "\n")) != strings.TrimSpace(text) {
				t.Errorf("body %q, %v", body, err)
			}
			if m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("To") != "<thandi@example.com>" {
				t.Errorf("header %v", m.Header)
			}
		})
	}
}

func TestNothingIsSentToAServerThatCannotProtectOrProveItself(t *testing.T) {
	serve, trust := certificate(t)
	for name, c := range map[string]struct {
		s *server
		o mail.Options
	}{
		"no STARTTLS":            {&server{}, mail.Options{Security: mail.STARTTLS, Roots: trust}},
		"an unknown certificate": {&server{tls: serve}, mail.Options{Security: mail.TLS}},
		"unknown after STARTTLS": {&server{tls: serve, starttls: true}, mail.Options{Security: mail.STARTTLS}},
		"a refused recipient":    {&server{refuse: "550 no such user"}, mail.Options{Security: mail.None}},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Server = start(t, c.s)
			if err := sender(t, c.o).Send(t.Context(), "thandi@example.com", "s", "t"); err == nil || len(c.s.all()) != 0 {
				t.Errorf("got %v, %d messages", err, len(c.s.all()))
			}
		})
	}
}

func TestAServerThatIsDownOrSilentIsAnErrorInTime(t *testing.T) {
	silent, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	address := silent.Addr().String()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := sender(t, mail.Options{Server: address, Security: mail.None}).Send(ctx, "thandi@example.com", "s", "t"); err == nil {
		t.Error("a silent server took it")
	}
	silent.Close()
	if err := sender(t, mail.Options{Server: address, Security: mail.None}).Send(t.Context(), "thandi@example.com", "s", "t"); err == nil {
		t.Error("nobody took it")
	}
}

func TestAnAddressOrSubjectCannotAddRecipientsOrHeaders(t *testing.T) {
	s := &server{}
	to := sender(t, mail.Options{Server: start(t, s), Security: mail.None})
	for _, address := range []string{"", "x", "a@example.com, b@example.com", "a@example.com\r\nBcc: b@example.com", "a@example.com>\r\nRCPT TO:<b@example.com", "\"a\r\n\"@example.com"} {
		if err := to.Send(t.Context(), address, "s", "t"); err == nil {
			t.Errorf("%q was sent to", address)
		}
	}
	if len(s.all()) != 0 {
		t.Errorf("got %+v", s.all())
	}
	if err := to.Send(t.Context(), "a@example.com", "s\r\nBcc: b@example.com\r\n\r\nx", "t"); err == nil {
		for _, m := range s.all() {
			if header, err := stdmail.ReadMessage(strings.NewReader(m.data)); err != nil || header.Header.Get("Bcc") != "" || len(m.to) != 1 {
				t.Errorf("the subject added a header: %v, %q", err, m.data)
			}
		}
	}
}

func TestOptionsThatCannotWorkAreRefusedBeforeAnybodyWaitsForMail(t *testing.T) {
	for name, o := range map[string]mail.Options{
		"no port":     {Server: "localhost", From: "a@example.com", Security: mail.None},
		"a bad port":  {Server: "localhost:x", From: "a@example.com", Security: mail.None},
		"no sender":   {Server: "localhost:25", Security: mail.None},
		"no security": {Server: "localhost:25", From: "a@example.com"},
	} {
		if _, err := mail.New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	var secret keystile.Secret = "hunter2"
	if _, err := mail.New(mail.Options{Server: "localhost:25", From: "a@example.com", Security: mail.TLS, Username: "u", Password: secret}); err != nil {
		t.Error(err)
	}
}
