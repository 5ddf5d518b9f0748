package keyring

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// awsScope is what a signature is good for.
type awsScope struct{ region, service string }

const awsTime = "20060102T150405Z"

// sign adds X-Amz-Date, X-Amz-Security-Token and Authorization to a request with
// this body: AWS Signature Version 4
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html). Every
// header field the request has is signed. It must have no query.
func (s awsScope) sign(r *http.Request, body []byte, keys awsKeys, now time.Time) {
	at := now.UTC().Format(awsTime)
	r.Header.Set("X-Amz-Date", at)
	if keys.token != "" {
		r.Header.Set("X-Amz-Security-Token", keys.token)
	}
	fields := map[string]string{"host": r.URL.Host}
	for name, values := range r.Header {
		fields[strings.ToLower(name)] = strings.TrimSpace(strings.Join(values, ","))
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	var canonical bytes.Buffer
	canonical.WriteString(r.Method + "\n" + awsPath(r.URL) + "\n\n")
	for _, name := range names {
		canonical.WriteString(name + ":" + fields[name] + "\n")
	}
	signed := strings.Join(names, ";")
	canonical.WriteString("\n" + signed + "\n" + hexSum(body))

	scope := at[:8] + "/" + s.region + "/" + s.service + "/aws4_request"
	text := "AWS4-HMAC-SHA256\n" + at + "\n" + scope + "\n" + hexSum(canonical.Bytes())
	key := []byte("AWS4" + keys.secret)
	for _, part := range []string{at[:8], s.region, s.service, "aws4_request", text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+keys.id+"/"+scope+", SignedHeaders="+signed+", Signature="+hex.EncodeToString(key))
}

func awsPath(u *url.URL) string {
	if path := u.EscapedPath(); path != "" {
		return path
	}
	return "/"
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
