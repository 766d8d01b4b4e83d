package domain

import "time"

// A method attached before its gateway answered is pending: the gateway is asked
// again until it tells what the token stands for, or that it stands for nothing.

// MethodSynced: the gateway told what the token stands for. The expiry and the
// personal facts come with it.
type MethodSynced struct {
	MethodID     MethodID     `json:"payment_method_id"`
	Facts        Facts        `json:"facts"`
	Verification Verification `json:"verification"`
	ExpiresAt    time.Time    `json:"expires_at,omitzero"`
	Personal     Personal     `json:"personal,omitzero"`
}

// MethodActivated: a pending method can be used.
type MethodActivated struct {
	MethodID MethodID `json:"payment_method_id"`
}

// MethodFailed: a pending method will never be usable.
type MethodFailed struct {
	MethodID MethodID `json:"payment_method_id"`
	Reason   string   `json:"reason"`
}

// MethodBlocked: the gateway or the bank closed the instrument.
type MethodBlocked struct {
	MethodID MethodID `json:"payment_method_id"`
	Reason   string   `json:"reason"`
}

// MandateUpdated: a direct-debit mandate changed.
type MandateUpdated struct {
	MethodID MethodID `json:"payment_method_id"`
	Mandate  Mandate  `json:"mandate"`
}

// MandateExpiring: a mandate lapses soon if it is not used.
type MandateExpiring struct {
	MethodID  MethodID  `json:"payment_method_id"`
	ExpiresAt time.Time `json:"expires_at"`
}

// GatewayDetached: the gateway has let go of a detached method, or was not asked to
// because Kept. Never published.
type GatewayDetached struct {
	MethodID MethodID `json:"payment_method_id"`
	Kept     string   `json:"kept,omitempty"` // why the gateway keeps the token
}

// GatewayDetachFailed: the gateway did not let go of a detached method, and is
// not asked any more.
type GatewayDetachFailed struct {
	MethodID MethodID `json:"payment_method_id"`
	Reason   string   `json:"reason"`
}

// The names in the log.
func (MethodSynced) StoredName() string        { return "payment_method.provider_synced" }
func (MethodActivated) StoredName() string     { return "payment_method.activated" }
func (MethodFailed) StoredName() string        { return "payment_method.failed" }
func (MethodBlocked) StoredName() string       { return "payment_method.blocked" }
func (MandateUpdated) StoredName() string      { return "mandate.updated" }
func (MandateExpiring) StoredName() string     { return "mandate.expiring" }
func (GatewayDetached) StoredName() string     { return "payment_method.gateway_detached" }
func (GatewayDetachFailed) StoredName() string { return "payment_method.gateway_detach_failed" }

func (MethodSynced) event()        {}
func (MethodActivated) event()     {}
func (MethodFailed) event()        {}
func (MethodBlocked) event()       {}
func (MandateUpdated) event()      {}
func (MandateExpiring) event()     {}
func (GatewayDetached) event()     {}
func (GatewayDetachFailed) event() {}

// SyncMethod brings a pending method the facts behind its token.
type SyncMethod struct {
	MethodID MethodID
	// The token that was looked up: facts of one that is not the method's any
	// more are dropped.
	Provider   string
	ProviderID string
	Facts      Facts
	Personal   Personal // holder and e-mail only
	News       *Replacement
	// Approval: the customer has to approve first, by way of this setup intent.
	Approval *Approval
	Policy   Policy
}

// FailMethod gives a pending method up, and with it the approval it waits for.
type FailMethod struct {
	MethodID MethodID
	Reason   string
}

// ReportTokenGone says that the gateway has let go of a method by itself.
type ReportTokenGone struct{ MethodID MethodID }

// UpdateMandate records what the gateway says of a mandate.
type UpdateMandate struct {
	MethodID MethodID
	Mandate  Mandate
}

// RecordGatewayDetach says how detaching at the gateway ended. Failure "" is success,
// and Kept then why the gateway was not asked.
type RecordGatewayDetach struct {
	MethodID      MethodID
	Kept, Failure string
}

