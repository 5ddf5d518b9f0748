package password_test

import (
	"context"
	"crypto/rand"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login/password"
)

func hasher(t testing.TB, o password.Options) *password.Hasher {
	t.Helper()
	o.Random = rand.Reader
	h, err := password.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func began(context.Context) error { return nil }

func verify(t *testing.T, h *password.Hasher, stored, typed string) (ok, outdated bool) {
	t.Helper()
	ok, outdated, err := h.Verify(t.Context(), stored, keystile.Secret(typed), began)
	if err != nil {
		t.Fatalf("%s: %v", stored, err)
	}
	return ok, outdated
}

func TestANewHashIsArgon2idAtTheRecommendedCostAndOpensWithItsPasswordOnly(t *testing.T) {
	h := hasher(t, password.Options{})
	stored, err := h.Hash(t.Context(), "correct horse")
	if err != nil || !strings.HasPrefix(stored, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("%s, %v", stored, err)
	}
	again, err := h.Hash(t.Context(), "correct horse")
	if err != nil || again == stored {
		t.Errorf("two hashes of one password are the same: %v", err)
	}
	if ok, outdated := verify(t, h, stored, "correct horse"); !ok || outdated {
		t.Errorf("the right password: %v, outdated %v", ok, outdated)
	}
	for _, wrong := range []string{"", "correct hors", "correct horsf", "correct horse ", "Correct horse"} {
		if ok, _ := verify(t, h, stored, wrong); ok {
			t.Errorf("%q was taken", wrong)
		}
	}
	if ok, _ := verify(t, h, "", "a password that nobody has"); ok {
		t.Error("a user without a password was let in")
	}
}

func TestImportedHashesOfOtherSystemsOpenAndAreOutdated(t *testing.T) {
	h := hasher(t, password.Options{})
	for name, c := range map[string]struct{ stored, typed string }{
		// The reference implementation's test vectors (phc-winner-argon2, test.c).
		"argon2id": {"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"},
		"argon2i":  {"$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA", "password"},
		// Openwall's crypt_blowfish test vectors.
		"bcrypt":               {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
		"bcrypt of a long one": {"$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui", "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored"},
		// PBKDF2 as Python's hashlib computes it, in the writings of passlib, PHC and Django.
		"PBKDF2 of passlib": {"$pbkdf2-sha256$1000$c2Vhc2FsdDA$f9ZY4I3u9jc4dcHKy8mooBqRzn0XYdgaPa1MqkzCMK8", "password"},
		"PBKDF2 as PHC":     {"$pbkdf2-sha512$i=1000,l=64$c2Vhc2FsdDA$YvWMwl35vIkU5X8M9EpE6k1Ih3pbAKUtZSzwT+a66PJKp9+XJymqMjqTBz7b0JGLmWlfufWB1z0QbY4WJQfwVA", "password"},
		"PBKDF2 of Django":  {"pbkdf2_sha256$1000$seasalt0$f9ZY4I3u9jc4dcHKy8mooBqRzn0XYdgaPa1MqkzCMK8=", "password"},
		"PBKDF2 with SHA-1": {"$pbkdf2$1000$c2Vhc2FsdDA$tzU2hfRvUUhnle.V8cTwDUzFH1E", "password"},
		// RFC 7914, section 12: "pleaseletmein", "SodiumChloride", N=16384, r=8, p=1.
		"scrypt": {"$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw", "pleaseletmein"},
	} {
		t.Run(name, func(t *testing.T) {
			if ok, outdated := verify(t, h, c.stored, c.typed); !ok || !outdated {
				t.Errorf("ok %v, outdated %v", ok, outdated)
			}
			if ok, _ := verify(t, h, c.stored, c.typed[:len(c.typed)/3]+"x"); ok {
				t.Error("another password was taken")
			}
		})
	}
}

func TestAHashOfUnknownFormOrAbsurdCostIsRefusedAndNotRepeated(t *testing.T) {
	const salt, tag = "c29tZXNhbHQ", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for name, text := range map[string]string{
		"empty":                     "",
		"a password":                "hunter2",
		"no version":                "$argon2id$m=65536,t=2,p=1$" + salt + "$" + tag,
		"an old version":            "$argon2id$v=16$m=65536,t=2,p=1$" + salt + "$" + tag,
		"argon2d":                   "$argon2d$v=19$m=65536,t=2,p=1$" + salt + "$" + tag,
		"no pass":                   "$argon2id$v=19$m=65536,t=0,p=1$" + salt + "$" + tag,
		"no lane":                   "$argon2id$v=19$m=65536,t=1,p=0$" + salt + "$" + tag,
		"less memory than lanes":    "$argon2id$v=19$m=8,t=1,p=4$" + salt + "$" + tag,
		"4 GiB of argon2":           "$argon2id$v=19$m=4194304,t=1,p=1$" + salt + "$" + tag,
		"a thousand passes":         "$argon2id$v=19$m=65536,t=1000,p=1$" + salt + "$" + tag,
		"parameters twice":          "$argon2id$v=19$m=65536,m=1,t=2,p=1$" + salt + "$" + tag,
		"a sign":                    "$argon2id$v=19$m=+65536,t=2,p=1$" + salt + "$" + tag,
		"no salt":                   "$argon2id$v=19$m=65536,t=2,p=1$$" + tag,
		"a short tag":               "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$AAAA",
		"a tag with spare bits":     "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + tag[:len(tag)-1] + "d",
		"bcrypt at 31":              "$2a$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"bcrypt cut":                "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe",
		"bcrypt with a NUL":         "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyO\x00W",
		"bcrypt of unknown version": "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"scrypt of 1 GiB":           "$scrypt$ln=20,r=8,p=1$" + salt + "$" + tag,
		"scrypt of many lanes":      "$scrypt$ln=14,r=8,p=1000$" + salt + "$" + tag,
		"scrypt overflow":           "$scrypt$ln=63,r=8,p=1$" + salt + "$" + tag,
		"PBKDF2 without end":        "$pbkdf2-sha256$999999999$" + salt + "$" + tag,
		"PBKDF2 with MD5":           "$pbkdf2-md5$1000$" + salt + "$" + tag,
		"huge":                      "$argon2id$" + strings.Repeat("A", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := password.Parse(text)
			var invalid *keystile.Invalid
			if !errors.As(err, &invalid) {
				t.Fatalf("got %v", err)
			}
			if text != "" && strings.Contains(err.Error(), text) {
				t.Errorf("the error repeats it: %v", err)
			}
		})
	}
}

func TestAFloodOfPasswordsTakesBoundedMemoryAndTellsThoseWhoWouldWaitTooLong(t *testing.T) {
	h := hasher(t, password.Options{})
	stored, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	var running, most, busy, done atomic.Int64
	var peak uint64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.Sys-m.HeapReleased)
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	for range 1000 {
		wg.Go(func() {
			_, _, err := h.Verify(t.Context(), stored, "wrong horse", func(context.Context) error {
				n := running.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				return nil
			})
			switch {
			case errors.Is(err, password.ErrBusy):
				busy.Add(1)
			case err != nil:
				t.Error(err)
			default:
				running.Add(-1)
				done.Add(1)
			}
		})
	}
	wg.Wait()
	close(stop)
	<-sampled
	t.Logf("1000 at once: %d verified, %d told to come back, %d at a time, peak %d MiB", done.Load(), busy.Load(), most.Load(), peak>>20)
	if busy.Load() == 0 || done.Load() == 0 || done.Load()+busy.Load() != 1000 || peak > 512<<20 {
		t.Error("not bounded")
	}
}

