package domain

import (
	"errors"
	"testing"
	"time"
)

func TestTheTestClockEndsBeforeTimesCannotBeWritten(t *testing.T) {
	o := &Organization{ID: "acme", Mode: ModeTest, Settings: DefaultSettings()}
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	if events, err := o.Decide(SetTestClock{Now: LastClock}, now); err != nil || len(events) != 1 {
		t.Fatal(events, err)
	}
	_, err := o.Decide(SetTestClock{Now: LastClock.Add(time.Millisecond)}, now)
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Code != CodeValidationFailed || refusal.Faults[0].Location != "now" {
		t.Fatal(err)
	}
}

func TestACardOfAYearBeyondTheLastClockDoesNotExpire(t *testing.T) {
	zone := time.FixedZone("west", -12*60*60)
	for year, never := range map[int]bool{2034: false, LastClock.Year() - 1: false, LastClock.Year(): true, 9999: true, 12000: true} {
		at := expiryOfFacts(Facts{Card: &Card{ExpYear: year, ExpMonth: 12}}, zone)
		if at.IsZero() != never || at.Year() > 9999 {
			t.Errorf("a card of %d expires at %s", year, at)
		}
	}
}
