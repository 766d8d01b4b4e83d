package kurrent_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/kurrent"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

// following follows a store in a goroutine, until the test ends.
type following struct {
	records chan eventstore.Record
	ended   chan error
}

func follow(t *testing.T, s *kurrent.Store, after eventstore.Position) *following {
	t.Helper()
	f := &following{records: make(chan eventstore.Record), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() {
		for batch, err := range s.Follow(ctx, after) {
			if err != nil {
				f.ended <- err
				return
			}
			for _, r := range batch {
				select {
				case f.records <- r:
				case <-ctx.Done():
				}
			}
		}
	}()
	return f
}

// next is the next record that is followed.
func (f *following) next(t *testing.T) eventstore.Record {
	t.Helper()
	select {
	case r := <-f.records:
		return r
	case err := <-f.ended:
		t.Fatalf("the following ended: %v", err)
	case <-within(t).Done():
		t.Fatal("nothing came")
	}
	return eventstore.Record{}
}

// each does something to the server that ends subscriptions, again and again, and
// checks that every record is followed once and in order all the same.
func TestFollowingGoesOnAfterEveryInterruption(t *testing.T) {
	for name, interrupt := range map[string]func(*testing.T, *kurrenttest.Server, int){
		"dropped":      func(_ *testing.T, server *kurrenttest.Server, _ int) { server.DropSubscriptions() },
		"disconnected": func(_ *testing.T, server *kurrenttest.Server, _ int) { server.Node(server.Leader()).BreakConnections() },
		"in between": func(_ *testing.T, server *kurrenttest.Server, _ int) {
			server.Fail(kurrenttest.Subscribe, kurrenttest.DropAfter(2), 2)
			server.DropSubscriptions()
		},
		"busy": func(_ *testing.T, server *kurrenttest.Server, _ int) {
			server.Fail(kurrenttest.Subscribe, kurrenttest.Refuse(codes.Unavailable, "Server Is Too Busy"), 2)
			server.DropSubscriptions()
		},
		"restarted": func(t *testing.T, server *kurrenttest.Server, _ int) {
			server.Stop()
			if err := server.Restart(); err != nil {
				t.Error(err)
			}
		},
		"elected": func(_ *testing.T, server *kurrenttest.Server, i int) { server.Elect(i % 3) },
	} {
		t.Run(name, func(t *testing.T) {
			const rounds, each = 6, 5
			server := kurrenttest.Start(t, kurrenttest.Options{Nodes: 3, SystemEvery: 2})
			s := open(t, server.ConnectionString(), kurrent.Options{Gap: 20 * time.Millisecond})
			f := follow(t, s, 0)
			var last eventstore.Position
			for round := range rounds {
				at := fmt.Sprint(stream, round)
				server.Foreign(7)
				for v := range uint64(each) {
					mustAppend(t, s, at, v, records(1))
					if v == each/2 {
						interrupt(t, server, round)
					}
				}
				for v := range uint64(each) {
					r := f.next(t)
					if r.Stream != at || r.Version != v+1 || r.Position <= last {
						t.Fatalf("version %d of %s at %d came after %d, want version %d of %s", r.Version, r.Stream, r.Position, last, v+1, at)
					}
					last = r.Position
				}
			}
		})
	}
}

// A node that was cut off from the cluster still serves who is connected to it, and
// knows nothing new. Its followers must leave it.
func TestFollowersLeaveANodeThatIsCutOff(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{Nodes: 3, CommitTimeout: 100 * time.Millisecond})
	s := open(t, server.ConnectionString(), kurrent.Options{ReadTimeout: time.Minute}) // no doubt comes up by itself
	f := follow(t, s, 0)
	mustAppend(t, s, stream, 0, records(1))
	f.next(t)
	server.Node(0).CutOff()
	server.Elect(1)
	mustAppend(t, s, stream, 1, records(1)) // finds the new leader
	if r := f.next(t); r.Version != 2 {
		t.Fatalf("version %d", r.Version)
	}
}

// The same when this process appends nothing, so that nothing but the follower's
// own doubt can show it.
func TestAFollowerOfANodeThatSendsNothingLooksForAnother(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{Nodes: 3})
	s := open(t, server.ConnectionString(), kurrent.Options{ReadTimeout: time.Second})
	other := open(t, server.ConnectionString(), kurrent.Options{})
	f := follow(t, s, 0)
	mustAppend(t, other, stream, 0, records(1))
	f.next(t)
	server.Node(0).Freeze()
	t.Cleanup(server.Node(0).Thaw)
	server.Elect(1)
	mustAppend(t, other, stream, 1, records(1))
	if r := f.next(t); r.Version != 2 {
		t.Fatalf("version %d", r.Version)
	}
}

