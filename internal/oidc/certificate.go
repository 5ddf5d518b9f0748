package oidc

import (
	"crypto/x509"
	"net/http"

	"keystile.dev/keystile/internal/mtls"
)

// MutualTLS is the listener on which callers prove that they hold a certificate's key
// (RFC 8705). Nobody is asked for one on the others: browsers would ask people.
type MutualTLS struct {
	// URL is its origin, of the endpoints' second addresses (section 5).
	URL string
	// Authorities sign certificates of clients with TLSSubject; nil: of none.
	Authorities *x509.CertPool
}

// certificatesOf are those that the caller sent, the one whose key it proved to hold
// first; none: it was not asked.
func certificatesOf(r *http.Request) []*x509.Certificate {
	if r.TLS == nil {
		return nil
	}
	return r.TLS.PeerCertificates
}

// certificateOf is the thumbprint of the caller's certificate; empty: it sent none.
func certificateOf(r *http.Request) string {
	if sent := certificatesOf(r); len(sent) > 0 {
		return mtls.Thumbprint(sent[0].Raw)
	}
	return ""
}

// at is where the caller reached an endpoint, as a proof has it (RFC 9449, section 4.3).
func (s *Server) at(r *http.Request, path string) string {
	if s.o.MTLS != nil && len(certificatesOf(r)) > 0 {
		return s.o.MTLS.URL + path
	}
	return s.o.Issuer + path
}

// checkCertificate has a client prove who it is with a certificate (RFC 8705, section 2).
// A secret or an assertion beside it is a second way, and refused (RFC 6749, section 2.3).
func (s *Server) checkCertificate(r *request, c *client, said credentials) error {
	if said.secret != "" || said.basic {
		return noClient(said.basic, "client "+c.id()+" proves who it is with a certificate, and sent a secret")
	}
	if s.o.MTLS == nil {
		return noClient(false, "client "+c.id()+" proves who it is with a certificate, and no listener asks for one")
	}
	sent := certificatesOf(r.http)
	var err error
	if c.Client.TLSSubject != "" {
		err = mtls.CheckIssued(sent, s.o.MTLS.Authorities, c.Client.TLSSubject, s.now())
	} else {
		err = mtls.CheckRegistered(sent, []byte(c.Client.JWKS), s.now())
	}
	if err != nil {
		return noClient(false, "client "+c.id()+": "+err.Error())
	}
	return nil
}

// bound is the certificate that what a client gets is bound to (RFC 8705, section 3);
// empty: none. A client whose tokens have to be bound gets none without one.
func bound(r *request, c *client) (string, error) {
	if !c.Client.CertificateBound {
		return "", nil
	}
	thumbprint := certificateOf(r.http)
	if thumbprint == "" {
		return "", badRequest("The client has to use its certificate, at the addresses of mtls_endpoint_aliases.")
	}
	return thumbprint, nil
}

// aliases are the endpoints on the listener that asks for certificates (RFC 8705, section 5).
type aliases struct {
	Token         string `json:"token_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
	Introspection string `json:"introspection_endpoint"`
	Pushed        string `json:"pushed_authorization_request_endpoint"`
	Device        string `json:"device_authorization_endpoint"`
	Userinfo      string `json:"userinfo_endpoint"`
}

// certificatesIn is what the metadata says of certificates.
func (s *Server) certificatesIn(m *metadata) {
	if s.o.MTLS == nil {
		return
	}
	at := func(path string) string { return s.o.MTLS.URL + path }
	m.CertificateBound = true
	m.Aliases = &aliases{
		Token: at(PathToken), Revocation: at(PathRevoke), Introspection: at(PathIntrospect), Pushed: at(PathPush), Device: at(PathDeviceCode), Userinfo: at(PathUserinfo),
	}
	methods := []string{"self_signed_tls_client_auth"}
	if s.o.MTLS.Authorities != nil {
		methods = append(methods, "tls_client_auth")
	}
	for _, list := range []*[]string{&m.TokenAuthMethods, &m.RevocationAuthMethods, &m.IntrospectionAuthMethods} {
		*list = append((*list)[:len(*list):len(*list)], methods...)
	}
}
