package outbound

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Message is a request that is sent for its own sake.
type Message struct {
	// Method is GET or POST.
	Method string
	// URL may hold what is secret: it is in no error.
	URL    string
	Header http.Header
	// Body is sent if it is not nil.
	Body []byte
}

// Send sends a message and returns the status of the answer, of which nothing
// beyond the head is read. Any status is an answer, a redirect too: nothing is
// followed. An address that may not be reached is a *[Refused]. The error names
// the host at most.
func (c *Client) Send(ctx context.Context, m Message) (status int, err error) {
	u, err := CheckURL(m.URL)
	if err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var body io.Reader = http.NoBody
	if m.Body != nil {
		body = bytes.NewReader(m.Body)
	}
	r, err := http.NewRequestWithContext(ctx, m.Method, u.String(), body)
	if err != nil {
		return 0, fmt.Errorf("send to %s: the request cannot be made", u.Host)
	}
	if m.Header != nil {
		r.Header = m.Header.Clone()
	}
	r.Header.Set("User-Agent", "keystile")
	client := c.secure
	if u.Scheme == "http" {
		client = c.plain
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0, fmt.Errorf("send to %s: %w", u.Host, bare(err))
	}
	// Closed unread: the connection ends with it, however much was to come.
	return answer.StatusCode, answer.Body.Close()
}

// bare is an error of the HTTP client without the URL that it names.
func bare(err error) error {
	var named *url.Error
	if errors.As(err, &named) {
		return named.Err
	}
	return err
}
