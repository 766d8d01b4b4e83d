package domain

import (
	"slices"
	"time"
)

// Type is the family of a payment method.
type Type string

// The families of payment methods.
const (
	TypeCard        Type = "card"
	TypeBankAccount Type = "bank_account"
	TypeDirectDebit Type = "direct_debit"
	TypePaypal      Type = "paypal"
	TypeWallet      Type = "wallet"
	TypeTwint       Type = "twint"
	TypeOther       Type = "other"
)

// Types lists every family, in the order of the documentation.
var Types = []Type{TypeCard, TypeBankAccount, TypeDirectDebit, TypePaypal, TypeWallet, TypeTwint, TypeOther}

// Status says whether a method can be used. It is one of two axes: a method can
// be verified and expired, or active and unverified.
type Status string

// The statuses. Detached is terminal.
const (
	StatusPending  Status = "pending" // waits for the gateway or the customer
	StatusActive   Status = "active"
	StatusPaused   Status = "paused" // switched off by the merchant
	StatusExpired  Status = "expired"
	StatusFailed   Status = "failed"
	StatusBlocked  Status = "blocked"
	StatusDetached Status = "detached"
)

// Statuses lists every status, in the order of the documentation.
var Statuses = []Status{StatusPending, StatusActive, StatusPaused, StatusExpired, StatusFailed, StatusBlocked, StatusDetached}

// Card is what may be shown of a card. Months are 1..12, years have four digits.
type Card struct {
	Brand            string   `json:"brand"`
	AdditionalBrands []string `json:"additional_brands,omitempty"`
	Last4            string   `json:"last4"`
	ExpMonth         int      `json:"exp_month"`
	ExpYear          int      `json:"exp_year"`
	Country          string   `json:"country,omitempty"`
	Funding          string   `json:"funding,omitempty"`
}

// BankAccount is what may be shown of a bank account. Its holder is personal and
// stands in Personal.
type BankAccount struct {
	BankName    string `json:"bank_name,omitempty"`
	Last4       string `json:"last4"`
	Routing     string `json:"routing,omitempty"`
	HolderType  string `json:"holder_type,omitempty"`
	AccountType string `json:"account_type,omitempty"`
	Country     string `json:"country,omitempty"`
	Currency    string `json:"currency,omitempty"`
	Status      string `json:"status,omitempty"`
}

// Wallet says which wallet. Its e-mail address is personal and stands in Personal.
type Wallet struct {
	Kind string `json:"kind"`
}

