package main

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/api"
	"keystile.dev/keystile/internal/console"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/enforce/decisionapi"
	"keystile.dev/keystile/internal/problem"
)

// scopes that endpoints outside package api ask of an admin token.
const (
	scopeDecisions = "decisions:check"
	scopeMetrics   = "metrics:read"
)

// endpoint is one path of the server's own.
type endpoint struct {
	// path is exact, or everything below it if it ends in "/".
	path    string
	handler http.Handler
	// admin endpoints move to admin_listen where that is set.
	admin bool
	// anyHost endpoints are served whatever the Host header says.
	anyHost bool
}

// endpoints is every path that is not the gateway's, in one list.
func (s *server) endpoints() ([]endpoint, error) {
	forwardAuth, err := s.forwardAuth()
	if err != nil {
		return nil, err
	}
	management, err := api.New(s.apiOptions())
	if err != nil {
		return nil, err
	}
	// Who may ask is decided by management.Require, which wraps it below.
	decisions, err := decisionapi.New(decisionapi.Options{
		Gate: s.gate, Authorize: func(*http.Request) *problem.Problem { return nil }, Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	jwks, err := s.jwksHandler()
	if err != nil {
		return nil, err
	}
	doors, err := s.doors()
	if err != nil {
		return nil, err
	}
	return slices.Concat(doors, s.auroraDoor(), s.pages(), s.oauthEndpoints(), []endpoint{
		// Proxies call it with the Host of the request they ask about.
		{path: "/forward-auth", handler: forwardAuth, anyHost: true},
		{path: "/healthz", handler: http.HandlerFunc(s.serveHealth)},
		{path: "/readyz", handler: http.HandlerFunc(s.serveReady)},
		{path: "/.well-known/jwks.json", handler: jwks},
		{path: "/metrics", handler: s.metricsHandler(management), admin: true},
		{path: "/v1/decisions", handler: s.tracer.Wrap(management.Require(scopeDecisions, decisions)), admin: true},
		{path: "/v1/", handler: s.launches(s.tracer.Wrap(management)), admin: true},
	}), nil
}

// launches lets signed-in people open applications beneath /v1/, where everything
// else is the management API's.
func (s *server) launches(management http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.Dialects.Aurora != nil && console.LaunchPath(r.URL.Path) {
			s.console.ServeLaunch(w, r)
			return
		}
		management.ServeHTTP(w, r)
	})
}

// dispatcher sends a request to one of the server's own endpoints or to the
// gateway. A host that routes name and that is not the server's own belongs to
// the gateway alone: an API may have a /v1/ of its own there.
type dispatcher struct {
	own        []endpoint
	gateway    http.Handler
	publicHost string
	routeHost  func(host string) bool
}

func (d *dispatcher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	for i := range d.own {
		e := &d.own[i]
		if path != e.path && (e.path[len(e.path)-1] != '/' || !strings.HasPrefix(path, e.path)) {
			continue
		}
		if !e.anyHost && d.foreign(r.Host) {
			break
		}
		e.handler.ServeHTTP(w, r)
		return
	}
	d.gateway.ServeHTTP(w, r)
}

func (d *dispatcher) foreign(hostPort string) bool {
	host := hostName(hostPort)
	return host != d.publicHost && d.routeHost(host)
}

// hostName is the host of a Host header: lower-case, without port and final dot.
func hostName(hostPort string) string {
	host := strings.ToLower(hostPort)
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.TrimSuffix(host, ".")
}

// routeHost says whether any route names a host.
func (s *server) routeHost(host string) bool { return s.gate.Table().NamesHost(host) }

// handlers returns the handler of the public listener, and that of the admin
// listener if it is a separate one.
func (s *server) handlers() (public, admin http.Handler, err error) {
	all, err := s.endpoints()
	if err != nil {
		return nil, nil, err
	}
	d := &dispatcher{gateway: s.tracer.Wrap(s.gateway()), publicHost: hostName(s.cfg.PublicHost()), routeHost: s.routeHost}
	if public, err = s.describeResources(d); err != nil {
		return nil, nil, err
	}
	if s.cfg.AdminListen == "" {
		d.own = all
		return public, nil, nil
	}
	onAdmin := &dispatcher{gateway: http.HandlerFunc(notHere), routeHost: func(string) bool { return false }}
	for _, e := range all {
		if e.admin {
			onAdmin.own = append(onAdmin.own, e)
			e.handler = http.HandlerFunc(notHere)
		} else if e.path == "/healthz" || e.path == "/readyz" {
			onAdmin.own = append(onAdmin.own, e)
		}
		d.own = append(d.own, e)
	}
	return public, onAdmin, nil
}

// certified is the handler of the listener that asks for certificates: the endpoints that
// clients call, and the gateway. Pages and management are not there.
func (s *server) certified() http.Handler {
	own := append(s.oauthEndpoints(), endpoint{path: "/healthz", handler: http.HandlerFunc(s.serveHealth)})
	return &dispatcher{own: own, gateway: s.tracer.Wrap(s.gateway()), publicHost: hostName(s.cfg.MTLS.Host()), routeHost: s.routeHost}
}

func notHere(w http.ResponseWriter, _ *http.Request) {
	problem.Write(w, problem.ForStatus(http.StatusNotFound))
}

// clientAddr is the caller's address behind trusted proxies.
func (s *server) clientAddr(r *http.Request) (netip.Addr, error) {
	return s.trust.ClientAddr(r.RemoteAddr, r.Header["X-Forwarded-For"])
}

// requestID names a request; a trusted proxy may have named it before.
func (s *server) requestID(r *http.Request) string {
	peer, err := enforce.Peer(r.RemoteAddr)
	return enforce.RequestID(r, err == nil && s.trust.Contains(peer))
}

// apiOptions are what the management API stands on.
func (s *server) apiOptions() api.Options {
	return api.Options{
		Service: s.house.service, Routes: func() []keystile.Route { return s.gate.Table().Routes() }, State: stateOf(s.house),
		APIKeys: s.keys, Leaks: s.life.leaks, CursorKey: s.house.cursorKey, ClientAddr: s.clientAddr, RequestID: s.requestID, Logger: s.log, Version: version,
	}
}
