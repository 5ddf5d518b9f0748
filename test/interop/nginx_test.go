package interop

import (
	"fmt"
	"os"
	"strings"
)

func startNginx() (*site, error) {
	s, err := newSite("nginx")
	if err != nil {
		return nil, err
	}
	if err := s.serveForwardAuth("nginx.md"); err != nil {
		return nil, err
	}
	server, err := s.nginxServer()
	if err != nil {
		return nil, err
	}
	return s, s.runNginx(server)
}

// startNginxOriginal is the variant at the end of the page: the other family of header fields.
func startNginxOriginal() (*site, error) {
	s, err := newSite("nginx-original")
	if err != nil {
		return nil, err
	}
	if err := s.serveForwardAuth("nginx.md", "headers: x-forwarded", "headers: x-original"); err != nil {
		return nil, err
	}
	server, err := s.nginxServer()
	if err != nil {
		return nil, err
	}
	variant, err := block("nginx.md", "x-original")
	if err != nil {
		return nil, err
	}
	const first, last = "        proxy_set_header X-Forwarded-Method $request_method;\n", "        proxy_set_header X-Original-Uri     \"\";\n"
	before, rest, found := strings.Cut(server, first)
	_, after, foundLast := strings.Cut(rest, last)
	if !found || !foundLast {
		return nil, fmt.Errorf("nginx.md no longer has the lines that the variant replaces")
	}
	return s, s.runNginx(before + variant + after)
}

// nginxServer is the page's configuration with this site's addresses.
func (s *site) nginxServer() (string, error) {
	var err error
	if s.callers, err = freeAddress(); err != nil {
		return "", err
	}
	return blockWith("nginx.md", "api.conf",
		"listen 443 ", "listen "+s.callers+" ",
		"127.0.0.1:8080", s.witness.address, "127.0.0.1:9000", s.api.address(),
		"/etc/nginx/tls/", s.dir+"/")
}

func (s *site) runNginx(server string) error {
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n" // so that its workers read a directory only root reads
	}
	frame := user + fmt.Sprintf(`daemon off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
worker_processes 1;
events {}
http {
    access_log off;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    include %[1]s/api.conf;
}
`, s.dir)
	if err := os.WriteFile(s.path("api.conf"), []byte(server), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(s.path("nginx.conf"), []byte(frame), 0o600); err != nil {
		return err
	}
	return s.front("nginx", "-p", s.dir, "-e", s.path("error.log"), "-c", s.path("nginx.conf"))
}
