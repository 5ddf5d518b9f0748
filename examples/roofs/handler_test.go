package roofs_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"keystile.dev/keystile/examples/roofs"
)

func TestDesignsAreOfTheTenantInThePath(t *testing.T) {
	w := httptest.NewRecorder()
	roofs.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/tenants/t-1/designs", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"tenant_id":"t-1"`) || !strings.Contains(w.Body.String(), `"Hillside 12"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	roofs.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/designs", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("another path: %d", w.Code)
	}
}
