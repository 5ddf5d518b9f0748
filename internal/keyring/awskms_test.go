package keyring_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keystile.dev/keystile/internal/keyring"
)

const kmsKey = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// The two requests of AWS's own test suite for Signature Version 4 that have a body
// or none and no query: post-vanilla and post-x-www-form-urlencoded.
func TestRequestsAreSignedAsAWSsVectorsSay(t *testing.T) {
	at := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	for name, c := range map[string]struct{ body, contentType, want string }{
		"post-vanilla":               {"", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		"post-x-www-form-urlencoded": {"Param1=value1", "application/x-www-form-urlencoded", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://example.amazonaws.com/", strings.NewReader(c.body))
		r.Header = http.Header{}
		if c.contentType != "" {
			r.Header.Set("Content-Type", c.contentType)
		}
		keyring.SignForAWS(r, []byte(c.body), "us-east-1", "service", "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", at)
		if got := r.Header.Get("Authorization"); !strings.HasSuffix(got, "Signature="+c.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// kms is AWS KMS, and the services that give credentials for it, as their APIs
// document them. It refuses what is not signed with the keys it gave out.
type kms struct {
	*httptest.Server
	t    *testing.T
	aead cipher.AEAD
	// given are the secrets and session tokens of the access keys that are good.
	given map[string][2]string
	// answers are what other paths answer, by "METHOD PATH".
	answers map[string]func(r *http.Request) (status int, body string)
	denied  bool
	calls   []string
}

func newKMS(t *testing.T) *kms {
	t.Helper()
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		t.Fatal(err)
	}
	k := &kms{t: t, given: map[string][2]string{"AKIAENV": {"env secret", ""}}, answers: map[string]func(*http.Request) (int, string){}}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		t.Fatal(err)
	}
	k.Server = httptest.NewServer(k)
	t.Cleanup(k.Close)
	return k
}

func (k *kms) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.calls = append(k.calls, r.Method+" "+r.URL.Path)
	status, body := http.StatusNotFound, ""
	if answer := k.answers[r.Method+" "+r.URL.Path]; answer != nil {
		status, body = answer(r)
	} else if target, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "TrentService."); ok {
		status, body = k.operate(r, target)
	}
	w.WriteHeader(status)
	if _, err := io.WriteString(w, body); err != nil {
		k.t.Error(err)
	}
}

func refusal(name, message string) (int, string) {
	return http.StatusBadRequest, fmt.Sprintf(`{"__type":%q,"message":%q}`, name, message)
}

func (k *kms) operate(r *http.Request, target string) (int, string) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		k.t.Error(err)
	}
	if !k.signed(r, raw) {
		return refusal("InvalidSignatureException", "The request signature we calculated does not match the signature you provided.")
	}
	if k.denied {
		return refusal("AccessDeniedException", "User: arn:aws:iam::111122223333:user/x is not authorized to perform: kms:"+target)
	}
	var in struct {
		KeyID                     string `json:"KeyId"`
		Plaintext, CiphertextBlob []byte
		EncryptionContext         map[string]string
	}
	if err := json.Unmarshal(raw, &in); err != nil || in.KeyID != kmsKey || len(in.Plaintext) > 4096 {
		return refusal("com.amazonaws.kms#ValidationException", "1 validation error detected")
	}
	var aad bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(in.EncryptionContext)) {
		fmt.Fprintf(&aad, "%q=%q;", name, in.EncryptionContext[name])
	}
	var out any
	switch target {
	case "Encrypt":
		nonce := make([]byte, 12)
		if _, err := rand.Read(nonce); err != nil {
			k.t.Error(err)
		}
		out = map[string]any{"KeyId": kmsKey, "CiphertextBlob": k.aead.Seal(nonce, nonce, in.Plaintext, aad.Bytes()), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}
	case "Decrypt":
		if len(in.CiphertextBlob) < 12 {
			return refusal("InvalidCiphertextException", "")
		}
		plain, err := k.aead.Open(nil, in.CiphertextBlob[:12], in.CiphertextBlob[12:], aad.Bytes())
		if err != nil {
			return refusal("InvalidCiphertextException", "")
		}
		out = map[string]any{"KeyId": kmsKey, "Plaintext": plain}
	}
	text, err := json.Marshal(out)
	if err != nil {
		k.t.Error(err)
	}
	return http.StatusOK, string(text)
}

