package ona

import (
	"encoding/json"
	"testing"
)

func FuzzEvent(f *testing.F) {
	for _, seed := range []string{
		`{"httpMethod":"POST","path":"/api/auth/login","body":"{}"}`,
		`{"httpMethod":"POST","path":"/api/auth/refresh","headers":{"Authorization":"Bearer a.b.c"}}`,
		`{"httpMethod":"POST","path":"/","headers":{"authorization":"x","AUTHORIZATION":"y"},"isBase64Encoded":false}`,
		`{"httpMethod":"GET","path":"/","body":"e30=","isBase64Encoded":true}`,
		`{"httpMethod":"GET","path":"/","headers":null,"body":null}`,
		`{"path":"/","path":"/"}`, `[]`, ``, "{\"path\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c call
		if !parseEvent(data, &c) {
			return
		}
		// What is taken means the same to any other reader.
		var event struct {
			HTTPMethod string         `json:"httpMethod"`
			Path       string         `json:"path"`
			Body       *string        `json:"body"`
			Headers    map[string]any `json:"headers"`
			Encoded    bool           `json:"isBase64Encoded"`
		}
		var exact map[string]json.RawMessage
		if err := json.Unmarshal(data, &exact); err != nil {
			t.Fatalf("taken, but no JSON object: %v", err)
		}
		for name := range exact {
			switch name {
			case "httpMethod", "path", "body", "headers", "isBase64Encoded":
			default:
				delete(exact, name) // the decoder below would take other cases for the same
			}
		}
		plain, err := json.Marshal(exact)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(plain, &event); err != nil {
			t.Fatalf("taken, but of other types: %v", err)
		}
		if event.HTTPMethod != c.method || event.Path != c.path || len(c.header["Authorization"]) > len(event.Headers) {
			t.Errorf("%q is read as %+v", data, c)
		}
		if event.Body != nil && !event.Encoded && *event.Body != string(c.body) {
			t.Errorf("the body of %q is read as %q", data, c.body)
		}
	})
}
