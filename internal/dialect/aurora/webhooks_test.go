package aurora

import "testing"

func TestABodyNamesWhatItChangesAndNothingElse(t *testing.T) {
	change, err := parseChange([]byte(`{"partner_application_webhook":{"event":"e","enabled":false,"header_auth_value":"v","id":"x","url_template":null}}`))
	if err != nil || change.Event == nil || *change.Event != "e" || change.Enabled == nil || *change.Enabled || change.HeaderAuthValue.Reveal() != "v" ||
		change.URLTemplate != nil || change.Description != nil || change.HeaderAuthKey != nil {
		t.Errorf("read %+v, %v", change, err)
	}
	for _, body := range []string{
		"", "[]", "{}", `{"event":"e"}`, `{"partner_application_webhook":null}`, `{"partner_application_webhook":[]}`, `{"partner_application_webhook":"x"}`,
		`{"partner_application_webhook":{"event":1}}`, `{"partner_application_webhook":{"enabled":"true"}}`, `{"partner_application_webhook":{"event":"a","event":"b"}}`,
		`{"partner_application_webhook":{},"partner_application_webhook":{}}`, `{"partner_application_webhook":{}} x`,
	} {
		if _, err := parseChange([]byte(body)); err == nil {
			t.Errorf("%s was read", body)
		}
	}
}

func TestOnlyPathsOfWebhooksAreWebhooks(t *testing.T) {
	for path, want := range map[string]bool{
		"/partner_applications/a/webhooks": true, "/partner_applications/a/webhooks/b": true,
		"/partner_applications/a/webhooks/": false, "/partner_applications//webhooks": false, "/partner_applications/a/webhooks/b/c": false,
		"/partner_applications/a/tenants/b/create_token": false, "/partner_applications/a": false, "/webhooks": false,
	} {
		if (Webhooks{}).Matches(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}

func FuzzParseChange(f *testing.F) {
	f.Add([]byte(`{"partner_application_webhook":{"event":"app_status_changed","enabled":true,"header_auth_value":"v"}}`))
	f.Add([]byte(`{"partner_application_webhook":{"description":"\ud800"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		change, err := parseChange(body)
		if err != nil && change.Enabled != nil && *change.Enabled {
			t.Errorf("a body that was refused enables: %q", body)
		}
	})
}
