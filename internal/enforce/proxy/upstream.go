package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Upstream sends one request to the server its URL names and returns that
// server's answer as soon as the header section is complete.
//
// It blocks until then or until the request's context is done. It is safe for
// concurrent use. It follows no redirects, decodes no content encoding, adds no
// fields of its own beyond framing, and sends URL.Opaque as the request target
// byte for byte.
//
// An error for which errors.Is(err, ErrNotSent) holds is a promise that no byte
// of the request has left: the gateway may send the request elsewhere. Any
// other error makes no such promise. For status 101 the answer's Body is an
// io.ReadWriteCloser on the connection.
type Upstream interface {
	RoundTrip(*http.Request) (*http.Response, error)
}

// ErrNotSent marks a failure that came before any byte of the request was sent:
// the connection could not be made.
var ErrNotSent = errors.New("not sent")

// Defaults of TransportOptions.
const (
	// DefaultDialTimeout leaves room for one lost SYN, which is sent again after 1 s.
	DefaultDialTimeout = 3 * time.Second
	// DefaultIdlePerUpstream idle connections are kept to each upstream.
	DefaultIdlePerUpstream = 256
	// maxAnswerHeader bounds an upstream's header section, in bytes.
	maxAnswerHeader = 256 << 10
	idleTimeout     = 90 * time.Second
	// continueTimeout is how long to wait for an upstream's 100 (Continue) before
	// the body is sent anyway (RFC 9110, 10.1.1: a client must not wait forever).
	continueTimeout = time.Second
)

// TransportOptions configure a Transport. The zero value is ready to use.
type TransportOptions struct {
	// DialTimeout bounds making a connection, TLS included; 0: DefaultDialTimeout.
	DialTimeout time.Duration
	// IdlePerUpstream is how many idle connections are kept to each upstream;
	// 0: DefaultIdlePerUpstream.
	IdlePerUpstream int
	// TLS is used for https upstreams; nil: the system's roots, TLS 1.2 or newer.
	// It is not changed.
	TLS *tls.Config
}

// Transport is the Upstream of net/http. It speaks HTTP/1.1, and HTTP/2 where an
// https upstream offers it. HTTP/2 without TLS is never spoken.
//
// The environment's HTTP_PROXY is not read: identity fields are for the upstream
// and nobody between.
type Transport struct {
	// plain carries everything but upgrades.
	plain *http.Transport
	// upgrades speaks HTTP/1.1 only: HTTP/2 has no Upgrade (RFC 9113, 8.2.2).
	upgrades *http.Transport
}

// NewTransport makes a Transport.
func NewTransport(o TransportOptions) *Transport {
	return &Transport{
		plain:    newHTTPTransport(o, true),
		upgrades: newHTTPTransport(o, false),
	}
}

func newHTTPTransport(o TransportOptions, http2 bool) *http.Transport {
	if o.DialTimeout == 0 {
		o.DialTimeout = DefaultDialTimeout
	}
	if o.IdlePerUpstream == 0 {
		o.IdlePerUpstream = DefaultIdlePerUpstream
	}
	d := &dialer{timeout: o.DialTimeout}
	if o.TLS == nil {
		d.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	} else {
		d.tls = o.TLS.Clone()
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(http2)
	d.tls.NextProtos = []string{"http/1.1"}
	if http2 {
		d.tls.NextProtos = []string{"h2", "http/1.1"}
	}
	return &http.Transport{
		DialContext:            d.dial,
		DialTLSContext:         d.dialTLS,
		Protocols:              &protocols,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    o.IdlePerUpstream,
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: maxAnswerHeader,
	}
}

// RoundTrip implements Upstream.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header["Upgrade"] != nil {
		return t.upgrades.RoundTrip(r)
	}
	return t.plain.RoundTrip(r)
}

// CloseIdleConnections closes connections that carry no request.
func (t *Transport) CloseIdleConnections() {
	t.plain.CloseIdleConnections()
	t.upgrades.CloseIdleConnections()
}

// dialer makes connections and marks its failures ErrNotSent. It does TLS itself
// so that a failed handshake is known to be one: net/http reports it like any
// other error.
type dialer struct {
	net     net.Dialer
	timeout time.Duration
	tls     *tls.Config
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	conn, err := d.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	return conn, nil
}

func (d *dialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	plain, err := d.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	config := d.tls
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = host
	}
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrNotSent, err), plain.Close())
	}
	return conn, nil
}
