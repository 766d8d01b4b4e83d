package domain

import (
	"slices"
	"time"
)

// Replacement is news from the account updater that is not applied yet.
type Replacement struct {
	Card        Card      `json:"card"`
	ProviderID  string    `json:"provider_id,omitempty"` // "" when the token stays
	Fingerprint string    `json:"fingerprint,omitempty"`
	AvailableAt time.Time `json:"available_at,omitzero"`
}

// ReplacementAvailable: the account updater has new details. They are not applied yet.
type ReplacementAvailable struct {
	MethodID    MethodID    `json:"payment_method_id"`
	Replacement Replacement `json:"replacement"`
}

// ReplacementCause says why a replacement was applied.
type ReplacementCause string

// The causes of an applied replacement.
const (
	CauseCardExpired   ReplacementCause = "expired"
	CauseExpiryChanged ReplacementCause = "expiry_changed"
	CauseCardDeclined  ReplacementCause = "declined"
)

// MethodReplacedByUpdater: the account updater's details took the place of the
// stored ones.
type MethodReplacedByUpdater struct {
	MethodID    MethodID         `json:"payment_method_id"`
	Replacement Replacement      `json:"replacement"`
	ExpiresAt   time.Time        `json:"expires_at,omitzero"`
	Cause       ReplacementCause `json:"cause"`
}

// MethodReplaced: the caller put another instrument in the method's place. Id,
// default and uses stay.
type MethodReplaced struct {
	MethodID     MethodID     `json:"payment_method_id"`
	Provider     string       `json:"provider"`
	ProviderID   string       `json:"provider_id"`
	Facts        Facts        `json:"facts"`
	Verification Verification `json:"verification"`
	ExpiresAt    time.Time    `json:"expires_at,omitzero"`
	Personal     Personal     `json:"personal,omitzero"`
}

// MethodDeclined: somebody reported that a transaction was declined. Never published.
type MethodDeclined struct {
	MethodID MethodID `json:"payment_method_id"`
	Code     string   `json:"code"`
}

// The names in the log.
func (ReplacementAvailable) StoredName() string    { return "payment_method.replacement_available" }
func (MethodReplacedByUpdater) StoredName() string { return "payment_method.automatically_updated" }
func (MethodReplaced) StoredName() string          { return "payment_method.replaced" }
func (MethodDeclined) StoredName() string          { return "payment_method.declined" }

func (ReplacementAvailable) event()    {}
func (MethodReplacedByUpdater) event() {}
func (MethodReplaced) event()          {}
func (MethodDeclined) event()          {}

// ReportReplacement brings the account updater's news.
type ReportReplacement struct {
	MethodID    MethodID
	Replacement Replacement
	Policy      Policy
}

// ReportDecline says that a transaction with the method was declined.
type ReportDecline struct {
	MethodID MethodID
	Code     string
	Policy   Policy
}

// ReplaceInstrument puts another instrument of the same type in the method's place.
type ReplaceInstrument struct {
	MethodID   MethodID
	Provider   string
	ProviderID string
	Facts      Facts
	Personal   Personal // holder and e-mail only
	News       *Replacement
	Policy     Policy
}

// ReplaceWith moves uses and the default to another method of the customer and
// detaches this one, in one commit.
type ReplaceWith struct {
	MethodID MethodID
	With     MethodID
}

// CommandName is the command's name in records and logs.
func (ReportReplacement) CommandName() string { return "report_replacement" }
func (ReportDecline) CommandName() string     { return "report_decline" }
func (ReplaceInstrument) CommandName() string { return "replace_instrument" }
func (ReplaceWith) CommandName() string       { return "replace_with" }

// declinesThatReplace are the declines on which a waiting replacement is applied.
var declinesThatReplace = []string{
	"canceled_payment_method", "expired_payment_method", "unavailable_payment_method", "unknown_payment_method",
}

// declinesThatBlock are the declines after which an instrument is worthless.
var declinesThatBlock = []string{"account_closed", "lost_card", "pickup_card", "restricted_card", "stolen_card"}

// reportReplacement refuses with payment_method.not_found, .detached and
// .not_active (no card that could be replaced).
func (c *Customer) reportReplacement(cmd ReportReplacement, now time.Time) ([]Event, error) {
	m, err := c.attached(cmd.MethodID)
	if err != nil {
		return nil, err
	}
	if m.Card == nil || m.Status == StatusFailed {
		return nil, Refuse(CodeMethodNotActive, "payment method %s has no card that could be replaced", m.ID)
	}
	return m.hears(cmd.Replacement, cmd.Policy, now), nil
}

