package projections_test

import (
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/projections"
)

func TestTheBacklogSaysWhatIsDueAtAGatewayAndWhatFails(t *testing.T) {
	o := newOffice(t)
	o.chores()
	o.v.caughtUp(o.store)
	away := true
	options := o.options()
	options.Gateways = map[string]gateway.Gateway{"sandbox": absent{o.gateway, &away}}
	w := projections.NewWorker(options)
	if len(w.Backlog()) != 0 {
		t.Errorf("before the list was read: %v", w.Backlog())
	}
	steps := func() {
		for range 3 * choreCount {
			_, next, _ := w.Step(t.Context(), o.real)
			if next.IsZero() || next.Sub(o.real) > time.Hour || away && w.Backlog()["sandbox"].Failing == choreCount {
				return
			}
			o.real = next
		}
	}
	steps()
	if got, want := w.Backlog()["sandbox"], (projections.Backlog{Items: choreCount, Failing: choreCount}); got != want {
		t.Errorf("while the gateway is away: %+v, want %+v", got, want)
	}
	away = false
	steps()
	if got, there := w.Backlog()["sandbox"]; !there || got != (projections.Backlog{}) {
		t.Errorf("when all is done: %+v, %v", got, there)
	}
}

func TestTheClockSaysHowLongSomethingIsDue(t *testing.T) {
	w := newTower(t)
	w.expires("acme", 2026, 5)
	broken := w.card()
	broken.Facts.Card.ExpYear, broken.Facts.Card.ExpMonth = 2026, 5
	w.execute(stream("cus_2"), broken)
	away := &troubled{Store: w.store, down: true, broken: stream("cus_2")}
	options := w.options()
	options.Ledger = eventstore.NewLedger(away, eventstore.LedgerOptions{Now: w.time, NewID: w.id})
	w.c = projections.NewExpiryClock(options)
	w.v.caughtUp(w.store)
	says := func(at string, since time.Time, failing int, done uint64) {
		t.Helper()
		if got := w.c.Status(); !got.DueSince.Equal(since) || got.Failing != failing || got.Done != done {
			t.Errorf("%s: %+v, want since %v, %d failing, %d done", at, got, since, failing, done)
		}
	}
	began := day(2026, 6, 10)
	w.now = began
	for range 3 {
		if _, _, err := w.c.Step(t.Context(), w.now); err == nil {
			t.Fatal("the store is away")
		}
		w.now = w.now.Add(time.Minute)
	}
	says("while the store is away", began, 0, 0)
	away.down = false
	w.at(w.now)
	says("while one customer's stream cannot be read", began, 1, 1)
	away.broken = ""
	w.at(w.now.Add(10 * time.Minute))
	says("when all is done", time.Time{}, 0, 2)
}
