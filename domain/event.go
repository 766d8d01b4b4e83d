package domain

import "time"

// Event is a fact about the past. The set is closed: every event is declared in
// this package, named in the catalogue, and handled by Evolve.
type Event interface {
	// StoredName is the name in the log. It never changes.
	StoredName() string
	event()
}

// MethodAttached: a payment method was attached to a customer (or stands alone
// when Customer is empty). It carries all that the answer shows.
type MethodAttached struct {
	MethodID     MethodID     `json:"payment_method_id"`
	Organization string       `json:"organization_id"`
	Customer     string       `json:"customer_id,omitempty"`
	ExternalID   string       `json:"external_id,omitempty"`
	Facts        Facts        `json:"facts"`
	FactsFrom    string       `json:"facts_from"`
	Provider     string       `json:"provider"`
	ProviderID   string       `json:"provider_id"`
	Status       Status       `json:"status"`
	StatusThen   Status       `json:"status_then,omitempty"` // of a pending method, when its facts are known
	Verification Verification `json:"verification"`
	ExpiresAt    time.Time    `json:"expires_at,omitzero"`
	Personal     Personal     `json:"personal,omitzero"`
	// A method that waits for its customer's approval.
	SetupIntentID SetupIntentID `json:"setup_intent_id,omitempty"`
	NextAction    *NextAction   `json:"next_action,omitempty"`
}

// MethodUpdated: members of a method were changed. A nil member did not change;
// an empty one was cleared. VerificationDropped: a verification was pending that
// the new token knows nothing of.
type MethodUpdated struct {
	MethodID   MethodID `json:"payment_method_id"`
	ExternalID *string  `json:"external_id,omitempty"`
	Provider   *string  `json:"provider,omitempty"`
	ProviderID *string  `json:"provider_id,omitempty"`
	Personal   Personal `json:"personal,omitzero"`

	VerificationDropped bool `json:"verification_dropped,omitempty"`
}

// MethodPaused: the merchant switched the method off.
type MethodPaused struct {
	MethodID MethodID `json:"payment_method_id"`
	Reason   string   `json:"reason,omitempty"`
}

// MethodResumed: the merchant switched the method on again.
type MethodResumed struct {
	MethodID MethodID `json:"payment_method_id"`
}

// MethodExpiring: the expiry came within a window. Window is the narrowest one
// entered, Served all that this notice answers for, in days.
type MethodExpiring struct {
	MethodID  MethodID  `json:"payment_method_id"`
	ExpiresAt time.Time `json:"expires_at"`
	Window    int       `json:"window_days"`
	Served    []int     `json:"windows_served"`
}

// MethodExpired: the expiry has passed.
type MethodExpired struct {
	MethodID  MethodID  `json:"payment_method_id"`
	ExpiresAt time.Time `json:"expires_at"`
}

// DuplicateDetected: somebody attached what the customer already has, or put it in
// another method's place. Policy says what was done: return_existing, reject or allow.
type DuplicateDetected struct {
	MethodID    MethodID        `json:"payment_method_id"` // the existing one
	Fingerprint string          `json:"fingerprint"`
	Policy      DuplicatePolicy `json:"policy"`
	Provider    string          `json:"provider"`
	ProviderID  string          `json:"provider_id"`        // of the second one
	Deferred    bool            `json:"deferred,omitempty"` // found by a setup intent: nobody's command is refused
	// Unfit is the status that kept the existing one from becoming the default, as
	// was asked: then the attach is refused.
	Unfit Status `json:"unfit,omitempty"`
}

// DefaultChanged: the customer's default is now To ("" for none).
type DefaultChanged struct {
	From  MethodID     `json:"from,omitempty"`
	To    MethodID     `json:"to,omitempty"`
	Cause DefaultCause `json:"cause"`
}

// DefaultCause says why a default changed.
type DefaultCause string

// The causes of a changed default.
const (
	CauseRequested DefaultCause = "requested" // somebody asked for it
	CausePolicy    DefaultCause = "policy"    // default_policy first or latest
	CauseReplaced  DefaultCause = "replaced"  // another method took the default's place
	CauseDetached  DefaultCause = "detached"  // the default was detached and none took its place
	CausePromoted  DefaultCause = "promoted"  // named in the detach of the default
)

