package mcp

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAMessageIsAnsweredAsItAsks(t *testing.T) {
	for _, c := range []struct {
		body   string
		status int
		words  string
	}{
		{`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{}}}`, 200, `"protocolVersion":"2025-06-18"`},
		{`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"1999-01-01"}}`, 200, `"protocolVersion":"2025-11-25"`},
		{`{"jsonrpc":"2.0","id":"p","method":"ping"}`, 200, `{"jsonrpc":"2.0","id":"p","result":{}}`},
		{`{"jsonrpc":"2.0","method":"notifications/initialized"}`, 202, ""},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`, 200, `"name":"list_sites"`},
		{`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"count_trackables","arguments":{"site":"Harbour Warehouse"}}}`, 200, `"text":"1250"`},
		{`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"count_trackables","arguments":{"site":"x"}}}`, 200, `"isError":true`},
		{`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"who_am_i"}}`, 200, `"text":"user:u1"`},
		{`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"rm"}}`, 200, `"code":-32602`},
		{`{"jsonrpc":"2.0","id":4,"method":"resources/list"}`, 200, `"code":-32601`},
		{`{"jsonrpc":"1.0","id":5,"method":"ping"}`, 400, `"code":-32600`},
		{`[`, 400, `"code":-32600`},
		{`{"jsonrpc":"2.0","id":6,"method":"` + strings.Repeat("x", maxMessage) + `"}`, 400, `"code":-32600`},
	} {
		r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(c.body))
		r.Header.Set("Keystile-Subject", "user:u1")
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.words) {
			t.Errorf("%.100s: %d %s", c.body, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	if Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/mcp", nil)); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}
