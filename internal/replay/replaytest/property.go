package replaytest

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/replay"
)

// history is the naive model: everything that was ever accepted.
type history struct {
	tokens map[replay.Nonce]bool        // accepted
	nonces map[[2]string]map[int64]bool // scope and value -> LastValid of what was accepted
	latest time.Time                    // the clock has shown
}

// accepted checks an acceptance against the model and takes it down.
func (m *history) accepted(t *rapid.T, n replay.Nonce) {
	if m.tokens[n] {
		t.Fatalf("%+v was accepted twice", n)
	}
	m.tokens[n] = true
	name := [2]string{n.Scope, n.Value}
	for last := range m.nonces[name] {
		// A nonce may come again in another token when the first cannot any more,
		// by any clock that was ever shown.
		if !time.Unix(0, last).Add(replay.Margin).Before(m.latest) {
			t.Fatalf("%+v was accepted while another token with its nonce was kept, until %v; the clock was at most %v",
				n, time.Unix(0, last).Add(replay.Margin), m.latest)
		}
	}
	if m.nonces[name] == nil {
		m.nonces[name] = map[int64]bool{}
	}
	m.nonces[name][n.LastValid.UnixNano()] = true
}

// property runs arbitrary claims under an arbitrary clock, with restarts.
func property(t *testing.T, open func(*testing.T, Options) Harness) {
	h := open(t, Options{})
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		// Each run is in its own scopes, and later than all that was.
		h.Clock.Advance(96 * time.Hour)
		m := &history{tokens: map[replay.Nonce]bool{}, nonces: map[[2]string]map[int64]bool{}, latest: h.Clock.Now()}
		var sent []replay.Nonce
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch step := rapid.SampledFrom([]string{"claim", "claim", "claim", "again", "again", "tick", "jump", "back", "restart", "purge"}).Draw(rt, "step"); step {
			case "claim":
				stamp := h.Clock.Now().Add(time.Duration(rapid.Int64Range(-int64(Window), int64(Window)).Draw(rt, "stamp")))
				sent = append(sent, replay.Nonce{
					Scope: strconv.Itoa(run), Value: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "value"),
					Stamp: stamp, LastValid: stamp.Add(Window),
				})
				h.present(t, rt, m, sent[len(sent)-1])
			case "again":
				if len(sent) > 0 {
					h.present(t, rt, m, rapid.SampledFrom(sent).Draw(rt, "which"))
				}
			default:
				h.happen(rt, step)
			}
			if now := h.Clock.Now(); now.After(m.latest) {
				m.latest = now
			}
		}
		h.Clock.Set(m.latest.Add(time.Hour))
		fresh := h.token(strconv.Itoa(run), "fresh")
		if err := h.Nodes[0].Claim(t.Context(), fresh); err != nil {
			rt.Fatalf("a fresh nonce an hour later: %v", err)
		}
	})
}

// happen is what comes between claims.
func (h *Harness) happen(rt *rapid.T, step string) {
	switch step {
	case "tick":
		h.Clock.Advance(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(rt, "by")))
	case "jump":
		h.Clock.Advance(time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(rt, "by")))
	case "back":
		h.Clock.Advance(-time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(rt, "by")))
	case "restart":
		if h.Restart != nil {
			h.Nodes = h.Restart()
		}
	case "purge":
		h.purge()
	}
}

// present claims on a random node, having looked first.
func (h *Harness) present(t *testing.T, rt *rapid.T, m *history, n replay.Nonce) {
	node := h.Nodes[rapid.IntRange(0, 1).Draw(rt, "node")]
	look := node.Spent(t.Context(), n)
	err := node.Claim(t.Context(), n)
	if err == nil {
		m.accepted(rt, n)
	}
	// Looking does not purge, so a look may refuse what a claim finds room for.
	if look == nil && errors.Is(err, keystile.ErrReplayed) {
		rt.Fatalf("Spent let %+v pass, Claim says %v", n, err)
	}
}
