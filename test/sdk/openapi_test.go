package sdk

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// schemathesis is the version that looks for requests on which the server and its
// OpenAPI document disagree.
const schemathesis = "schemathesis==4.32.5"

// notExpressible are checks that a document cannot meet: that a value which fits
// its schema is good, as cursors, ids of what exists and unused Idempotency-Keys are.
const notExpressible = "positive_data_acceptance"

// generatedAndPassed are the counts that Schemathesis ends with.
var generatedAndPassed = regexp.MustCompile(`(\d+) generated, (\d+) passed`)

// TestTheServerDoesWhatItsOpenAPIDocumentSays sends requests made of the document.
// The one that would end the token it is sent with is left out.
func TestTheServerDoesWhatItsOpenAPIDocumentSays(t *testing.T) {
	w := newWorld(t)
	var token struct{ Secret string }
	w.run(&token, "admin-token", "create")
	w.serve()
	venv := filepath.Join(t.TempDir(), "venv")
	output(t, exec.Command("python3", "-m", "venv", venv))
	output(t, exec.Command(filepath.Join(venv, "bin", "pip"), "install", "--quiet", "--no-compile", "--disable-pip-version-check", schemathesis))
	run := exec.Command(filepath.Join(venv, "bin", "st"), "run", w.url+"/v1/openapi.json", "--header", "Authorization: Bearer "+token.Secret,
		"--checks", "all", "--exclude-checks", notExpressible, "--exclude-operation-id", "revoke-admin-token",
		"--phases", "examples,coverage,fuzzing", "--max-examples", "10", "--seed", "20261128", "--workers", "1", "--no-color")
	run.Dir = t.TempDir()
	run.Env = append(os.Environ(), "PYTHONPATH=", "PYTHONDONTWRITEBYTECODE=1")
	report := string(output(t, run))
	// The program's exit status was 0 already; what it counts says that it looked at all.
	if counts := generatedAndPassed.FindStringSubmatch(report); counts == nil || counts[1] != counts[2] || len(counts[1]) < 4 {
		t.Errorf("Schemathesis: %s", lastLines(report, 40))
	}
}
