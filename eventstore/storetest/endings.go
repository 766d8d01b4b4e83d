package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pmledger/pmledger/eventstore"
)

var endings = []behaviour{
	{"CancelledContextEndsEveryCall", cancelledContext},
	{"CancellingEndsAWaitingFollow", cancelWaitingFollow},
	{"LeavingAnIterationLeaksNothing", leavingLeaksNothing},
	{"CloseEndsAWaitingFollow", closeEndsFollow},
	{"CloseMakesEveryCallFail", closedCalls},
	{"CloseTwiceIsHarmless", closeTwice},
}

func cancelledContext(t *testing.T, open opener) {
	s, stream := open(t), newStream()
	start := mustHead(t, s)
	mustAppend(t, s, stream, 0, newRecords(2))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	check := func(call string, err error) {
		t.Helper()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v, want %v", call, err, context.Canceled)
		}
	}
	_, err := s.Append(ctx, stream, 2, newRecords(1))
	check("append", err)
	_, err = s.Head(ctx)
	check("head", err)
	_, err = follow(ctx, s, start, start+1)
	check("follow", err)
	for _, name := range []string{stream, newStream()} {
		err = nil
		for _, err = range s.Stream(ctx, name, 1) {
			if err != nil {
				break
			}
		}
		check("stream", err)
	}
	if n := len(mustStream(t, s, stream, 1)); n != 2 {
		t.Errorf("an append with a cancelled context left %d records, want 2", n)
	}
}

// waitingFollow follows the log after a position in a goroutine, and returns when
// that has come to a record and goes on waiting for more. What ends it is in ended.
func waitingFollow(ctx context.Context, t *testing.T, s eventstore.Store, after, until eventstore.Position) (ended <-chan error) {
	t.Helper()
	came, end := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		for batch, err := range s.Follow(ctx, after) {
			if err != nil {
				end <- err
				return
			}
			if batch[len(batch)-1].Position >= until {
				select {
				case came <- struct{}{}:
				default:
				}
			}
		}
		end <- errors.New("the iteration ended by itself")
	}()
	select {
	case <-came:
	case err := <-end:
		t.Fatalf("before it waited: %v", err)
	case <-time.After(patience):
		t.Fatal("the record does not come")
	}
	// Too short a pause passes a store that only looks before it waits; it fails none.
	time.Sleep(20 * time.Millisecond)
	return end
}

// awaitEnd expects a waiting Follow to end with an error.
func awaitEnd(t *testing.T, ended <-chan error, want error) {
	t.Helper()
	select {
	case err := <-ended:
		if !errors.Is(err, want) {
			t.Fatalf("error %v, want %v", err, want)
		}
	case <-time.After(patience):
		t.Fatal("it still waits")
	}
}

func cancelWaitingFollow(t *testing.T, open opener) {
	s := open(t)
	start := mustHead(t, s)
	p := mustAppend(t, s, newStream(), 0, newRecords(1))
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := waitingFollow(ctx, t, s, start, p)
	cancel(errors.New("enough"))
	awaitEnd(t, ended, context.Canceled)
}

func leavingLeaksNothing(t *testing.T, open opener) {
	s, stream := open(t), newStream()
	start := mustHead(t, s)
	mustAppend(t, s, stream, 0, newRecords(20))
	visit := func() {
		for range s.Stream(within(t), stream, 1) {
			break
		}
		for range s.Follow(within(t), start) {
			break
		}
		_ = s.Stream(within(t), stream, 1)
		_ = s.Follow(within(t), start)
	}
	visit() // lets lazy parts of a client start before they are counted
	before := goleak.IgnoreCurrent()
	for range 20 {
		visit()
	}
	if err := goleak.Find(before); err != nil {
		t.Fatal(err)
	}
}

func closeEndsFollow(t *testing.T, open opener) {
	s := open(t)
	start := mustHead(t, s)
	p := mustAppend(t, s, newStream(), 0, newRecords(1))
	one, other := waitingFollow(t.Context(), t, s, start, p), waitingFollow(t.Context(), t, s, start, p)
	closeStore(t, s)
	awaitEnd(t, one, eventstore.ErrClosed)
	awaitEnd(t, other, eventstore.ErrClosed)
}

func closedCalls(t *testing.T, open opener) {
	s, stream := open(t), newStream()
	mustAppend(t, s, stream, 0, newRecords(1))
	unknown := newStream()
	_ = mustStream(t, s, unknown, 1) // it may be remembered that there is none
	seq := s.Follow(within(t), 0)
	closeStore(t, s)
	check := func(call string, err error) {
		t.Helper()
		if !errors.Is(err, eventstore.ErrClosed) {
			t.Errorf("%s: error %v, want %v", call, err, eventstore.ErrClosed)
		}
	}
	_, err := s.Append(within(t), stream, 1, newRecords(1))
	check("append", err)
	_, err = s.Head(within(t))
	check("head", err)
	for _, name := range []string{stream, unknown} {
		err = nil
		for _, err = range s.Stream(within(t), name, 1) {
		}
		check("stream", err)
	}
	err = nil
	for _, err = range seq {
	}
	check("follow", err)
}

func closeTwice(t *testing.T, open opener) {
	s := open(t)
	closeStore(t, s)
	closeStore(t, s)
}
