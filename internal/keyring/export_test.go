package keyring

import (
	"net/http"
	"time"
)

// SignForAWS signs a request as requests to AWS are signed.
func SignForAWS(r *http.Request, body []byte, region, service, id, secret string, now time.Time) {
	awsScope{region, service}.sign(r, body, awsKeys{id: id, secret: secret}, now)
}
