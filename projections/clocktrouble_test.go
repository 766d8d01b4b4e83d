package projections_test

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

// A method whose row comes after the clock has passed is not missed.
func TestWhatTheViewsShowLateIsFound(t *testing.T) {
	w := newTower(t)
	w.expires("acme", 2026, 5)
	w.at(epoch)
	w.at(day(2026, 6, 10))
	w.now = epoch // as decided, and only shown now
	late := w.card()
	late.Facts.Card.ExpYear, late.Facts.Card.ExpMonth = 2026, 6
	w.execute(stream("cus_2"), late)
	intent := domain.NewSetupIntentID(w.id())
	w.execute(stream("cus_3"), domain.CreateSetupIntent{SetupIntentID: intent, Usage: "off_session", Provider: "sandbox"})
	w.at(day(2026, 6, 10))
	w.says(late.MethodID, "30")
	if row, _, err := w.v.SetupIntent("acme", intent); err != nil || row.Intent.Status != domain.SetupCanceled {
		t.Errorf("the intent: %v %+v", err, row.Intent)
	}
}

// troubled is a store that is away, or cannot read one stream.
type troubled struct {
	eventstore.Store
	down   bool
	broken string
}

func (s *troubled) Stream(ctx context.Context, stream string, from uint64) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		switch {
		case s.down:
			yield(eventstore.Record{}, eventstore.ErrUnavailable)
		case stream == s.broken:
			yield(eventstore.Record{}, errCrash)
		default:
			s.Store.Stream(ctx, stream, from)(yield)
		}
	}
}

func TestWhatCannotBeDoneNowIsDoneLater(t *testing.T) {
	w := newTower(t)
	_, id := w.expires("acme", 2026, 5)
	broken := w.card()
	broken.Facts.Card.ExpYear, broken.Facts.Card.ExpMonth = 2026, 5
	w.execute(stream("cus_2"), broken)
	away := &troubled{Store: w.store, down: true, broken: stream("cus_2")}
	options := w.options()
	options.Ledger = eventstore.NewLedger(away, eventstore.LedgerOptions{Now: w.time, NewID: w.id})
	w.c = projections.NewExpiryClock(options)
	w.v.caughtUp(w.store)
	w.now = day(2026, 6, 10)
	for range 3 {
		if _, next, err := w.c.Step(t.Context(), w.now); err == nil || !next.After(w.now) {
			t.Fatalf("the store is away: next %v, %v", next, err)
		}
		w.now = w.now.Add(time.Minute)
	}
	away.down = false
	if next := w.at(w.now); next.IsZero() {
		t.Error("what failed is forgotten")
	}
	w.says(id, "expired")
	w.says(broken.MethodID)
	away.broken = ""
	w.at(w.now.Add(10 * time.Minute))
	w.says(broken.MethodID, "expired")
}

// A month in which very many methods expire is worked off completely, each
// method once, by clocks that do not know of each other.
func TestClocksDrainAMonthTogether(t *testing.T) {
	const methods = 3000
	w := newTower(t)
	for i := range methods {
		w.execute(stream(fmt.Sprintf("cus_%d", i)), w.card())
	}
	second := projections.NewExpiryClock(w.options())
	w.v.caughtUp(w.store)
	w.now = day(2035, 1, 1)
	begin := time.Now()
	var clocks sync.WaitGroup
	for _, c := range []*projections.ExpiryClock{w.c, second} {
		clocks.Go(func() {
			for now := w.time(); !now.IsZero(); {
				_, next, err := c.Step(t.Context(), now)
				if err != nil {
					t.Error(err)
					return
				}
				now = next
			}
		})
	}
	clocks.Wait()
	w.v.caughtUp(w.store)
	count := map[domain.MethodID]int{}
	log, _, err := w.replay()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range log {
		if e, ok := s.event.(domain.MethodExpired); ok {
			count[e.MethodID]++
		}
	}
	for id, n := range count {
		if n != 1 {
			t.Errorf("%s expired %d times", id, n)
		}
	}
	t.Logf("%d methods due at once, two clocks: %d said, 0 twice, %v without the rate's pauses", methods, len(count), time.Since(begin).Round(time.Millisecond))
	if len(count) != methods {
		t.Errorf("%d of %d methods expired", len(count), methods)
	}
}

func TestTheClockRunsByItself(t *testing.T) {
	w := newTower(t)
	_, id := w.expires("acme", 2026, 6)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	other := projections.NewExpiryClock(w.options())
	w.v.caughtUp(w.store)
	go func() { ended <- w.c.Run(ctx) }()
	go func() { ended <- other.Run(ctx) }()
	w.execute(domain.OrganizationStream("acme"), key("k1"))
	result := w.execute(domain.OrganizationStream("acme"), domain.SetTestClock{Now: day(2026, 6, 24)})
	if err := w.v.WaitMessages(bounded(t), result.Position); err != nil {
		t.Fatal(err)
	}
	w.says(id, "7")
	intent := domain.NewSetupIntentID(w.id())
	r := w.execute(stream("cus_9"), domain.CreateSetupIntent{SetupIntentID: intent, Usage: "off_session", Provider: "sandbox"})
	w.execute(domain.OrganizationStream("acme"), domain.SetTestClock{Now: day(2027, 1, 1)})
	for range 3 {
		if err := w.v.WaitMessages(bounded(t), r.Position); err != nil {
			t.Fatal(err)
		}
		r.Position = w.v.LastMessage()
		if row, _, _ := w.v.SetupIntent("acme", intent); row.Intent.Status == domain.SetupCanceled {
			break
		}
	}
	w.v.caughtUp(w.store)
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// A clock whose views lag ends the verification that the log holds, not the one that
// the views still list: that one's end has its id already.
func TestAClockBehindTheLogEndsALaterVerification(t *testing.T) {
	w := newTower(t)
	bank := w.card()
	bank.Type, bank.Facts = domain.TypeBankAccount, factsOf(domain.TypeBankAccount)
	w.execute(stream("cus_1"), bank)
	begin := func(reference string) {
		asked := w.execute(stream("cus_1"), domain.VerifyMethod{MethodID: bank.MethodID})
		w.execute(stream("cus_1"), domain.RecordVerification{
			MethodID: bank.MethodID, Asked: asked.Version, Kind: domain.EvidenceMicroDeposits, Named: domain.NamedAmounts, Reference: reference,
		})
	}
	begin("first")
	behind := open(t, w.store, options("behind"))
	t.Cleanup(func() { _ = behind.Close() })
	for did := true; did; {
		var err error
		if did, err = behind.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.at(epoch.Add(domain.MicroDepositLifetime))
	begin("second")
	w.now = w.now.Add(domain.MicroDepositLifetime)
	late := w.options()
	late.Views = behind
	if did, _, err := projections.NewExpiryClock(late).Step(t.Context(), w.now); !did || err != nil {
		t.Fatalf("did %v, %v", did, err)
	}
	if v := method(t, w.ledger, "acme", "cus_1", bank.MethodID).Verification; v.Status != domain.VerificationFailed || v.Reference != "second" {
		t.Errorf("%+v", v)
	}
	if _, err := eventstore.Verify(t.Context(), w.store, nil); err != nil {
		t.Error(err)
	}
}
