package nao

import (
	"encoding/json"
	"testing"
)

func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		`{"session":{"email":"e","password":"p"}}`, `{"session":{"mfa_token":"m","otp":"1"}}`, `{"session":null}`, `{"session":[]}`, `{"session":{}}`,
		`{"session":{"email":"e","email":"f"}}`, `{"session":{},"session":{}}`, `{}`, ``, `{"session":{"email":{"a":1}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in, problem := readSession(data)
		if problem != nil || in == nil {
			return
		}
		var other map[string]json.RawMessage
		var session map[string]any
		if err := json.Unmarshal(data, &other); err != nil {
			t.Fatalf("taken, but no JSON object: %v", err)
		}
		if err := json.Unmarshal(other["session"], &session); err != nil {
			t.Fatalf("taken, but session is no object: %v", err)
		}
		for name, text := range in {
			if session[name] != text {
				t.Errorf("%q: %s is %q, elsewhere %v", data, name, text, session[name])
			}
		}
	})
}
