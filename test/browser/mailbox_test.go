package browser

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"regexp"
	"strings"
	"sync"
	"testing"

	"keystile.dev/keystile/test/e2e/program"
)

// mailbox is a mail server that keeps what it is given (RFC 5321).
type mailbox struct {
	address  string
	listener net.Listener
	mu       sync.Mutex
	messages []string
}

func openMailbox(ctx context.Context) (*mailbox, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &mailbox{address: l.Addr().String(), listener: l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go m.serve(conn)
		}
	}()
	return m, nil
}

func (m *mailbox) close() error { return m.listener.Close() }

func (m *mailbox) serve(conn net.Conn) {
	defer conn.Close()
	in, say := bufio.NewReader(conn), func(line string) { fmt.Fprint(conn, line+"\r\n") } //nolint:errcheck // a client that is gone is seen by the next read
	say("220 mailbox")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(strings.TrimSpace(line)); {
		case strings.HasPrefix(verb, "EHLO"):
			say("250-mailbox")
			say("250 8BITMIME")
		case verb == "DATA":
			say("354 go on")
			var text strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				text.WriteString(strings.TrimPrefix(line, "."))
			}
			m.mu.Lock()
			m.messages = append(m.messages, text.String())
			m.mu.Unlock()
			say("250 kept")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 yes")
		}
	}
}

var linkInMail = regexp.MustCompile(`https://localhost:\d+/login/reset\?token=[0-9A-Za-z_-]+`)

// link waits for a mail to an address and returns the link in it.
func (m *mailbox) link(t *testing.T, to string) string {
	t.Helper()
	link := ""
	err := program.Until(t.Context(), func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, text := range m.messages {
			message, err := mail.ReadMessage(strings.NewReader(text))
			if err != nil {
				return err
			}
			if !strings.Contains(message.Header.Get("To"), to) {
				continue
			}
			body := message.Body
			if strings.EqualFold(message.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
				body = quotedprintable.NewReader(body)
			}
			plain, err := io.ReadAll(body)
			if err != nil {
				return err
			}
			if link = linkInMail.FindString(string(plain)); link != "" {
				return nil
			}
		}
		return errors.New("no mail to " + to)
	})
	if err != nil {
		t.Fatal(err)
	}
	return link
}
