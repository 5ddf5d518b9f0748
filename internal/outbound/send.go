package outbound

import (
	"context"
	"fmt"
)

// Send sends a request for its own sake and returns the status of the answer, of
// which nothing beyond the head is read. Any status is an answer, a redirect too:
// nothing is followed. An address that may not be reached is a *[Refused]. The error
// names the host at most.
func (c *Client) Send(ctx context.Context, request Request) (status int, err error) {
	u, err := CheckURL(request.URL)
	if err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	answer, err := c.exchange(ctx, u, request)
	if err != nil {
		return 0, fmt.Errorf("send to %s: %w", u.Host, err)
	}
	// Closed unread: the connection ends with it, however much was to come.
	return answer.StatusCode, answer.Body.Close()
}