func TestThePasswordThatNobodyWaitsForIsNotHashed(t *testing.T) {
	h := hasher(t, password.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := h.Verify(ctx, "", "x", func(ctx context.Context) error { return ctx.Err() }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCommonAndGuessablePasswordsAreRefused(t *testing.T) {
	for _, weak := range []string{
		"password", "Password1", "P@ssw0rd", "p@ssw0rd1!", "12345678", "123456789012", "qwertyuiop", "1q2w3e4r5t", "iloveyou2",
		"aaaaaaaaaaaa", "abcabcabcabc", "abcdefghijkl", "Summer2024!", "january1", "letmein123", "drowssap", "thandi2024", "Thandi.Nkosi1",
		"thandi@example.com", "keystile1", "admin123", "welcome2025", "zxcvbnm123", "11112222", "20240101", "qwerty2023!", "trustno1!",
	} {
		if err := (password.Policy{}).Check(keystile.Secret(weak), "thandi", "Thandi Nkosi", "thandi@example.com", "keystile"); err == nil {
			t.Errorf("%q was taken, 10^%.1f guesses", weak, password.Guesses(weak, "thandi"))
		} else if strings.Contains(strings.TrimPrefix(err.Error(), "password:"), weak) {
			t.Errorf("the refusal repeats it: %v", err)
		}
	}
	for _, good := range []string{
		"correct horse battery staple", "kX9$vQ2mLp4z", "plum-tractor-anvil-seven", "Zwölf Boxkämpfer jagen Viktor", "tr0ub4dor&3xkcd936", "дождь идёт второй день", "8fJq2nVb",
	} {
		if err := (password.Policy{}).Check(keystile.Secret(good), "thandi"); err != nil {
			t.Errorf("%q, 10^%.1f guesses: %v", good, password.Guesses(good), err)
		}
	}
}

func TestAPasswordHasEightTo1024BytesOfTextWithoutNUL(t *testing.T) {
	long := strings.Repeat("x7Q-mv2 kite ", 100)
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"seven":       {"x7Qmv2k", "fewer than 8"},
		"eight":       {"x7Qmv2kz", ""},
		"1024":        {long[:1024], ""},
		"1025":        {long[:1025], "too long"},
		"a megabyte":  {strings.Repeat("x", 1<<20), "too long"},
		"a NUL":       {"x7Qmv2kz\x00more", "not text"},
		"not UTF-8":   {"x7Qmv2kz\xff\xfe", "not text"},
		"empty":       {"", "not text"},
		"only spaces": {"            ", "easily guessed"},
	} {
		t.Run(name, func(t *testing.T) {
			err := (password.Policy{}).Check(keystile.Secret(c.text))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestAFailureIsPaddedToTheSlowestSchemeThatIsStored(t *testing.T) {
	h := hasher(t, password.Options{})
	at := time.Now()
	h.Pad(t.Context(), at.Add(-time.Hour))
	const slow = "$pbkdf2-sha256$300000$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	parsed, err := password.Parse(slow)
	if err != nil {
		t.Fatal(err)
	}
	before := h.Padding()
	h.Learn(map[string]string{parsed.Class(): slow})
	if before != 0 || h.Padding() == 0 || h.Padding() > 300*time.Millisecond {
		t.Errorf("padding before %s, then %s", before, h.Padding())
	}
	h.Learn(nil)
	if h.Padding() != 0 {
		t.Errorf("padding %s although no slow hash is left", h.Padding())
	}
}

func FuzzAHashIsParsedOrRefusedAndNeverCostsTooMuch(f *testing.F) {
	for _, seed := range []string{
		"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046",
		"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "pbkdf2_sha256$1000$seasalt$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc=", "$pbkdf2-sha512$i=10,l=32$AA$AA",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := password.Parse(text)
		if err == nil && h.Class() == "" {
			t.Error("no class")
		}
	})
}

func FuzzGuessesNeverPanicsAndMoreTextIsNeverFree(f *testing.F) {
	f.Add("p@ssw0rd", "thandi")
	f.Fuzz(func(t *testing.T, text, known string) {
		if g := password.Guesses(text, known); g < 0 || text != "" && g == 0 && !strings.EqualFold(text, "123456") && len([]rune(text)) > 8 {
			t.Errorf("%q: 10^%f", text, g)
		}
	})
}

func BenchmarkHash(b *testing.B) {
	h := hasher(b, password.Options{})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := h.Hash(b.Context(), "correct horse"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
