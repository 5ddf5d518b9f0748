package dialecttest

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect"
	"keystile.dev/keystile/internal/problem"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	causeCanary  = "cause-canary"
	publicCanary = "site_id is missing"
)

// conversation renders what a dialect says for every refusal.
func conversation(spoken dialect.Dialect) *txtar.Archive {
	a := &txtar.Archive{Comment: []byte("Refusals in the dialect " + spoken.Name() + ".\n")}
	add := func(name string, status int, d *keystile.Decision, accept string) {
		contentType, body := spoken.Refusal(status, d, accept)
		text := strconv.Itoa(status) + "\n" + contentType + "\n" + strings.TrimSuffix(string(body), "\n") + "\n"
		a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(text)})
	}
	for _, reason := range keystile.Reasons {
		d := &keystile.Decision{Reason: reason, Cause: causeCanary, Public: publicCanary}
		add(string(reason), d.Status(), d, "")
	}
	hidden := &keystile.Decision{
		Reason: keystile.ReasonResourceNotPermitted, Cause: causeCanary, Public: publicCanary,
		Route: &keystile.Route{NotPermittedStatus: http.StatusNotFound},
	}
	add("resource_not_permitted, hidden", hidden.Status(), hidden, "")
	none := &keystile.Decision{Cause: causeCanary}
	add("no reason", none.Status(), none, "")
	for _, status := range []int{http.StatusRequestEntityTooLarge, http.StatusBadGateway, http.StatusGatewayTimeout} {
		add("upstream "+strconv.Itoa(status), status, &keystile.Decision{}, "")
	}
	missing := &keystile.Decision{Reason: keystile.ReasonCredentialMissing}
	add("credential_missing, Accept: application/vnd.api+json", http.StatusUnauthorized, missing, "application/vnd.api+json")
	add("credential_missing, Accept: application/json", http.StatusUnauthorized, missing, "application/json")
	return a
}

func TestEveryRefusalIsWordedAsItsGoldenFileSays(t *testing.T) {
	for _, spoken := range dialect.All() {
		t.Run(spoken.Name(), func(t *testing.T) {
			file := filepath.Join("testdata", spoken.Name()+".txtar")
			got := txtar.Format(conversation(spoken))
			if *update {
				if err := os.WriteFile(file, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestThreat33_NoDialectTellsTheCauseAndAllSpeakJSON(t *testing.T) {
	for _, spoken := range dialect.All() {
		for _, f := range conversation(spoken).Files {
			_, body, _ := strings.Cut(string(f.Data), "\n")
			_, body, _ = strings.Cut(body, "\n")
			if strings.Contains(body, causeCanary) {
				t.Errorf("%s, %s tells the cause: %s", spoken.Name(), f.Name, body)
			}
			if !json.Valid([]byte(body)) {
				t.Errorf("%s, %s is not JSON: %s", spoken.Name(), f.Name, body)
			}
		}
	}
}

func TestThreat26_NoDialectTellsWhetherACredentialExists(t *testing.T) {
	for _, spoken := range dialect.All() {
		bodies := map[string]bool{}
		for _, reason := range keystile.Reasons {
			if reason.Status() == http.StatusUnauthorized && problem.Told(reason) == problem.CodeUnauthorized {
				_, body := spoken.Refusal(http.StatusUnauthorized, &keystile.Decision{Reason: reason, Public: string(reason)}, "")
				bodies[string(body)] = true
			}
		}
		if len(bodies) != 1 {
			t.Errorf("%s: %d different bodies", spoken.Name(), len(bodies))
		}
	}
}

func TestDialectsAreFoundByNameAndOthersAreNot(t *testing.T) {
	for _, name := range []string{"ona", "aurora", "ownera", "nao"} {
		if d, ok := dialect.Find(name); !ok || d.Name() != name {
			t.Errorf("%s: %v %t", name, d, ok)
		}
	}
	for _, name := range []string{"", dialect.Problem, "Ona", "other"} {
		if d, ok := dialect.Find(name); ok {
			t.Errorf("%q is %s", name, d.Name())
		}
	}
}
