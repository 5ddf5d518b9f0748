package interop

import (
	"os"
	"path/filepath"
)

func startHAProxy() (*site, error) {
	s, err := newSite("haproxy")
	if err != nil {
		return nil, err
	}
	if err := s.serveForwardAuth("haproxy.md"); err != nil {
		return nil, err
	}
	if s.callers, err = freeAddress(); err != nil {
		return nil, err
	}
	script, err := filepath.Abs(filepath.Join(pages, "keystile.lua"))
	if err != nil {
		return nil, err
	}
	config, err := blockWith("haproxy.md", "haproxy.cfg",
		"bind :443 ", "bind "+s.callers+" ",
		"/etc/haproxy/keystile.lua", script, "/etc/haproxy/api.example.com.pem", s.path("both.pem"),
		"127.0.0.1:8080", s.witness.address, "127.0.0.1:9000", s.api.address())
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.path("haproxy.cfg"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	return s, s.front("haproxy", "-db", "-f", s.path("haproxy.cfg"))
}
