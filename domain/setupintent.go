package domain

import (
	"encoding/hex"
	"regexp"
	"time"

	"github.com/google/uuid"
)

// SetupIntentID identifies a setup intent: "seti_" and 32 hex digits.
type SetupIntentID string

// NewSetupIntentID writes a UUID as a setup intent's id.
func NewSetupIntentID(u uuid.UUID) SetupIntentID {
	return SetupIntentID("seti_" + hex.EncodeToString(u[:]))
}

var setupIntentIDForm = regexp.MustCompile(`^seti_[0-9a-f]{32}$`)

// Valid tells whether id has the form of a setup intent's id.
func (id SetupIntentID) Valid() bool { return setupIntentIDForm.MatchString(string(id)) }

// SetupStatus is the state of a setup intent.
type SetupStatus string

// The states of a setup intent. Succeeded and canceled are terminal.
const (
	SetupNeedsMethod       SetupStatus = "requires_payment_method"
	SetupNeedsConfirmation SetupStatus = "requires_confirmation"
	SetupNeedsAction       SetupStatus = "requires_action"
	SetupProcessing        SetupStatus = "processing"
	SetupSucceeded         SetupStatus = "succeeded"
	SetupCanceled          SetupStatus = "canceled"
)

// CancelReason says why a setup intent was canceled.
type CancelReason string

// The reasons to cancel. Abandoned is also what time does.
const (
	CancelAbandoned CancelReason = "abandoned"
	CancelRequested CancelReason = "requested_by_customer"
	CancelDuplicate CancelReason = "duplicate"
)

// CancelReasons lists every reason, in the order of the documentation.
var CancelReasons = []CancelReason{CancelAbandoned, CancelRequested, CancelDuplicate}

// SetupIntentLifetime is how long a setup intent waits for its customer.
const SetupIntentLifetime = 24 * time.Hour

// SetupError says why an attempt to set a method up failed.
type SetupError struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// SetupIntent is the act of collecting a payment method on the client's side. Like
// a Method it is never changed once shown.
type SetupIntent struct {
	ID           SetupIntentID
	Organization string
	Customer     string
	Status       SetupStatus
	Type         Type // "" when any will do
	Usage        string
	Provider     string
	Token        string
	Reference    string     // the gateway's
	LeftOpen     []LeftOpen `json:",omitempty"` // at the gateway, by attempts that failed or by the end, oldest first
	RedirectURL  string
	SetAsDefault bool
	MethodID     MethodID
	NextAction   *NextAction
	LastError    *SetupError
	CancelReason CancelReason
	Metadata     map[string]string
	CreatedAt    time.Time
	UpdatedAt    time.Time
	ExpiresAt    time.Time
	Version      uint64 // of the customer's stream at its last change
}

// SetupIntentCreated: somebody wants to collect a payment method. MethodID is set
// when a pending method waits for this intent's approval.
type SetupIntentCreated struct {
	SetupIntentID SetupIntentID `json:"setup_intent_id"`
	Organization  string        `json:"organization_id"`
	Customer      string        `json:"customer_id,omitempty"`
	Type          Type          `json:"type,omitempty"`
	Usage         string        `json:"usage"`
	Provider      string        `json:"provider"`
	Token         string        `json:"token,omitempty"`
	RedirectURL   string        `json:"redirect_url,omitempty"`
	SetAsDefault  bool          `json:"set_as_default,omitempty"`
	MethodID      MethodID      `json:"payment_method_id,omitempty"`
	ExpiresAt     time.Time     `json:"expires_at"`
	Personal      Personal      `json:"personal,omitzero"` // metadata only
}

// SetupIntentProcessing: the gateway is asked next. Approved: the customer has come
// back from where the gateway sent them. This is the promise that the gateway
// will be asked, whatever happens to the process.
type SetupIntentProcessing struct {
	SetupIntentID SetupIntentID `json:"setup_intent_id"`
	Token         string        `json:"token"`
	Approved      bool          `json:"approved,omitempty"`
}

