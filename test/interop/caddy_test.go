package interop

import (
	"fmt"
	"net"
	"os"
)

func startCaddy() (*site, error) {
	s, err := newSite("caddy")
	if err != nil {
		return nil, err
	}
	if err := s.serveForwardAuth("caddy.md"); err != nil {
		return nil, err
	}
	if s.callers, err = freeAddress(); err != nil {
		return nil, err
	}
	// Instead of asking an authority for a certificate it gets one; that is all that differs from the page.
	_, port, err := net.SplitHostPort(s.callers)
	if err != nil {
		return nil, err
	}
	server, err := blockWith("caddy.md", "Caddyfile",
		"api.example.com {\n", fmt.Sprintf("https://api.example.com:%s {\n\tbind 127.0.0.1\n\ttls %s %s\n",
			port, s.path("fullchain.pem"), s.path("privkey.pem")),
		"127.0.0.1:8080", s.witness.address, "127.0.0.1:9000", s.api.address())
	if err != nil {
		return nil, err
	}
	frame := "{\n\tadmin off\n\tauto_https off\n}\n"
	if err := os.WriteFile(s.path("Caddyfile"), []byte(frame+server), 0o600); err != nil {
		return nil, err
	}
	return s, s.front("caddy", "run", "--config", s.path("Caddyfile"), "--adapter", "caddyfile")
}
