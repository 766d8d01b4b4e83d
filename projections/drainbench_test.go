package projections_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
	"github.com/pmledger/pmledger/projections"
)

const (
	drained    = 4000 // methods due at once; the rate does not depend on it
	attachers  = 64
	turn       = 2 * time.Second // attaches with and without the clock take turns
	manyMonths = 200             // far enough for no notice
)

// BenchmarkClockDrain attaches cards on a real disk, alone and beside a clock that
// works off a month in which very many methods expire, in turns. attach-ratio is
// what is left of the throughput beside the clock.
func BenchmarkClockDrain(b *testing.B) {
	store, err := disk.Open(b.TempDir(), disk.Options{Logger: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	var clock atomic.Int64
	clock.Store(epoch.UnixMilli())
	now := func() time.Time { return time.UnixMilli(clock.Load()) }
	ledger := eventstore.NewLedger(store, eventstore.LedgerOptions{Now: now, NewID: uuid.New})
	v := start(b, store, onDisk(b))
	due := &attaches{ledger: ledger, expires: epoch.AddDate(0, 2, 0)}
	due.run(func(n int) bool { return n < drained })
	v.caughtUp(store)
	clock.Store(epoch.AddDate(1, 0, 0).UnixMilli())
	c := projections.NewExpiryClock(projections.ClockOptions{
		Views: v.Views, Ledger: ledger, Policy: projections.LedgerPolicy(ledger, now, 1000), Logger: quiet(),
	})
	real := func() time.Time { return now().Add(b.Elapsed()) }
	var alone, beside float64
	done := 0
	b.ResetTimer()
	for range b.N {
		for range 2 {
			alone += timed(b, ledger)
			ctx, cancel := context.WithCancel(b.Context())
			before := v.LastMessage()
			var ended sync.WaitGroup
			ended.Go(func() { steps(ctx, b, c, real) })
			beside += timed(b, ledger)
			cancel()
			ended.Wait()
			v.caughtUp(store)
			done += expired(b, v, before)
		}
	}
	b.ReportMetric(beside/alone, "attach-ratio")
	b.ReportMetric(alone/2/turn.Seconds()/float64(b.N), "attaches/s-alone")
	b.ReportMetric(float64(done)/2/turn.Seconds()/float64(b.N), "drained/s")
}

// steps is Run with another present.
func steps(ctx context.Context, b *testing.B, c *projections.ExpiryClock, now func() time.Time) {
	for ctx.Err() == nil {
		_, next, err := c.Step(ctx, now())
		if err != nil && ctx.Err() == nil {
			b.Error(err)
			return
		}
		if next.IsZero() {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(next.Sub(now())):
		}
	}
}

func timed(b *testing.B, ledger *eventstore.Ledger) float64 {
	end := time.Now().Add(turn)
	a := &attaches{ledger: ledger, expires: epoch.AddDate(0, manyMonths, 0)}
	a.run(func(int) bool { return time.Now().Before(end) })
	if err := a.failed.Load(); err != nil {
		b.Fatal(*err)
	}
	return float64(a.count.Load())
}

// attaches attach cards from many clients, each to a customer of its own.
type attaches struct {
	ledger  *eventstore.Ledger
	expires time.Time
	count   atomic.Int64
	failed  atomic.Pointer[error]
}

func (a *attaches) run(more func(n int) bool) {
	var clients sync.WaitGroup
	for range attachers {
		clients.Go(func() {
			for more(int(a.count.Add(1)) - 1) {
				if err := a.one(); err != nil {
					a.failed.Store(&err)
					return
				}
			}
		})
	}
	clients.Wait()
}

func (a *attaches) one() error {
	id := domain.NewMethodID(uuid.New())
	_, err := a.ledger.Execute(context.Background(), eventstore.Request{
		Stream: domain.CustomerStream("acme", fmt.Sprint("cus_", id), id),
		Prepare: func(context.Context) (domain.Command, error) {
			return domain.AttachMethod{
				MethodID: id, Type: domain.TypeCard, Provider: "sandbox", ProviderID: "tok_visa", FactsFrom: "gateway", Policy: policy(),
				Facts: domain.Facts{Type: domain.TypeCard, Method: "card", Fingerprint: string(id), Card: &domain.Card{
					Brand: "visa", Last4: "4242", ExpMonth: int(a.expires.Month()), ExpYear: a.expires.Year(),
				}},
			}, nil
		},
	})
	return err
}

func expired(b *testing.B, v *running, after eventstore.Position) int {
	n := 0
	for {
		messages, err := v.Messages(after, 10_000)
		if err != nil {
			b.Fatal(err)
		}
		for _, m := range messages {
			if m.Type == "payment_method.expired" {
				n++
			}
			after = m.Position
		}
		if len(messages) == 0 {
			return n
		}
	}
}
