package door

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func FuzzTexts(f *testing.F) {
	for _, seed := range []string{
		`{"username":"u","password":"p"}`, `{"username":"\u00e9\ud83d\ude00"}`, `{"username":"\ud800"}`, `{"username":null}`, `{"username":1}`,
		`{"user\u006eame":"u"}`, `{"username":"u","username":"v"}`, `{"Username":"u"}`, `{}`, `[]`, ``, `{"a":{"username":"u"}}`, "{\"username\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		texts, ok := Texts(data, "username", "password")
		if !ok {
			return
		}
		var other map[string]any
		if err := json.Unmarshal(data, &other); err != nil {
			t.Fatalf("taken, but no JSON object: %v", err)
		}
		for _, name := range []string{"username", "password"} {
			text, there := texts[name]
			if there != (other[name] != nil) || there && other[name] != text || !utf8.ValidString(text) {
				t.Errorf("%q: %s is %q, elsewhere %v", data, name, text, other[name])
			}
		}
	})
}
