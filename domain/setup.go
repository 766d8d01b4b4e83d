package domain

import (
	"errors"
	"slices"
	"time"
)

// CreateSetupIntent begins collecting a payment method. With Confirm and a token
// the gateway is asked at once.
type CreateSetupIntent struct {
	SetupIntentID SetupIntentID
	Type          Type
	Usage         string
	Provider      string
	Token         string
	Confirm       bool
	RedirectURL   string
	SetAsDefault  bool
	Metadata      map[string]string
}

// ConfirmSetupIntent asks the gateway about a token.
type ConfirmSetupIntent struct {
	SetupIntentID SetupIntentID
	Token         string // "" for the one given before
}

// ApproveSetupIntent: the customer came back from where the gateway sent them.
// Version is the one the intent had when they were sent, so that each way back
// works once.
type ApproveSetupIntent struct {
	SetupIntentID SetupIntentID
	Version       uint64
}

// ResolveSetupIntent says what the gateway answered. Version is that of the
// intent when the gateway was asked: an answer to an older question is dropped.
// Just one of Attach, NextAction and Failure applies. Of Attach, the type and
// SetAsDefault are the intent's.
type ResolveSetupIntent struct {
	SetupIntentID SetupIntentID
	Version       uint64
	Attach        *AttachMethod
	NextAction    *NextAction
	Reference     string
	Failure       *SetupError
}

// CancelSetupIntent ends an intent. Reason is one of CancelReasons, or "" for none.
type CancelSetupIntent struct {
	SetupIntentID SetupIntentID
	Reason        CancelReason
}

// ExpireSetupIntent cancels an intent whose time is over.
type ExpireSetupIntent struct{ SetupIntentID SetupIntentID }

// CommandName is the command's name in records and logs.
func (CreateSetupIntent) CommandName() string  { return "create_setup_intent" }
func (ConfirmSetupIntent) CommandName() string { return "confirm_setup_intent" }
func (ApproveSetupIntent) CommandName() string { return "approve_setup_intent" }
func (ResolveSetupIntent) CommandName() string { return "resolve_setup_intent" }
func (CancelSetupIntent) CommandName() string  { return "cancel_setup_intent" }
func (ExpireSetupIntent) CommandName() string  { return "expire_setup_intent" }

// createSetupIntent refuses with conflict (the id is taken) and validation.failed
// (no customer; confirm without a token; metadata beyond its limits).
func (c *Customer) createSetupIntent(cmd CreateSetupIntent, now time.Time) ([]Event, error) {
	if c.SetupIntents[cmd.SetupIntentID] != nil {
		return nil, Refuse(CodeConflict, "there already is a setup intent %s", cmd.SetupIntentID)
	}
	faults := metadataFaults(cmd.Metadata)
	if c.ID == "" {
		faults = append(faults, fault("customer_id", "is required"))
	}
	if cmd.Confirm && cmd.Token == "" {
		faults = append(faults, fault("token", "is required to confirm"))
	}
	if err := refuseFaults(faults); err != nil {
		return nil, err
	}
	events := []Event{SetupIntentCreated{
		SetupIntentID: cmd.SetupIntentID, Organization: c.Organization, Customer: c.ID, Type: cmd.Type, Usage: cmd.Usage,
		Provider: cmd.Provider, Token: cmd.Token, RedirectURL: cmd.RedirectURL, SetAsDefault: cmd.SetAsDefault,
		ExpiresAt: now.Add(SetupIntentLifetime), Personal: Personal{Metadata: cmd.Metadata},
	}}
	if cmd.Confirm {
		events = append(events, SetupIntentProcessing{SetupIntentID: cmd.SetupIntentID, Token: cmd.Token})
	}
	return events, nil
}

// openIntent refuses with setup_intent.not_found and setup_intent.invalid_state.
func (c *Customer) openIntent(id SetupIntentID) (*SetupIntent, error) {
	s, ok := c.SetupIntents[id]
	if !ok {
		return nil, Refuse(CodeSetupIntentNotFound, "there is no setup intent %s", id)
	}
	if !s.Open() {
		return nil, Refuse(CodeSetupIntentState, "setup intent %s is %s", id, s.Status)
	}
	return s, nil
}

