package domain

import "time"

// attach refuses with validation.failed (the token is of another type; metadata
// beyond its limits; a default without a customer), customer.too_many_methods,
// and conflict for an id that is taken. A duplicate that leads to a refusal, by the
// policy "reject" or with payment_method.not_active, is an event that RefusalIn reads.
func (c *Customer) attach(cmd AttachMethod, now time.Time) ([]Event, error) {
	if err := c.checkAttach(cmd); err != nil {
		return nil, err
	}
	var events []Event
	if existing := c.duplicateOf(cmd.Facts.Fingerprint, ""); existing != nil {
		duplicate := DuplicateDetected{
			MethodID: existing.ID, Fingerprint: cmd.Facts.Fingerprint, Policy: cmd.Policy.DuplicatePolicy,
			Provider: cmd.Provider, ProviderID: cmd.ProviderID,
		}
		events = append(events, duplicate)
		switch cmd.Policy.DuplicatePolicy {
		case DuplicateReject:
			return events, nil
		case DuplicateReturnExisting:
			return c.existingReturned(existing, duplicate, cmd.SetAsDefault), nil
		}
	}
	if c.Attached() >= cmd.Policy.MaxMethods {
		return nil, Refuse(CodeTooManyMethods, "a customer can have %d payment methods; detach one first", cmd.Policy.MaxMethods)
	}
	attached := c.methodAttached(cmd, now)
	events = append([]Event{attached}, events...)
	if cause, ok := c.becomesDefault(cmd); ok {
		events = append(events, DefaultChanged{From: c.Default, To: cmd.MethodID, Cause: cause})
	}
	if attached.Status == StatusPending {
		if cmd.Approval != nil {
			events = append(events, c.approvalAsked(cmd.Approval, attached, now)...)
		}
		return events, nil
	}
	var m *Method
	return append(events, m.after(now, cmd.MethodID, events).settled(cmd.News, cmd.Policy, now)...), nil
}

// noteDuplicate is the event that method id is, or would be, an instrument that the
// customer has in another method; none when there is no such.
func (c *Customer) noteDuplicate(id MethodID, fingerprint, provider, providerID string, policy DuplicatePolicy) []Event {
	existing := c.duplicateOf(fingerprint, id)
	if existing == nil {
		return nil
	}
	return []Event{DuplicateDetected{MethodID: existing.ID, Fingerprint: fingerprint, Policy: policy, Provider: provider, ProviderID: providerID}}
}

// existingReturned: the existing method is the answer. One that cannot become the
// default, as was asked, is a refusal and still a fact.
func (c *Customer) existingReturned(existing *Method, duplicate DuplicateDetected, asDefault bool) []Event {
	if !asDefault {
		return []Event{duplicate}
	}
	changed, err := c.makeDefault(existing, existing.Status, CauseRequested)
	if err != nil {
		duplicate.Unfit = existing.Status
	}
	return append([]Event{duplicate}, changed...)
}

func (c *Customer) checkAttach(cmd AttachMethod) error {
	if c.Methods[cmd.MethodID] != nil {
		return Refuse(CodeConflict, "there already is a payment method %s", cmd.MethodID)
	}
	if a := cmd.Approval; a != nil && c.SetupIntents[a.SetupIntentID] != nil {
		return Refuse(CodeConflict, "there already is a setup intent %s", a.SetupIntentID)
	}
	var faults []Fault
	if cmd.Type != cmd.Facts.Type {
		faults = append(faults, fault("type", "the token stands for a "+string(cmd.Facts.Type)))
	}
	if cmd.SetAsDefault && c.ID == "" {
		faults = append(faults, fault("set_as_default", "needs a customer"))
	}
	return refuseFaults(append(faults, metadataFaults(cmd.Personal.Metadata)...))
}

func (c *Customer) methodAttached(cmd AttachMethod, now time.Time) MethodAttached {
	cmd.Facts.Mandate = acceptedMandate(cmd.Facts.Mandate, nil, now)
	e := MethodAttached{
		MethodID: cmd.MethodID, Organization: c.Organization, Customer: c.ID, ExternalID: cmd.ExternalID,
		Facts: cmd.Facts, FactsFrom: cmd.FactsFrom, Provider: cmd.Provider, ProviderID: cmd.ProviderID,
		Status: StatusActive, Verification: verificationAtAttach(cmd.Facts), Personal: cmd.Personal,
		ExpiresAt: expiryOfFacts(cmd.Facts, cmd.Policy.Location),
	}
	if cmd.Paused {
		e.Status = StatusPaused
	}
	if cmd.Unsynced || cmd.Approval != nil {
		e.Status, e.StatusThen = StatusPending, e.Status
	}
	if cmd.Unsynced && e.Verification.Status == Verified {
		e.Verification = Verification{Status: Unverified} // a wallet proves itself when the gateway knows it
	}
	if a := cmd.Approval; a != nil {
		action := a.NextAction
		e.SetupIntentID, e.NextAction = a.SetupIntentID, &action
	}
	return e
}

// approvalAsked opens the setup intent that a method waits for.
func (c *Customer) approvalAsked(a *Approval, m MethodAttached, now time.Time) []Event {
	return []Event{
		SetupIntentCreated{
			SetupIntentID: a.SetupIntentID, Organization: c.Organization, Customer: c.ID, Type: m.Facts.Type, Usage: "off_session",
			Provider: m.Provider, Token: m.ProviderID, RedirectURL: a.RedirectURL, MethodID: m.MethodID,
			ExpiresAt: now.Add(SetupIntentLifetime),
		},
		SetupIntentNeedsAction{SetupIntentID: a.SetupIntentID, MethodID: m.MethodID, NextAction: a.NextAction, Reference: a.Reference},
	}
}

// becomesDefault: an attach makes the default when asked to, or by policy. The
// policy "first" looks at an empty customer, never at one whose default was
// taken away: nothing is promoted silently.
func (c *Customer) becomesDefault(cmd AttachMethod) (DefaultCause, bool) {
	switch {
	case c.ID == "":
		return "", false
	case cmd.SetAsDefault:
		return CauseRequested, true
	case cmd.Policy.DefaultPolicy == DefaultLatest:
		return CausePolicy, true
	case cmd.Policy.DefaultPolicy == DefaultFirst && c.Attached() == 0:
		return CausePolicy, true
	default:
		return "", false
	}
}
