package keyring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

const (
	// kmsTimeout bounds one call; it is made at start, at rotation and when the key
	// is looked for.
	kmsTimeout = 10 * time.Second
	// maxKMSAnswer bounds an answer in bytes.
	maxKMSAnswer = 1 << 20
	// maxKMSPlain is what AWS KMS encrypts at most, in bytes.
	maxKMSPlain = 4096
)

// awsKeyARN is a key's own name. An alias is none: it can be moved to another key,
// and what was wrapped before would not open.
var awsKeyARN = regexp.MustCompile(`^arn:(aws|aws-us-gov|aws-cn):kms:([a-z0-9-]{1,32}):([0-9]{12}):key/([A-Za-z0-9-]{1,64})$`)

// awsKMS wraps with a symmetric key of AWS KMS, which never leaves it
// (https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html). The place
// is the encryption context, which KMS authenticates, and logs.
type awsKMS struct {
	arn         string
	scope       awsScope
	endpoint    *url.URL
	credentials *awsCredentials
	client      *http.Client
	now         func() time.Time
}

const awsRemedy = "write aws-kms://arn:aws:kms:REGION:ACCOUNT:key/ID, the key itself and no alias"

// newAWSMaster takes "//arn:aws:kms:REGION:ACCOUNT:key/ID". It asks nothing of AWS yet.
func newAWSMaster(address string, getenv func(string) string) (*Master, error) {
	arn, ok := strings.CutPrefix(address, "//")
	parts := awsKeyARN.FindStringSubmatch(arn)
	if !ok || parts == nil {
		return nil, errors.New("master_key: " + awsRemedy)
	}
	partition, region := parts[1], parts[2]
	domain := "amazonaws.com"
	if partition == "aws-cn" {
		domain = "amazonaws.com.cn"
	}
	endpoint, err := awsEndpoint(getenv, "KMS", "https://kms."+region+"."+domain)
	if err != nil {
		return nil, fmt.Errorf("master_key: %w", err)
	}
	client := &http.Client{
		Timeout:       kmsTimeout, // a redirect would carry a signed request elsewhere
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	k := &awsKMS{
		arn: arn, scope: awsScope{region, "kms"}, endpoint: endpoint, client: client, now: time.Now,
		credentials: &awsCredentials{region: region, domain: domain, getenv: getenv, client: client, now: time.Now},
	}
	// A wrapped value begins with the id and a colon.
	return &Master{id: "aws-kms/" + region + "/" + parts[3] + "/" + parts[4], wrapper: k, elsewhere: true}, nil
}

// kmsRequest and kmsAnswer are the bodies of both operations; []byte is base64.
type kmsRequest struct {
	KeyID             string            `json:"KeyId"`
	Plaintext         []byte            `json:"Plaintext,omitempty"`
	CiphertextBlob    []byte            `json:"CiphertextBlob,omitempty"`
	EncryptionContext map[string]string `json:"EncryptionContext"`
}

type kmsAnswer struct {
	CiphertextBlob []byte `json:"CiphertextBlob"`
	Plaintext      []byte `json:"Plaintext"`
	KeyID          string `json:"KeyId"`
}

// kmsFault is how AWS says no.
type kmsFault struct {
	Type    string `json:"__type"`
	Message string `json:"message"`
	// Upper is Message as some faults spell it.
	Upper string `json:"Message"`
}

// Encrypt implements wrapper.
func (k *awsKMS) Encrypt(plain, place []byte) ([]byte, error) {
	if len(plain) > maxKMSPlain {
		return nil, fmt.Errorf("AWS KMS encrypts at most %d bytes, not %d", maxKMSPlain, len(plain))
	}
	answer, err := k.call("Encrypt", kmsRequest{KeyID: k.arn, Plaintext: plain, EncryptionContext: kmsContext(place)})
	if err != nil {
		return nil, err
	}
	if len(answer.CiphertextBlob) == 0 {
		return nil, errors.New("AWS KMS answered without a ciphertext")
	}
	return answer.CiphertextBlob, nil
}

// Decrypt implements wrapper. The key is named: KMS would otherwise use any that
// the ciphertext names and the caller may use.
func (k *awsKMS) Decrypt(sealed, place []byte) ([]byte, error) {
	answer, err := k.call("Decrypt", kmsRequest{KeyID: k.arn, CiphertextBlob: sealed, EncryptionContext: kmsContext(place)})
	if err != nil {
		return nil, err
	}
	if len(answer.Plaintext) == 0 {
		return nil, errors.New("AWS KMS answered without a plaintext")
	}
	return answer.Plaintext, nil
}

func kmsContext(place []byte) map[string]string { return map[string]string{"keystile": string(place)} }

func (k *awsKMS) call(operation string, in kmsRequest) (answer kmsAnswer, err error) {
	keys, err := k.credentials.keys()
	if err != nil {
		return answer, err
	}
	body, err := json.Marshal(in)
	if err != nil {
		return answer, fmt.Errorf("ask AWS KMS: %w", err)
	}
	request, err := http.NewRequest(http.MethodPost, k.endpoint.String(), bytes.NewReader(body)) //nolint:noctx // the client has a timeout; the callers, of Tink, have no context
	if err != nil {
		return answer, fmt.Errorf("ask AWS KMS: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", "TrentService."+operation)
	k.scope.sign(request, body, keys, k.now())
	response, err := k.client.Do(request)
	if err != nil {
		return answer, fmt.Errorf("ask AWS KMS to %s: %w", strings.ToLower(operation), err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxKMSAnswer))
	if err != nil {
		return answer, fmt.Errorf("ask AWS KMS to %s: %w", strings.ToLower(operation), err)
	}
	if response.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("AWS KMS does not %s with key %s: %s %s", strings.ToLower(operation), k.arn, response.Status, awsWords(text))
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, errors.New("AWS KMS's answer cannot be read")
	}
	return answer, nil
}

// awsWords are AWS's own about a refusal, such as "AccessDeniedException: User …
// is not authorized"; they repeat no plaintext.
func awsWords(text []byte) string {
	var fault kmsFault
	if json.Unmarshal(text, &fault) != nil {
		return ""
	}
	_, name, found := strings.Cut(fault.Type, "#")
	if !found {
		name = fault.Type
	}
	said := name + ": " + fault.Message + fault.Upper
	if len(said) > 512 {
		said = said[:512]
	}
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, said), "")
}