// confirmSetupIntent refuses with setup_intent.not_found, .invalid_state and
// validation.failed (no token).
func (c *Customer) confirmSetupIntent(cmd ConfirmSetupIntent, now time.Time) ([]Event, error) {
	s, err := c.openIntent(cmd.SetupIntentID)
	if err != nil {
		return nil, err
	}
	if !now.Before(s.ExpiresAt) {
		return nil, Refuse(CodeSetupIntentState, "setup intent %s has expired", s.ID)
	}
	if s.Status != SetupNeedsMethod && s.Status != SetupNeedsConfirmation {
		return nil, Refuse(CodeSetupIntentState, "setup intent %s is %s and cannot be confirmed", s.ID, s.Status)
	}
	token := cmd.Token
	if token == "" {
		token = s.Token
	}
	if token == "" {
		return nil, invalid("token", "is required: the setup intent has none yet")
	}
	return []Event{SetupIntentProcessing{SetupIntentID: s.ID, Token: token}}, nil
}

// approveSetupIntent refuses with setup_intent.not_found and .invalid_state.
func (c *Customer) approveSetupIntent(cmd ApproveSetupIntent, now time.Time) ([]Event, error) {
	s, err := c.openIntent(cmd.SetupIntentID)
	if err != nil {
		return nil, err
	}
	if s.Status != SetupNeedsAction || s.Version != cmd.Version || !now.Before(s.ExpiresAt) {
		return nil, Refuse(CodeSetupIntentState, "setup intent %s does not wait for this approval", s.ID)
	}
	return []Event{SetupIntentProcessing{SetupIntentID: s.ID, Token: s.Token, Approved: true}}, nil
}

// resolveSetupIntent: an answer to a question that nobody asks any more changes
// nothing. An intent whose pending method has left or works already is over.
func (c *Customer) resolveSetupIntent(cmd ResolveSetupIntent, now time.Time) ([]Event, error) {
	s := c.SetupIntents[cmd.SetupIntentID]
	if s == nil || s.Status != SetupProcessing || s.Version != cmd.Version {
		return nil, nil
	}
	switch {
	case cmd.Failure != nil:
		return c.setupFailed(s, *cmd.Failure), nil
	case cmd.NextAction != nil:
		return []Event{SetupIntentNeedsAction{
			SetupIntentID: s.ID, MethodID: s.MethodID, NextAction: *cmd.NextAction, Reference: cmd.Reference,
		}}, nil
	case cmd.Attach == nil:
		return nil, Refuse(CodeInternal, "an answer to setup intent %s says nothing", s.ID)
	case s.MethodID != "":
		return c.setupSyncs(s, *cmd.Attach, now), nil
	default:
		return c.setupAttaches(s, *cmd.Attach, now), nil
	}
}

// setupAttaches: the method is attached in the same append as the intent
// succeeds. A refusal of the attach is a failure of the intent.
func (c *Customer) setupAttaches(s *SetupIntent, attach AttachMethod, now time.Time) []Event {
	attach.SetAsDefault, attach.Unsynced, attach.Approval = s.SetAsDefault, false, nil
	attach.Type = attach.Facts.Type
	if s.Type != "" {
		attach.Type = s.Type
	}
	events, err := c.attach(attach, now)
	if refused := RefusalIn(events); refused != nil {
		err = refused
	}
	var refusal *Error
	if errors.As(err, &refusal) {
		return append(withoutRefusals(events), c.setupFailed(s, setupErrorOf(refusal))...)
	}
	return append(events, SetupIntentSucceeded{SetupIntentID: s.ID, MethodID: attachedBy(events)})
}

// setupErrorOf is how a refused attach is shown by the intent that asked for it.
func setupErrorOf(refusal *Error) SetupError {
	e := SetupError{Code: refusal.Code, Message: refusal.Message}
	if len(refusal.Faults) > 0 {
		e.Message = refusal.Faults[0].Message
	}
	return e
}

