package ona

import (
	"errors"
	"net/http"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect/door"
	"keystile.dev/keystile/internal/login"
)

// ServeHTTP is the plain HTTPS transport: the endpoints under every base path.
// Content-Type is not looked at; a body that is read must be JSON.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{method: r.Method, path: s.withoutBase(r), header: keystile.Header(r.Header)}
	a := s.read(w, r, c)
	h := w.Header()
	if a.allow != "" {
		h.Set("Allow", a.allow)
	}
	if a.retryAfter != "" {
		h.Set("Retry-After", a.retryAfter)
	}
	door.Write(w, c.caller.RequestID, a.status, "application/json", a.body)
}

// read completes a call with what both transports take from HTTP, and answers it.
func (s *Server) read(w http.ResponseWriter, r *http.Request, c *call) answer {
	var refused *answer
	if c.caller, refused = s.caller(r); refused != nil {
		return *refused
	}
	body, err := door.ReadBody(w, r)
	if errors.Is(err, keystile.ErrBodyTooLarge) {
		return tooLarge
	}
	if err != nil {
		return invalidRequest
	}
	c.body = body
	return s.answer(r.Context(), c)
}

// caller is who asks: the peer of the connection, through trusted proxies, and
// never what a body says (rulings R26).
func (s *Server) caller(r *http.Request) (login.Caller, *answer) {
	c := login.Caller{UserAgent: door.UserAgent(r), Door: keystile.DoorOna, RequestID: s.o.Edge.RequestID(r)}
	addr, err := s.o.Edge.ClientAddr(r)
	if err != nil {
		return c, &invalidRequest
	}
	c.Addr = addr
	return c, nil
}

// withoutBase is the path as the endpoints know it. A path that is written in
// another way than usual is none of them.
func (s *Server) withoutBase(r *http.Request) string {
	if r.URL.RawPath != "" {
		return ""
	}
	for _, base := range s.o.BasePaths {
		if strings.HasPrefix(r.URL.Path, base+Prefix) {
			return r.URL.Path[len(base):]
		}
	}
	return ""
}
