package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
)

func TestFaultyKeepsAnAppendThatIsNotAppliedFromItsStore(t *testing.T) {
	f, stream, want := &Faulty{Store: memory.New()}, newStream(), newRecords(2)
	if err := planned(t, f, NotApplied, stream, 0, want); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Fatalf("error %v", err)
	}
	if n := len(mustStream(t, f, stream, 1)); n != 0 {
		t.Fatalf("%d records after an append that was not applied", n)
	}
	mustAppend(t, f, stream, 0, want)
	checkRecords(t, stream, 1, mustStream(t, f, stream, 1), want)
	if n := f.Calls(); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func TestFaultyHoldsASlowAppendUntilItIsReleasedOrGivenUp(t *testing.T) {
	f, stream, want := &Faulty{Store: memory.New()}, newStream(), newRecords(1)
	f.Plan(Slow, Slow)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Append(ctx, stream, 0, want); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := f.Append(within(t), stream, 0, want)
		ended <- err
	}()
	for f.Calls() < 2 {
		select {
		case err := <-ended:
			t.Fatalf("it did not wait: %v", err)
		default:
			time.Sleep(time.Millisecond)
		}
	}
	if n := len(mustStream(t, f, stream, 1)); n != 0 {
		t.Fatalf("%d records before the release", n)
	}
	f.Release()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	checkRecords(t, stream, 1, mustStream(t, f, stream, 1), want)
}
