package apikey_test

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
)

func TestTheVectorsOfTheKeyFormatHold(t *testing.T) {
	raw, err := os.ReadFile("testdata/apikey.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct{ Good, Bad []string }
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Good) == 0 || len(vectors.Bad) == 0 {
		t.Fatal("the vectors are empty")
	}
	for _, key := range vectors.Good {
		if apikey.ShapeOf(key) != apikey.ShapeOurs {
			t.Errorf("good key %q was not recognised", key)
		}
	}
	for _, key := range vectors.Bad {
		if apikey.ShapeOf(key) == apikey.ShapeOurs {
			t.Errorf("bad key %q was taken for one of ours", key)
		}
	}
}

func TestAGeneratedKeyHasTheFormAndItsOwnEnvironment(t *testing.T) {
	seen := map[keystile.Secret]bool{}
	for env, head := range map[keystile.Environment]string{keystile.Production: "opa_prod_", keystile.Sandbox: "opa_test_"} {
		for range 200 {
			key, err := apikey.Generate(rand.Reader, "opa", env)
			if err != nil {
				t.Fatal(err)
			}
			text := key.Reveal()
			if len(text) != len(head)+38 || text[:len(head)] != head || apikey.ShapeOf(text) != apikey.ShapeOurs {
				t.Fatalf("generated %q", text)
			}
			if seen[key] {
				t.Fatal("the same key twice")
			}
			seen[key] = true
			if apikey.CheckImport(key) != nil {
				t.Fatalf("our own key %q cannot be imported", text)
			}
		}
	}
}

func TestThreat22_EveryPrefixSuffixAndBitFlipOfAKeyHasAnotherDigest(t *testing.T) {
	key, err := apikey.Generate(rand.Reader, "opa", keystile.Production)
	if err != nil {
		t.Fatal(err)
	}
	good := apikey.Sum(key)
	text := key.Reveal()
	for i := range len(text) {
		for _, other := range []string{text[:i], text[i+1:], text + text[i:i+1]} {
			if apikey.Sum(keystile.Secret(other)) == good {
				t.Fatalf("%q has the digest of the whole key", other)
			}
		}
		for bit := range 8 {
			flipped := []byte(text)
			flipped[i] ^= 1 << bit
			if apikey.Sum(keystile.Secret(flipped)) == good {
				t.Fatalf("%q has the digest of the key", flipped)
			}
		}
	}
}

func TestTextThatLooksLikeAnotherKindCannotBeImported(t *testing.T) {
	for _, text := range []string{
		"ak_prod_0123456789abcdef0123", "st_0123456789", "tk_0123456789", "ot_0123456789", "aaaaaaaa.bbbbbbbb.cccccccc",
		"eyJhcGlLZXkiOiJrIn0=", "short", "with space in it", "bearer0123456789", "umlautäöü0123456789", "line\nbreak0123456789",
	} {
		if apikey.CheckImport(keystile.Secret(text)) == nil {
			t.Errorf("%q was taken", text)
		}
	}
	for _, text := range []string{"sk_live_0123456789abcdef", "12345678", "opa_prod_V24MWaMOt9xqkx6uRTOIOpVcS2MMOEFL25g300"} {
		if err := apikey.CheckImport(keystile.Secret(text)); err != nil {
			t.Errorf("%q was refused: %v", text, err)
		}
	}
}

func TestAHintShowsNothingThatHelpsToGuess(t *testing.T) {
	for text, want := range map[string]string{
		"opa_prod_V24MWaMOt9xqkx6uRTOIOpVcS2MMOEFL25g303": "opa_prod_V24M",
		"0123456789abcdef": "", "0123456789abcdefghij": "0123",
	} {
		if got := apikey.Hint(keystile.Secret(text)); got != want {
			t.Errorf("Hint(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzShapeOf(f *testing.F) {
	f.Add("opa_prod_V24MWaMOt9xqkx6uRTOIOpVcS2MMOEFL25g303")
	f.Add("__")
	f.Fuzz(func(t *testing.T, text string) {
		if apikey.ShapeOf(text) == apikey.ShapeOurs && apikey.CheckImport(keystile.Secret(text)) != nil {
			t.Fatalf("%q has our form and cannot be imported", text)
		}
		apikey.Hint(keystile.Secret(text))
	})
}
