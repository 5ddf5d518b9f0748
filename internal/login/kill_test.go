package login_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/login"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// childVariable makes the test binary answer a challenge in a process of its own.
const childVariable = "KEYSTILE_LOGIN_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		if err := answerAndStop(os.Args[1:]); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// childKeys are the same in both processes.
func childKeys(wrapped, pepper []byte, pepperID string) (*keyring.Sealer, *keyring.Digester, error) {
	master, err := keyring.NewMaster([]byte("0123456789abcdefghijklmnopqrstuv"))
	if err != nil {
		return nil, nil, err
	}
	sealer, err := keyring.OpenSealer(master, wrapped)
	if err != nil {
		return nil, nil, err
	}
	p, err := keyring.OpenPepper(sealer, pepperID, pepper)
	if err != nil {
		return nil, nil, err
	}
	d, err := keyring.NewDigester(p)
	return sealer, d, err
}

// answerAndStop answers a challenge and stands still: within the transaction or after it.
func answerAndStop(args []string) error {
	address, token, code, where := args[0], args[1], args[2], args[3]
	wrapped, errW := os.ReadFile(args[4])
	pepper, errP := os.ReadFile(args[5])
	sealer, digester, errK := childKeys(wrapped, pepper, args[6])
	s, errS := store.Open(context.Background(), store.Options{URL: address})
	if err := errors.Join(errW, errP, errK, errS); err != nil {
		return err
	}
	service, err := login.New(login.Options{Store: s, Digester: digester, Sealer: sealer, Now: time.Now, Random: rand.Reader})
	if err != nil {
		return err
	}
	stop := func(line string) error {
		fmt.Println(line)
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	}
	made, err := service.Code(context.Background(), from(home), keystile.Secret(token), code, func(ctx context.Context, n keystile.Session, u keystile.User) ([]byte, error) {
		if where == "within" {
			if err := stop("within"); err != nil {
				return nil, err
			}
		}
		return answer(ctx, n, u)
	})
	if err != nil {
		return err
	}
	return stop(string(made))
}

func TestThreat09_AKilledProcessHasAnsweredAChallengeWhollyOrNotAtAll(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		w := newWorld(t, storetest.OpenURL(t, address))
		master, err := keyring.NewMaster([]byte("0123456789abcdefghijklmnopqrstuv"))
		noError(t, err)
		sealer, wrapped, err := keyring.NewSealer(master)
		noError(t, err)
		pepper, sealed, err := keyring.NewPepper(rand.Reader, sealer)
		noError(t, err)
		digester, err := keyring.NewDigester(pepper)
		noError(t, err)
		w.options.Sealer, w.options.Digester, w.options.Now = sealer, digester, time.Now
		w.restart()
		keyFile, pepperFile := t.TempDir()+"/keys", t.TempDir()+"/pepper"
		noError(t, errors.Join(os.WriteFile(keyFile, wrapped, 0o600), os.WriteFile(pepperFile, sealed, 0o600)))
		child := func(token keystile.Secret, code, where string) (line string) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], address, token.Reveal(), code, where, keyFile, pepperFile, pepper.ID)
			cmd.Env = append(os.Environ(), childVariable+"=1")
			cmd.Stderr = os.Stderr
			in, err := cmd.StdinPipe()
			noError(t, err)
			defer in.Close()
			out, err := cmd.StdoutPipe()
			noError(t, err)
			noError(t, cmd.Start())
			line, err = bufio.NewReader(out).ReadString('\n')
			noError(t, err)
			noError(t, cmd.Process.Kill())
			if err := cmd.Wait(); err == nil {
				t.Error("it was not killed")
			}
			return strings.TrimSpace(line)
		}
		w.user("thandi", func(u *keystile.User) { u.MFA = keystile.MFARequired })
		ch := w.challenge(from(home), "thandi")
		code := w.app(ch.Provisioning).code()
		if line := child(ch.Token, code, "within"); line != "within" {
			t.Fatal(line)
		}
		if n := len(w.sessions("user_thandi")); n != 0 {
			t.Errorf("%d sessions of a sign-in that was not finished", n)
		}
		factors, err := w.store.Factors(t.Context(), "user_thandi")
		if err != nil || len(factors) != 0 {
			t.Errorf("%d factors, %v", len(factors), err)
		}
		// The same code is as good as before, and its answer outlives the process that gave it.
		before := time.Now()
		made := child(ch.Token, code, "after")
		if n := len(w.sessions("user_thandi")); n != 1 {
			t.Errorf("%d sessions", n)
		}
		// However long this machine took: the clock of the server that is asked again stands where it was.
		w.options.Now = func() time.Time { return before }
		w.restart()
		again, err := w.service.Code(t.Context(), from(home), ch.Token, code, answer)
		if err != nil || string(again) != made {
			t.Errorf("after kill -9: %q, want %q, %v", again, made, err)
		}
		second := w.challenge(from(home), "thandi")
		_, err = w.service.Code(t.Context(), from(home), second.Token, code, answer)
		is(t, err, login.ErrInvalidCode)
	})
}
