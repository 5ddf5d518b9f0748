package tracing_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"keystile.dev/keystile/internal/tracing"
)

const (
	sampled   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

// collector is an OTLP endpoint that keeps what it is sent.
func collector(t *testing.T) (*httptest.Server, *[]string) {
	t.Helper()
	var bodies []string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies = append(bodies, r.URL.Path+" "+string(body))
	}))
	t.Cleanup(s.Close)
	return s, &bodies
}

func TestASampledRequestIsTracedAndItsContextGoesOnToTheUpstream(t *testing.T) {
	server, bodies := collector(t)
	tracer, err := tracing.New(context.Background(), tracing.Options{Endpoint: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	var forwarded []string
	h := tracer.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forwarded = append(forwarded, r.Header.Get("Traceparent"))
		w.WriteHeader(http.StatusTeapot)
	}))
	for _, parent := range []string{sampled, unsampled, ""} {
		r := httptest.NewRequest("GET", "/p?key=canary", nil)
		if parent != "" {
			r.Header.Set("Traceparent", parent)
		}
		r.Header.Set("X-Api-Key", "canary")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if err := tracer.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if forwarded[0] == sampled || !strings.HasPrefix(forwarded[0], sampled[:36]) || forwarded[1] != unsampled || forwarded[2] != "" {
		t.Errorf("forwarded %q", forwarded)
	}
	if len(*bodies) != 1 || !strings.HasPrefix((*bodies)[0], "/v1/traces ") {
		t.Fatalf("the collector got %d requests", len(*bodies))
	}
	if strings.Contains((*bodies)[0], "canary") {
		t.Error("a span shows a credential or a query")
	}
}

func TestWithoutATracerNothingIsWrapped(t *testing.T) {
	var none *tracing.Tracer
	h := http.NewServeMux()
	if none.Wrap(h) != http.Handler(h) || none.Close(context.Background()) != nil {
		t.Error("a nil tracer does something")
	}
}
