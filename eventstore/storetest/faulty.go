package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore"
)

// Outcome is what becomes of one Append of a Faulty store.
type Outcome int

// The outcomes of an Append.
const (
	Works      Outcome = iota // passes through
	NotApplied                // appends nothing and returns eventstore.ErrUnavailable
	Applied                   // appends and returns eventstore.ErrUnknownOutcome
	Slow                      // waits for Release or the end of ctx, then passes through
)

// Faulty is a Store whose appends fail as told, for tests of its callers. An
// append that would have been refused (a conflict, a full disk) is refused
// whatever its outcome: only what was applied can have an unknown outcome.
// Reads pass through. The zero value over a Store works. Safe for concurrent use.
type Faulty struct {
	eventstore.Store

	mu      sync.Mutex
	planned []Outcome
	calls   int
	release chan struct{}
}

// Plan says what becomes of the next appends, in the order in which they
// arrive, after those planned already. Appends beyond the plan work.
func (f *Faulty) Plan(outcomes ...Outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.planned = append(f.planned, outcomes...)
}

// Calls is how many appends have arrived.
func (f *Faulty) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// Release lets all appends pass that wait as Slow now.
func (f *Faulty) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.release != nil {
		close(f.release)
		f.release = nil
	}
}

// arrive counts an append and returns its outcome and what a slow one waits for.
func (f *Faulty) arrive() (Outcome, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	outcome := Works
	if len(f.planned) > 0 {
		outcome, f.planned = f.planned[0], f.planned[1:]
	}
	if f.release == nil {
		f.release = make(chan struct{})
	}
	return outcome, f.release
}

// Append implements eventstore.Store.
func (f *Faulty) Append(ctx context.Context, stream string, version uint64, records []eventstore.NewRecord) (eventstore.Position, error) {
	outcome, release := f.arrive()
	switch outcome {
	case NotApplied:
		return 0, fmt.Errorf("planned fault: %w", eventstore.ErrUnavailable)
	case Slow:
		select {
		case <-release:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	p, err := f.Store.Append(ctx, stream, version, records)
	if outcome == Applied && err == nil {
		return 0, fmt.Errorf("planned fault: %w", eventstore.ErrUnknownOutcome)
	}
	return p, err
}

var faults = []behaviour{
	{"RetryAfterAFailureThatWasApplied", retryApplied},
	{"RetryAfterAnAppendThatWasGivenUp", retryGivenUp},
	{"RetryOfAnAppliedFailureLosesToNobody", retryAppliedThenOthers},
}

// planned appends with a planned outcome and returns the error.
func planned(t *testing.T, f *Faulty, o Outcome, stream string, version uint64, records []eventstore.NewRecord) error {
	t.Helper()
	f.Plan(o)
	_, err := f.Append(within(t), stream, version, records)
	return err
}

func retryApplied(t *testing.T, open opener) {
	f, stream, want := &Faulty{Store: open(t)}, newStream(), newRecords(2)
	if err := planned(t, f, Applied, stream, 0, want); !errors.Is(err, eventstore.ErrUnknownOutcome) {
		t.Fatalf("error %v", err)
	}
	checkRecords(t, stream, 1, mustStream(t, f, stream, 1), want)
	repeat(t, f, stream, 0, want, mustStream(t, f, stream, 1)[1].Position)
	checkRecords(t, stream, 1, mustStream(t, f, stream, 1), want)
}

// retryGivenUp gives appends up before, while and after the store has them. What the
// error says of each must be true, and its retry leaves it there once.
func retryGivenUp(t *testing.T, open opener) {
	s := open(t)
	for i := range 40 {
		stream, want := newStream(), newRecords(2)
		ctx, cancel := context.WithCancel(within(t))
		timer := time.AfterFunc(time.Duration(i)*50*time.Microsecond, cancel)
		first, err := s.Append(ctx, stream, 0, want)
		timer.Stop()
		cancel()
		switch {
		case err == nil, errors.Is(err, eventstore.ErrUnknownOutcome):
		case !errors.Is(err, context.Canceled):
			t.Fatalf("error %v, want %v", err, context.Canceled)
		default:
			if _, err := s.Append(within(t), newStream(), 0, newRecords(1)); err != nil { // behind what may be on its way
				t.Fatal(err)
			}
			if n := len(mustStream(t, s, stream, 1)); n != 0 {
				t.Fatalf("the error says that nothing was appended, and there are %d records: %v", n, err)
			}
		}
		again := mustAppend(t, s, stream, 0, want)
		checkRecords(t, stream, 1, mustStream(t, s, stream, 1), want)
		if err == nil && again != first {
			t.Fatalf("the retry returned %s, the append %s", again, first)
		}
	}
}

// retryAppliedThenOthers retries an append of unknown outcome after somebody
// else has appended behind it.
func retryAppliedThenOthers(t *testing.T, open opener) {
	f, stream, want := &Faulty{Store: open(t)}, newStream(), newRecords(2)
	mustAppend(t, f, stream, 0, newRecords(1))
	if err := planned(t, f, Applied, stream, 1, want); !errors.Is(err, eventstore.ErrUnknownOutcome) {
		t.Fatalf("error %v", err)
	}
	mustAppend(t, f, stream, 3, newRecords(2))
	repeat(t, f, stream, 1, want, mustStream(t, f, stream, 1)[2].Position)
}
