package replay_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/replay"
	"keystile.dev/keystile/internal/replay/replaytest"
)

// Variables by which this test's binary is started again, as a server to be killed.
const (
	childPath  = "KEYSTILE_REPLAY_CHILD"
	childEpoch = "KEYSTILE_REPLAY_EPOCH"
	childRound = "KEYSTILE_REPLAY_ROUND"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		fmt.Fprintln(os.Stderr, serveUntilKilled(path))
		os.Exit(1)
	}
	// The client's refresh of what it knows of a server, put off by a second, outlives Close.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valkey-io/valkey-go.(*call).DelayDo.func1"))
}

// journalOfChild is the journal that the child writes and the test reads.
func journalOfChild(path, epoch string) replay.JournalOptions {
	return replay.JournalOptions{
		Path: path, StoreID: "store", Epoch: epoch, SegmentBytes: 20_000, Memory: replay.MemoryOptions{Window: replaytest.Window},
	}
}

// serveUntilKilled accepts tokens from 16 callers and prints each after it was accepted.
func serveUntilKilled(path string) error {
	j, err := replay.OpenJournal(journalOfChild(path, os.Getenv(childEpoch)))
	if err != nil {
		return err
	}
	if _, err := fmt.Println("epoch " + j.Epoch()); err != nil {
		return err
	}
	failed := make(chan error)
	for caller := range 16 {
		go func() {
			for i := 0; ; i++ {
				n := signed(time.Now(), "key "+strconv.Itoa(caller), os.Getenv(childRound)+"-"+strconv.Itoa(i))
				if err := j.Claim(context.Background(), n); err != nil {
					failed <- err
				}
				// One write a line: what was read was answered.
				if _, err := os.Stdout.WriteString(n.Scope + "," + n.Value + "," + strconv.FormatInt(n.Stamp.UnixNano(), 10) + "\n"); err != nil {
					failed <- err
				}
			}
		}()
	}
	return <-failed
}

func TestThreat09_KilledBetweenClaimAndAnswerNothingAnsweredIsAcceptedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replay")
	epoch := ""
	for round := range 8 {
		answered := runAndKill(t, path, &epoch, round, 1+rand.IntN(1500))
		j, err := replay.OpenJournal(journalOfChild(path, epoch))
		if err != nil {
			t.Fatal(err)
		}
		if s := j.Status(); !s.IncompleteUntil.IsZero() {
			t.Fatalf("a kill made the journal incomplete: %s", s.Text)
		}
		for _, n := range answered {
			if err := j.Claim(t.Context(), n); !errors.Is(err, keystile.ErrReplayed) {
				t.Fatalf("round %d: %+v was accepted before the kill, and then: %v", round, n, err)
			}
		}
		claim(t, j, signed(time.Now(), "key", "fresh "+strconv.Itoa(round)))
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// runAndKill starts a child, reads so many of its answers, kills it, and reads what
// it had answered until then.
func runAndKill(t *testing.T, path string, epoch *string, round, answers int) (answered []replay.Nonce) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), childPath+"="+path, childEpoch+"="+*epoch, childRound+"="+strconv.Itoa(round))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // killed; a line that is not whole was not read by a caller either
		}
		line = strings.TrimSuffix(line, "\n")
		if text, ok := strings.CutPrefix(line, "epoch "); ok {
			*epoch = text
			continue
		}
		parts := strings.Split(line, ",")
		nanos, err := strconv.ParseInt(parts[len(parts)-1], 10, 64)
		if err != nil || len(parts) != 3 {
			t.Fatalf("the child printed %q", line)
		}
		answered = append(answered, signed(time.Unix(0, nanos), parts[0], parts[1]))
		if len(answered) == answers {
			if err := child.Process.Kill(); err != nil { // SIGKILL
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the child was not killed: %v", err)
	}
	if len(answered) < answers {
		t.Fatalf("the child answered %d, then ended", len(answered))
	}
	return answered
}
