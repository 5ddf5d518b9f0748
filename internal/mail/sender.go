package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strconv"
	"time"

	gomail "github.com/wneessen/go-mail"

	keystile "keystile.dev/keystile"
)

// Security is how the connection to the mail server is protected.
type Security string

// The ways.
const (
	STARTTLS Security = "starttls" // asked for after connecting; refused by the server: nothing is sent
	TLS      Security = "tls"      // from the first byte
	None     Security = "none"     // for a mail server on this machine
)

// Options say which mail server and who sends.
type Options struct {
	// Server is host:port.
	Server   string
	Security Security
	// From is the sender's address, with a name or without.
	From string
	// Username and Password authenticate; empty: none is asked for. They are never sent in clear
	// to another machine.
	Username string
	Password keystile.Secret
	// Timeout of one step of the conversation; 0: 10 s.
	Timeout time.Duration
	// Roots verifies the server's certificate; nil: the system's.
	Roots *x509.CertPool
}

// Sender sends mail. It is safe for concurrent use: each message has a connection of its own.
type Sender struct {
	o    Options
	host string
	port int
}

// New makes a Sender. It does not connect.
func New(o Options) (*Sender, error) {
	host, port, err := net.SplitHostPort(o.Server)
	if err != nil {
		return nil, keystile.Invalidf("mail.server", "write host:port, such as smtp.example.com:587", "%q is not an address", o.Server)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, keystile.Invalidf("mail.server", "use a port from 1 to 65535", "%q is not a port", port)
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	s := &Sender{o: o, host: host, port: int(n)}
	m := gomail.NewMsg()
	if err := m.From(o.From); err != nil {
		return nil, keystile.Invalidf("mail.from", "write an address such as Keystile <no-reply@example.com>", "%q is not one", o.From)
	}
	if _, err := s.client(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Sender) client() (*gomail.Client, error) {
	options := []gomail.Option{gomail.WithPort(s.port), gomail.WithTimeout(s.o.Timeout)}
	switch s.o.Security {
	case TLS:
		options = append(options, gomail.WithSSL())
	case None:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	case STARTTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	default:
		return nil, keystile.Invalidf("mail.security", "use starttls, tls or none", "%q is none of them", string(s.o.Security))
	}
	if s.o.Roots != nil {
		options = append(options, gomail.WithTLSConfig(&tls.Config{RootCAs: s.o.Roots, ServerName: s.host, MinVersion: tls.VersionTLS12}))
	}
	if s.o.Username != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(s.o.Username), gomail.WithPassword(s.o.Password.Reveal()))
	}
	c, err := gomail.NewClient(s.host, options...)
	if err != nil {
		return nil, fmt.Errorf("set up the mail server %s: %w", s.o.Server, err)
	}
	return c, nil
}

// Send sends one message in UTF-8. An address that is none is an error and is not sent to: it
// cannot add recipients or headers.
func (s *Sender) Send(ctx context.Context, to, subject, text string) error {
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := m.From(s.o.From); err != nil {
		return fmt.Errorf("write a mail: %w", err)
	}
	if err := m.To(to); err != nil {
		return fmt.Errorf("write a mail: the recipient is not an address: %w", err)
	}
	m.Subject(subject)
	m.SetDate()
	m.SetMessageID()
	// Answers of machines to machines make loops (RFC 3834, section 5).
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetBodyString(gomail.TypeTextPlain, text)
	c, err := s.client()
	if err != nil {
		return err
	}
	if err := c.DialAndSendWithContext(ctx, m); err != nil {
		return fmt.Errorf("send a mail by %s: %w", s.o.Server, err)
	}
	return nil
}
