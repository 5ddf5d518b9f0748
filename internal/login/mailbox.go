package login

import (
	"context"
	"log/slog"
	"time"

	keystile "keystile.dev/keystile"
)

const (
	// maxWaiting bounds what waits to be mailed; more is dropped and told of in the log.
	maxWaiting = 1000
	// sendTimeout is how long one mail may take.
	sendTimeout = 30 * time.Second
)

// outbox makes and sends mail in its own time: whether a mail server is slow, down or knows an
// address, and whether there is a user, must not show in an answer.
type outbox struct {
	mailer Mailer
	log    *slog.Logger
	jobs   chan func(context.Context) error
}

func newOutbox(mailer Mailer, logger *slog.Logger) *outbox {
	return &outbox{mailer: mailer, log: logger, jobs: make(chan func(context.Context) error, maxWaiting)}
}

// do queues work and does not wait.
func (o *outbox) do(job func(context.Context) error) {
	select {
	case o.jobs <- job:
	default:
		o.log.Error("a mail was dropped: too many wait for the mail server")
	}
}

func (o *outbox) run(ctx context.Context) {
	for {
		select {
		case job := <-o.jobs:
			o.work(ctx, job)
		case <-ctx.Done():
			return
		}
	}
}

func (o *outbox) work(ctx context.Context, job func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if err := job(ctx); err != nil {
		o.log.ErrorContext(ctx, "a mail could not be sent", "error", err)
	}
}

// tell mails a user about their account, if they have an address and there is a mail server.
func (s *Service) tell(u keystile.User, subject, text string) {
	if u.Email == "" || s.o.Mailer == nil {
		return
	}
	subject = s.o.Issuer + ": " + subject
	text = "Hello " + firstOf(u.Name, u.Username) + ",\n\n" + text + "\n"
	s.mail.do(func(ctx context.Context) error { return s.o.Mailer.Send(ctx, u.Email, subject, text) })
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
