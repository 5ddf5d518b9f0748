package main

import (
	"fmt"
	"time"
)

// progressInterval is how often a line of progress is written anew.
const progressInterval = 200 * time.Millisecond

// progress counts what long work has done, in one line on a terminal.
type progress struct {
	app   *app
	noun  string
	done  int64
	shown time.Time
	shows bool
}

func (a *app) newProgress(noun string) *progress {
	return &progress{app: a, noun: noun, shown: time.Now(), shows: isTerminal(a.stderr)}
}

func (p *progress) add(n int64) {
	p.done += n
	if !p.shows || time.Since(p.shown) < progressInterval {
		return
	}
	p.shown = time.Now()
	fmt.Fprintf(p.app.stderr, "\r\x1b[K%d %s", p.done, p.noun)
}

// end ends the line.
func (p *progress) end() {
	if p.shows {
		fmt.Fprintf(p.app.stderr, "\r\x1b[K%d %s\n", p.done, p.noun)
	}
}
