package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	keystile "keystile.dev/keystile"
)

// requestBody is a caller's body on its way to the upstream. It counts it
// against the route's limit, tells the exchange whose turn it is to move, and
// hands on the trailers that may be.
//
// Close does nothing: an attempt that never reached an upstream must leave the
// body whole for the next one. What ends reading for good is the source, which
// httputil.ReverseProxy closes when the exchange is over.
type requestBody struct {
	src  io.ReadCloser
	x    *exchange
	left int64 // bytes that may still come
	// announced is filled by the server when the body ends, sent is what goes on.
	announced, sent http.Header

	// state is written by the one goroutine that reads and read by others.
	state atomic.Int32
}

// States of a requestBody.
const (
	bodyOpen int32 = iota
	bodyEnded
	bodyTooLarge
	// bodyBroken: the caller's framing was wrong, or the caller went away.
	bodyBroken
)

func (b *requestBody) ended() bool { return b.state.Load() == bodyEnded }

// Read implements io.Reader. While it blocks, the caller is waited for and not
// the upstream.
func (b *requestBody) Read(p []byte) (int, error) {
	switch b.state.Load() {
	case bodyTooLarge:
		return 0, keystile.ErrBodyTooLarge
	case bodyEnded:
		// The source must not be asked again: the server closes it when the answer's
		// header is written, and says so in place of the end. The upstream's client,
		// which reads once more than it must, would take that for a broken request
		// and give up its connection in the middle of the answer.
		return 0, io.EOF
	}
	b.x.waitForClient()
	n, err := b.src.Read(p)
	b.x.waitForUpstream()
	if int64(n) > b.left {
		// What was allowed may already have left; the upstream sees the body break
		// off, never a shorter one that looks complete.
		b.state.Store(bodyTooLarge)
		return 0, keystile.ErrBodyTooLarge
	}
	b.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF):
		for name := range b.sent {
			b.sent[name] = b.announced[name]
		}
		b.state.Store(bodyEnded)
	case err != nil:
		b.state.Store(bodyBroken)
	}
	return n, err
}

// Close implements io.Closer.
func (b *requestBody) Close() error { return nil }
