package credential_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"keystile.dev/keystile/internal/credential"
)

// members reads an object to its end.
func members(text string) (names, values []string, good bool) {
	object := credential.NewObject([]byte(text))
	for name, value, ok := object.Next(); ok; name, value, ok = object.Next() {
		names, values = append(names, string(name)), append(values, string(value))
	}
	return names, values, object.Good()
}

func TestAnObjectIsReadMemberByMember(t *testing.T) {
	names, values, good := members(" {\"a\" : 1 ,\"\\u0062\":\"x\\n\",\n\"c\":[{\"d\":null,\"d\":[]},true, -1.5e+3],\"\":{}}\t")
	if !good || strings.Join(names, "|") != "a|b|c|" || strings.Join(values, "|") != `1|"x\n"|[{"d":null,"d":[]},true, -1.5e+3]|{}` {
		t.Errorf("%q %q %t", names, values, good)
	}
}

func TestAnythingButOneObjectIsRefused(t *testing.T) {
	for _, bad := range []string{
		"", " ", "{", "}", "[]", "null", `""`, `{"a"}`, `{"a":}`, `{a:1}`, `{1:1}`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`, `{"a":1}x`, `{"a":1}{}`,
		`{"a":01}`, `{"a":1.}`, `{"a":.1}`, `{"a":1e}`, `{"a":+1}`, `{"a":-}`, `{"a":NaN}`, `{"a":tru}`, `{"a":nulll}`, `{"a":"x}`, "{\"a\":\"\n\"}",
		"{\"a\":\"\xff\"}", "{\"a\":1}\x00", `{"a":[1,]}`, `{"a":[1}`, `{"a":{"b":1,}}`, `{"a":{"b"}}`, `{"a":{b:1}}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`,
		`{"\x":1}`, `{"\ud800":1}`, `{"a":"\0"}`, `{"a":"\u12g4"}`, `{"a":"\u12"}`, `{"a":{"\x":1}}`, `{"a":["\'"]}`, "\ufeff{}", `{"a":` + strings.Repeat("[", 17) + strings.Repeat("]", 17) + `}`,
	} {
		if names, _, good := members(bad); good {
			t.Errorf("%q was read as %q", bad, names)
		}
	}
}

func TestValuesAreReadStrictly(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "7": 7, "999999999999999": 999999999999999} {
		if n, ok := credential.Value(text).Integer(); !ok || n != want {
			t.Errorf("%s: %d %t", text, n, ok)
		}
	}
	for _, bad := range []string{"", "00", "-1", "1.0", "1e3", "1000000000000000", `"1"`, "true"} {
		if n, ok := credential.Value(bad).Integer(); ok {
			t.Errorf("%s is %d", bad, n)
		}
	}
	for text, want := range map[string]string{`""`: "", `"a"`: "a", `"\"\\\/\b\f\n\r\t"`: "\"\\/\b\f\n\r\t", `"\u00E9\ud83d\ude00"`: "é😀"} {
		if got, ok := credential.Value(text).Text(); !ok || string(got) != want {
			t.Errorf("%s: %q %t", text, got, ok)
		}
	}
	for _, bad := range []string{"", "1", `"\x"`, `"\u12"`, `"\u12g4"`, `"\ud800"`, `"\ud800\n"`, `"\ud800\u0041"`, `"\udc00"`} {
		if got, ok := credential.Value(bad).Text(); ok {
			t.Errorf("%s is %q", bad, got)
		}
	}
}

func TestBase64HasOneTextForEachRunOfBytes(t *testing.T) {
	for n := range 20 {
		raw := bytes.Repeat([]byte{0xfb, 0xff, 0xbe}, 7)[:n]
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			if got, ok := credential.AppendBase64([]byte("x"), e.EncodeToString(raw), credential.AlphabetEither); !ok || string(got) != "x"+string(raw) {
				t.Errorf("%d bytes: %q %t", n, got, ok)
			}
		}
	}
	for _, bad := range []string{"=", "==", "A", "A=", "A==", "AB", "AAB", "AA=", "AAA==", "AA==AA==", "====", "AA===", "+-==", "AA\nAA", "é===", "AA A"} {
		if got, ok := credential.AppendBase64(nil, bad, credential.AlphabetEither); ok {
			t.Errorf("%q is %q", bad, got)
		}
	}
	for _, bad := range []string{"AA==", "++++", "AAA="} {
		if got, ok := credential.AppendBase64(nil, bad, credential.AlphabetJWT); ok {
			t.Errorf("%q is %q in a JWT", bad, got)
		}
	}
}

// What is read is what the standard library reads, and nothing is read that it refuses.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1,"b":"x\u0041","c":[{}],"d":true}`, `{"a":1,"a":2}`, `{"":{"":[null]}}`, `{"a":-1.5E-3}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		names, values, good := members(text)
		if !good {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &want); err != nil || !utf8.ValidString(text) || len(want) != len(names) {
			t.Fatalf("%q was read as %q: %v", text, names, err)
		}
		for i, name := range names {
			if string(want[name]) != values[i] {
				t.Fatalf("%q: %q is %q, not %q", text, name, values[i], want[name])
			}
			if s, ok := credential.Value(values[i]).Text(); ok {
				var std string
				if err := json.Unmarshal([]byte(values[i]), &std); err != nil || std != string(s) {
					t.Fatalf("%q is %q, not %q", values[i], s, std)
				}
			}
		}
	})
}

func FuzzBase64(f *testing.F) {
	for _, seed := range []string{"", "AA==", "AA", "-_-_", "+/+/", "AAA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := credential.AppendBase64(nil, text, credential.AlphabetEither)
		same := func(e *base64.Encoding) bool { return e.EncodeToString(got) == text }
		if ok && !same(base64.StdEncoding) && !same(base64.RawStdEncoding) && !same(base64.URLEncoding) && !same(base64.RawURLEncoding) {
			t.Fatalf("%q was read as %q", text, got)
		}
	})
}
