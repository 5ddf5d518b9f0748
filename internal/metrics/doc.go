// Package metrics counts what the server does, for Prometheus. Every series is
// bounded by configuration: routes, points and reasons, never callers or keys.
package metrics
