package domain

import (
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"
)

// Limits of a method's metadata, after a merge.
const (
	MaxMetadataKeys        = 50
	MaxMetadataKeyLength   = 40  // characters
	MaxMetadataValueLength = 500 // characters
)

// Decide answers a command on one customer. Refusals are *Error; the functions
// below name their codes.
func (c *Customer) Decide(cmd Command, now time.Time) ([]Event, error) {
	switch cmd := cmd.(type) {
	case AttachMethod:
		return c.attach(cmd, now)
	case UpdateMethod:
		return c.update(cmd)
	case SetDefault:
		return c.setDefault(cmd)
	case DetachMethod:
		return c.detach(cmd)
	case MarkExpiry:
		return c.markExpiry(cmd, now)
	case SetSubscription:
		return c.setSubscription(cmd)
	case DeleteSubscription:
		return c.deleteSubscription(cmd)
	case SyncMethod:
		return c.sync(cmd, now)
	case FailMethod:
		return c.fail(cmd)
	case ReportTokenGone:
		return c.reportTokenGone(cmd)
	case UpdateMandate:
		return c.updateMandate(cmd, now)
	case RecordGatewayDetach:
		return c.recordGatewayDetach(cmd)
	case RecordGatewayCancel:
		return c.recordGatewayCancel(cmd)
	case VerifyMethod:
		return c.verify(cmd)
	case RecordVerification:
		return c.recordVerification(cmd, now)
	case ConfirmVerification:
		return c.confirmVerification(cmd, now)
	case ResendDeposits:
		return c.resendDeposits(cmd, now)
	case ExpireVerification:
		return c.expireVerification(cmd, now)
	case ReportReplacement:
		return c.reportReplacement(cmd, now)
	case ReportDecline:
		return c.reportDecline(cmd, now)
	case ReplaceInstrument:
		return c.replaceInstrument(cmd, now)
	case ReplaceWith:
		return c.replaceWith(cmd)
	case CreateSetupIntent:
		return c.createSetupIntent(cmd, now)
	case ConfirmSetupIntent:
		return c.confirmSetupIntent(cmd, now)
	case ApproveSetupIntent:
		return c.approveSetupIntent(cmd, now)
	case ResolveSetupIntent:
		return c.resolveSetupIntent(cmd, now)
	case CancelSetupIntent:
		return c.cancelSetupIntent(cmd)
	case ExpireSetupIntent:
		return c.expireSetupIntent(cmd, now)
	default:
		return nil, Refuse(CodeInternal, "a customer does not know the command %s", cmd.CommandName())
	}
}

// RefusalIn finds a refusal that is itself a fact: the events of a command that
// was refused but had something to record. The answer to a command and to its
// repeat is derived from here, so both are the same.
func RefusalIn(events []Event) error {
	var found error
	for _, e := range events {
		switch e := e.(type) {
		case DuplicateDetected:
			if refusal := duplicateRefusal(e); refusal != nil && !e.Deferred {
				found = refusal
			}
		case VerificationAttemptFailed:
			found = Refuse(CodeVerificationMismatch, "this is not what arrived; %d attempts are left", e.AttemptsRemaining)
		case VerificationEnded:
			found = verificationRefusal(e)
		}
	}
	return found
}

// duplicateRefusal is how a duplicate answers the command that brought it, or nil.
func duplicateRefusal(e DuplicateDetected) error {
	switch {
	case e.Unfit != "":
		return unfitAsDefault(e.MethodID, e.Unfit)
	case e.Policy == DuplicateReject:
		refusal := Refuse(CodeMethodDuplicate, "the customer already has this instrument as %s", e.MethodID)
		refusal.Method = e.MethodID
		return refusal
	default:
		return nil
	}
}

// makeDefault refuses with payment_method.not_active, and with validation.failed
// for a method without a customer. status is what the method will have when this
// command is done.
func (c *Customer) makeDefault(m *Method, status Status, cause DefaultCause) ([]Event, error) {
	if c.ID == "" {
		return nil, invalid("is_default", "needs a customer; this payment method has none")
	}
	if c.Default == m.ID {
		return nil, nil
	}
	if status != StatusActive && status != StatusPending {
		return nil, unfitAsDefault(m.ID, status)
	}
	return []Event{DefaultChanged{From: c.Default, To: m.ID, Cause: cause}}, nil
}

func unfitAsDefault(id MethodID, status Status) error {
	return Refuse(CodeMethodNotActive, "payment method %s is %s and cannot be made the default", id, status)
}

// setDefault refuses with payment_method.not_found, .detached, .not_active,
// precondition.failed and validation.failed.
func (c *Customer) setDefault(cmd SetDefault) ([]Event, error) {
	m, err := c.attached(cmd.MethodID)
	if err != nil {
		return nil, err
	}
	if err := cmd.IfVersion.check(m); err != nil {
		return nil, err
	}
	return c.makeDefault(m, m.Status, CauseRequested)
}

// update refuses with payment_method.not_found, .detached, .not_active,
// precondition.failed and validation.failed.
func (c *Customer) update(cmd UpdateMethod) ([]Event, error) {
	m, err := c.attached(cmd.MethodID)
	if err != nil {
		return nil, err
	}
	if err := cmd.IfVersion.check(m); err != nil {
		return nil, err
	}
	var events []Event
	updated, err := updated(m, cmd)
	if err != nil {
		return nil, err
	}
	if updated != nil {
		events = append(events, *updated)
	}
	status := m.Status
	if cmd.Status != nil && *cmd.Status != m.Status {
		changed, err := statusChanged(m, *cmd.Status)
		if err != nil {
			return nil, err
		}
		status, events = *cmd.Status, append(events, changed)
	}
	if cmd.IsDefault == nil {
		return events, nil
	}
	changed, err := c.defaultSwitched(m, *cmd.IsDefault, status)
	if err != nil {
		return nil, err
	}
	return append(events, changed...), nil
}

