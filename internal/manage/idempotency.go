package manage

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

const (
	// SecretsKept is how long the answer to an idempotent request is kept with its
	// secrets (rulings R36).
	SecretsKept = 10 * time.Minute
	// AnswersKept is how long it is kept at all: so long a repetition has no second effect.
	AnswersKept = 24 * time.Hour
)

// What becomes of an idempotent request that came before.
var (
	// ErrOtherRequest: the key came with another request.
	ErrOtherRequest = errors.New("the Idempotency-Key was used for another request")
	// ErrAnswerLost: the request had its effect, and its answer is not there: it is
	// under way, or the server ended before it was kept.
	ErrAnswerLost = errors.New("the answer to the request is not there")
)

// Idempotent is a request that must have its effect once.
type Idempotent struct {
	service *Service
	id      [32]byte
	request [32]byte
}

// Idempotent names a request by who asks, the key they gave, and what they ask,
// given in parts: two requests are the same if all parts are.
func (s *Service) Idempotent(caller, key string, parts ...[]byte) *Idempotent {
	return &Idempotent{service: s, id: digestParts([]byte(caller), []byte(key)), request: digestParts(parts...)}
}

// digestParts hashes parts so that no two lists of them give the same bytes.
func digestParts(parts ...[]byte) (sum [32]byte) {
	h := sha256.New()
	for _, part := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write(part)
	}
	h.Sum(sum[:0])
	return sum
}

// place binds a sealed answer to its row.
func (i *Idempotent) place() string {
	return "idempotent_requests/" + hex.EncodeToString(i.id[:]) + "/answer"
}

// Recall returns the answer that was kept, without its secrets after
// [SecretsKept]. keystile.ErrNotFound: the request had no effect yet;
// [ErrOtherRequest], [ErrAnswerLost]: it must not be done.
func (i *Idempotent) Recall(ctx context.Context) ([]byte, error) {
	s := i.service
	kept, err := s.Store.IdempotentRequest(ctx, i.id)
	if err != nil {
		return nil, err
	}
	age := s.Now().Sub(kept.CreatedAt)
	if age >= AnswersKept {
		return nil, fmt.Errorf("an idempotent request of long ago: %w", keystile.ErrNotFound)
	}
	if kept.Request != i.request {
		return nil, ErrOtherRequest
	}
	sealed := kept.Answer
	if age >= SecretsKept {
		sealed = kept.Bare
	}
	if len(sealed) == 0 {
		return nil, ErrAnswerLost
	}
	answer, err := s.Sealer.Open(sealed, i.place())
	if err != nil {
		return nil, fmt.Errorf("read a kept answer: %w", err)
	}
	return answer, nil
}

// Within returns a context under which the first change has its note in the same
// transaction: the note is there if and only if the change is.
func (i *Idempotent) Within(ctx context.Context) context.Context {
	return store.Alongside(ctx, func(ctx context.Context, tx *store.Tx) error {
		return tx.BeginIdempotentRequest(ctx, i.id, i.request)
	})
}

// Keep keeps the answer, whole and without its secrets.
func (i *Idempotent) Keep(ctx context.Context, answer, bare []byte) error {
	s := i.service
	sealed, err := s.Sealer.Seal(answer, i.place())
	if err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	sealedBare, err := s.Sealer.Seal(bare, i.place())
	if err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	return s.Store.AnswerIdempotentRequest(ctx, i.id, sealed, sealedBare)
}

// ForgetAnswers forgets the secrets of kept answers, and old answers altogether.
func (s *Service) ForgetAnswers(ctx context.Context) error {
	now := s.Now()
	return s.Store.PurgeIdempotentRequests(ctx, now.Add(-SecretsKept), now.Add(-AnswersKept))
}
