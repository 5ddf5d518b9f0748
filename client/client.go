package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// maxAnswer bounds an answer in bytes; an exported state may be large.
	maxAnswer = 256 << 20
	// maxProblem bounds an error's body in bytes.
	maxProblem = 1 << 20
	// defaultTimeout bounds one request. Applying a large state may take longer:
	// set HTTPClient for that.
	defaultTimeout = 5 * time.Minute
)

// Client speaks to one server. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// Option changes how a Client works.
type Option func(*Client)

// WithTransport uses a transport of your own, for certificates and proxies.
func WithTransport(t http.RoundTripper) Option {
	return func(c *Client) { c.http.Transport = t }
}

// WithTimeout bounds each request; 0 leaves it to the context.
func WithTimeout(d time.Duration) Option {
	return func(c *Client) { c.http.Timeout = d }
}

// New makes a client of the server at baseURL ("https://auth.example.com") that
// acts with an admin token.
func New(baseURL, token string, options ...Option) (*Client, error) {
	base, err := url.Parse(baseURL)
	if err != nil {
		return nil, errors.New("the server's URL cannot be read")
	}
	if (base.Scheme != "https" && base.Scheme != "http") || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("the server's URL must be https://HOST or http://HOST, without credentials or query")
	}
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errors.New("the admin token is empty or holds a character that no token has")
	}
	base.Path = strings.TrimRight(base.Path, "/")
	c := &Client{base: base, token: token, http: &http.Client{
		Timeout: defaultTimeout,
		// A redirect would carry the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for _, option := range options {
		option(c)
	}
	return c, nil
}

// call is one request.
type call struct {
	method string
	path   []string // segments after /v1, escaped when sent
	query  url.Values
	body   any    // JSON; nil for none
	raw    []byte // in place of body
	media  string // media type of raw
	match  string // If-Match
}

// send makes the request and decodes a successful answer into into: nothing if
// that is nil, the bytes if it is a *[]byte, else JSON.
func (c *Client) send(ctx context.Context, what call, into any) (err error) {
	request, err := c.request(ctx, what)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", what.method, request.URL.Path, err)
	}
	defer func() {
		if closing := response.Body.Close(); closing != nil && err == nil {
			err = fmt.Errorf("%s %s: end the answer: %w", what.method, request.URL.Path, closing)
		}
	}()
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return readError(response)
	}
	body, err := readAnswer(response.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", what.method, request.URL.Path, err)
	}
	if err := decodeAnswer(body, into); err != nil {
		return fmt.Errorf("%s %s: %w", what.method, request.URL.Path, err)
	}
	if v, ok := into.(versioned); ok {
		v.setVersion(response.Header.Get("ETag"))
	}
	return nil
}

// readAnswer reads a successful answer whole, unless it is larger than
// maxAnswer: whatever answers must not fill the caller's memory.
func readAnswer(body io.Reader) ([]byte, error) {
	answer, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(answer) > maxAnswer {
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	}
	return answer, nil
}

// decodeAnswer puts an answer into into, which is what send takes.
func decodeAnswer(answer []byte, into any) error {
	switch into := into.(type) {
	case nil:
		return nil
	case *[]byte:
		*into = answer
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("the answer is not what was expected: %w", err)
	}
	return nil
}

// versioned things remember the ETag they came with.
type versioned interface{ setVersion(string) }

func (c *Client) request(ctx context.Context, what call) (*http.Request, error) {
	target := *c.base
	segments := append([]string{"v1"}, what.path...)
	escaped := make([]string, len(segments))
	for i, segment := range segments {
		if segment == "" || segment == "." || segment == ".." {
			return nil, fmt.Errorf("%q is not an id", segment)
		}
		escaped[i] = url.PathEscape(segment)
	}
	target.Path = c.base.Path + "/" + strings.Join(segments, "/")
	target.RawPath = c.base.EscapedPath() + "/" + strings.Join(escaped, "/")
	target.RawQuery = what.query.Encode()

	media := what.media
	body := what.raw
	if what.body != nil {
		encoded, err := json.Marshal(what.body)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		body, media = encoded, "application/json"
	}
	request, err := http.NewRequestWithContext(ctx, what.method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "keystile-client")
	if media != "" {
		request.Header.Set("Content-Type", media)
	}
	if what.match != "" {
		request.Header.Set("If-Match", what.match)
	}
	return request, nil
}

// Error is an answer of the server that is not a success (RFC 9457).
type Error struct {
	// Status is the HTTP status.
	Status int `json:"status"`
	// Code is stable: "not_found", "insufficient_scope", "invalid". Empty if the
	// answer came from something else than Keystile.
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	// Fields are the members at fault.
	Fields []FieldError `json:"errors"`
	// RequestID names the request in the server's logs.
	RequestID string `json:"request_id"`
	// RetryAfter is how long to wait; 0 if the server did not say.
	RetryAfter time.Duration `json:"-"`
}

// FieldError is one fault of one member of the input.
type FieldError struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
}

// Error implements error: the status and code, the detail or where to find it,
// then one line a fault.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the server answered %d", e.Status)
	if e.Code != "" {
		b.WriteString(" " + e.Code)
	}
	switch {
	case e.Detail != "":
		b.WriteString(": " + e.Detail)
	case e.RequestID != "" && (e.Status == http.StatusConflict || e.Status >= http.StatusInternalServerError):
		b.WriteString(": the cause is in the server's log, at request " + e.RequestID)
	}
	for _, f := range e.Fields {
		b.WriteString("\n" + f.String())
	}
	return b.String()
}

// String is "field: problem; remedy".
func (f FieldError) String() string {
	s := f.Problem
	if f.Field != "" {
		s = f.Field + ": " + s
	}
	if f.Remedy != "" {
		s += "; " + f.Remedy
	}
	return s
}

// IsNotFound says whether err is an answer that the thing does not exist, or
// may not be seen with this token.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// IsConflict says whether err is an answer that the change contradicts what is
// there: a duplicate, or a version that is not the present one.
func IsConflict(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == http.StatusConflict || e.Status == http.StatusPreconditionFailed)
}

// readError is the error of an answer. Only problem details are believed: the
// page of a proxy in between says nothing about Keystile.
func readError(response *http.Response) error {
	e := &Error{}
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err == nil && media == "application/problem+json" {
		if err := json.NewDecoder(io.LimitReader(response.Body, maxProblem)).Decode(e); err != nil {
			e = &Error{}
		}
	}
	e.Status = response.StatusCode
	if e.Title == "" {
		e.Title = http.StatusText(e.Status)
	}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}
