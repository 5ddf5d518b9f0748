package api_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"keystile.dev/keystile/internal/api"
)

func TestTheOpenAPIDocumentDescribesEveryOperation(t *testing.T) {
	s := newServer(t)
	a := s.request("GET", "/v1/openapi.json", "", "").want(200)
	if !strings.HasPrefix(a.header.Get("Content-Type"), "application/openapi+json") {
		t.Errorf("Content-Type = %q", a.header.Get("Content-Type"))
	}
	var doc struct {
		OpenAPI    string `json:"openapi"`
		Paths      map[string]map[string]json.RawMessage
		Components struct {
			Schemas         map[string]json.RawMessage
			SecuritySchemes map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("openapi = %q", doc.OpenAPI)
	}
	described := 0
	for _, methods := range doc.Paths {
		described += len(methods)
	}
	if described != len(s.handler.Operations()) {
		t.Errorf("%d operations are described, %d exist", described, len(s.handler.Operations()))
	}
	for _, op := range s.handler.Operations() {
		var got struct {
			OperationID string `json:"operationId"`
			Summary     string
			Security    []map[string][]string
			Responses   map[string]json.RawMessage
		}
		raw, ok := doc.Paths[op.Path][strings.ToLower(op.Method)]
		if !ok {
			t.Errorf("%s is not described", op.ID)
			continue
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if got.OperationID != op.ID || got.Summary == "" {
			t.Errorf("%s: %+v", op.ID, got)
		}
		if (op.Access == api.AccessOpen) != (len(got.Security) == 0) {
			t.Errorf("%s: security %v", op.ID, got.Security)
		}
		if op.Access == api.AccessToken && got.Security[0]["admin_token"][0] != string(op.Scope) {
			t.Errorf("%s: security %v", op.ID, got.Security)
		}
	}
	for _, ref := range regexp.MustCompile(`"\$ref":"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(a.body, -1) {
		if _, ok := doc.Components.Schemas[ref[1]]; !ok {
			t.Errorf("schema %s is not there", ref[1])
		}
	}
	for _, want := range []string{`"sibaya-power"`, `"telemetry:read"`, "application/problem+json", `"code"`, "application/yaml"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the document does not hold %s", want)
		}
	}
	for _, unwanted := range []string{`"$schema"`, "example.com/errors", "unpkg", "ErrorModel"} {
		if strings.Contains(a.body, unwanted) {
			t.Errorf("the document holds %s", unwanted)
		}
	}
}

func TestTheDocumentDoesNotDependOnTheHostAsked(t *testing.T) {
	s := newServer(t)
	plain := s.request("GET", "/v1/openapi.json", "", "")
	other := s.request("GET", "http://evil.example/v1/openapi.json", "", "", "X-Forwarded-Host", "evil.example")
	if plain.body != other.body || strings.Contains(s.as(200, "GET", "http://evil.example/v1/keys", "").body, "evil") {
		t.Error("an answer is built from the Host header")
	}
	for _, path := range []string{"/v1/docs/nothing", "/docs", "/openapi.yaml", "/v1/openapi.yaml", "/schemas/Key.json", "/v1/schemas/Key.json"} {
		s.request("GET", path, "", "").want(401)
	}
}
