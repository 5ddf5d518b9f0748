package limit

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/valkey-io/valkey-go"

	keystile "keystile.dev/keystile"
)

// Interval is interval.
func Interval(rate *keystile.Rate) int64 { return interval(rate) }

// Restored is Return that says whether it found the draw.
func (m *Memory) Restored(k Key, rate *keystile.Rate, at time.Time) bool {
	return m.giveBack(&k, rate, at, false)
}

// Scripted runs the Take scripts with a time passed in, where the scripts
// themselves read the server's clock.
type Scripted struct{ *Valkey }

// NewScripted makes a Scripted on a connection.
func NewScripted(client valkey.Client, prefix string) (*Scripted, error) {
	v, err := NewValkey(ValkeyOptions{Client: client, Prefix: prefix, Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	window, err := withTestClock(windowTake)
	if err != nil {
		return nil, err
	}
	gcra, err := withTestClock(gcraTake)
	if err != nil {
		return nil, err
	}
	v.useScripts(window, gcra)
	return &Scripted{v}, nil
}

// withTestClock makes a script read the time from its arguments, and keeps
// the server, whose clock goes on, from expiring its key meanwhile.
func withTestClock(script string) (string, error) {
	for from, to := range map[string]string{
		"redis.call('TIME')":         "{tonumber(ARGV[5]), tonumber(ARGV[6])}",
		"('PEXPIRE', KEYS[1], math.": "('PEXPIRE', KEYS[1], 3600000 + math.",
	} {
		if strings.Count(script, from) != 1 {
			return "", fmt.Errorf("the script should say %s exactly once", from)
		}
		script = strings.Replace(script, from, to, 1)
	}
	return script, nil
}

// AskAt is Take, or Peek if draw is false, at a time passed in.
func (s *Scripted) AskAt(ctx context.Context, k Key, rate *keystile.Rate, now time.Time, draw bool) (remaining int64, reset time.Duration, ok bool, err error) {
	script, length, mode := s.windowTake, rate.Window.Microseconds(), "0"
	if rate.Algorithm == keystile.AlgorithmGCRA {
		script, length = s.gcraTake, interval(rate)
	}
	if draw {
		mode = "1"
	}
	us := now.UnixMicro()
	answer, err := script.Exec(ctx, s.client, []string{s.key(k, rate)}, []string{
		strconv.Itoa(rate.Requests), strconv.FormatInt(length, 10), s.tag(now), mode,
		strconv.FormatInt(us/1e6, 10), strconv.FormatInt(us%1e6, 10),
	}).AsIntSlice()
	if err != nil || len(answer) != 3 {
		return 0, 0, false, fmt.Errorf("ask with a test's clock: %v %w", answer, err)
	}
	return answer[1], time.Duration(answer[2]) * time.Microsecond, answer[0] == 1, nil
}