// MethodDetached: the method left its customer, for good. PendingDropped: a
// verification was pending or a replacement waited, and ended with it.
type MethodDetached struct {
	MethodID       MethodID `json:"payment_method_id"`
	PendingDropped bool     `json:"pending_dropped,omitempty"`
}

// CommandAccepted: a command with an idempotency key changed nothing. It is kept
// so that its repeat is known too. Never published.
type CommandAccepted struct {
	Command string `json:"command"`
}

// OrganizationCreated: an organization came into being, as test or live.
type OrganizationCreated struct {
	Organization string `json:"organization_id"`
	Mode         Mode   `json:"mode"`
}

// TestClockSet: time stands still at Now in a test organization. Never published.
type TestClockSet struct {
	Now time.Time `json:"now"`
}

// OrganizationUpdated: settings were changed. It carries all of them.
type OrganizationUpdated struct {
	Settings Settings `json:"settings"`
}

// KeyCreated: an API key was issued. MAC is the keyed hash of its secret.
type KeyCreated struct {
	Key APIKey `json:"key"`
}

// KeyRevoked: an API key was switched off, for good.
type KeyRevoked struct {
	KeyID string `json:"key_id"`
}

// LedgerCreated is the first record of a log: which log it is, and which secret
// its keyed hashes were made with.
type LedgerCreated struct {
	LedgerID          string `json:"ledger_id"`
	SecretFingerprint string `json:"secret_fingerprint"`
}

// The names in the log.
func (MethodAttached) StoredName() string      { return "payment_method.attached" }
func (MethodUpdated) StoredName() string       { return "payment_method.updated" }
func (MethodPaused) StoredName() string        { return "payment_method.paused" }
func (MethodResumed) StoredName() string       { return "payment_method.resumed" }
func (MethodExpiring) StoredName() string      { return "payment_method.expiring" }
func (MethodExpired) StoredName() string       { return "payment_method.expired" }
func (DuplicateDetected) StoredName() string   { return "payment_method.duplicate_detected" }
func (DefaultChanged) StoredName() string      { return "customer.default_payment_method_changed" }
func (MethodDetached) StoredName() string      { return "payment_method.detached" }
func (CommandAccepted) StoredName() string     { return "command.accepted" }
func (OrganizationCreated) StoredName() string { return "organization.created" }
func (OrganizationUpdated) StoredName() string { return "organization.updated" }
func (TestClockSet) StoredName() string        { return "organization.test_clock_set" }
func (KeyCreated) StoredName() string          { return "api_key.created" }
func (KeyRevoked) StoredName() string          { return "api_key.revoked" }
func (LedgerCreated) StoredName() string       { return "ledger.created" }

func (MethodAttached) event()      {}
func (MethodUpdated) event()       {}
func (MethodPaused) event()        {}
func (MethodResumed) event()       {}
func (MethodExpiring) event()      {}
func (MethodExpired) event()       {}
func (DuplicateDetected) event()   {}
func (DefaultChanged) event()      {}
func (MethodDetached) event()      {}
func (CommandAccepted) event()     {}
func (OrganizationCreated) event() {}
func (OrganizationUpdated) event() {}
func (TestClockSet) event()        {}
func (KeyCreated) event()          {}
func (KeyRevoked) event()          {}
func (LedgerCreated) event()       {}

// PublicName is the name under which an event is published, or "" for an event
// that stays inside.
func PublicName(e Event) string {
	switch e.(type) {
	case MethodAttached:
		return "customer.payment_method_attached"
	case MethodDetached:
		return "customer.payment_method_detached"
	case MethodReplaced:
		return MethodUpdated{}.StoredName()
	case CommandAccepted, OrganizationCreated, OrganizationUpdated, TestClockSet, KeyCreated, KeyRevoked, LedgerCreated,
		VerificationRequested, MethodDeclined, GatewayDetached, GatewayCanceled, SetupGatewayCanceled, SubscriptionUpdated, SubscriptionDeleted, SubscriptionClaimed:
		return ""
	default:
		return e.StoredName()
	}
}
