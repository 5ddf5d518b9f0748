package oauthtoken

import (
	"strings"
	"testing"
)

func TestTheFormIsOfExactlyItsLettersAndDigits(t *testing.T) {
	for c := range 256 {
		last := string([]byte{byte(c)})
		if ok := shaped(Prefix + strings.Repeat("0", opaqueLength-1) + last); ok != strings.Contains(alphabet, last) {
			t.Errorf("a token that ends in %q: %v", last, ok)
		}
	}
}