// signed recomputes the signature over what came, with the keys that were given out.
func (k *kms) signed(r *http.Request, body []byte) bool {
	got := r.Header.Get("Authorization")
	_, rest, _ := strings.Cut(got, "Credential=")
	id, _, _ := strings.Cut(rest, "/")
	secret, ok := k.given[id]
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if !ok || err != nil || r.Header.Get("X-Amz-Security-Token") != secret[1] {
		return false
	}
	again := r.Clone(r.Context())
	again.URL.Host = r.Host
	_, list, _ := strings.Cut(got, "SignedHeaders=")
	list, _, _ = strings.Cut(list, ",")
	again.Header = http.Header{}
	for _, name := range strings.Split(list, ";") {
		if name != "host" {
			again.Header.Set(name, r.Header.Get(name))
		}
	}
	keyring.SignForAWS(again, body, "eu-central-1", "kms", id, secret[0], at)
	return again.Header.Get("Authorization") == got
}

func (k *kms) env(more map[string]string) func(string) string {
	set := map[string]string{"AWS_ENDPOINT_URL": k.URL}
	maps.Copy(set, more)
	return variables(set)
}

func (k *kms) master(more map[string]string) *keyring.Master {
	k.t.Helper()
	m, err := keyring.LoadMaster("aws-kms://"+kmsKey, k.env(more))
	if err != nil {
		k.t.Fatal(err)
	}
	return m
}

var envKeys = map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "env secret"}

func TestAKeyOfAWSKMSWrapsTheKeyset(t *testing.T) {
	k := newKMS(t)
	m := k.master(envKeys)
	if len(k.calls) != 0 {
		t.Error("loading the key asked AWS")
	}
	sealer, wrapped, err := keyring.NewSealer(m)
	if err != nil {
		t.Fatal(err)
	}
	const id = "aws-kms/eu-central-1/111122223333/1234abcd-12ab-34cd-56ef-1234567890ab"
	if m.ID() != id || !bytes.Contains(wrapped, []byte(id+":")) || !m.KeptElsewhere() {
		t.Errorf("id %q", m.ID())
	}
	sealed, err := sealer.Seal([]byte("secret"), "a/b/c")
	if err != nil {
		t.Fatal(err)
	}
	again, err := keyring.OpenSealer(k.master(envKeys), wrapped)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := again.Open(sealed, "a/b/c"); err != nil || string(plain) != "secret" {
		t.Errorf("%q, %v", plain, err)
	}
	if _, err := keyring.OpenSealer(master(t), wrapped); !errors.Is(err, keyring.ErrWrongMaster) || !strings.Contains(err.Error(), id) {
		t.Errorf("another master key: %v", err)
	}
	if _, err := keyring.OpenSealer(m, bytes.Replace(wrapped, []byte("aws-kms"), []byte("aws-kmz"), 1)); err == nil {
		t.Error("a value of another key opened")
	}
}

