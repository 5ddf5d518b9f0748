package main

import (
	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/console"
	"keystile.dev/keystile/internal/manage"
)

// administration is what administrators do in the pages.
type administration struct{ service *manage.Service }

// administration is nil where there are no partner applications, which are all
// that the pages of administrators are about.
func (s *server) administration() console.Administration {
	if s.cfg.Dialects.Aurora == nil {
		return nil
	}
	return administration{s.house.service}
}

// Member implements console.Administration.
func (a administration) Member(user keystile.User) (console.Member, error) {
	return a.service.ForMember(user)
}

// Reviewer implements console.Administration.
func (a administration) Reviewer(user keystile.User) (console.Reviewer, error) {
	return a.service.ForReviewer(user)
}