// withoutRefusals keeps a refused duplicate as a fact of the setup intent, not
// as the refusal of an attach that nobody waits for.
func withoutRefusals(events []Event) []Event {
	for i, e := range events {
		if d, ok := e.(DuplicateDetected); ok && duplicateRefusal(d) != nil {
			d.Deferred = true
			events[i] = d
		}
	}
	return events
}

// attachedBy is the method that an attach led to: the new one, or the existing one
// that was returned for it.
func attachedBy(events []Event) MethodID {
	var id MethodID
	for _, e := range events {
		switch e := e.(type) {
		case MethodAttached:
			return e.MethodID
		case DuplicateDetected:
			id = e.MethodID
		}
	}
	return id
}

// setupSyncs: the intent was made for a pending method, which is usable now.
func (c *Customer) setupSyncs(s *SetupIntent, attach AttachMethod, now time.Time) []Event {
	m := c.Methods[s.MethodID]
	if attach.Facts.Type != m.Type {
		return c.setupFailed(s, SetupError{Code: CodeValidationFailed, Message: "the token stands for a " + string(attach.Facts.Type)})
	}
	events := c.synced(m, SyncMethod{
		MethodID: m.ID, Facts: attach.Facts, Personal: attach.Personal, News: attach.News, Policy: attach.Policy,
	}, now)
	return append(events, SetupIntentSucceeded{SetupIntentID: s.ID, MethodID: m.ID})
}

// setupFailed: a pending method that waited for this attempt fails with it.
func (c *Customer) setupFailed(s *SetupIntent, failure SetupError) []Event {
	events := []Event{SetupIntentFailed{SetupIntentID: s.ID, Error: failure}}
	if s.MethodID != "" {
		events = append(events, MethodFailed{MethodID: s.MethodID, Reason: failure.Message})
	}
	return events
}

// cancelSetupIntent refuses with setup_intent.not_found, .invalid_state and
// validation.failed.
func (c *Customer) cancelSetupIntent(cmd CancelSetupIntent) ([]Event, error) {
	s, err := c.openIntent(cmd.SetupIntentID)
	if err != nil {
		return nil, err
	}
	if s.Status == SetupProcessing {
		return nil, Refuse(CodeSetupIntentState, "setup intent %s is processing and cannot be canceled", s.ID)
	}
	if cmd.Reason != "" && !slices.Contains(CancelReasons, cmd.Reason) {
		return nil, invalid("cancellation_reason", "must be abandoned, requested_by_customer or duplicate")
	}
	return c.setupCanceled(s, cmd.Reason), nil
}

// expireSetupIntent: while the gateway is being asked, its answer decides.
func (c *Customer) expireSetupIntent(cmd ExpireSetupIntent, now time.Time) ([]Event, error) {
	s := c.SetupIntents[cmd.SetupIntentID]
	if s == nil || !s.Open() || s.Status == SetupProcessing || now.Before(s.ExpiresAt) {
		return nil, nil
	}
	return c.setupCanceled(s, CancelAbandoned), nil
}

// setupCanceled: a pending method that waited for the intent fails with it.
func (c *Customer) setupCanceled(s *SetupIntent, reason CancelReason) []Event {
	events := []Event{SetupIntentCanceled{SetupIntentID: s.ID, Reason: reason}}
	if s.MethodID != "" {
		events = append(events, MethodFailed{MethodID: s.MethodID, Reason: "the customer's approval was not given"})
	}
	return events
}

// approvalEnded cancels the setup intent that a pending method waited for. It is
// part of every commit that ends the wait in another way, so that an open intent
// always has a method that waits for it.
func (c *Customer) approvalEnded(m *Method) []Event {
	if m.SetupIntent == "" {
		return nil
	}
	return []Event{SetupIntentCanceled{SetupIntentID: m.SetupIntent, Reason: CancelAbandoned}}
}

// evolveApproval folds what the customer has to approve into the pending method
// that waits for it. It tells whether e was such an event.
func (m *Method) evolveApproval(e Event) bool {
	switch e := e.(type) {
	case SetupIntentCreated:
		m.SetupIntent = e.SetupIntentID
	case SetupIntentNeedsAction:
		m.NextAction = &e.NextAction
	default:
		return false
	}
	return true
}
