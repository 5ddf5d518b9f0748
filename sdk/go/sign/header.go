package sign

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
)

// headerFields are the members of the header form, in the order clients send them.
type headerFields struct {
	Organization string `json:"organization"`
	APIKey       string `json:"apiKey"`
	Nonce        string `json:"nonce"`
	Timestamp    int64  `json:"timestamp"`
	AccessToken  string `json:"accessToken"`
}

// Header is the value of an Authorization field in the header form, "Bearer "
// and base64. It signs API key, nonce and time; nothing of the request.
func (s *Signer) Header(stamp Stamp) (string, error) {
	nonce, seconds, err := stamp.fill(func(int64) (string, error) {
		random, err := randomBytes(16)
		return hex.EncodeToString(random), err
	})
	if err != nil {
		return "", err
	}
	signature, err := s.sign([]byte(s.apiKey + nonce + strconv.FormatInt(seconds, 10)))
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	object, err := compact(headerFields{s.organization, s.apiKey, nonce, seconds, hex.EncodeToString(signature)})
	if err != nil {
		return "", fmt.Errorf("write the header: %w", err)
	}
	return "Bearer " + base64.StdEncoding.EncodeToString(object), nil
}

// jwtLife is how long a JWT is good, in seconds.
const jwtLife = 30

// jwtClaims are the claims of the JWT form, in the order clients send them.
type jwtClaims struct {
	Audience string `json:"aud"`
	APIKey   string `json:"apiKey"`
	Nonce    string `json:"nonce"`
	Issued   int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

// JWT is the value of an Authorization field in the JWT form (RFC 7519), good for
// 30 seconds. A nonce it makes ends with the time, as servers of the platform
// expect of one with 64 digits. It signs nothing of the request.
func (s *Signer) JWT(stamp Stamp) (string, error) {
	nonce, seconds, err := stamp.fill(func(seconds int64) (string, error) {
		random, err := randomBytes(24)
		return hex.EncodeToString(binary.BigEndian.AppendUint64(random, uint64(max(seconds, 0)))), err
	})
	if err != nil {
		return "", err
	}
	claims, err := compact(jwtClaims{s.organization, s.apiKey, nonce, seconds, seconds + jwtLife})
	if err != nil {
		return "", fmt.Errorf("write the claims: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"`+string(s.algorithm)+`"}`)) + "." + encode(claims)
	signature, err := s.sign([]byte(text))
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return "Bearer " + text + "." + encode(signature), nil
}

// compact writes JSON without white space and without the escapes that only a
// web page needs, as clients in other languages write it.
func compact(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
