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

func cancelWaitingFollow(t *testing.T, open opener) {
	s := open(t)
	p := mustAppend(t, s, newStream(), 0, newRecords(1))
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := follow(ctx, s, p, p+1)
		ended <- err
	}()
	cancel(cause)
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v, want %v", err, context.Canceled)
		}
	case <-time.After(patience):
		t.Fatal("it still waits")
	}
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
	p := mustAppend(t, s, newStream(), 0, newRecords(1))
	ctx := within(t)
	ended := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := follow(ctx, s, p, p+1)
			ended <- err
		}()
	}
	closeStore(t, s)
	for range 2 {
		if err := <-ended; !errors.Is(err, eventstore.ErrClosed) {
			t.Fatalf("error %v, want %v", err, eventstore.ErrClosed)
		}
	}
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
