package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/problem"
)

// Local is a transport into this API for a command that runs beside the store
// and has already proven itself by holding the master key: it acts as the
// operator, without a token. It is a transport and no handler, so that it
// cannot be put on a listener.
func (a *API) Local(actor string) http.RoundTripper { return local{a, actor} }

type local struct {
	api   *API
	actor string
}

// RoundTrip implements http.RoundTripper.
func (l local) RoundTrip(r *http.Request) (*http.Response, error) {
	r = l.api.identify(r)
	answer := &answer{header: http.Header{}, status: http.StatusOK}
	if op, known := l.api.find(r); !known || op.Access == AccessKey {
		problem.Write(answer, problem.ForStatus(http.StatusNotFound))
	} else {
		c := &caller{
			token:    keystile.AdminToken{ID: l.actor, Scopes: keystile.AdminScopes},
			service:  l.api.options.Service,
			actor:    manage.Actor{Name: l.actor, RequestID: requestID(r.Context())},
			operator: true,
		}
		l.api.mux.ServeHTTP(answer, r.WithContext(context.WithValue(r.Context(), keyCaller, c)))
	}
	if r.Body != nil {
		if err := r.Body.Close(); err != nil {
			return nil, fmt.Errorf("close the request: %w", err)
		}
	}
	return &http.Response{
		Status: http.StatusText(answer.status), StatusCode: answer.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: answer.header, Body: io.NopCloser(&answer.body), ContentLength: int64(answer.body.Len()), Request: r,
	}, nil
}

// answer keeps what a handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
