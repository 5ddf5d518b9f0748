package partner

import (
	"strings"
	"testing"
)

func TestTheFormIsOfExactlyItsLettersAndDigits(t *testing.T) {
	for c := range 256 {
		last := string([]byte{byte(c)})
		if _, _, ok := Shape("tk_test_" + strings.Repeat("0", 2*temporaryBytes-1) + last); ok != strings.Contains("0123456789abcdef", last) {
			t.Errorf("a temporary key that ends in %q: %v", last, ok)
		}
		if _, _, ok := Shape("ak_test_" + strings.Repeat("0", base62Length-1) + last); ok != strings.Contains(base62, last) {
			t.Errorf("an application key that ends in %q: %v", last, ok)
		}
	}
}