// hears is what follows from the account updater's news: nothing when it is old,
// the new details at once when the card has expired or only its expiry changed,
// and otherwise that they are there.
func (m *Method) hears(r Replacement, policy Policy, now time.Time) []Event {
	r.AvailableAt = now
	available := ReplacementAvailable{MethodID: m.ID, Replacement: r}
	switch {
	case m.Card == nil || sameCard(*m.Card, r.Card) && !r.changesToken(m):
		return nil
	case m.Status == StatusExpired:
		return append([]Event{available}, m.replaced(r, CauseCardExpired, policy, now)...)
	case onlyExpiryChanged(m, r):
		return m.replaced(r, CauseExpiryChanged, policy, now)
	case m.Replacement != nil && m.Replacement.same(r):
		return nil
	default:
		return []Event{available}
	}
}

func (r Replacement) changesToken(m *Method) bool {
	return r.ProviderID != "" && r.ProviderID != m.ProviderID
}

func (r Replacement) same(s Replacement) bool {
	return sameCard(r.Card, s.Card) && r.ProviderID == s.ProviderID && r.Fingerprint == s.Fingerprint
}

// onlyExpiryChanged: a fingerprint, where the gateway gives one, tells two numbers
// with the same last digits apart.
func onlyExpiryChanged(m *Method, r Replacement) bool {
	before, after := *m.Card, r.Card
	if before.ExpMonth == after.ExpMonth && before.ExpYear == after.ExpYear {
		return false
	}
	after.ExpMonth, after.ExpYear = before.ExpMonth, before.ExpYear
	return sameCard(before, after) && (r.Fingerprint == "" || r.Fingerprint == m.Fingerprint)
}

func sameCard(a, b Card) bool {
	return a.Brand == b.Brand && a.Last4 == b.Last4 && a.ExpMonth == b.ExpMonth && a.ExpYear == b.ExpYear &&
		a.Country == b.Country && a.Funding == b.Funding && slices.Equal(a.AdditionalBrands, b.AdditionalBrands)
}

// replaced is what follows when a replacement is applied: the new details, and
// what their expiry calls for.
func (m *Method) replaced(r Replacement, cause ReplacementCause, policy Policy, now time.Time) []Event {
	expiresAt := expiryOfFacts(Facts{Card: &r.Card}, policy.Location)
	events := []Event{MethodReplacedByUpdater{MethodID: m.ID, Replacement: r, ExpiresAt: expiresAt, Cause: cause}}
	return append(events, m.after(now, m.ID, events).due(policy, now)...)
}

// settled is what follows at once for a method whose instrument is new to the
// ledger: from what the account updater has for it already, and from its expiry.
func (m *Method) settled(news *Replacement, policy Policy, now time.Time) []Event {
	var events []Event
	if news != nil {
		events = m.hears(*news, policy, now)
	}
	return append(events, m.after(now, m.ID, events).due(policy, now)...)
}

// reportDecline refuses with payment_method.not_found and .detached.
func (c *Customer) reportDecline(cmd ReportDecline, now time.Time) ([]Event, error) {
	m, err := c.attached(cmd.MethodID)
	if err != nil {
		return nil, err
	}
	events := []Event{MethodDeclined{MethodID: m.ID, Code: cmd.Code}}
	switch {
	case m.Replacement != nil && slices.Contains(declinesThatReplace, cmd.Code):
		events = append(events, m.replaced(*m.Replacement, CauseCardDeclined, cmd.Policy, now)...)
	case slices.Contains(declinesThatBlock, cmd.Code) && (m.Status == StatusActive || m.Status == StatusPaused):
		events = append(events, MethodBlocked{MethodID: m.ID, Reason: cmd.Code})
	}
	return events, nil
}

// replaceInstrument refuses with payment_method.not_found, .detached and
// validation.failed (another type). The instrument that is there already changes
// nothing. One that another method has is an event that RefusalIn reads, unless
// duplicates are allowed. An approval that the method waited for is not needed any more.
func (c *Customer) replaceInstrument(cmd ReplaceInstrument, now time.Time) ([]Event, error) {
	m, err := c.attached(cmd.MethodID)
	if err != nil {
		return nil, err
	}
	if cmd.Facts.Type != m.Type {
		return nil, invalid("token", "the token stands for a "+string(cmd.Facts.Type)+", the payment method is a "+string(m.Type))
	}
	if m.has(cmd) {
		return nil, nil
	}
	policy := DuplicateReject // also under return_existing: the existing one is not what was asked for
	if cmd.Policy.DuplicatePolicy == DuplicateAllow {
		policy = DuplicateAllow
	}
	duplicates := c.noteDuplicate(m.ID, cmd.Facts.Fingerprint, cmd.Provider, cmd.ProviderID, policy)
	if len(duplicates) > 0 && policy == DuplicateReject {
		return duplicates, nil
	}
	cmd.Facts.Mandate = acceptedMandate(cmd.Facts.Mandate, m.Mandate, now)
	e := MethodReplaced{
		MethodID: m.ID, Provider: cmd.Provider, ProviderID: cmd.ProviderID, Facts: cmd.Facts,
		Verification: verificationAtAttach(cmd.Facts), ExpiresAt: expiryOfFacts(cmd.Facts, cmd.Policy.Location),
		Personal: Personal{Holder: cmd.Personal.Holder, Email: cmd.Personal.Email},
	}
	events := append(append([]Event{e}, duplicates...), c.approvalEnded(m)...)
	return append(events, m.after(now, m.ID, events).settled(cmd.News, cmd.Policy, now)...), nil
}

