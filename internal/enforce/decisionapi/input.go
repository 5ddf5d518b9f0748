package decisionapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

// input is the body of one call: one request, or a batch.
type input struct {
	calls []call
	batch bool
}

// parse reads the body of a call. Its errors are *keystile.Invalid with the
// member at fault, or wrap keystile.ErrMalformed for what is not JSON.
//
// The standard decoder takes the last of repeated members, any case of a name
// and null for everything. A caller and this server could then see different
// requests, so the tokens are read one by one instead.
func parse(data []byte) (*input, error) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, fmt.Errorf("%w: the body is not JSON", keystile.ErrMalformed)
	}
	r := &reader{dec: json.NewDecoder(bytes.NewReader(data))}
	in := &input{}
	var single call
	var isSingle bool
	members := single.members(r)
	for name, read := range members {
		members[name] = func(path string) error { isSingle = true; return read(path) }
	}
	members["requests"] = func(path string) error {
		in.batch = true
		return r.array(path, MaxBatch, func(path string) error {
			var c call
			if err := r.object(path, c.members(r)); err != nil {
				return err
			}
			in.calls = append(in.calls, c)
			return nil
		})
	}
	if err := r.object("", members); err != nil {
		return nil, err
	}
	if in.batch && isSingle {
		return nil, keystile.Invalidf("requests", "send one request or requests, not both", "stands beside members of a single request")
	}
	if !in.batch {
		in.calls = []call{single}
	}
	for i := range in.calls {
		path := ""
		if in.batch {
			path = "requests[" + strconv.Itoa(i) + "]"
		}
		if err := in.calls[i].complete(path); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// call is one request to decide on, as it stood in the input.
type call struct {
	method, url, ip string
	header          keystile.Header
	body            []byte
	hasBody         bool
}

func (c *call) members(r *reader) map[string]func(path string) error {
	return map[string]func(string) error{
		"method": func(path string) error { return r.text(path, &c.method) },
		"url":    func(path string) error { return r.text(path, &c.url) },
		"ip":     func(path string) error { return r.text(path, &c.ip) },
		"headers": func(path string) error {
			c.header = keystile.Header{}
			return r.headers(path, c.header)
		},
		"body": func(path string) error {
			var text string
			if err := r.text(path, &text); err != nil {
				return err
			}
			body, err := base64.StdEncoding.Strict().DecodeString(text)
			if err != nil || strings.ContainsAny(text, "\r\n") {
				return keystile.Invalidf(path, "use base64 with padding (RFC 4648, section 4)", "is not base64")
			}
			c.body, c.hasBody = body, true
			return nil
		},
	}
}

// complete checks what the members' own readers could not see.
func (c *call) complete(path string) error {
	for _, m := range []struct{ name, value, remedy string }{
		{"method", c.method, "give the method of the request, such as GET"},
		{"url", c.url, "give the absolute URL of the request"},
		{"ip", c.ip, "give the address of the client that made the request"},
	} {
		if m.value == "" {
			return keystile.Invalidf(join(path, m.name), m.remedy, "is missing")
		}
	}
	scheme, _, found := strings.Cut(c.url, "://")
	if !found || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return keystile.Invalidf(join(path, "url"), "write it as https://HOST/PATH?QUERY", "is not an absolute http URL")
	}
	return nil
}

// request is what the gate is asked. An error is a refusal of that request.
func (c *call) request(id string) (*keystile.Request, error) {
	scheme, host, path, query, ok := enforce.SplitURL(c.url)
	if !ok {
		return nil, refuse("url cannot be read")
	}
	if c.method == http.MethodConnect || !enforce.ValidMethod(c.method) {
		return nil, refuse("the method is not one that is served")
	}
	if err := enforce.CheckHeader(c.header); err != nil {
		return nil, err
	}
	addr, ok := enforce.ParseAddr(c.ip)
	if !ok {
		return nil, refuse("ip is not an address")
	}
	r := &keystile.Request{
		ID: id, Point: keystile.PointDecisions, Method: c.method, Scheme: scheme, Host: host,
		Path: path, RawQuery: query, Header: c.header, ClientAddr: addr,
	}
	if c.hasBody {
		r.Body = c.readBody
	}
	return r, nil
}

func (c *call) readBody(limit int64) ([]byte, error) {
	if int64(len(c.body)) > limit {
		return nil, fmt.Errorf("%w: the limit is %d bytes", keystile.ErrBodyTooLarge, limit)
	}
	return c.body, nil
}

func refuse(public string) *keystile.Rejection {
	return &keystile.Rejection{Reason: keystile.ReasonRequestInvalid, Cause: public, Public: public}
}
