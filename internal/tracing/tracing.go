package tracing

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Options configure a Tracer.
type Options struct {
	// Endpoint is the OTLP/HTTP collector, "http://127.0.0.1:4318".
	Endpoint string
	// Ratio of the requests that bring no decision of their own which are
	// sampled, 0 to 1. A caller's sampled traceparent is always followed.
	Ratio float64
	// Version of the server.
	Version string
}

// Tracer makes spans. A nil Tracer makes none.
type Tracer struct {
	provider   *sdktrace.TracerProvider
	tracer     trace.Tracer
	propagator propagation.TraceContext
	ratio      float64
}

// New connects to the collector lazily; an unreachable one costs dropped spans
// and nothing else.
func New(ctx context.Context, o Options) (*Tracer, error) {
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(strings.TrimRight(o.Endpoint, "/")+"/v1/traces"))
	if err != nil {
		return nil, fmt.Errorf("trace exporter for %s: %w", o.Endpoint, err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // Wrap has decided before a span is started
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "keystile"), attribute.String("service.version", o.Version))),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("keystile"), ratio: o.Ratio}, nil
}

// Wrap makes a span of each sampled request and hands its context on to what
// the handler forwards.
func (t *Tracer) Wrap(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !t.sampled(r) {
			next.ServeHTTP(w, r)
			return
		}
		ctx := t.propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := t.tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.Path)))
		defer span.End()
		t.propagator.Inject(ctx, propagation.HeaderCarrier(r.Header))
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(recorder, r.WithContext(ctx))
		span.SetAttributes(attribute.Int("http.response.status_code", recorder.status))
	})
}

// sampled follows the caller's decision where there is one: the last byte of
// traceparent (W3C Trace Context, section 3.2.2.5).
func (t *Tracer) sampled(r *http.Request) bool {
	if parent := r.Header.Get("Traceparent"); len(parent) == 55 {
		return parent[54]&1 == 1
	}
	return t.ratio > 0 && rand.Float64() < t.ratio //nolint:gosec // sampling needs no secret randomness
}

// Close sends what is left.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}

// statusRecorder remembers the status; Unwrap keeps streaming and hijacking possible.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
