package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const pages = "../../docs/integrate"

// block is the fenced block of a page whose info string ends in name:
// "```nginx api.conf" is block("nginx.md", "api.conf").
func block(page, name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(pages, page))
	if err != nil {
		return "", err
	}
	var found []string
	var inside bool
	var body strings.Builder
	for line := range strings.Lines(string(text)) {
		switch {
		case !strings.HasPrefix(line, "```"):
			if inside {
				body.WriteString(line)
			}
		case inside:
			found = append(found, body.String())
			inside = false
			body.Reset()
		default:
			info := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "```"))
			inside = len(info) == 2 && info[1] == name
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%s has %d blocks named %s, not one", page, len(found), name)
	}
	return found[0], nil
}

// put replaces each old by its new, and fails if one of them is not there: the
// page has changed and the test would prove something else than it says.
func put(text string, oldnew ...string) (string, error) {
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(text, oldnew[i]) {
			return "", fmt.Errorf("the page no longer has %q", oldnew[i])
		}
		text = strings.ReplaceAll(text, oldnew[i], oldnew[i+1])
	}
	return text, nil
}

// blockWith is block with put.
func blockWith(page, name string, oldnew ...string) (string, error) {
	text, err := block(page, name)
	if err != nil {
		return "", err
	}
	text, err = put(text, oldnew...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", page, err)
	}
	return text, nil
}
