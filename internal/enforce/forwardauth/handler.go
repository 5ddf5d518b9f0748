package forwardauth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/mtls"
	"keystile.dev/keystile/internal/problem"
)

// Options are what a Handler needs.
type Options struct {
	// Gate decides.
	Gate enforce.Gate
	// Trust lists the proxies that may ask.
	Trust enforce.Trust
	// Headers is the family of header fields that is read; XForwarded if empty.
	Headers Family
	// ClientCert reads the certificate that the proxy's caller proved to hold (RFC 9440).
	ClientCert bool
	// Asserter mints Keystile-Assertion; nil leaves it empty.
	Asserter enforce.Asserter
	// Logger gets what went wrong inside; may be nil.
	Logger *slog.Logger
}

// Handler is the forward-auth endpoint. It is safe for concurrent use.
type Handler struct {
	gate     enforce.Gate
	trust    enforce.Trust
	family   *family
	cert     bool
	asserter enforce.Asserter
	logger   *slog.Logger
}

// New makes a Handler. It fails without a gate and for an unknown family.
func New(o Options) (*Handler, error) {
	if o.Gate == nil {
		return nil, errors.New("forward-auth: no gate was given")
	}
	f, ok := families[o.Headers]
	if !ok {
		return nil, fmt.Errorf("forward-auth: %q is not a family of header fields; use %s or %s", o.Headers, XForwarded, XOriginal)
	}
	return &Handler{gate: o.Gate, trust: o.Trust, family: f, cert: o.ClientCert, asserter: o.Asserter, logger: o.Logger}, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	peer, err := enforce.Peer(hr.RemoteAddr)
	if err != nil || !h.trust.Contains(peer) {
		problem.Write(w, problem.New(http.StatusForbidden, problem.CodeForbidden,
			"only a trusted proxy may ask here; add the address of the calling proxy to trusted_proxies"))
		return
	}
	id := enforce.NewRequestID()
	r, err := h.request(hr, peer, id)
	if err != nil {
		d := enforce.Refuse(err)
		enforce.WriteRefusal(w, hr, &d, id)
		return
	}
	d := enforce.Ask(hr.Context(), h.gate, r, h.logger)
	var assertion string
	if d.Allowed && !d.Observed && h.asserter != nil {
		if assertion, err = h.asserter.Assertion(&d, enforce.Origin(r.Scheme, r.Host)); err != nil {
			d = enforce.Unavailable(&d, fmt.Errorf("mint the assertion: %w", err))
		}
	}
	if !d.Allowed {
		enforce.WriteRefusal(w, hr, &d, id)
		return
	}
	header := w.Header()
	enforce.SetIdentity(header, &d, id, assertion, true)
	enforce.WriteLimits(header, d.Limit)
	header["Cache-Control"] = noStore
	w.WriteHeader(http.StatusOK)
}

// noStore is shared between answers and never written to.
var noStore = []string{"no-store"}

// request builds the caller's request from the family's header fields.
func (h *Handler) request(hr *http.Request, peer netip.Addr, id string) (*keystile.Request, error) {
	if err := h.family.check(hr.Header); err != nil {
		return nil, err
	}
	r := &keystile.Request{ID: id, Point: keystile.PointForwardAuth, Header: keystile.Header(hr.Header)}
	if err := h.family.read(r); err != nil {
		return nil, err
	}
	client, err := h.trust.Behind(peer, hr.Header["X-Forwarded-For"])
	if err != nil {
		return nil, err
	}
	r.ClientAddr = client
	if values := hr.Header["Client-Cert"]; h.cert && len(values) > 0 {
		certificate, err := mtls.ParseHeader(values)
		if err != nil {
			return nil, keystile.Reject(keystile.ReasonRequestInvalid, err.Error())
		}
		r.Certificate = mtls.Thumbprint(certificate.Raw)
	}
	return r, nil
}