// CommandName is the command's name in records and logs.
func (SyncMethod) CommandName() string          { return "sync_method" }
func (FailMethod) CommandName() string          { return "fail_method" }
func (ReportTokenGone) CommandName() string     { return "report_token_gone" }
func (UpdateMandate) CommandName() string       { return "update_mandate" }
func (RecordGatewayDetach) CommandName() string { return "record_gateway_detach" }

// sync: facts that come late, twice or of an earlier token change nothing, nor do
// they pass by an approval. Facts of another type fail the method. It refuses with
// conflict for an approval whose setup intent is there already.
func (c *Customer) sync(cmd SyncMethod, now time.Time) ([]Event, error) {
	m := c.Methods[cmd.MethodID]
	switch {
	case m == nil || m.Status != StatusPending || m.SetupIntent != "":
		return nil, nil
	case cmd.Provider != m.Provider || cmd.ProviderID != m.ProviderID:
		return nil, nil
	case cmd.Facts.Type != m.Type:
		return []Event{MethodFailed{MethodID: m.ID, Reason: "the token stands for a " + string(cmd.Facts.Type)}}, nil
	case cmd.Approval == nil:
		return c.synced(m, cmd, now), nil
	case c.SetupIntents[cmd.Approval.SetupIntentID] != nil:
		return nil, Refuse(CodeConflict, "there already is a setup intent %s", cmd.Approval.SetupIntentID)
	}
	waiting := MethodAttached{MethodID: m.ID, Facts: cmd.Facts, Provider: m.Provider, ProviderID: m.ProviderID}
	return c.approvalAsked(cmd.Approval, waiting, now), nil
}

// synced is what follows when a pending method becomes known: its facts, a note
// if the customer has the same instrument already (it is kept: the caller has its
// id), its activation, and what its expiry calls for.
func (c *Customer) synced(m *Method, cmd SyncMethod, now time.Time) []Event {
	facts, policy := cmd.Facts, cmd.Policy
	facts.Mandate = acceptedMandate(facts.Mandate, m.Mandate, now)
	synced := MethodSynced{
		MethodID: m.ID, Facts: facts, Verification: verificationAtAttach(facts),
		ExpiresAt: expiryOfFacts(facts, policy.Location),
		Personal:  Personal{Holder: cmd.Personal.Holder, Email: cmd.Personal.Email},
	}
	events := append([]Event{synced}, c.noteDuplicate(m.ID, facts.Fingerprint, m.Provider, m.ProviderID, DuplicateAllow)...)
	events = append(events, MethodActivated{MethodID: m.ID})
	if m.StatusBefore == StatusPaused {
		events = append(events, MethodPaused{MethodID: m.ID})
	}
	return append(events, m.after(now, m.ID, events).settled(cmd.News, policy, now)...)
}

func (c *Customer) fail(cmd FailMethod) ([]Event, error) {
	m := c.Methods[cmd.MethodID]
	if m == nil || m.Status != StatusPending {
		return nil, nil
	}
	return append([]Event{MethodFailed{MethodID: m.ID, Reason: cmd.Reason}}, c.approvalEnded(m)...), nil
}

// goneAtProvider is why a method in use is blocked, or a pending one fails, that
// the provider has let go of.
const goneAtProvider = "detached_at_provider"

// reportTokenGone: the provider's word is a fact. A method that nothing uses is
// detached, as detach does. One in use stays where it is used, and cannot be used
// any more; where that is so already, nothing changes.
func (c *Customer) reportTokenGone(cmd ReportTokenGone) ([]Event, error) {
	m := c.Methods[cmd.MethodID]
	switch {
	case m == nil || len(m.InUseBy) == 0:
		return c.detach(DetachMethod{MethodID: cmd.MethodID})
	case m.Status == StatusPending:
		return c.fail(FailMethod{MethodID: m.ID, Reason: goneAtProvider})
	case m.Status == StatusActive || m.Status == StatusPaused:
		return []Event{MethodBlocked{MethodID: m.ID, Reason: goneAtProvider}}, nil
	default:
		return nil, nil
	}
}

