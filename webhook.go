package keystile

import "time"

// Webhook is where an application hears of events.
type Webhook struct {
	ID            string
	ApplicationID string
	// Event it is for, such as "app_status_changed".
	Event string
	// URLTemplate is https and holds <SESSION_TOKEN> and <TENANT_ID> (protocols 2.4).
	URLTemplate string
	Description string
	Enabled     bool
	// Form is how it is delivered.
	Form WebhookForm
	// SealedAuth is the header value or basic credentials (GET) or the signing secret (POST),
	// sealed for WebhookPlace(ID).
	SealedAuth []byte
	// AuthHeader is the field that carries it; "Authorization" for basic; empty for POST.
	AuthHeader string
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// WebhookForm is how a webhook is delivered.
type WebhookForm string

// The forms: Aurora's GET on the substituted template, and a POST signed as Standard Webhooks say.
const (
	WebhookGET    WebhookForm = "get"
	WebhookSigned WebhookForm = "signed_post"
)

// WebhookPlace is the place a webhook's secret is sealed for.
func WebhookPlace(id string) string { return "webhooks/" + id + "/auth" }

// Delivery is one event on its way to one webhook. It is written in the
// transaction of the change that caused it.
type Delivery struct {
	ID        string
	WebhookID string
	TenantID  string
	Event     string
	// Payload is the event's attributes as JSON; it never holds a token (rulings R34).
	Payload   string
	Attempts  int
	NextAt    time.Time
	CreatedAt time.Time
	// DeliveredAt: zero while under way. FailedAt: given up.
	DeliveredAt time.Time
	FailedAt    time.Time
	// LastStatus is the last answer's HTTP status, 0: none; LastError says why not.
	LastStatus int
	LastError  string
}
