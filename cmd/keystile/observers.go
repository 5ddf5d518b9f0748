//go:build !unrecorded

package main

import "keystile.dev/keystile/internal/gate"

// observers are told of every decision.
func (s *server) observers() []gate.Observer {
	return []gate.Observer{s.metrics, s.recorder, s.life.meter}
}
