package projections_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

// replica is what another process has of its own: a ledger on the same store, views
// of it, and a clock that is some seconds off.
type replica struct {
	ledger *eventstore.Ledger
	views  *running
	now    func() time.Time
}

func newReplica(l *ledger, n int) replica {
	now := func() time.Time { return l.now.Add(time.Duration(n) * time.Second) }
	return replica{
		ledger: eventstore.NewLedger(l.store, eventstore.LedgerOptions{Now: now, NewID: uuid.New, Shared: true}),
		views:  start(l.t, l.store, options(fmt.Sprint("replica-", n))),
		now:    now,
	}
}

// TestWorkersOfSeveralProcessesDoEachChoreOnce lets three do all of them at once.
func TestWorkersOfSeveralProcessesDoEachChoreOnce(t *testing.T) {
	for range 5 {
		o := newOffice(t)
		var workers []*projections.Worker
		var replicas []replica
		for n := range 3 {
			r := newReplica(o.ledger, n+1)
			at := o.options()
			at.Views, at.Ledger = r.views.Views, r.ledger
			at.Policy = func(context.Context, string) (domain.Policy, time.Time, error) { return policy(), r.now(), nil }
			workers, replicas = append(workers, projections.NewWorker(at)), append(replicas, r)
		}
		c := o.chores()
		for _, r := range replicas {
			r.views.caughtUp(o.store)
		}
		var working sync.WaitGroup
		for i, w := range workers {
			working.Go(func() {
				for now := o.real; !now.IsZero(); {
					did, next, err := w.Step(t.Context(), now)
					if err != nil {
						t.Error(err)
						return
					}
					if did {
						replicas[i].views.caughtUp(o.store)
					}
					now = next
				}
			})
		}
		working.Wait()
		o.v.caughtUp(o.store)
		o.done(c)
		if _, err := eventstore.Verify(t.Context(), o.store, nil); err != nil {
			t.Errorf("the history is not in order: %v", err)
		}
	}
}

// TestClocksOfSeveralProcessesSayEachThingOnce is about a month's end.
func TestClocksOfSeveralProcessesSayEachThingOnce(t *testing.T) {
	const methods = 200
	w := newTower(t)
	for i := range methods {
		w.execute(stream(fmt.Sprintf("cus_%d", i)), w.card())
	}
	var clocks []*projections.ExpiryClock
	for n := range 3 {
		r := newReplica(w.ledger, n+1)
		clocks = append(clocks, projections.NewExpiryClock(projections.ClockOptions{
			Views: r.views.Views, Ledger: r.ledger, Policy: projections.LedgerPolicy(r.ledger, r.now, 1000), Logger: quiet(), Now: r.now,
		}))
		r.views.caughtUp(w.store)
	}
	w.now = day(2035, 1, 1)
	var running sync.WaitGroup
	for _, c := range clocks {
		running.Go(func() {
			for now := w.now.Add(time.Minute); !now.IsZero(); {
				_, next, err := c.Step(t.Context(), now)
				if err != nil {
					t.Error(err)
					return
				}
				now = next
			}
		})
	}
	running.Wait()
	expired := map[domain.MethodID]int{}
	log, _, err := w.replay()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range log {
		if e, ok := s.event.(domain.MethodExpired); ok {
			expired[e.MethodID]++
		}
	}
	for id, n := range expired {
		if n != 1 {
			t.Errorf("%s expired %d times", id, n)
		}
	}
	if len(expired) != methods {
		t.Errorf("%d of %d methods expired", len(expired), methods)
	}
	if _, err := eventstore.Verify(t.Context(), w.store, nil); err != nil {
		t.Errorf("the history is not in order: %v", err)
	}
}
