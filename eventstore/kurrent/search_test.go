package kurrent_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/pmledger/pmledger/eventstore/kurrent"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

// A search in what others have written takes twice as long as a server may be silent
// elsewhere. It is waited for, and the leader is not taken for lost.
func TestASearchTakesItsTime(t *testing.T) {
	t.Parallel()
	server := kurrenttest.Start(t, kurrenttest.Options{SearchRate: 4000})
	writer := open(t, server.ConnectionString(), kurrent.Options{})
	p := mustAppend(t, writer, stream, 0, records(1))
	server.Foreign(16_000)
	before := server.Counts(kurrenttest.ReadAll).Calls
	s := open(t, server.ConnectionString(), kurrent.Options{ReadTimeout: 4 * time.Second})
	if h := mustHead(t, s); h != p {
		t.Errorf("the head is %d, want %d", h, p)
	}
	if n := server.Counts(kurrenttest.Search).Calls; n != 1 {
		t.Errorf("%d searches", n)
	}
	// One to find the leader, one to open, two before the search.
	if n := server.Counts(kurrenttest.ReadAll).Calls - before; n != 4 {
		t.Errorf("%d reads besides", n)
	}
}

// Whoever does not wait for a search leaves the leader as it is, and whether the store is
// ready does not depend on one.
func TestALeaderThatSearchesIsNotGivenUp(t *testing.T) {
	t.Parallel()
	server := kurrenttest.Start(t, kurrenttest.Options{SearchRate: 1000})
	writer := open(t, server.ConnectionString(), kurrent.Options{})
	mustAppend(t, writer, stream, 0, records(1))
	server.Foreign(50_000)
	s := open(t, server.ConnectionString(), kurrent.Options{ReadTimeout: 4 * time.Second})
	before := server.Counts(kurrenttest.ReadAll).Calls
	ctx, stop := context.WithTimeout(t.Context(), 2500*time.Millisecond)
	defer stop()
	if _, err := s.Head(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("head: %v", err)
	}
	if err := s.Ready(within(t)); err != nil {
		t.Errorf("ready: %v", err)
	}
	if n := server.Counts(kurrenttest.ReadAll).Calls - before; n != 3 {
		t.Errorf("%d reads: the leader was looked for again", n)
	}
}

// A search that the server has forgotten is begun anew.
func TestAForgottenSearchIsBegunAnew(t *testing.T) {
	t.Parallel()
	server := kurrenttest.Start(t, kurrenttest.Options{})
	writer := open(t, server.ConnectionString(), kurrent.Options{})
	p := mustAppend(t, writer, stream, 0, records(1))
	server.Foreign(500)
	s := open(t, server.ConnectionString(), kurrent.Options{ReadTimeout: 600 * time.Millisecond})
	server.Fail(kurrenttest.Search, kurrenttest.Hang(), 1)
	if h := mustHead(t, s); h != p {
		t.Errorf("the head is %d, want %d", h, p)
	}
	if n := server.Counts(kurrenttest.Search).Calls; n != 2 {
		t.Errorf("%d searches", n)
	}
}

// A follower knows that there is a record to come, and hears nothing but how far the
// server has looked for it. That is enough.
func TestAFollowerWaitsWhileTheServerSearches(t *testing.T) {
	t.Parallel()
	server := kurrenttest.Start(t, kurrenttest.Options{SearchRate: 4000})
	s := open(t, server.ConnectionString(), kurrent.Options{ReadTimeout: time.Second})
	p := mustAppend(t, s, stream, 0, records(1))
	server.Foreign(14_000)
	mustAppend(t, s, stream, 1, records(1))
	f := follow(t, s, p)
	if r := f.next(t); r.Version != 2 {
		t.Errorf("version %d", r.Version)
	}
	if n := server.Counts(kurrenttest.Subscribe).Calls; n > 2 { // one more on a machine that was busy
		t.Errorf("it has subscribed %d times", n)
	}
}

// Subscriptions that end more often than the server gets through what others wrote lead
// to the next record all the same: each goes on where the one before had got to.
func TestAFollowerGoesOnWhereTheServerHasLooked(t *testing.T) {
	t.Parallel()
	server := kurrenttest.Start(t, kurrenttest.Options{SearchRate: 4000})
	s := open(t, server.ConnectionString(), kurrent.Options{Gap: 50 * time.Millisecond})
	p := mustAppend(t, s, stream, 0, records(1))
	server.Foreign(14_000)
	mustAppend(t, s, stream, 1, records(1))
	f := follow(t, s, p)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < 15*time.Second; {
		select {
		case r := <-f.records:
			if r.Version != 2 {
				t.Errorf("version %d", r.Version)
			}
			if n := server.Counts(kurrenttest.Subscribe).Calls; n < 3 {
				t.Errorf("%d subscriptions are no trouble", n)
			}
			return
		case err := <-f.ended:
			t.Fatal(err)
		case <-tick.C:
			server.DropSubscriptions()
		}
	}
	t.Fatal("the record never came")
}

// What the server has said of how far it looked may be no place to another node. The
// follower's own record is.
func TestAPlaceOfOthersMayBeRefused(t *testing.T) {
	t.Parallel()
	server := kurrenttest.Start(t, kurrenttest.Options{})
	s := open(t, server.ConnectionString(), kurrent.Options{})
	mustAppend(t, s, stream, 0, records(1))
	f := follow(t, s, 0)
	f.next(t)
	server.Foreign(2000)
	time.Sleep(time.Second) // how far it looked has come by then
	server.Fail(kurrenttest.Subscribe, kurrenttest.Refuse(codes.InvalidArgument, "Invalid Position"), 1)
	server.DropSubscriptions()
	mustAppend(t, s, stream, 1, records(1))
	if r := f.next(t); r.Version != 2 {
		t.Errorf("version %d", r.Version)
	}
	if n := server.Counts(kurrenttest.Subscribe).Faults; n != 1 {
		t.Errorf("%d subscriptions were refused", n)
	}
}