// SetupIntentNeedsAction: the customer has to do something first. MethodID is the
// pending method that waits for it, if there is one already.
type SetupIntentNeedsAction struct {
	SetupIntentID SetupIntentID `json:"setup_intent_id"`
	MethodID      MethodID      `json:"payment_method_id,omitempty"`
	NextAction    NextAction    `json:"next_action"`
	Reference     string        `json:"reference,omitempty"`
}

// SetupIntentSucceeded: the method is attached.
type SetupIntentSucceeded struct {
	SetupIntentID SetupIntentID `json:"setup_intent_id"`
	MethodID      MethodID      `json:"payment_method_id"`
}

// SetupIntentFailed: this attempt failed; another token may be tried.
type SetupIntentFailed struct {
	SetupIntentID SetupIntentID `json:"setup_intent_id"`
	Error         SetupError    `json:"error"`
}

// SetupIntentCanceled: nothing will come of it.
type SetupIntentCanceled struct {
	SetupIntentID SetupIntentID `json:"setup_intent_id"`
	Reason        CancelReason  `json:"reason,omitempty"`
}

// The names in the log.
func (SetupIntentCreated) StoredName() string     { return "setup_intent.created" }
func (SetupIntentProcessing) StoredName() string  { return "setup_intent.processing" }
func (SetupIntentNeedsAction) StoredName() string { return "setup_intent.requires_action" }
func (SetupIntentSucceeded) StoredName() string   { return "setup_intent.succeeded" }
func (SetupIntentFailed) StoredName() string      { return "setup_intent.setup_failed" }
func (SetupIntentCanceled) StoredName() string    { return "setup_intent.canceled" }

func (SetupIntentCreated) event()     {}
func (SetupIntentProcessing) event()  {}
func (SetupIntentNeedsAction) event() {}
func (SetupIntentSucceeded) event()   {}
func (SetupIntentFailed) event()      {}
func (SetupIntentCanceled) event()    {}

// Evolve folds one event into the setup intent and returns its next state. s is
// nil before SetupIntentCreated, and stays nil for an event about an intent that
// was never created. A failed attempt lets go of the pending method it was for:
// the next token makes another method.
func (s *SetupIntent) Evolve(e Event, at time.Time, version uint64) *SetupIntent {
	if created, ok := e.(SetupIntentCreated); ok {
		return newSetupIntent(created, at, version)
	}
	if s == nil {
		return nil
	}
	next := *s
	if canceled, ok := e.(SetupGatewayCanceled); ok {
		next.LeftOpen = withoutLeft(s.LeftOpen, canceled.Since)
		return &next // nothing that is shown
	}
	next.NextAction = nil
	switch e := e.(type) {
	case SetupIntentProcessing:
		next.Status, next.Token, next.LastError = SetupProcessing, e.Token, nil
	case SetupIntentNeedsAction:
		next.Status, next.NextAction, next.Reference = SetupNeedsAction, &e.NextAction, e.Reference
	case SetupIntentSucceeded:
		next.Status, next.MethodID, next.LastError = SetupSucceeded, e.MethodID, nil
	case SetupIntentFailed:
		next.leave(s, e, version)
		next.Status, next.LastError, next.Token, next.Reference, next.MethodID = SetupNeedsMethod, &e.Error, "", "", ""
	case SetupIntentCanceled:
		next.leave(s, e, version)
		next.Status, next.CancelReason = SetupCanceled, e.Reason
	}
	next.UpdatedAt, next.Version = at, version
	return &next
}

func newSetupIntent(e SetupIntentCreated, at time.Time, version uint64) *SetupIntent {
	status := SetupNeedsMethod
	if e.Token != "" {
		status = SetupNeedsConfirmation
	}
	return &SetupIntent{
		ID: e.SetupIntentID, Organization: e.Organization, Customer: e.Customer, Status: status, Type: e.Type,
		Usage: e.Usage, Provider: e.Provider, Token: e.Token, RedirectURL: e.RedirectURL, SetAsDefault: e.SetAsDefault,
		MethodID: e.MethodID, Metadata: e.Personal.Metadata, CreatedAt: at, UpdatedAt: at, ExpiresAt: e.ExpiresAt, Version: version,
	}
}

// Open tells whether something may still come of the intent.
func (s *SetupIntent) Open() bool { return s.Status != SetupSucceeded && s.Status != SetupCanceled }
