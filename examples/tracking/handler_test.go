package tracking_test

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"keystile.dev/keystile/examples/tracking"
)

func TestSitesAreJSONAPIDocumentsWithTextIDs(t *testing.T) {
	h := tracking.Handler()
	for path, want := range map[string]int{
		"/api/v2/sites": 200, "/api/v2/sites/102": 200, "/api/v2/sites/9": 404, "/api/v2/other": 404,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		var answer struct {
			Data, Errors json.RawMessage
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != want || (answer.Data != nil) != (want == 200) || (answer.Errors != nil) == (want == 200) {
			t.Errorf("%s: %d %s %v", path, w.Code, w.Body, err)
		}
		if got := w.Header().Get("Content-Type"); got != "application/vnd.api+json" {
			t.Errorf("%s: %s", path, got)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/api/v2/sites/102", nil))
	var one struct {
		Data struct {
			ID         string
			Attributes struct{ ID int }
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &one); err != nil || one.Data.ID != "102" || one.Data.Attributes.ID != 102 {
		t.Errorf("%s %v", w.Body, err)
	}
}
