package onetime_test

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
	"keystile.dev/keystile/internal/credential/onetime"
	"keystile.dev/keystile/sdk/go/sign"
)

const nonce = "000102030405060708090a0b0c0d0e0f"

// object is a header of raw members, signed by the HS256 key of the vectors over text.
func object(text, format string, args ...any) *keystile.Request {
	mac := hmac.New(sha256.New, []byte("demo-secret"))
	mac.Write([]byte(text))
	signature := hex.EncodeToString(mac.Sum(nil))
	return bearer("Bearer " + base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(fmt.Sprintf(format, args...), "SIGNATURE", signature))))
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// jwt is a JWT of a raw header and payload, signed by signText.
func jwt(header, payload string, signText func(text []byte) []byte) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(header)) + "." + encode([]byte(payload))
	return "Bearer " + text + "." + encode(signText([]byte(text)))
}

func hmacWith(secret string) func([]byte) []byte {
	return func(text []byte) []byte {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(text)
		return mac.Sum(nil)
	}
}

func payload(apiKey string) string {
	return `{"aud":"bank-x","apiKey":"` + apiKey + `","nonce":"` + nonce + `","iat":1700000000,"exp":1700000030}`
}

// Every type of key against every alg a header may name, signed in every way an
// attacker could: only the key's own algorithm with the key's own signature is good.
func TestThreat01_OnlyTheStoredKeysAlgorithmCounts(t *testing.T) {
	keys := sharedKeys(t)
	algs := []string{"HS256", "RS256", "ES256", "EdDSA", "HS384", "HS512", "RS384", "PS256", "ES384", "hs256", "none", "None", "nOnE", ""}
	for _, name := range []string{"hs", "rs", "es", "ed"} {
		k := keys[name]
		w := newWorld(t)
		own := ownSignature(t, k)
		for _, alg := range algs {
			forgeries := map[string]func([]byte) []byte{
				"own key": own,
				"nothing": func([]byte) []byte { return nil },
				"zeros":   func([]byte) []byte { return make([]byte, 64) },
			}
			for _, secret := range []string{k.PublicKey, strings.TrimSpace(k.PublicKey), k.APIKey, ""} {
				forgeries["HMAC with "+secret] = hmacWith(secret)
			}
			for how, forge := range forgeries {
				good := alg == k.Algorithm && how == "own key"
				_, reason, err := w.present(bearer(jwt(`{"alg":"`+alg+`"}`, payload(k.APIKey), forge)), false)
				if (err == nil) != good {
					t.Errorf("key %s, alg %q, signed with %s: %q", name, alg, how, reason)
				}
				if !good && reason != keystile.ReasonSignatureInvalid && reason != keystile.ReasonCredentialMalformed {
					t.Errorf("key %s, alg %q, signed with %s: %q", name, alg, how, reason)
				}
			}
		}
	}
}

