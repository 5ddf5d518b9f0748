package main

import (
	"net/http"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce/resource"
)

// describeResources serves the metadata of the routes that take access tokens (RFC 9728), on
// every host that has one, in front of everything else.
func (s *server) describeResources(next http.Handler) (http.Handler, error) {
	return resource.New(resource.Options{
		Routes: func() []keystile.Route { return s.gate.Table().Routes() }, Issuer: issuerOf(s.cfg), Trust: s.trust, Next: next,
	})
}
