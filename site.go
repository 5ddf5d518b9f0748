package keystile

import "time"

// Site is a place an organisation's data belongs to: a plant, a building.
// Its id is unique in the whole store: it is what callers send as site_id.
type Site struct {
	ID             string
	OrganizationID string
	Name           string
	CreatedAt      time.Time
	UpdatedAt      time.Time
}