func (c *Customer) defaultSwitched(m *Method, on bool, status Status) ([]Event, error) {
	switch {
	case on:
		return c.makeDefault(m, status, CauseRequested)
	case c.Default == m.ID:
		return []Event{DefaultChanged{From: m.ID, Cause: CauseRequested}}, nil
	default:
		return nil, nil
	}
}

func statusChanged(m *Method, to Status) (Event, error) {
	switch {
	case m.Status == StatusActive && to == StatusPaused:
		return MethodPaused{MethodID: m.ID}, nil
	case m.Status == StatusPaused && to == StatusActive:
		return MethodResumed{MethodID: m.ID}, nil
	default:
		return nil, Refuse(CodeMethodNotActive, "payment method %s is %s and cannot be made %s", m.ID, m.Status, to)
	}
}

// updated returns the members that really change, or nil when none does.
func updated(m *Method, cmd UpdateMethod) (*MethodUpdated, error) {
	e := MethodUpdated{
		MethodID:   m.ID,
		ExternalID: changedString(m.ExternalID, cmd.ExternalID),
		Provider:   changedString(m.Provider, cmd.Provider),
		ProviderID: changedString(m.ProviderID, cmd.ProviderID),
	}
	before := Address{}
	if m.Personal.BillingAddress != nil {
		before = *m.Personal.BillingAddress
	}
	if cmd.BillingAddress != nil && *cmd.BillingAddress != before {
		e.Personal.BillingAddress = cmd.BillingAddress
	}
	merged := mergeMetadata(m.Personal.Metadata, cmd)
	if err := refuseFaults(metadataFaults(merged)); err != nil {
		return nil, err
	}
	if !maps.Equal(merged, m.Personal.Metadata) {
		e.Personal.Metadata = merged
	}
	if e.ExternalID == nil && e.Provider == nil && e.ProviderID == nil && e.Personal.BillingAddress == nil && e.Personal.Metadata == nil {
		return nil, nil
	}
	e.VerificationDropped = m.Verification.Status == VerificationPending && (e.Provider != nil || e.ProviderID != nil)
	return &e, nil
}

// metadataFaults names every limit that metadata breaks, without its keys and
// values: they are the caller's, and personal.
func metadataFaults(metadata map[string]string) []Fault {
	longKey, longValue := false, false
	for key, value := range metadata {
		longKey = longKey || key == "" || utf8.RuneCountInString(key) > MaxMetadataKeyLength
		longValue = longValue || utf8.RuneCountInString(value) > MaxMetadataValueLength
	}
	var faults []Fault
	if len(metadata) > MaxMetadataKeys {
		faults = append(faults, fault("metadata", fmt.Sprintf("would have %d keys; at most %d are kept", len(metadata), MaxMetadataKeys)))
	}
	if longKey {
		faults = append(faults, fault("metadata", fmt.Sprintf("has a key that is empty or longer than %d characters", MaxMetadataKeyLength)))
	}
	if longValue {
		faults = append(faults, fault("metadata", fmt.Sprintf("has a value longer than %d characters", MaxMetadataValueLength)))
	}
	return faults
}

func changedString(before string, after *string) *string {
	if after == nil || *after == before {
		return nil
	}
	return after
}

func mergeMetadata(before map[string]string, cmd UpdateMethod) map[string]string {
	merged := map[string]string{}
	if !cmd.ClearMetadata {
		maps.Copy(merged, before)
	}
	for key, value := range cmd.Metadata {
		if value == nil {
			delete(merged, key)
		} else {
			merged[key] = *value
		}
	}
	return merged
}

// detach refuses with payment_method.not_found, .in_use, .not_active,
// precondition.failed and validation.failed (promote). Detaching again is
// accepted and changes nothing. The default moves first, so that at no prefix of
// the stream a detached method is the default.
func (c *Customer) detach(cmd DetachMethod) ([]Event, error) {
	m, ok := c.Methods[cmd.MethodID]
	if !ok {
		return nil, Refuse(CodeMethodNotFound, "there is no payment method %s", cmd.MethodID)
	}
	if !m.Attached() {
		return nil, nil
	}
	if err := cmd.IfVersion.check(m); err != nil {
		return nil, err
	}
	if len(m.InUseBy) > 0 {
		refusal := Refuse(CodeMethodInUse, "payment method %s is in use by an active subscription; replace it there first", m.ID)
		refusal.InUseBy = slices.Clone(m.InUseBy)
		return nil, refusal
	}
	var events []Event
	switch {
	case cmd.Promote != "":
		next, ok := c.Methods[cmd.Promote]
		if !ok || !next.Attached() || next.ID == m.ID {
			return nil, invalid("promote", "must name another attached payment method of this customer")
		}
		promoted, err := c.makeDefault(next, next.Status, CausePromoted)
		if err != nil {
			return nil, err
		}
		events = promoted
	case c.Default == m.ID:
		events = []Event{DefaultChanged{From: m.ID, Cause: CauseDetached}}
	}
	return append(events, c.leaves(m)...), nil
}

// leaves is the end of a method, and of all that waits in it.
func (c *Customer) leaves(m *Method) []Event {
	waits := m.Verification.Status == VerificationPending || m.Replacement != nil
	return append([]Event{MethodDetached{MethodID: m.ID, PendingDropped: waits}}, c.approvalEnded(m)...)
}
