// Package tracing makes OpenTelemetry spans of requests, when an OTLP endpoint
// is configured and only then. The usual HTTP middleware costs microseconds and
// dozens of allocations even when it records nothing, so this one looks at the
// traceparent header (W3C Trace Context) and does nothing for requests that are
// not sampled. Spans hold method, status and route, never credentials or queries.
package tracing