// has tells whether the method stands for that instrument, in working order.
func (m *Method) has(cmd ReplaceInstrument) bool {
	return m.Provider == cmd.Provider && m.ProviderID == cmd.ProviderID && m.Fingerprint == cmd.Facts.Fingerprint &&
		(m.Status == StatusActive || m.Status == StatusPaused) &&
		(m.Card == nil) == (cmd.Facts.Card == nil) && (m.Card == nil || sameCard(*m.Card, *cmd.Facts.Card))
}

// replaceWith refuses with payment_method.not_found, .detached, .not_active and
// validation.failed.
func (c *Customer) replaceWith(cmd ReplaceWith) ([]Event, error) {
	m, err := c.attached(cmd.MethodID)
	if err != nil {
		return nil, err
	}
	with, ok := c.Methods[cmd.With]
	if !ok || !with.Attached() || with.ID == m.ID {
		return nil, invalid("with", "must name another attached payment method of this customer")
	}
	if with.Status != StatusActive && with.Status != StatusPending {
		return nil, Refuse(CodeMethodNotActive, "payment method %s is %s and cannot take over", with.ID, with.Status)
	}
	var events []Event
	for _, s := range c.subscriptionsOn(m.ID) {
		events = append(events, s.changed(s.Status, with.ID))
	}
	if c.Default == m.ID {
		events = append(events, DefaultChanged{From: m.ID, To: with.ID, Cause: CauseReplaced})
	}
	return append(events, c.leaves(m)...), nil
}

// evolveReplacement folds an event about other details into the method. It tells
// whether e was one.
func (m *Method) evolveReplacement(e Event, at time.Time) bool {
	switch e := e.(type) {
	case ReplacementAvailable:
		r := e.Replacement
		r.AvailableAt = at
		m.Replacement = &r
	case MethodReplacedByUpdater:
		card := e.Replacement.Card
		m.Card, m.Replacement, m.LastReplacedAt = &card, nil, at
		if e.Replacement.ProviderID != "" {
			m.ProviderID = e.Replacement.ProviderID
		}
		if e.Replacement.Fingerprint != "" {
			m.Fingerprint = e.Replacement.Fingerprint
		}
		if e.Cause != CauseExpiryChanged {
			m.giveBack(StatusBlocked)
		}
		m.rearm(e.ExpiresAt)
	case MethodReplaced:
		m.setMandate(e.Facts.Mandate)
		m.Provider, m.ProviderID, m.Facts, m.FactsFrom = e.Provider, e.ProviderID, e.Facts, "gateway"
		m.Personal.Holder, m.Personal.Email = e.Personal.Holder, e.Personal.Email
		m.Verification, m.Replacement, m.NextAction, m.LastReplacedAt = e.Verification.since(at), nil, nil, at
		m.SetupIntent = ""
		m.giveBack(StatusPending, StatusFailed, StatusBlocked)
		m.rearm(e.ExpiresAt)
	default:
		return false
	}
	return true
}

// rearm: with another expiry the notices start afresh, and a method that had only
// expired gets its earlier status back.
func (m *Method) rearm(expiresAt time.Time) {
	if m.ExpiresAt.Equal(expiresAt) {
		return
	}
	m.ExpiresAt, m.Expiring, m.WindowsServed = expiresAt, false, nil
	m.giveBack(StatusExpired)
}

// giveBack ends one of the statuses: the method has again the one it had before,
// or was to have.
func (m *Method) giveBack(ended ...Status) {
	if !slices.Contains(ended, m.Status) {
		return
	}
	m.Status, m.StatusBefore, m.StatusReason = m.StatusBefore, "", ""
	if m.Status != StatusPaused {
		m.Status = StatusActive
	}
}
