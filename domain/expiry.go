package domain

import (
	"slices"
	"time"
)

// CardExpiry is the first instant at which a card is expired: the start of the
// month after its expiry month (1..12), in the given zone, as a UTC time.
//
// time.Date would do but for zones that change their clocks around that midnight:
// of an hour that is skipped or happens twice it promises no particular instant.
// So every quarter of an hour is looked at from a day before: zones are whole
// quarters from UTC and change on them. (Time.ZoneBounds would tell the changes,
// but on the last day of leap years after 2037 it tells the wrong ones.)
func CardExpiry(year, month int, zone *time.Location) time.Time {
	midnight := time.Date(year, time.Month(month)+1, 1, 0, 0, 0, 0, time.UTC)
	if zone == time.UTC {
		return midnight
	}
	_, offset := midnight.In(zone).Zone()
	// From a quarter that surely is in the old month; its own offset may be another.
	at := midnight.Add(-time.Duration(offset)*time.Second - 25*time.Hour)
	for {
		if _, offset = at.In(zone).Zone(); !at.Add(time.Duration(offset) * time.Second).Before(midnight) {
			return at
		}
		at = at.Add(15 * time.Minute)
	}
}

// expiryOfFacts is when an instrument expires, or zero when it does not: before
// LastClock, or never.
func expiryOfFacts(f Facts, zone *time.Location) time.Time {
	if f.Card == nil || f.Card.ExpYear < 1 || f.Card.ExpYear >= LastClock.Year() || f.Card.ExpMonth < 1 || f.Card.ExpMonth > 12 {
		return time.Time{}
	}
	return CardExpiry(f.Card.ExpYear, f.Card.ExpMonth, zone)
}

// WindowsEntered returns the windows (days before expiry) that have begun at now
// and are not served yet, the narrowest first. It returns none once the expiry
// has passed: then the notice is that it did.
func WindowsEntered(expiresAt, now time.Time, windows, served []int) []int {
	if expiresAt.IsZero() || !now.Before(expiresAt) {
		return nil
	}
	var entered []int
	for _, days := range windows {
		if !now.Before(WindowStart(expiresAt, days)) && !slices.Contains(served, days) {
			entered = append(entered, days)
		}
	}
	slices.Sort(entered)
	return slices.Compact(entered)
}

// WindowStart is the instant at which a notice of that many days is due: whole
// days of 24 hours before the expiry.
func WindowStart(expiresAt time.Time, days int) time.Time {
	return expiresAt.Add(-time.Duration(days) * 24 * time.Hour)
}

// MarkExpiry says what the clock has to say of a method now, if anything.
type MarkExpiry struct {
	MethodID MethodID
	Policy   Policy
}

// CommandName is the command's name in records and logs.
func (MarkExpiry) CommandName() string { return "mark_expiry" }

// mandateWindow is how many days before a mandate lapses its notice is due.
const mandateWindow = 30

// markExpiry is late rather than never, and never twice: what was said of the
// present expiry is part of the state.
func (c *Customer) markExpiry(cmd MarkExpiry, now time.Time) ([]Event, error) {
	m := c.Methods[cmd.MethodID]
	if m == nil {
		return nil, nil
	}
	return m.due(cmd.Policy, now), nil
}

// due is what has to be said of the method at now: one notice for the narrowest
// window its expiry is in, or that the expiry has passed, and then that the
// replacement which waited for this takes the card's place; and that its mandate
// lapses soon. Only active and paused methods are spoken of.
func (m *Method) due(policy Policy, now time.Time) []Event {
	if m.Status != StatusActive && m.Status != StatusPaused {
		return nil
	}
	events := mandateNotice(m, now)
	entered := WindowsEntered(m.ExpiresAt, now, policy.ExpiryWindowsDays, m.WindowsServed)
	switch {
	case !m.ExpiresAt.IsZero() && !now.Before(m.ExpiresAt):
		events = append(events, MethodExpired{MethodID: m.ID, ExpiresAt: m.ExpiresAt})
		if m.Replacement != nil {
			expired := m.after(now, m.ID, events)
			events = append(events, expired.replaced(*m.Replacement, CauseCardExpired, policy, now)...)
		}
	case len(entered) > 0 && narrower(entered[0], m.WindowsServed):
		events = append(events, MethodExpiring{MethodID: m.ID, ExpiresAt: m.ExpiresAt, Window: entered[0], Served: entered})
	}
	return events
}

// narrower: a wider window that is added to the settings after a narrower one was
// served has nothing left to say.
func narrower(days int, served []int) bool {
	return len(served) == 0 || days < slices.Min(served)
}

// mandateDue is when the notice of the method's mandate is due, if one still is.
func (m *Method) mandateDue() (time.Time, bool) {
	if m.Mandate == nil || m.Mandate.ExpiresAt.IsZero() || m.MandateNoticed || m.Mandate.Status == mandateInactive {
		return time.Time{}, false
	}
	return WindowStart(m.Mandate.ExpiresAt, mandateWindow), true
}

func mandateNotice(m *Method, now time.Time) []Event {
	if at, ok := m.mandateDue(); !ok || now.Before(at) {
		return nil
	}
	return []Event{MandateExpiring{MethodID: m.ID, ExpiresAt: m.Mandate.ExpiresAt}}
}

// ExpiryDue is the next instant at which MarkExpiry has something to say of the
// method, and false when it never will as things stand.
func (m *Method) ExpiryDue(windows []int) (time.Time, bool) {
	if m.Status != StatusActive && m.Status != StatusPaused {
		return time.Time{}, false
	}
	var due time.Time
	if !m.ExpiresAt.IsZero() {
		due = m.ExpiresAt
		for _, days := range windows {
			if start := WindowStart(m.ExpiresAt, days); narrower(days, m.WindowsServed) && start.Before(due) {
				due = start
			}
		}
	}
	if at, ok := m.mandateDue(); ok && (due.IsZero() || at.Before(due)) {
		due = at
	}
	return due, !due.IsZero()
}
