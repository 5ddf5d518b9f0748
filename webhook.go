package keystile

import "time"

// Webhook tells a partner's server of what happens to its application.
type Webhook struct {
	// ID is a UUID.
	ID            string
	ApplicationID string
	// Event it tells of.
	Event WebhookEvent
	Form  WebhookForm
	// URLTemplate is an https URL with placeholders such as <TENANT_ID> in its path
	// and query. It is what logs show: never the URL that was made of it.
	URLTemplate string
	Description string
	// Disabled: it is told nothing.
	Disabled bool
	// HeaderName and SealedHeader are a header that each delivery carries, its value
	// sealed for [WebhookHeaderPlace]; empty: none.
	HeaderName   string
	SealedHeader []byte
	// SealedSecret signs deliveries of the form signed_post, sealed for
	// [WebhookSecretPlace]. Until PreviousUntil, SealedPrevious signs beside it.
	SealedSecret   []byte
	SealedPrevious []byte
	PreviousUntil  time.Time
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// WebhookHeaderPlace is what the header value of a webhook is sealed for.
func WebhookHeaderPlace(id string) string { return "webhooks/" + id + "/header" }

// WebhookSecretPlace is what the signing secret of a webhook is sealed for.
func WebhookSecretPlace(id string) string { return "webhooks/" + id + "/secret" }

// WebhookEvent is a kind of happening that webhooks tell of.
type WebhookEvent string

// The events.
const (
	// EventAppStatusChanged: a tenant enabled or disabled the application or was itself
	// disabled or enabled, or a review did so in every tenant that admitted it
	// (protocols 2.4).
	EventAppStatusChanged WebhookEvent = "app_status_changed"
	// EventKeyExpiring: an application key ends within [KeyExpiryNotice].
	EventKeyExpiring WebhookEvent = "application_key_expiring"
	// EventKeyExpired: an application key has ended.
	EventKeyExpired WebhookEvent = "application_key_expired"
)

// WebhookEvents lists the events.
var WebhookEvents = []WebhookEvent{EventAppStatusChanged, EventKeyExpiring, EventKeyExpired}

// KeyExpiryNotice is how long before its end an application key is told of.
const KeyExpiryNotice = 7 * 24 * time.Hour

// WebhookForm is how a webhook is delivered.
type WebhookForm string

// The forms.
const (
	// WebhookGet is the platform's: a GET of the substituted template.
	WebhookGet WebhookForm = "get"
	// WebhookSignedPost is a POST as Standard Webhooks signs it
	// (https://github.com/standard-webhooks/standard-webhooks).
	WebhookSignedPost WebhookForm = "signed_post"
)

// WebhookForms lists the forms.
var WebhookForms = []WebhookForm{WebhookGet, WebhookSignedPost}

// WebhookDelivery is one event for one webhook: what is to be told, and how far that got.
type WebhookDelivery struct {
	// ID is the same at each attempt. It sorts by the time of the event.
	ID            string
	WebhookID     string
	ApplicationID string
	Event         WebhookEvent
	// TenantID is the organisation that the event is about; empty: none.
	TenantID string
	// Status is "enabled" or "disabled" of an app_status_changed.
	Status string
	// KeyID and KeyExpiresAt are of the key that an event is about.
	KeyID        string
	KeyExpiresAt time.Time
	// URLTemplate is the webhook's, as of the last attempt.
	URLTemplate string
	State       DeliveryState
	// Attempts is how often it was tried, also before a re-send.
	Attempts int
	// TriesLeft until it is given up.
	TriesLeft int
	// DueAt is when it is tried next; zero: never.
	DueAt time.Time
	// LastStatus is the HTTP status of the last attempt, 0 if there was no answer;
	// LastError says what went wrong.
	LastStatus int
	LastError  string
	CreatedAt  time.Time
	// QueuedAt is when it was last put in the queue: CreatedAt, or a re-send.
	QueuedAt time.Time
	// DoneAt is when it was delivered, given up or dropped; zero: it waits.
	DoneAt time.Time
}

// DeliveryState is how far a delivery got.
type DeliveryState string

// The states.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	// DeliveryFailed: given up after [WebhookTries] or [WebhookPatience].
	DeliveryFailed DeliveryState = "failed"
	// DeliveryDropped: its webhook or its partner was disabled meanwhile.
	DeliveryDropped DeliveryState = "dropped"
)

// DeliveryStates lists the states.
var DeliveryStates = []DeliveryState{DeliveryPending, DeliveryDelivered, DeliveryFailed, DeliveryDropped}

const (
	// WebhookTries is how often a delivery is tried (protocols 2.8).
	WebhookTries = 8
	// WebhookPatience is how long a delivery waits for an endpoint that is not spoken to
	// because it keeps failing.
	WebhookPatience = 72 * time.Hour
)

// WebhookAttempt is one try of a delivery.
type WebhookAttempt struct {
	DeliveryID string
	// Number counts from 1.
	Number int
	At     time.Time
	Took   time.Duration
	// Status is the HTTP status; 0: no answer.
	Status int
	// Error says what went wrong; empty: it was delivered. It holds no URL.
	Error string
}
