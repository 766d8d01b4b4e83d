package projections_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/projections"
)

// tower is a ledger with views and a clock that a test drives. The time is that
// of the ledger, or of an organization's test clock.
type tower struct {
	*ledger
	v  *running
	mu sync.Mutex // of now, while commands of several organizations run
	c  *projections.ExpiryClock
}

func newTower(t *testing.T) *tower {
	l := newLedger(t)
	w := &tower{ledger: l, v: views(l)}
	w.restart()
	return w
}

func (w *tower) restart() { w.c = projections.NewExpiryClock(w.options()) }

func (w *tower) options() projections.ClockOptions {
	return projections.ClockOptions{
		Views: w.v.Views, Ledger: w.Ledger, Policy: projections.LedgerPolicy(w.Ledger, w.time, 1000),
		Logger: quiet(), Now: w.time,
	}
}

func (w *tower) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// at lets the clock do all that is due at a time, and returns when it asks to be
// woken.
func (w *tower) at(now time.Time) time.Time {
	w.t.Helper()
	w.now = now
	real := now // moved by the clock's pace
	for range 100_000 {
		w.v.caughtUp(w.store)
		did, next, err := w.c.Step(w.t.Context(), real)
		if err != nil {
			w.t.Fatal(err)
		}
		if !did && (next.IsZero() || next.After(real)) {
			return next
		}
		if did && next.Sub(real) < time.Second && next.After(real) {
			real = next
		}
	}
	w.t.Fatal("the clock does not come to an end")
	return time.Time{}
}

// said lists what the log says of expiries of a method, with its days.
func (w *tower) said(id domain.MethodID) []string {
	w.t.Helper()
	steps, _, err := w.replay()
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, s := range steps {
		switch e := s.event.(type) {
		case domain.MethodExpiring:
			if e.MethodID == id {
				all = append(all, fmt.Sprint(e.Window))
			}
		case domain.MethodExpired:
			if e.MethodID == id {
				all = append(all, "expired")
			}
		case domain.MandateExpiring:
			if e.MethodID == id {
				all = append(all, "mandate")
			}
		}
	}
	return all
}

func (w *tower) says(id domain.MethodID, want ...string) {
	w.t.Helper()
	if got := w.said(id); !slices.Equal(got, want) {
		w.t.Errorf("said %v, want %v", got, want)
	}
}

// expires attaches a card that expires with the given month.
func (w *tower) expires(organization string, year, month int) (string, domain.MethodID) {
	w.t.Helper()
	cmd := w.card()
	cmd.Facts.Card.ExpYear, cmd.Facts.Card.ExpMonth = year, month
	s := domain.CustomerStream(organization, "cus_1", cmd.MethodID)
	w.execute(s, cmd)
	return s, cmd.MethodID
}

func day(year, month, d int) time.Time {
	return time.Date(year, time.Month(month), d, 0, 0, 0, 0, time.UTC)
}

func TestTheClockSaysEachThingOnceAndInTime(t *testing.T) {
	w := newTower(t)
	s, kept := w.expires("acme", 2026, 6)
	_, detached := w.expires("acme", 2026, 6)
	_, paused := w.expires("acme", 2026, 6)
	pause := domain.StatusPaused
	w.execute(s, domain.UpdateMethod{MethodID: paused, Status: &pause})
	w.execute(s, domain.DetachMethod{MethodID: detached})
	expiry := day(2026, 7, 1)
	if next := w.at(epoch); !next.Equal(expiry.AddDate(0, 0, -30)) {
		t.Errorf("first asks to be woken at %v", next)
	}
	w.says(kept)
	for _, due := range []struct {
		days int
		said []string
	}{{30, []string{"30"}}, {7, []string{"30", "7"}}, {1, []string{"30", "7", "1"}}, {0, []string{"30", "7", "1", "expired"}}} {
		at := expiry.AddDate(0, 0, -due.days)
		w.at(at.Add(-time.Millisecond))
		w.says(kept, due.said[:len(due.said)-1]...)
		w.at(at)
		w.says(kept, due.said...)
		w.says(paused, due.said...)
		w.at(at.Add(-time.Hour)) // the machine's clock was set back
		w.restart()
		w.at(at)
		w.says(kept, due.said...)
	}
	w.says(detached)
	if next := w.at(expiry.AddDate(1, 0, 0)); !next.IsZero() {
		t.Errorf("nothing is left, and it asks to be woken at %v", next)
	}
}

func TestTheClockIsLateRatherThanSilent(t *testing.T) {
	w := newTower(t)
	_, early := w.expires("acme", 2026, 6)
	_, over := w.expires("acme", 2026, 5)
	w.at(day(2026, 6, 27)) // after a long sleep
	w.says(early, "7")
	w.says(over, "expired")
	w.restart()
	w.at(day(2026, 7, 2))
	w.says(early, "7", "expired")
}

func TestAChangedExpiryArmsTheClockAgain(t *testing.T) {
	w := newTower(t)
	s, id := w.expires("acme", 2026, 6)
	card := *method(t, w.ledger, "acme", "cus_1", id).Card
	report := func(year, month int) {
		card.ExpYear, card.ExpMonth = year, month
		w.execute(s, domain.ReportReplacement{MethodID: id, Replacement: domain.Replacement{Card: card}, Policy: policy()})
	}
	w.at(day(2026, 6, 1))
	report(2027, 6)
	w.at(day(2026, 6, 2))
	w.says(id, "30")
	report(2026, 8) // back, but not as far
	w.at(day(2026, 8, 3))
	w.says(id, "30", "30")
	report(2026, 9)
	w.at(day(2026, 8, 4))
	report(2026, 8) // the expiry of before: armed again
	w.at(day(2026, 8, 26))
	steps, _, err := w.replay()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range steps {
		if seen[s.record.ID.String()] {
			t.Errorf("two records have the id %s", s.record.ID)
		}
		seen[s.record.ID.String()] = true
	}
	if said := w.said(id); len(said) < 4 {
		t.Errorf("said %v", said)
	}
}