// sepaMandateMonths is how long a SEPA mandate lives unused (EPC rulebook: 36 months).
const sepaMandateMonths = 36

// mandateInactive is the status of a mandate that is over: it lapses no more.
const mandateInactive = "inactive"

// acceptedMandate completes a mandate that the gateway reports without dates:
// with those known of it already, else with now.
func acceptedMandate(m, known *Mandate, now time.Time) *Mandate {
	if m == nil {
		return nil
	}
	complete := *m
	if known != nil && known.Reference == m.Reference && m.AcceptedAt.IsZero() {
		complete.AcceptedAt = known.AcceptedAt
		if m.ExpiresAt.IsZero() {
			complete.ExpiresAt = known.ExpiresAt
		}
	}
	if complete.AcceptedAt.IsZero() {
		complete.AcceptedAt = now
	}
	if complete.ExpiresAt.IsZero() && complete.Scheme == "sepa" {
		complete.ExpiresAt = complete.AcceptedAt.AddDate(0, sepaMandateMonths, 0)
	}
	return &complete
}

func (c *Customer) updateMandate(cmd UpdateMandate, now time.Time) ([]Event, error) {
	m := c.Methods[cmd.MethodID]
	if m == nil || !m.Attached() {
		return nil, nil
	}
	mandate := *acceptedMandate(&cmd.Mandate, m.Mandate, now)
	if m.Mandate != nil && m.Mandate.equal(mandate) {
		return nil, nil
	}
	return []Event{MandateUpdated{MethodID: m.ID, Mandate: mandate}}, nil
}

func (m Mandate) equal(n Mandate) bool {
	return m.Reference == n.Reference && m.Scheme == n.Scheme && m.Status == n.Status &&
		m.AcceptedAt.Equal(n.AcceptedAt) && m.ExpiresAt.Equal(n.ExpiresAt)
}

// recordGatewayDetach: the first word counts.
func (c *Customer) recordGatewayDetach(cmd RecordGatewayDetach) ([]Event, error) {
	m := c.Methods[cmd.MethodID]
	if m == nil || m.Attached() || m.GatewayDetach != "" {
		return nil, nil
	}
	if cmd.Failure != "" {
		return []Event{GatewayDetachFailed{MethodID: m.ID, Reason: cmd.Failure}}, nil
	}
	return []Event{GatewayDetached{MethodID: m.ID, Kept: cmd.Kept}}, nil
}

// evolveSync folds an event about the gateway's word into the method. It tells
// whether e was one.
func (m *Method) evolveSync(e Event, at time.Time) bool {
	switch e := e.(type) {
	case MethodSynced:
		m.Facts, m.FactsFrom, m.Verification, m.Replacement = e.Facts, "gateway", e.Verification.since(at), nil
		m.Personal.Holder, m.Personal.Email = e.Personal.Holder, e.Personal.Email
		m.ExpiresAt = e.ExpiresAt
	case MethodActivated:
		m.Status, m.StatusReason, m.NextAction, m.SetupIntent = StatusActive, "", nil, ""
	case MethodFailed:
		m.Status, m.StatusReason, m.NextAction, m.SetupIntent = StatusFailed, e.Reason, nil, ""
	case MethodBlocked:
		m.StatusBefore, m.Status, m.StatusReason = m.Status, StatusBlocked, e.Reason
	case MandateUpdated:
		m.setMandate(&e.Mandate)
	case MandateExpiring:
		m.MandateNoticed = true
	case GatewayDetached:
		m.GatewayDetach = "done"
	case GatewayDetachFailed:
		m.GatewayDetach = "failed"
	default:
		return false
	}
	return true
}

// setMandate: with another end of the mandate its notice starts afresh.
func (m *Method) setMandate(mandate *Mandate) {
	if m.Mandate == nil || mandate == nil || !m.Mandate.ExpiresAt.Equal(mandate.ExpiresAt) {
		m.MandateNoticed = false
	}
	m.Mandate = mandate
}
