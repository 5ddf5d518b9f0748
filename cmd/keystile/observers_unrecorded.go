//go:build unrecorded

package main

import "keystile.dev/keystile/internal/gate"

// observers are told of every decision, but none is recorded. This exists for
// test/load, which measures what recording costs, and is in no release.
func (s *server) observers() []gate.Observer {
	s.log.Warn("this program was built for measuring: decisions are not recorded")
	return []gate.Observer{s.metrics, s.life.meter}
}
