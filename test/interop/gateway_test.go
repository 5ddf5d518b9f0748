package interop

func startGateway() (*site, error) {
	s, err := newSite("gateway")
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s.callers = s.keystile
	return s, s.serve("gateway.md",
		"0.0.0.0:443", s.keystile, "127.0.0.1:8081", admin,
		"/etc/keystile/fullchain.pem", s.path("fullchain.pem"), "/etc/keystile/privkey.pem", s.path("privkey.pem"))
}
