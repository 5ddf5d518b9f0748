package interop

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
)

// field is a header field as it stood on the wire.
type field struct{ name, value string }

// arrival is a request that reached the API, unchanged.
type arrival struct {
	method, target string
	fields         []field
}

// values of a field; names are compared as servers do that see no difference
// between "-" and "_" (CGI, WSGI, PHP).
func (a arrival) values(name string) []string {
	var all []string
	for _, f := range a.fields {
		if strings.EqualFold(strings.ReplaceAll(f.name, "_", "-"), name) {
			all = append(all, f.value)
		}
	}
	return all
}

// api is the protected API. It reads requests as leniently as a careless
// server might and checks nothing, so that whatever a proxy lets through is seen.
type api struct {
	listener net.Listener
	mu       sync.Mutex
	seen     []arrival
}

func startAPI() (*api, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &api{listener: l}
	teardown.add(func() error { return ignoreClosed(l.Close()) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go a.serve(c)
		}
	}()
	return a, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (a *api) address() string { return a.listener.Addr().String() }

// take returns the requests that arrived since the last take.
func (a *api) take() []arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.seen
	a.seen = nil
	return all
}

const apiBody = `{"records":[]}`

func (a *api) serve(c net.Conn) {
	defer func() {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			fmt.Println("api:", err)
		}
	}()
	in := bufio.NewReader(c)
	for {
		r, body, err := readArrival(in)
		if err != nil {
			return
		}
		a.mu.Lock()
		a.seen = append(a.seen, r)
		a.mu.Unlock()
		if _, err := io.Copy(io.Discard, body); err != nil {
			return
		}
		if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			len(apiBody), apiBody); err != nil {
			return
		}
	}
}

// readArrival reads a request head; body is what belongs to it by Transfer-Encoding, else by Content-Length.
func readArrival(in *bufio.Reader) (r arrival, body io.Reader, err error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return r, nil, err
	}
	line = strings.TrimRight(line, "\r\n")
	r.method, line, _ = strings.Cut(line, " ")
	r.target = line
	if i := strings.LastIndex(line, " "); i >= 0 {
		r.target = line[:i]
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return r, nil, err
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		r.fields = append(r.fields, field{name, strings.TrimSpace(value)})
	}
	for _, f := range r.fields {
		if strings.EqualFold(f.name, "Transfer-Encoding") {
			return r, io.MultiReader(httputil.NewChunkedReader(in), &trailer{in}), nil
		}
	}
	for _, f := range r.fields {
		if strings.EqualFold(f.name, "Content-Length") {
			n, err := strconv.ParseInt(f.value, 10, 64)
			if err != nil {
				return r, nil, err
			}
			return r, io.LimitReader(in, n), nil
		}
	}
	return r, strings.NewReader(""), nil
}

// trailer reads what follows the last chunk, up to the empty line.
type trailer struct{ in *bufio.Reader }

func (t *trailer) Read([]byte) (int, error) {
	for {
		line, err := t.in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		if strings.TrimRight(line, "\r\n") == "" {
			return 0, io.EOF
		}
	}
}