// ownSignature signs with the key as JWTs are signed.
func ownSignature(t testing.TB, k testKey) func([]byte) []byte {
	t.Helper()
	if k.Algorithm == "HS256" {
		return hmacWith(k.Secret)
	}
	private, err := sign.ParsePrivateKey([]byte(k.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return func(text []byte) []byte {
		digest, hash := text, crypto.Hash(0)
		if k.Algorithm != "EdDSA" {
			sum := sha256.Sum256(text)
			digest, hash = sum[:], crypto.SHA256
		}
		signature, err := private.Sign(nil, digest, hash)
		if err != nil {
			t.Fatal(err)
		}
		if k.Algorithm == "ES256" {
			return rawECDSA(t, signature)
		}
		return signature
	}
}

func TestThreat01_AMessageSignatureCannotChooseItsVerifier(t *testing.T) {
	keys := sharedKeys(t)
	names := map[string]string{"hs": "hmac-sha256", "rs": "rsa-v1_5-sha256", "es": "ecdsa-p256-sha256", "ed": "ed25519"}
	w := newWorld(t)
	for key, own := range names {
		for _, alg := range []string{"hmac-sha256", "rsa-v1_5-sha256", "ecdsa-p256-sha256", "ed25519", "rsa-pss-sha512", "none", ""} {
			r := signed(t, signer(t, keys[key]), "GET", "https://bank.example/x", "", sign.Stamp{Time: t0})
			r.Header["Signature-Input"][0] = strings.Replace(r.Header["Signature-Input"][0], `alg="`+own+`"`, `alg="`+alg+`"`, 1)
			want := keystile.ReasonSignatureInvalid
			if alg == own {
				want = ""
			}
			w.want(t, r, false, want)
		}
	}
}

func TestThreat08_SixtyFourPresentationsGiveOneAcceptance(t *testing.T) {
	keys := sharedKeys(t)
	s := signer(t, keys["hs"])
	header, err := s.Header(sign.Stamp{Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.JWT(sign.Stamp{Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	message := signed(t, s, "POST", "https://bank.example/x", "body", sign.Stamp{Time: t0})
	for name, request := range map[string]func() *keystile.Request{
		"header":  func() *keystile.Request { return bearer(header) },
		"JWT":     func() *keystile.Request { return bearer(token) },
		"message": func() *keystile.Request { r := *message; return &r },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var accepted atomic.Int64
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					switch _, reason, err := w.present(request(), true); reason {
					case "":
						accepted.Add(1)
					case keystile.ReasonReplayed:
					default:
						t.Errorf("%q: %v", reason, err)
					}
				})
			}
			wg.Wait()
			if accepted.Load() != 1 {
				t.Errorf("%d acceptances", accepted.Load())
			}
		})
	}
}

// The ledger outlives the kind: what it remembers is asked again after a restart.
func TestThreat09_ARestartForgetsNoNonce(t *testing.T) {
	w := newWorld(t)
	text, err := signer(t, sharedKeys(t)["hs"]).Header(sign.Stamp{Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	w.want(t, bearer(text), true, "")
	w.start(t)
	w.want(t, bearer(text), true, keystile.ReasonReplayed)
	w.want(t, bearer(text), true, keystile.ReasonReplayed)
}

// apiKey, nonce and timestamp are signed without separators. However the same
// text is cut, only the sender's own cut is accepted, and that once.
func TestThreat21_NoOtherCutOfTheSignedTextIsGood(t *testing.T) {
	w := newWorld(t)
	// Keys whose names are cuts too.
	const name = "demo-api-key"
	for cut := 1; cut < len(name); cut++ {
		w.add(testKey{Organization: "bank-x", APIKey: name[:cut], Algorithm: "HS256", Secret: "another"})
	}
	w.add(testKey{Organization: "bank-x", APIKey: name + "0", Algorithm: "HS256", Secret: "another"})
	text := name + nonce + "1700000000"
	accepted := 0
	for i := 1; i < len(text); i++ {
		for j := i + 1; j < len(text); j++ {
			r := object(text, `{"organization":"bank-x","apiKey":%q,"nonce":%q,"timestamp":%s,"accessToken":"SIGNATURE"}`, text[:i], text[i:j], text[j:])
			if _, _, err := w.present(r, true); err == nil {
				accepted++
				if text[:i] != name || text[i:j] != nonce {
					t.Errorf("accepted %q %q %q", text[:i], text[i:j], text[j:])
				}
			}
		}
	}
	if accepted != 1 {
		t.Errorf("%d acceptances", accepted)
	}
}

// Where one secret or key pair has two names, and one begins with the other, the
// same signature is good for both, each with its own cut: the two are one nonce.
func TestThreat21_KeysOfOneSecretAcceptOneSignatureOnceBetweenThem(t *testing.T) {
	keys := sharedKeys(t)
	for _, id := range []string{"hs", "rs", "es", "ed"} {
		key, ok := keys[id]
		if !ok {
			t.Fatalf("no key %s", id)
		}
		w := newWorld(t)
		other := key
		other.APIKey += nonce[:1]
		w.add(other)
		s := signer(t, key)
		header, err := s.Header(sign.Stamp{Nonce: nonce, Time: t0})
		if err != nil {
			t.Fatal(err)
		}
		shifted := shift(t, header, other.APIKey, nonce[1:])
		w.want(t, bearer(shifted), false, "") // it is a good signature of the other key
		w.want(t, bearer(header), true, "")
		w.want(t, bearer(shifted), true, keystile.ReasonReplayed)
		w.want(t, bearer(header), true, keystile.ReasonReplayed)
	}
}

// shift is a header with the same signature under another name and nonce.
func shift(t *testing.T, header, apiKey, nonce string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(header, "Bearer "))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	fields["apiKey"], fields["nonce"] = apiKey, nonce
	fields["timestamp"] = json.Number(strconv.FormatInt(t0.Unix(), 10))
	if raw, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	return "Bearer " + base64Of(raw)
}

func TestThreat21_ANonceIsSpentWhateverTimeAndFormItComesWith(t *testing.T) {
	s := signer(t, sharedKeys(t)["hs"])
	w := newWorld(t)
	first, err := s.Header(sign.Stamp{Nonce: nonce, Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	w.want(t, bearer(first), true, "")
	later, err := s.Header(sign.Stamp{Nonce: nonce, Time: t0.Add(7e9)})
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.JWT(sign.Stamp{Nonce: nonce, Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	w.want(t, bearer(later), true, keystile.ReasonReplayed)
	w.want(t, bearer(token), true, keystile.ReasonReplayed)
	w.want(t, signed(t, s, "GET", "https://bank.example/x", "", sign.Stamp{Nonce: nonce, Time: t0}), true, keystile.ReasonReplayed)
	other, err := signer(t, sharedKeys(t)["hs-newline"]).Header(sign.Stamp{Nonce: nonce, Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	w.want(t, bearer(other), true, "") // another key's nonces are its own
}

// Cut, lengthened and changed signatures, byte by byte, for every algorithm.
func TestThreat22_NoPartOfASignatureIsEnough(t *testing.T) {
	keys := sharedKeys(t)
	for _, name := range []string{"hs", "rs", "es", "ed"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			own := ownSignature(t, keys[name])
			text := keys[name].APIKey + nonce + "1700000000"
			whole := own([]byte(text))
			with := func(signature []byte) *keystile.Request {
				return object("", `{"organization":"bank-x","apiKey":%q,"nonce":%q,"timestamp":1700000000,"accessToken":"%x"}`, keys[name].APIKey, nonce, signature)
			}
			w.want(t, with(whole), false, "")
			for i := range whole {
				flipped := append([]byte(nil), whole...)
				flipped[i] ^= 1 << (i % 8)
				for what, mutant := range map[string][]byte{"head": whole[:i], "tail": whole[i+1:], "flip": flipped} {
					if _, reason, err := w.present(with(mutant), true); err == nil ||
						reason != keystile.ReasonSignatureInvalid && len(mutant) > 0 {
						t.Fatalf("%s at byte %d: %q", what, i, reason)
					}
				}
			}
			for _, mutant := range [][]byte{append(whole[:len(whole):len(whole)], 0), append([]byte{0}, whole...), append(whole[:len(whole):len(whole)], whole...)} {
				w.want(t, with(mutant), true, keystile.ReasonSignatureInvalid)
			}
			if len(w.ledger.spent) != 0 {
				t.Error("a bad signature spent a nonce")
			}
		})
	}
}

// Other ways of writing the same header are the same header: accepted, once in all.
func TestThreat22_AllSpellingsOfAHeaderAreOneHeader(t *testing.T) {
	w := newWorld(t)
	text, err := signer(t, sharedKeys(t)["hs"]).Header(sign.Stamp{Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "Bearer "))
	if err != nil {
		t.Fatal(err)
	}
	before, token, _ := strings.Cut(string(raw), `"accessToken":`)
	want := keystile.ReasonNone
	for _, spelling := range []string{
		text, base64.RawURLEncoding.EncodeToString(raw), "bearer  " + base64.StdEncoding.EncodeToString(raw),
		"Bearer " + base64.URLEncoding.EncodeToString([]byte(before+`"x":0,"accessToken":`+strings.ToUpper(token))),
		"Bearer " + base64.URLEncoding.EncodeToString([]byte(strings.Replace(string(raw), `"apiKey"`, `"\u0061piKey"`, 1))),
	} {
		w.want(t, bearer(spelling), true, want)
		want = keystile.ReasonReplayed
	}
}

func TestThreat37_HugeAndDeepTextIsRefusedBeforeAnythingElse(t *testing.T) {
	w := newWorld(t)
	deep := func(n int, open, shut string) string { return strings.Repeat(open, n) + strings.Repeat(shut, n) }
	members := make([]string, 200)
	for i := range members {
		members[i] = fmt.Sprintf(`"m%d":%d`, i, i)
	}
	const rest = `"organization":"bank-x","apiKey":"demo-api-key","nonce":"` + nonce + `","timestamp":1700000000,"accessToken":"SIGNATURE"}`
	text := "demo-api-key" + nonce + "1700000000"
	w.want(t, object(text, "%s", `{"x":`+deep(10, "[", "]")+`,`+rest), false, "")
	for name, r := range map[string]*keystile.Request{
		"deep array":         object(text, "%s", `{"x":`+deep(1000, "[", "]")+`,`+rest),
		"deep object":        object(text, "%s", `{"x":`+deep(500, `{"a":`, "}")+`,`+rest),
		"never closed":       object(text, "%s", strings.Repeat(`{"x":`, 1000)),
		"200 members":        object(text, "%s", `{`+strings.Join(members, ",")+`,`+rest),
		"8 KiB":              object(text, "%s", `{"x":"`+strings.Repeat("x", 8<<10)+`",`+rest),
		"1 MiB":              object(text, "%s", `{"x":"`+strings.Repeat("x", 1<<20)+`",`+rest),
		"a JWT of 1 MiB":     bearer(jwt(`{"alg":"HS256"}`, strings.Repeat(" ", 1<<20)+payload("demo-api-key"), hmacWith("demo-secret"))),
		"a long signature":   object("", `{"organization":"bank-x","apiKey":"demo-api-key","nonce":"%s","timestamp":1700000000,"accessToken":"%s"}`, nonce, strings.Repeat("ab", 1025)),
		"a long API key":     object("", `{"organization":"bank-x","apiKey":"%s","nonce":"%s","timestamp":1700000000,"accessToken":"ab"}`, strings.Repeat("k", 201), nonce),
		"a long nonce":       object("", `{"organization":"bank-x","apiKey":"demo-api-key","nonce":"%s","timestamp":1700000000,"accessToken":"ab"}`, strings.Repeat("n", 129)),
		"many labels":        withSignature(strings.Repeat(`a=("@method"),`, 400)+`b=("@method")`, "a=:AAAA:"),
		"many components":    withSignature(`a=(`+strings.Repeat(`"a" `, 400)+`)`, "a=:AAAA:"),
		"many parameters":    withSignature(`a=("@method");`+strings.Repeat(`p=1;`, 400)+`p=1`, "a=:AAAA:"),
		"a field over 8 KiB": withSignature(`a=("`+strings.Repeat("a", 9<<10)+`")`, "a=:AAAA:"),
	} {
		t.Run(name, func(t *testing.T) { w.want(t, r, true, keystile.ReasonCredentialMalformed) })
	}
	if w.reads != 1 {
		t.Errorf("%d reads of the store", w.reads)
	}
}

func withSignature(input, signature string) *keystile.Request {
	r := bearer("")
	r.Header = keystile.Header{"Signature-Input": {input}, "Signature": {signature}}
	return r
}

// A body is read for a good signature only.
func TestThreat37_NobodyMakesUsReadABodyWithoutASignature(t *testing.T) {
	w := newWorld(t)
	r := signed(t, signer(t, sharedKeys(t)["rs"]), "POST", "https://bank.example/x", "body", sign.Stamp{Time: t0})
	read := false
	body := r.Body
	r.Body = func(limit int64) ([]byte, error) { read = true; return body(limit) }
	good := r.Header["Signature"][0]
	r.Header["Signature"][0] = strings.Replace(good, ":", ":AAAA", 1)
	w.want(t, r, true, keystile.ReasonSignatureInvalid)
	if read {
		t.Error("the body was read for a wrong signature")
	}
	r.Header["Signature"][0] = good
	w.want(t, r, true, "")
	if !read {
		t.Error("the body was not read for a good one")
	}
}

// A flood of wrong RSA signatures from one address refuses nobody: not the same
// address, not another.
func TestThreat37_AFloodOfWrongSignaturesRefusesNoGoodOne(t *testing.T) {
	w := newWorld(t)
	s := signer(t, sharedKeys(t)["rs"])
	present := func(r *keystile.Request, from string) keystile.Reason {
		r.ClientAddr = netip.MustParseAddr(from)
		_, reason, err := w.present(r, true)
		if (err == nil) != (reason == "") {
			t.Errorf("%q: %v", reason, err)
		}
		return reason
	}
	bad := func() *keystile.Request {
		return object("", `{"organization":"bank-x","apiKey":"rsa-2048","nonce":%q,"timestamp":1700000000,"accessToken":"%s"}`, nonce, strings.Repeat("ab", 256))
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				if reason := present(bad(), "192.0.2.1"); reason != keystile.ReasonSignatureInvalid {
					t.Errorf("flood: %q", reason)
				}
			}
		})
	}
	for _, from := range []string{"192.0.2.1", "192.0.2.2", "2001:db8::1"} {
		for range 5 {
			text, err := s.Header(sign.Stamp{Time: t0})
			if err != nil {
				t.Fatal(err)
			}
			if reason := present(bearer(text), from); reason != "" {
				t.Errorf("a good one from %s: %q", from, reason)
			}
		}
	}
	wg.Wait()
}

func TestACallerThatGivesUpInTheQueueOfCostlyProofsIsNotToldNo(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		w.want(t, object("", `{"organization":"bank-x","apiKey":"ed-25519","nonce":%q,"timestamp":1700000000,"accessToken":"ab"}`, nonce), true, keystile.ReasonSignatureInvalid)
	}
	text, err := signer(t, sharedKeys(t)["ed"]).Header(sign.Stamp{Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	leave := onetime.TakeAllPlaces(w.kind)
	found, rejection := credential.Find(bearer(text), route)
	if rejection != nil {
		t.Fatal(rejection)
	}
	presented, err := w.kind.Parse(bearer(text), found)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := w.kind.Verify(ctx, presented); reasonOf(err) != keystile.ReasonStoreUnavailable {
		t.Errorf("gave up: %v", err)
	}
	leave()
	w.want(t, bearer(text), true, "")
}