// The lapse of a mandate can move back to where it was; what the clock says of it
// then is another event.
func TestAMandateThatMovesToAndFroIsSpokenOfEachTime(t *testing.T) {
	w := newTower(t)
	debit := w.card()
	debit.Type, debit.Facts = domain.TypeDirectDebit, factsOf(domain.TypeDirectDebit)
	w.execute(stream("cus_1"), debit)
	for _, days := range []int{20, 25, 20} {
		w.execute(stream("cus_1"), domain.UpdateMandate{MethodID: debit.MethodID, Mandate: domain.Mandate{
			Reference: "MND-1", Scheme: "sepa", Status: "active", AcceptedAt: epoch, ExpiresAt: epoch.AddDate(0, 0, days),
		}})
		w.at(epoch)
	}
	w.says(debit.MethodID, "mandate", "mandate", "mandate")
	steps, _, err := w.replay()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range steps {
		if seen[s.record.ID.String()] {
			t.Errorf("two records have the id %s", s.record.ID)
		}
		seen[s.record.ID.String()] = true
	}
}

func TestEachOrganizationHasItsOwnTimeAndWindows(t *testing.T) {
	w := newTower(t)
	_, real := w.expires("acme", 2026, 6)
	_, test := w.expires("b", 2026, 6)
	b := domain.OrganizationStream("b")
	w.execute(b, key("k1"))
	w.at(epoch)
	w.execute(b, domain.SetTestClock{Now: day(2026, 6, 24)})
	w.at(epoch.Add(time.Second))
	w.says(test, "7")
	w.says(real)
	w.execute(b, domain.UpdateSettings{ExpiryWindowsDays: []int{60, 7, 6}})
	w.execute(b, domain.SetTestClock{Now: day(2026, 6, 25)})
	w.at(epoch.Add(time.Minute))
	w.says(test, "7", "6")
	w.at(day(2026, 6, 24)) // under a test clock time does not pass by itself
	w.says(test, "7", "6")
	w.says(real, "7")
	w.execute(domain.OrganizationStream("acme"), domain.UpdateSettings{ExpiryWindowsDays: []int{90, 7, 3}})
	w.at(day(2026, 6, 25))
	w.says(real, "7")
	w.at(day(2026, 6, 28))
	w.says(real, "7", "3")
	row, found := w.v.Organization("b")
	if !found || row.Mode != domain.ModeTest || !row.Clock.Equal(day(2026, 6, 25)) || !slices.Equal(row.Settings.ExpiryWindowsDays, []int{60, 7, 6}) {
		t.Errorf("the view: %v %+v", found, row)
	}
	if row, found := w.v.Organization("nobody"); found || row.Settings.TimeZone != "UTC" {
		t.Errorf("an unknown organization: %v %+v", found, row)
	}
}

func TestTimeEndsWhatNobodyCameBackTo(t *testing.T) {
	w := newTower(t)
	cmd := w.card()
	cmd.Type, cmd.Facts = domain.TypeBankAccount, factsOf(domain.TypeBankAccount)
	debit := w.card()
	debit.Type, debit.Facts = domain.TypeDirectDebit, factsOf(domain.TypeDirectDebit)
	w.execute(stream("cus_1"), cmd)
	w.execute(stream("cus_1"), debit)
	asked := w.execute(stream("cus_1"), domain.VerifyMethod{MethodID: cmd.MethodID})
	w.execute(stream("cus_1"), domain.RecordVerification{MethodID: cmd.MethodID, Asked: asked.Version, Kind: domain.EvidenceMicroDeposits, Named: domain.NamedAmounts, ArrivalDate: "2026-03-03"})
	open, canceled := domain.NewSetupIntentID(w.id()), domain.NewSetupIntentID(w.id())
	for _, id := range []domain.SetupIntentID{open, canceled} {
		w.execute(stream("cus_1"), domain.CreateSetupIntent{SetupIntentID: id, Usage: "off_session", Provider: "sandbox"})
	}
	w.execute(stream("cus_1"), domain.CancelSetupIntent{SetupIntentID: canceled, Reason: domain.CancelRequested})
	if next := w.at(epoch); !next.Equal(epoch.Add(domain.SetupIntentLifetime)) {
		t.Errorf("first asks to be woken at %v", next)
	}
	if next := w.at(epoch.Add(domain.SetupIntentLifetime)); !next.Equal(epoch.Add(domain.MicroDepositLifetime)) {
		t.Errorf("then asks to be woken at %v", next)
	}
	row, _, err := w.v.SetupIntent("acme", open)
	if err != nil || row.Intent.Status != domain.SetupCanceled || row.Intent.CancelReason != domain.CancelAbandoned {
		t.Errorf("the intent: %v %+v", err, row.Intent)
	}
	w.at(epoch.Add(domain.MicroDepositLifetime))
	if v := method(t, w.ledger, "acme", "cus_1", cmd.MethodID).Verification; v.Status != domain.VerificationFailed || v.LastError != "expired" {
		t.Errorf("the verification: %+v", v)
	}
	w.says(debit.MethodID)
	w.at(day(2029, 2, 1)) // 36 months after its acceptance, less 30 days
	w.says(debit.MethodID, "mandate")
	w.at(day(2029, 2, 2))
	w.says(debit.MethodID, "mandate")
}
