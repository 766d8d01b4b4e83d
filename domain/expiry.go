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
func CardExpiry(year, month int, zone *time.Location) time.Time {
	midnight := time.Date(year, time.Month(month)+1, 1, 0, 0, 0, 0, time.UTC)
	// No zone is more than a day from UTC, so the search begins before it.
	for at := midnight.Add(-36 * time.Hour).In(zone); ; {
		_, offset := at.Zone()
		_, change := at.ZoneBounds()
		first := midnight.Add(-time.Duration(offset) * time.Second)
		if first.Before(at) {
			first = at
		}
		if change.IsZero() || first.Before(change) {
			return first.UTC()
		}
		at = change
	}
}

// expiryOfFacts is when an instrument expires, or zero when it does not.
func expiryOfFacts(f Facts, zone *time.Location) time.Time {
	if f.Card == nil || f.Card.ExpYear < 1 || f.Card.ExpMonth < 1 || f.Card.ExpMonth > 12 {
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

// noticesOf tells what must be said at once of an expiry that is new: one notice
// for the narrowest window it is in, or that it is over.
func noticesOf(id MethodID, expiresAt time.Time, windows []int, now time.Time) []Event {
	if expiresAt.IsZero() {
		return nil
	}
	if !now.Before(expiresAt) {
		return []Event{MethodExpired{MethodID: id, ExpiresAt: expiresAt}}
	}
	entered := WindowsEntered(expiresAt, now, windows, nil)
	if len(entered) == 0 {
		return nil
	}
	return []Event{MethodExpiring{MethodID: id, ExpiresAt: expiresAt, Window: entered[0], Served: entered}}
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
	if m == nil || m.Status != StatusActive && m.Status != StatusPaused {
		return nil, nil
	}
	var events []Event
	entered := WindowsEntered(m.ExpiresAt, now, cmd.Policy.ExpiryWindowsDays, m.WindowsServed)
	switch {
	case !m.ExpiresAt.IsZero() && !now.Before(m.ExpiresAt):
		events = append(events, MethodExpired{MethodID: m.ID, ExpiresAt: m.ExpiresAt})
		if m.Replacement != nil {
			events = append(events, replaced(m, *m.Replacement, CauseCardExpired, cmd.Policy, now)...)
		}
	case len(entered) > 0 && narrower(entered[0], m.WindowsServed):
		events = append(events, MethodExpiring{MethodID: m.ID, ExpiresAt: m.ExpiresAt, Window: entered[0], Served: entered})
	}
	return append(events, mandateNotice(m, now)...), nil
}

// narrower: a wider window that is added to the settings after a narrower one was
// served has nothing left to say.
func narrower(days int, served []int) bool {
	return len(served) == 0 || days < slices.Min(served)
}

func mandateNotice(m *Method, now time.Time) []Event {
	if m.Mandate == nil || m.Mandate.ExpiresAt.IsZero() || m.MandateNoticed {
		return nil
	}
	if now.Before(WindowStart(m.Mandate.ExpiresAt, mandateWindow)) {
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
	if m.Mandate != nil && !m.Mandate.ExpiresAt.IsZero() && !m.MandateNoticed {
		if start := WindowStart(m.Mandate.ExpiresAt, mandateWindow); due.IsZero() || start.Before(due) {
			due = start
		}
	}
	return due, !due.IsZero()
}
