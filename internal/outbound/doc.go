// Package outbound fetches what lies outside the house, at addresses that
// somebody else chose: key sets of identity providers, and whatever else a
// setting or a client names by URL.
//
//	URL ──> scheme, user, port ──> resolver ──> dialer: may this IP be reached? ──> TLS ──> at most so many bytes, so much time
//
// The question is asked of the very address that is connected to, after the name
// was resolved: a name that answers differently the second time gains nothing.
// There are no redirects, no proxies from the environment, no cookies and no
// credentials. Addresses of this machine, of its networks and of the cloud it
// runs in are out of reach unless the operator names them.
package outbound
