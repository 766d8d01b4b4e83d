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

// expiryOf tells what must be said at once of a method that is attached late in
// its life: one notice for the narrowest window it is in, or that it is over.
func expiryOf(e MethodAttached, windows []int, now time.Time) []Event {
	if e.ExpiresAt.IsZero() {
		return nil
	}
	if !now.Before(e.ExpiresAt) {
		return []Event{MethodExpired{MethodID: e.MethodID, ExpiresAt: e.ExpiresAt}}
	}
	entered := WindowsEntered(e.ExpiresAt, now, windows, nil)
	if len(entered) == 0 {
		return nil
	}
	return []Event{MethodExpiring{MethodID: e.MethodID, ExpiresAt: e.ExpiresAt, Window: entered[0], Served: entered}}
}
