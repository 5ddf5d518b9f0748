package metrics

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	keystile "keystile.dev/keystile"
)

// noRoute labels decisions on requests that matched no route.
const noRoute = "none"

// Metrics holds the server's series. It is safe for concurrent use.
type Metrics struct {
	registry  *prometheus.Registry
	decisions *prometheus.CounterVec
	seconds   prometheus.Histogram

	// bound maps (route, point, reason) to its counter without building labels
	// on every request; it is copied on write.
	mu    sync.Mutex
	bound atomic.Pointer[map[series]prometheus.Counter]
}

type series struct {
	route  string
	point  keystile.Point
	reason keystile.Reason
}

// New makes the metrics with Go's and the process's own.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keystile_decisions_total",
			Help: "Decisions of the gate, by route, enforcement point and reason (\"allowed\" if there is none).",
		}, []string{"route", "point", "reason"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "keystile_decision_seconds",
			Help:    "Time the gate took to decide, of a sample of one decision in sixteen.",
			Buckets: []float64{1e-6, 2e-6, 5e-6, 1e-5, 5e-5, 2e-4, 1e-3, 5e-3, 2.5e-2, 0.1, 1},
		}),
	}
	m.bound.Store(&map[series]prometheus.Counter{})
	m.registry.MustRegister(m.decisions, m.seconds,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Gauge adds a value that is read when metrics are collected.
func (m *Metrics) Gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// Counter adds a growing value that is read when metrics are collected.
func (m *Metrics) Counter(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
}

// Histogram adds a distribution of seconds and returns what records one.
func (m *Metrics) Histogram(name, help string, buckets []float64) (observe func(seconds float64)) {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	m.registry.MustRegister(h)
	return h.Observe
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Observe implements the gate's Observer.
func (m *Metrics) Observe(r *keystile.Request, d keystile.Decision, _ time.Time, took time.Duration) {
	key := series{route: noRoute, point: r.Point, reason: d.Reason}
	if d.Route != nil {
		key.route = d.Route.ID
	}
	counter, ok := (*m.bound.Load())[key]
	if !ok {
		counter = m.bind(key)
	}
	counter.Inc()
	if took > 0 {
		m.seconds.Observe(took.Seconds())
	}
}

// bind makes the counter of a series and remembers it.
func (m *Metrics) bind(key series) prometheus.Counter {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := *m.bound.Load()
	if counter, ok := old[key]; ok {
		return counter
	}
	reason := string(key.reason)
	if key.reason == keystile.ReasonNone {
		reason = "allowed"
	}
	counter := m.decisions.WithLabelValues(key.route, string(key.point), reason)
	next := make(map[series]prometheus.Counter, len(old)+1)
	for k, v := range old {
		next[k] = v
	}
	next[key] = counter
	m.bound.Store(&next)
	return counter
}
