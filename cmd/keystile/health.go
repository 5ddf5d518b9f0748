package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"time"

	"keystile.dev/keystile/internal/api"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/jws"
	"keystile.dev/keystile/internal/problem"
)

const readyTimeout = 2 * time.Second

// serveHealth says that the process is alive, and nothing more.
func (s *server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	writeStatus(w, http.StatusOK, map[string]any{"status": "ok"})
}

// serveReady says whether requests can be decided on, part by part. It shows no
// addresses, versions or error texts: it is open to everybody.
func (s *server) serveReady(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	parts := map[string]string{}
	ready := true
	part := func(name string, ok bool, otherwise string) {
		parts[name] = "ok"
		if !ok {
			parts[name], ready = otherwise, false
		}
	}
	err := s.house.store.Ping(ctx)
	if err != nil {
		s.log.Warn("not ready: the store does not answer", "error", err)
	}
	part("store", err == nil, "away")
	part("feed", s.feed.Fresh(time.Now()), "lost")
	part("routes", s.gate.Table() != nil, "none")
	part("lease", !s.leaseLost(), "lost")
	spent := s.ledger.status()
	part("ledger", spent.Ready, spent.Text)
	// Rate limits go on being counted on this node: degraded, and still ready.
	parts["limits"] = "ok"
	if s.limits.fallback != nil && s.limits.fallback.Outage().Down {
		parts["limits"] = "local"
	}
	// Keys that were opened stay in memory: nothing new is sealed, and still ready.
	parts["keys"] = "ok"
	if s.house.sealer.Away() != nil {
		parts["keys"] = "the master key is away"
	}
	status, text := http.StatusOK, "ready"
	if !ready {
		status, text = http.StatusServiceUnavailable, "not ready"
	}
	revocation := map[string]string{"this_node": "at once", "elsewhere_at_most": revocationBound}
	if took, ok := s.lag.last(); ok {
		revocation["elsewhere_measured"] = took.Round(time.Millisecond / 10).String()
	}
	writeStatus(w, status, map[string]any{"status": text, "parts": parts, "revocation": revocation})
}

// revocationBound is how long a change made by another process may take to be
// seen: one poll of the feed, and its reading.
const revocationBound = "1s"

func writeStatus(w http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		status, raw = http.StatusInternalServerError, []byte(`{"status":"error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if _, err := w.Write(append(raw, '\n')); err != nil {
		return // the caller is gone
	}
}

// metricsHandler serves metrics to loopback and to admin tokens with metrics:read.
// A request that came through a proxy is not from loopback, whoever sent it.
func (s *server) metricsHandler(management *api.API) http.Handler {
	open := s.metrics.Handler()
	guarded := management.Require(scopeMetrics, open)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fromLoopback(r) {
			open.ServeHTTP(w, r)
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

func fromLoopback(r *http.Request) bool {
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"} {
		if len(r.Header[name]) > 0 {
			return false
		}
	}
	// A proxy that was not told to say so: nginx without settings sends nothing
	// but its own protocol version, and the address it forwards to as Host.
	if !r.ProtoAtLeast(1, 1) {
		return false
	}
	peer, err := enforce.Peer(r.RemoteAddr)
	if err != nil || !peer.IsLoopback() {
		return false
	}
	// A page in somebody's browser that resolves its own name to 127.0.0.1 sends that name.
	host := hostName(r.Host)
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(trimBrackets(host))
	return err == nil && addr.IsLoopback()
}

func trimBrackets(host string) string {
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}

// jwksHandler serves the keys that Keystile-Assertion and session tokens are
// verified with, those that will sign soon among them.
func (s *server) jwksHandler() (http.Handler, error) {
	assertions, err := s.signer.Public()
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			problem.Write(w, problem.ForStatus(http.StatusMethodNotAllowed))
			return
		}
		keys, err := s.tokenKeys.Public(r.Context())
		if err != nil {
			problem.Write(w, problem.From(err))
			return
		}
		raw, err := jws.WriteSet(append(keys, assertions))
		if err != nil {
			problem.Write(w, problem.From(err))
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", "public, max-age=300")
		if _, err := w.Write(raw); err != nil {
			return // the caller is gone
		}
	}), nil
}

// addGauges shows the state of the parts as metrics.
func (s *server) addGauges() {
	s.addWebhookGauges()
	s.metrics.Gauge("keystile_feed_contact_seconds", "Time since the change feed last heard from the store.", func() float64 {
		return time.Since(s.feed.LastContact()).Seconds()
	})
	s.metrics.Gauge("keystile_warm_credentials", "Verified credentials in memory.", func() float64 {
		return float64(s.keys.Warm() + s.onetime.Warm() + s.sessions.Warm())
	})
	s.metrics.Gauge("keystile_open_exchanges", "Requests and streams in flight through the gateway.", func() float64 { return float64(s.streams.Open()) })
	s.metrics.Gauge("keystile_limit_counters", "Rate limit counters in memory.", func() float64 { return float64(s.limits.memory.Stats().Keys) })
	s.metrics.Gauge("keystile_limit_bytes", "Memory that rate limit counters take.", func() float64 { return float64(s.limits.memory.Stats().Bytes) })
	s.metrics.Counter("keystile_limit_refused_total", "Requests refused because there was no memory for a counter.", func() float64 { return float64(s.limits.memory.Stats().Refused) })
	s.metrics.Gauge("keystile_limit_shared_down", "1 while the shared counters cannot be reached.", func() float64 {
		if s.limits.fallback != nil && s.limits.fallback.Outage().Down {
			return 1
		}
		return 0
	})
	s.metrics.Gauge("keystile_ledger_nonces", "Spent nonces that this server holds.", func() float64 { return float64(s.ledger.status().Live) })
	s.metrics.Gauge("keystile_ledger_bytes", "Memory that spent nonces take.", func() float64 { return float64(s.ledger.status().Bytes) })
	s.metrics.Gauge("keystile_ledger_ready", "1 while one-time requests can be accepted.", func() float64 {
		if s.ledger.status().Ready {
			return 1
		}
		return 0
	})
	s.metrics.Counter("keystile_decisions_recorded_total", "Decisions written to the audit log.", func() float64 { return float64(s.recorder.Written()) })
	s.metrics.Counter("keystile_decisions_dropped_total", "Decisions that the recording rule or a full queue left out.", func() float64 { return float64(s.recorder.Dropped()) })
	s.metrics.Counter("keystile_uses_dropped_total", "Last uses of credentials that were not stored.", func() float64 { return float64(s.used.Dropped()) })
}
