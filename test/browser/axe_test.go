package browser

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The accessibility checker: a pinned release, known by its digest. It is a tool
// of this test alone and is not part of the product (MPL-2.0).
const (
	axePackage = "axe-core@4.14.1"
	axeDigest  = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
)

// fetchAxe gets the checker with npm, into dir.
func fetchAxe(ctx context.Context, dir string) (string, error) {
	install := exec.CommandContext(ctx, "npm", "install", "--silent", "--no-audit", "--no-fund", "--no-save", "--no-package-lock", "--ignore-scripts", "--prefix", dir, axePackage)
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch %s: %w\n%s", axePackage, err, out)
	}
	source, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		return "", err
	}
	if sum := sha256.Sum256(source); hex.EncodeToString(sum[:]) != axeDigest {
		return "", fmt.Errorf("%s is not the release that was reviewed: its digest is %x", axePackage, sum)
	}
	return string(source), nil
}
