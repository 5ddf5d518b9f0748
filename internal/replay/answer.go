package replay

import (
	"fmt"
	"time"

	"github.com/valkey-io/valkey-go"

	keystile "keystile.dev/keystile"
)

// The codes with which claim.lua answers.
const (
	codeFresh = iota
	codeReplayed
	codeOld
	codeIncomplete
	codeSkewed
	codeAhead
	codeForeign
)

// answer is what claim.lua answered.
type answer struct {
	code   int64
	refuse time.Time
	floor  time.Time
	id     string
}

func readAnswer(reply []valkey.ValkeyMessage) (a answer, err error) {
	if len(reply) != 5 {
		return a, fmt.Errorf("the ledger of spent nonces on Valkey answered %d values, not 5: %w", len(reply), keystile.ErrUnavailable)
	}
	var numbers [4]int64
	for i := range numbers {
		if numbers[i], err = reply[i].AsInt64(); err != nil {
			return a, fmt.Errorf("the ledger of spent nonces on Valkey answered no number: %w: %w", keystile.ErrUnavailable, err)
		}
	}
	if a.id, err = reply[4].ToString(); err != nil {
		return a, fmt.Errorf("the ledger of spent nonces on Valkey did not say its name: %w: %w", keystile.ErrUnavailable, err)
	}
	a.code = numbers[0]
	if numbers[2] > 0 {
		a.refuse = time.UnixMilli(numbers[2]).UTC()
	}
	if numbers[3] > 0 {
		a.floor = time.UnixMilli(numbers[3]).Add(-1).UTC()
	}
	return a, nil
}

// err is the answer as Ledger gives it.
func (a *answer) err() error {
	switch a.code {
	case codeFresh:
		return nil
	case codeReplayed:
		return errReplayed
	case codeOld:
		return errTooOld
	case codeIncomplete:
		return ErrIncomplete
	case codeSkewed:
		return ErrClock
	case codeAhead:
		return ErrAhead
	case codeForeign:
		return errForeign
	}
	return fmt.Errorf("the ledger of spent nonces on Valkey answered %d: %w", a.code, keystile.ErrUnavailable)
}
