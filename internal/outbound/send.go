package outbound

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// Send sends a request for its own sake and returns the status of the answer, of
// which nothing beyond the head is read, however much there is. Any status is an
// answer, a redirect too: nothing is followed. An address that may not be reached
// is a *[Refused]. The error names the host at most: the URL may hold what is secret.
func (c *Client) Send(ctx context.Context, request Request) (status int, err error) {
	u, err := CheckURL(request.URL)
	if err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var body io.Reader = http.NoBody
	if request.Body != nil {
		body = bytes.NewReader(request.Body)
	}
	r, err := http.NewRequestWithContext(ctx, request.Method, u.String(), body)
	if err != nil {
		return 0, fmt.Errorf("send to %s: %w", u.Host, bare(err))
	}
	if request.Header != nil {
		r.Header = request.Header.Clone()
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
	// Closed unread: the connection ends with it.
	return answer.StatusCode, answer.Body.Close()
}
