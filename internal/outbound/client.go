package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Limits of a fetch.
const (
	// DefaultTimeout bounds a whole fetch, from the resolver to the last byte.
	DefaultTimeout = 5 * time.Second
	maxHeader      = 32 << 10
	maxURL         = 2 << 10
)

// Options configure a Client. The zero value reaches the public internet by https.
type Options struct {
	// AllowPrivate are ranges that may be reached although they are not public.
	// Plain http is spoken to those of them that are loopback, and to nothing else.
	AllowPrivate []netip.Prefix
	// Proxy is the proxy to go through; nil: none, whatever the environment says. It
	// resolves names by itself, so what it must not reach is for its own rules.
	Proxy *url.URL
	// Timeout bounds a fetch; 0: DefaultTimeout.
	Timeout time.Duration
	// TLS is the trust in others' certificates; nil: the system's.
	TLS *tls.Config
	// Resolver answers names; nil: the system's.
	Resolver *net.Resolver
}

// Client fetches. It is safe for concurrent use.
type Client struct {
	allowed []netip.Prefix
	proxied bool
	timeout time.Duration
	secure  *http.Client // https
	plain   *http.Client // http, to allowed loopback addresses
}

// New makes a Client.
func New(o Options) *Client {
	c := &Client{allowed: slices.Clone(o.AllowPrivate), proxied: o.Proxy != nil, timeout: o.Timeout}
	if c.timeout == 0 {
		c.timeout = DefaultTimeout
	}
	c.secure = c.client(o, func(addr netip.Addr) error {
		if c.proxied {
			return nil // the proxy's own address: the operator named it
		}
		return c.judge(addr)
	})
	c.plain = c.client(Options{TLS: o.TLS, Resolver: o.Resolver}, func(addr netip.Addr) error {
		if !addr.Unmap().IsLoopback() {
			return fmt.Errorf("%s is not this machine, and only that is spoken to without TLS: %w", addr, &Refused{Addr: addr})
		}
		return c.judge(addr)
	})
	return c
}

// client makes an HTTP client that asks judge about each address it connects to.
func (c *Client) client(o Options, judge func(netip.Addr) error) *http.Client {
	dialer := &net.Dialer{
		Timeout: c.timeout, KeepAlive: -1, Resolver: o.Resolver,
		// Called with the resolved address, after the socket is made and before it is connected.
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			endpoint, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("connect to %q: %w", address, err)
			}
			return judge(endpoint.Addr())
		},
	}
	transport := &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        trust(o.TLS),
		TLSHandshakeTimeout:    c.timeout,
		ResponseHeaderTimeout:  c.timeout,
		MaxResponseHeaderBytes: maxHeader,
		DisableKeepAlives:      true, // fetches are rare, and a connection is judged when it is made
		DisableCompression:     true, // what is counted is what was sent
		ForceAttemptHTTP2:      true,
	}
	if o.Proxy != nil {
		transport.Proxy = http.ProxyURL(o.Proxy)
	}
	return &http.Client{
		Transport: transport,
		// A redirect is an answer like any other that is not 200.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func trust(given *tls.Config) *tls.Config {
	if given == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config := given.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	return config
}

// CheckURL says whether a URL may be fetched at all, as far as its text tells:
// https, or http to a loopback address that is written as one.
func CheckURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxURL:
		return nil, errors.New("it is no URL, or longer than 2 KiB")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("it is not an https URL")
	case u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("it names no host")
	case u.User != nil:
		return nil, errors.New("it holds a user or password")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return nil, errors.New("it has a fragment")
	}
	return u, checkPlain(u)
}

// checkPlain lets plain http name this machine alone.
func checkPlain(u *url.URL) error {
	if u.Scheme == "http" && !namesLoopback(u.Hostname()) {
		return errors.New("it is not an https URL: plain http is spoken to this machine alone")
	}
	return nil
}

func namesLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || host == "localhost"
}

// Request is what is asked of an outside URL.
type Request struct {
	// Method is GET where it is empty.
	Method string
	URL    string
	// Header is sent beside User-Agent, and Accept where the answer is read.
	Header http.Header
	// Body is sent if it is not nil.
	Body []byte
}

// Answer is what came back, of any status. A redirect is one like any other.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Get fetches a URL and returns the body of a 200 of at most limit bytes. Anything
// else is an error: another status, a redirect, a longer body, an address that may
// not be reached, or more time than there is.
func (c *Client) Get(ctx context.Context, text string, limit int64) (body []byte, err error) {
	answer, err := c.Do(ctx, Request{URL: text}, limit)
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		return nil, fmt.Errorf("fetch from %s: the answer is %d and not 200", hostOf(text), answer.Status)
	}
	return answer.Body, nil
}

// hostOf is the host of a URL that was fetched: paths and queries may hold secrets.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "a URL"
	}
	return u.Host
}

// Do asks and returns the answer, whose body has at most limit bytes; a longer one is
// an error, as is an address that may not be reached or more time than there is. What
// it says names the host and nothing of path, query, header or body.
func (c *Client) Do(ctx context.Context, request Request, limit int64) (answer Answer, err error) {
	u, err := CheckURL(request.URL)
	if err != nil {
		return Answer{}, fmt.Errorf("fetch: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request.Header = request.Header.Clone()
	if request.Header == nil {
		request.Header = http.Header{}
	}
	request.Header.Set("Accept", "application/json")
	got, err := c.exchange(ctx, u, request)
	if err != nil {
		return Answer{}, fmt.Errorf("fetch from %s: %w", u.Host, err)
	}
	defer func() { err = errors.Join(err, got.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(got.Body, limit+1))
	if err == nil {
		// A server that sees us hang up may end its answer before the connection is gone: it is cut short all the same.
		err = ctx.Err()
	}
	if err != nil {
		return Answer{}, fmt.Errorf("fetch from %s: %w", u.Host, err)
	}
	if int64(len(body)) > limit {
		return Answer{}, fmt.Errorf("fetch from %s: the answer is longer than %d bytes", u.Host, limit)
	}
	return Answer{Status: got.StatusCode, Header: got.Header, Body: body}, nil
}

// exchange sends a request and returns the answer with its body unread. The error
// names nothing of the URL.
func (c *Client) exchange(ctx context.Context, u *url.URL, request Request) (*http.Response, error) {
	var body io.Reader = http.NoBody
	if request.Body != nil {
		body = bytes.NewReader(request.Body)
	}
	r, err := http.NewRequestWithContext(ctx, request.Method, u.String(), body)
	if err != nil {
		return nil, bare(err)
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
	return answer, bare(err)
}

// bare is the error without the URL that net/http writes into it.
func bare(err error) error {
	var named *url.Error
	if errors.As(err, &named) {
		return named.Err
	}
	return err
}
