package domain

import (
	"slices"
	"time"
)

// Command asks for a change of one stream. Ids, times and policies come with it.
type Command interface {
	// CommandName is the command's name in records and logs.
	CommandName() string
}

// Policy is what an organization has chosen, as it stands when a command is
// decided. Later choices affect later events only.
type Policy struct {
	Settings
	Location   *time.Location // of Settings.TimeZone
	MaxMethods int            // attached methods a customer may have
}

// AttachMethod attaches the instrument behind a gateway's token to a customer.
// Facts are looked up before it is decided.
type AttachMethod struct {
	MethodID     MethodID
	Type         Type // what the caller says it is; must agree with Facts
	Provider     string
	ProviderID   string
	ExternalID   string
	Paused       bool
	SetAsDefault bool
	Personal     Personal
	Facts        Facts
	FactsFrom    string // "gateway" or "caller"
	// Unsynced: the gateway has not answered; the method is pending until it does.
	Unsynced bool
	// News is what the account updater has for it already, or nil.
	News *Replacement
	// Approval: the customer has to approve first, by way of this setup intent.
	Approval *Approval
	Policy   Policy
}

// Approval is the setup intent that a method needs before it can be used.
type Approval struct {
	SetupIntentID SetupIntentID
	RedirectURL   string // where the customer comes back to, the caller's
	NextAction    NextAction
	Reference     string
}

// UpdateMethod changes members of a method. A nil member is left alone; an empty
// one is cleared. Metadata is merged: a nil value deletes its key.
type UpdateMethod struct {
	MethodID       MethodID
	IfVersion      Versions
	ExternalID     *string
	Provider       *string
	ProviderID     *string
	BillingAddress *Address
	Metadata       map[string]*string
	ClearMetadata  bool // before the merge
	Status         *Status
	IsDefault      *bool
}

// SetDefault makes a method its customer's default.
type SetDefault struct {
	MethodID  MethodID
	IfVersion Versions
}

// DetachMethod removes a method from its customer, for good. Promote names the
// method that becomes the default in the same commit, if any.
type DetachMethod struct {
	MethodID  MethodID
	IfVersion Versions
	Promote   MethodID
}

// OpenOrganization fixes whether an organization is test or live.
type OpenOrganization struct{ Mode Mode }

// SetTestClock lets a test organization's time stand still at Now.
type SetTestClock struct{ Now time.Time }

// CreateKey issues an API key. The first key of an organization fixes its mode.
type CreateKey struct {
	Mode Mode
	Key  APIKey
}

// RevokeKey switches an API key off.
type RevokeKey struct{ KeyID string }

// UpdateSettings changes an organization's settings. A nil member is left alone.
type UpdateSettings struct {
	DefaultPolicy     *DefaultPolicy
	DuplicatePolicy   *DuplicatePolicy
	ExpiryWindowsDays []int
	TimeZone          *string
	RedirectHosts     []string
}

// CommandName is the command's name in records and logs.
func (AttachMethod) CommandName() string     { return "attach_method" }
func (UpdateMethod) CommandName() string     { return "update_method" }
func (SetDefault) CommandName() string       { return "set_default" }
func (DetachMethod) CommandName() string     { return "detach_method" }
func (OpenOrganization) CommandName() string { return "open_organization" }
func (CreateKey) CommandName() string        { return "create_key" }
func (RevokeKey) CommandName() string        { return "revoke_key" }
func (UpdateSettings) CommandName() string   { return "update_settings" }
func (SetTestClock) CommandName() string     { return "set_test_clock" }

// Versions are the versions a method may have for a command to go on (If-Match).
// None: any.
type Versions []uint64

func (v Versions) check(m *Method) error {
	if len(v) == 0 || slices.Contains(v, m.Version) {
		return nil
	}
	return Refuse(CodePreconditionFailed, "payment method %s is at version %d", m.ID, m.Version)
}
