package login

import "context"

// Idle waits until everything that waits to be mailed was sent, while Run runs.
func (s *Service) Idle() {
	// A job may queue another: the second one comes after that.
	for range 2 {
		done := make(chan struct{})
		s.mail.do(func(context.Context) error {
			close(done)
			return nil
		})
		<-done
	}
}