func TestCredentialsForAWSAreFoundWhereItsLibrariesLook(t *testing.T) {
	ends := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	agent := fmt.Sprintf(`{"Code":"Success","AccessKeyId":"ASIA","SecretAccessKey":"s3","Token":"session","Expiration":%q}`, ends)
	for name, c := range map[string]struct {
		env   func(k *kms) map[string]string
		paths []string
		serve func(k *kms)
	}{
		"a session in the environment": {env: func(*kms) map[string]string {
			return map[string]string{"AWS_ACCESS_KEY_ID": "ASIA", "AWS_SECRET_ACCESS_KEY": "s3", "AWS_SESSION_TOKEN": "session"}
		}},
		"a web identity": {
			env: func(*kms) map[string]string {
				return map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": file("identity\n"), "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/keystile"}
			},
			serve: func(k *kms) {
				k.answers["POST /"] = func(r *http.Request) (int, string) {
					if r.Header.Get("X-Amz-Target") != "" {
						_, target, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
						return k.operate(r, target)
					}
					if r.FormValue("Action") != "AssumeRoleWithWebIdentity" || r.FormValue("WebIdentityToken") != "identity" || r.FormValue("RoleArn") == "" || r.FormValue("RoleSessionName") != "keystile" {
						return http.StatusBadRequest, "identity"
					}
					return http.StatusOK, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>` +
						`<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s3</SecretAccessKey><SessionToken>session</SessionToken><Expiration>` + ends + `</Expiration>` +
						`</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`
				}
			},
		},
		"the container's agent": {
			env: func(k *kms) map[string]string {
				return map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": k.URL + "/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file("agent token\n")}
			},
			serve: func(k *kms) {
				k.answers["GET /v1/credentials"] = func(r *http.Request) (int, string) {
					if r.Header.Get("Authorization") != "agent token" {
						return http.StatusForbidden, ""
					}
					return http.StatusOK, agent
				}
			},
		},
		"the machine's role": {
			env: func(k *kms) map[string]string { return map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": k.URL} },
			serve: func(k *kms) {
				const token = "X-Aws-Ec2-Metadata-Token"
				k.answers["PUT /latest/api/token"] = func(r *http.Request) (int, string) {
					if r.Header.Get(token+"-Ttl-Seconds") == "" {
						return http.StatusBadRequest, ""
					}
					return http.StatusOK, "imds"
				}
				guarded := func(body string) func(*http.Request) (int, string) {
					return func(r *http.Request) (int, string) {
						if r.Header.Get(token) != "imds" {
							return http.StatusUnauthorized, ""
						}
						return http.StatusOK, body
					}
				}
				k.answers["GET /latest/meta-data/iam/security-credentials/"] = guarded("keystile-role\n")
				k.answers["GET /latest/meta-data/iam/security-credentials/keystile-role"] = guarded(agent)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKMS(t)
			k.given = map[string][2]string{"ASIA": {"s3", "session"}}
			if c.serve != nil {
				c.serve(k)
			}
			m := k.master(c.env(k))
			_, wrapped, err := keyring.NewSealer(m)
			if err != nil {
				t.Fatal(err)
			}
			asked := len(k.calls)
			if _, err := keyring.OpenSealer(m, wrapped); err != nil {
				t.Fatal(err)
			}
			if n := len(k.calls) - asked; n != 1 {
				t.Errorf("credentials that are good were asked for again: %v", k.calls[asked:])
			}
		})
	}
}

func TestWhatAWSRefusesIsToldInItsWords(t *testing.T) {
	k := newKMS(t)
	_, wrapped, err := keyring.NewSealer(k.master(envKeys))
	if err != nil {
		t.Fatal(err)
	}
	wants := func(set map[string]string, want string) {
		t.Helper()
		_, err := keyring.OpenSealer(k.master(set), wrapped)
		if err == nil || errors.Is(err, keyring.ErrWrongMaster) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("it says: %v, want %s", err, want)
		}
	}
	wants(map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "another secret"}, "InvalidSignatureException")
	wants(map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV"}, "no credentials")
	wants(map[string]string{"AWS_EC2_METADATA_DISABLED": "true"}, "set AWS_ACCESS_KEY_ID")
	wants(map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": k.URL}, "404 Not Found")
	wants(map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://198.51.100.7/credentials"}, "agent on this machine")
	wants(map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "/absent", "AWS_ROLE_ARN": "arn:aws:iam::1:role/x"}, "read the web identity")
	k.denied = true
	wants(envKeys, "AccessDeniedException: User: arn:aws:iam::111122223333:user/x is not authorized to perform: kms:Decrypt")
	k.denied = false
	other := newKMS(t)
	wants(map[string]string{"AWS_ENDPOINT_URL": other.URL, "AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "env secret"}, "InvalidCiphertextException")
	k.Close()
	wants(envKeys, "ask AWS KMS to decrypt")
}

func TestANameThatIsNoKeyOfAWSIsRefused(t *testing.T) {
	for _, spec := range []string{
		"aws-kms:" + kmsKey, "aws-kms://" + kmsKey + "?region=x", "aws-kms://alias/keystile",
		"aws-kms://arn:aws:kms:eu-central-1:111122223333:alias/keystile", "aws-kms://arn:aws:kms:evil.example/:111122223333:key/x",
		"aws-kms://arn:aws:s3:eu-central-1:111122223333:key/x", "aws-kms://arn:aws:kms:eu-central-1:1:key/x",
	} {
		if _, err := keyring.LoadMaster(spec, variables(nil)); err == nil || !strings.Contains(err.Error(), "the key itself and no alias") {
			t.Errorf("%s: %v", spec, err)
		}
	}
	for _, endpoint := range []string{"http://kms.example", "https://user:pw@kms.example", "https://kms.example/?x=1", "kms"} {
		_, err := keyring.LoadMaster("aws-kms://"+kmsKey, variables(map[string]string{"AWS_ENDPOINT_URL_KMS": endpoint}))
		if err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("endpoint %s: %v", endpoint, err)
		}
	}
}