// A subscription that has gone silent while all else works is given up once it is
// known that there is something to hear: from an append of this process, or, when
// others append, from the leader.
func TestASilentSubscriptionIsGivenUp(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{})
	s := open(t, server.ConnectionString(), kurrent.Options{ReadTimeout: 500 * time.Millisecond})
	other := open(t, server.ConnectionString(), kurrent.Options{})
	version := uint64(0)
	for name, writer := range map[string]*kurrent.Store{"its own appends": s, "the appends of others": other} {
		after := mustAppend(t, other, stream, version, records(1))
		server.Fail(kurrenttest.Subscribe, kurrenttest.Fault{Events: 1, Hang: true}, 1)
		f := follow(t, s, after)
		for range 2 {
			version++
			mustAppend(t, writer, stream, version, records(1))
			if r := f.next(t); r.Version != version+1 {
				t.Fatalf("%s: version %d, want %d", name, r.Version, version+1)
			}
		}
		version++
	}
}

// Of a slow follower no more is read than has a bound: the server waits. What is
// still followed after the server has stopped was in this process.
func TestAFollowerThatStopsDoesNotFillMemory(t *testing.T) {
	const n, size = 3000, 2000
	const most = 256 + 256 + 256<<10/size + 100
	server := kurrenttest.Start(t, kurrenttest.Options{})
	s := open(t, server.ConnectionString(), kurrent.Options{Gap: 20 * time.Millisecond})
	for v := uint64(0); v < n; v += 100 {
		r := records(100)
		for i := range r {
			r[i].Data = fmt.Appendf(nil, `{"filler":%q}`, strings.Repeat("f", size))
		}
		mustAppend(t, s, stream, v, r)
	}
	f := follow(t, s, 0)
	f.next(t)
	time.Sleep(100 * time.Millisecond) // what can be read ahead is read now
	server.Stop()
	kept := uint64(1)
	for quiet := false; !quiet; {
		select {
		case <-f.records:
			kept++
		case <-time.After(100 * time.Millisecond):
			quiet = true
		}
	}
	if kept > most {
		t.Errorf("%d records were kept for a follower that was waiting", kept)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	for kept < n {
		if kept++; f.next(t).Version != kept {
			t.Fatalf("version %d is missing", kept)
		}
	}
}

// A position that this log does not have belongs to another one.
func TestPositionsOfAnotherLogAreRefused(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{})
	s := open(t, server.ConnectionString(), kurrent.Options{})
	p := mustAppend(t, s, stream, 0, records(2))
	for _, after := range []eventstore.Position{1, p - 1, p + 1, p * 1000} {
		f := follow(t, s, after)
		select {
		case err := <-f.ended:
			if !errors.Is(err, eventstore.ErrAhead) {
				t.Errorf("after %d: error %v", after, err)
			}
		case <-f.records:
			t.Errorf("after %d: a record", after)
		case <-within(t).Done():
			t.Errorf("after %d: nothing came", after)
		}
	}
}

// A follower of a node that lags is not told that it is ahead: the leader is asked.
func TestALaggingNodeDoesNotMakeAFollowerAhead(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{Nodes: 3})
	s := open(t, server.ConnectionString(), kurrent.Options{})
	p := mustAppend(t, s, stream, 0, records(1))
	for i := range 3 {
		if i != server.Leader() {
			server.Node(i).Lag(100)
		}
	}
	late := open(t, server.ConnectionString(), kurrent.Options{})
	f := follow(t, late, p)
	mustAppend(t, s, stream, 1, records(1))
	if r := f.next(t); r.Version != 2 {
		t.Fatalf("version %d", r.Version)
	}
}

// A leader that was cut off takes every later position for one ahead of the log.
// It is not believed.
func TestACutOffLeaderDoesNotMakeAFollowerAhead(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{Nodes: 3})
	s := open(t, server.ConnectionString(), kurrent.Options{})
	mustAppend(t, s, stream, 0, records(1))
	server.Node(0).CutOff()
	server.Elect(1)
	other := open(t, "esdb://"+server.Node(1).Address()+"?tls=false", kurrent.Options{})
	p := mustAppend(t, other, stream, 1, records(1))
	f := follow(t, s, p)
	mustAppend(t, other, stream, 2, records(1))
	if r := f.next(t); r.Version != 3 {
		t.Fatalf("version %d", r.Version)
	}
}

// What the server refuses ends the following with its reason.
func TestARefusedFollowingEnds(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{})
	s := open(t, server.ConnectionString(), kurrent.Options{})
	server.Fail(kurrenttest.Subscribe, kurrenttest.Refuse(codes.PermissionDenied, "Access Denied"), 1)
	f := follow(t, s, 0)
	select {
	case err := <-f.ended:
		if !strings.Contains(err.Error(), "Access Denied") {
			t.Errorf("error %v", err)
		}
	case <-within(t).Done():
		t.Error("it goes on")
	}
}
