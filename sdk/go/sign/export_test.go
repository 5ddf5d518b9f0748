package sign

import "net/http"

// Base shows the text under a message signature to the tests.
func Base(s *Signer, req *http.Request, nonce string, seconds int64) string {
	base, _ := s.base(req, nonce, seconds)
	return base
}
