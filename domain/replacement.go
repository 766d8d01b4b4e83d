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
	ExpiresAt   time.Time        `json:"expires_at"`
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

func (c *Customer) reportReplacement(cmd ReportReplacement, now time.Time) ([]Event, error) {
	m, err := c.attached(cmd.MethodID)
	if err != nil {
		return nil, err
	}
	if m.Card == nil || m.Status == StatusFailed {
		return nil, Refuse(CodeMethodNotActive, "payment method %s has no card that could be replaced", m.ID)
	}
	r := cmd.Replacement
	r.AvailableAt = now
	switch {
	case sameCard(*m.Card, r.Card) && !r.changesToken(m):
		return nil, nil
	case m.Status == StatusExpired:
		return append([]Event{ReplacementAvailable{MethodID: m.ID, Replacement: r}}, replaced(m, r, CauseCardExpired, cmd.Policy, now)...), nil
	case onlyExpiryChanged(*m.Card, r.Card) && !r.changesToken(m):
		return replaced(m, r, CauseExpiryChanged, cmd.Policy, now), nil
	case m.Replacement != nil && sameCard(m.Replacement.Card, r.Card) && m.Replacement.ProviderID == r.ProviderID:
		return nil, nil
	default:
		return []Event{ReplacementAvailable{MethodID: m.ID, Replacement: r}}, nil
	}
}

func (r Replacement) changesToken(m *Method) bool {
	return r.ProviderID != "" && r.ProviderID != m.ProviderID
}

func onlyExpiryChanged(before, after Card) bool {
	after.ExpMonth, after.ExpYear = before.ExpMonth, before.ExpYear
	return sameCard(before, after)
}

func sameCard(a, b Card) bool {
	return a.Brand == b.Brand && a.Last4 == b.Last4 && a.ExpMonth == b.ExpMonth && a.ExpYear == b.ExpYear &&
		a.Country == b.Country && a.Funding == b.Funding && slices.Equal(a.AdditionalBrands, b.AdditionalBrands)
}

// replaced is what follows when a replacement is applied: the new details, and
// what their expiry calls for.
func replaced(m *Method, r Replacement, cause ReplacementCause, policy Policy, now time.Time) []Event {
	expiresAt := CardExpiry(r.Card.ExpYear, r.Card.ExpMonth, policy.Location)
	events := []Event{MethodReplacedByUpdater{MethodID: m.ID, Replacement: r, ExpiresAt: expiresAt, Cause: cause}}
	return append(events, noticesOf(m.ID, expiresAt, policy.ExpiryWindowsDays, now)...)
}

// newsOf: what the account updater already has for an instrument waits like any
// other news.
func newsOf(id MethodID, news *Replacement, now time.Time) []Event {
	if news == nil {
		return nil
	}
	r := *news
	r.AvailableAt = now
	return []Event{ReplacementAvailable{MethodID: id, Replacement: r}}
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
		events = append(events, replaced(m, *m.Replacement, CauseCardDeclined, cmd.Policy, now)...)
	case slices.Contains(declinesThatBlock, cmd.Code) && (m.Status == StatusActive || m.Status == StatusPaused):
		events = append(events, MethodBlocked{MethodID: m.ID, Reason: cmd.Code})
	}
	return events, nil
}

// replaceInstrument refuses with payment_method.not_found, .detached, .duplicate
// and validation.failed (another type).
func (c *Customer) replaceInstrument(cmd ReplaceInstrument, now time.Time) ([]Event, error) {
	m, err := c.attached(cmd.MethodID)
	if err != nil {
		return nil, err
	}
	if cmd.Facts.Type != m.Type {
		return nil, invalid("body.token", "the token stands for a "+string(cmd.Facts.Type)+", the payment method is a "+string(m.Type))
	}
	if existing := c.duplicateOf(cmd.Facts.Fingerprint); existing != nil && existing.ID != m.ID && cmd.Policy.DuplicatePolicy != DuplicateAllow {
		refusal := Refuse(CodeMethodDuplicate, "the customer already has this instrument as %s", existing.ID)
		refusal.Method = existing.ID
		return nil, refusal
	}
	cmd.Facts.Mandate = acceptedMandate(cmd.Facts.Mandate, now)
	e := MethodReplaced{
		MethodID: m.ID, Provider: cmd.Provider, ProviderID: cmd.ProviderID, Facts: cmd.Facts,
		Verification: verificationAtAttach(cmd.Facts), ExpiresAt: expiryOfFacts(cmd.Facts, cmd.Policy.Location),
		Personal: Personal{Holder: cmd.Personal.Holder, Email: cmd.Personal.Email},
	}
	return append([]Event{e}, noticesOf(m.ID, e.ExpiresAt, cmd.Policy.ExpiryWindowsDays, now)...), nil
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
		return nil, invalid("body.with", "must name another attached payment method of this customer")
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
	return append(events, MethodDetached{MethodID: m.ID}), nil
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
		m.rearm(e.ExpiresAt)
	case MethodReplaced:
		m.Provider, m.ProviderID, m.Facts, m.FactsFrom = e.Provider, e.ProviderID, e.Facts, "gateway"
		m.Personal.Holder, m.Personal.Email = e.Personal.Holder, e.Personal.Email
		m.Verification, m.Replacement, m.NextAction, m.LastReplacedAt = e.Verification, nil, nil, at
		if m.Verification.Status == Verified {
			m.Verification.VerifiedAt = at
		}
		if m.Status != StatusPaused && m.Status != StatusExpired {
			m.Status, m.StatusReason = StatusActive, ""
		}
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
	if m.Status == StatusExpired {
		m.Status, m.StatusBefore = m.StatusBefore, ""
	}
}