// Mandate is a direct-debit authorization.
type Mandate struct {
	Reference  string    `json:"reference"`
	Scheme     string    `json:"scheme"` // sepa, bacs, becs, ach
	Status     string    `json:"status"`
	AcceptedAt time.Time `json:"accepted_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
}

// Address is a billing address. Country is an ISO 3166-1 alpha-2 code.
type Address struct {
	Name       string `json:"name,omitempty"`
	Company    string `json:"company,omitempty"`
	Line1      string `json:"line1,omitempty"`
	Line2      string `json:"line2,omitempty"`
	City       string `json:"city,omitempty"`
	State      string `json:"state,omitempty"`
	PostalCode string `json:"postal_code,omitempty"`
	Country    string `json:"country,omitempty"`
	Email      string `json:"email,omitempty"`
	Phone      string `json:"phone,omitempty"`
}

// Personal is all of a method that concerns a person. It is one sub-object of an
// event's data, so that it can be encrypted and erased without touching the rest.
// In an update, a nil member is one that did not change.
type Personal struct {
	BillingAddress *Address          `json:"billing_address,omitempty"`
	Metadata       map[string]string `json:"metadata,omitzero"`
	Holder         string            `json:"holder,omitempty"`
	Email          string            `json:"email,omitempty"`
}

// Facts are what is known of the instrument behind a token: by the gateway's
// word, or by the caller's.
type Facts struct {
	Type        Type         `json:"type"`
	Method      string       `json:"method"` // the finer name, an open set: card, sepa, apple_pay, …
	Card        *Card        `json:"card,omitempty"`
	BankAccount *BankAccount `json:"bank_account,omitempty"`
	Wallet      *Wallet      `json:"wallet,omitempty"`
	Mandate     *Mandate     `json:"mandate,omitempty"`
	Fingerprint string       `json:"fingerprint,omitempty"`
	Country     string       `json:"country,omitempty"`
	Currency    string       `json:"currency,omitempty"`
}

// Method is a payment method: the state that the events about it lead to. A
// Method is never changed once it is shown to anyone; Evolve returns a new one.
// An empty string and a zero time mean "does not apply".
type Method struct {
	ID           MethodID
	Organization string
	Customer     string // "" for a method without a customer
	ExternalID   string
	Facts
	FactsFrom      string // "gateway" or "caller"
	Provider       string
	ProviderID     string // the token at the provider
	Status         Status
	StatusReason   string
	StatusBefore   Status // what comes back after pending, expired or blocked
	IsDefault      bool
	Verification   Verification
	Personal       Personal
	ExpiresAt      time.Time
	Expiring       bool
	WindowsServed  []int        // days; for the present expiry
	Replacement    *Replacement // announced by the account updater, not yet applied
	LastReplacedAt time.Time
	NextAction     *NextAction   // what the customer has to do
	SetupIntent    SetupIntentID // whose approval a pending method waits for
	MandateNoticed bool          // of the present mandate's lapse
	GatewayDetach  string        // how letting go at the gateway ended: done or failed
	LeftOpen       []LeftOpen    `json:",omitempty"` // at the gateway, oldest first
	InUseBy        []string      // subscriptions, sorted
	CreatedAt      time.Time
	UpdatedAt      time.Time
	DetachedAt     time.Time
	Version        uint64 // of the customer's stream at the method's last change
}

// Attached tells whether the method still belongs to its customer.
func (m *Method) Attached() bool { return m.Status != StatusDetached }

// Label is the short text that people know the method by: the last four digits,
// or the e-mail address of an account that has one.
func (m *Method) Label() (text string, personal bool) {
	switch {
	case m.Card != nil:
		return m.Card.Last4, false
	case m.BankAccount != nil:
		return m.BankAccount.Last4, false
	case m.Personal.Email != "":
		return m.Personal.Email, true
	default:
		return "", false
	}
}

// Evolve folds one event into the method and returns its next state. m is nil
// before MethodAttached, and stays nil for an event about a method that was never
// attached. version is the stream's version with this event.
func (m *Method) Evolve(id MethodID, e Event, at time.Time, version uint64) *Method {
	if attached, ok := e.(MethodAttached); ok {
		return newMethod(attached, at, version)
	}
	if m == nil {
		return nil
	}
	next := *m
	switch e := e.(type) {
	case MethodUpdated:
		next.update(e)
	case MethodPaused:
		next.Status, next.StatusReason = StatusPaused, e.Reason
	case MethodResumed:
		next.Status, next.StatusReason = StatusActive, ""
	case MethodExpiring:
		next.Expiring = true
		next.WindowsServed = append(slices.Clone(next.WindowsServed), e.Served...)
	case MethodExpired:
		next.StatusBefore, next.Status, next.Expiring = next.Status, StatusExpired, false
	case DefaultChanged:
		next.IsDefault = e.To == id
	case MethodDetached:
		next.Status, next.DetachedAt, next.Expiring, next.NextAction, next.SetupIntent = StatusDetached, at, false, nil, ""
		if e.PendingDropped {
			next.Replacement = nil
			next.dropVerification()
		}
	default:
		_ = next.evolveVerification(e, at, version) || next.evolveSync(e, at) || next.evolveReplacement(e, at) ||
			next.evolveUse(e) || next.evolveApproval(e)
	}
	next.evolveLeftOpen(m, e, version)
	if shown(e) {
		next.UpdatedAt, next.Version = at, version
	}
	return &next
}

// shown tells whether an event about a method changes what is shown of it. Only
// that is a change to those who read the method and compare its version.
func shown(e Event) bool {
	switch e.(type) {
	case DuplicateDetected, MethodDeclined, MandateExpiring, GatewayDetached, GatewayDetachFailed, GatewayCanceled, SetupIntentCreated, SetupIntentSucceeded:
		return false
	default:
		return true
	}
}

// after is the method as decided events will leave it, for deciding what else
// follows from them. m is nil when the events attach it.
func (m *Method) after(now time.Time, id MethodID, events []Event) *Method {
	for _, e := range events {
		if first, second := methodsOf(e); first == id || second == id {
			m = m.Evolve(id, e, now, 0)
		}
	}
	return m
}

func newMethod(e MethodAttached, at time.Time, version uint64) *Method {
	m := &Method{
		ID: e.MethodID, Organization: e.Organization, Customer: e.Customer, ExternalID: e.ExternalID,
		Facts: e.Facts, FactsFrom: e.FactsFrom, Provider: e.Provider, ProviderID: e.ProviderID,
		Status: e.Status, StatusBefore: e.StatusThen, Personal: e.Personal, ExpiresAt: e.ExpiresAt,
		NextAction: e.NextAction, SetupIntent: e.SetupIntentID,
		CreatedAt: at, UpdatedAt: at, Version: version,
	}
	m.Verification = e.Verification.since(at)
	return m
}

func (m *Method) update(e MethodUpdated) {
	if e.ExternalID != nil {
		m.ExternalID = *e.ExternalID
	}
	if e.Provider != nil {
		m.Provider = *e.Provider
	}
	if e.ProviderID != nil {
		m.ProviderID = *e.ProviderID
	}
	if e.Personal.BillingAddress != nil {
		m.Personal.BillingAddress = e.Personal.BillingAddress
	}
	if e.Personal.Metadata != nil {
		m.Personal.Metadata = e.Personal.Metadata
	}
	if e.VerificationDropped {
		m.dropVerification()
	}
}
