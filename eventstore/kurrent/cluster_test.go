package kurrent_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/kurrent"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

// quick finds a new leader soon.
var quick = kurrent.Options{Gap: 20 * time.Millisecond}

// A node that was the leader still answers reads. They must not be decided on.
func TestReadsGoToTheLeader(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{Nodes: 3})
	s := open(t, server.ConnectionString(), quick)
	mustAppend(t, s, stream, 0, records(1))
	server.Node(0).Lag(100)
	server.Elect(1)
	other := open(t, server.ConnectionString(), quick)
	p := mustAppend(t, other, stream, 1, records(1))
	if got := mustRead(t, s, stream); len(got) != 2 {
		t.Errorf("%d records are read, want 2", len(got))
	}
	if head := mustHead(t, s); head != p {
		t.Errorf("the head is %d, want %d", head, p)
	}
	for _, rpc := range []kurrenttest.RPC{kurrenttest.Append, kurrenttest.ReadStream, kurrenttest.ReadAll} {
		if c := server.Counts(rpc); c.Leader != c.Calls || c.Calls == 0 {
			t.Errorf("%s: %d of %d calls asked for the leader", rpc, c.Leader, c.Calls)
		}
	}
}

// Any node will do to begin with: it names the leader.
func TestTheLeaderIsFoundThroughAnyNode(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{Nodes: 3})
	port := strings.TrimPrefix(server.Node(1).Address(), "127.0.0.1:")
	for name, at := range map[string]string{
		"a follower alone":     "esdb://" + server.Node(2).Address() + "?tls=false",
		"discovered by one":    "esdb+discover://" + server.Node(1).Address() + "?tls=false",
		"two, one is away":     "esdb://127.0.0.1:9," + server.Node(1).Address() + "?tls=false",
		"a name of many nodes": "esdb+discover://localhost:" + port + "?tls=false",
	} {
		s := open(t, at, quick)
		node, err := s.Node(within(t))
		if err != nil || node.Address != server.Node(0).Address() || node.Version == "" {
			t.Errorf("%s: the leader is %+v, error %v", name, node, err)
		}
	}
}

// A leader that was cut off still calls itself one. The others know better.
func TestACutOffLeaderIsNotBelieved(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{Nodes: 3})
	server.Node(0).CutOff()
	server.Elect(1)
	at := fmt.Sprintf("esdb://%s,%s,%s?tls=false", server.Node(0).Address(), server.Node(1).Address(), server.Node(2).Address())
	for range 12 { // who answers first is up to chance
		node, err := open(t, at, quick).Node(within(t))
		if err != nil || node.Address != server.Node(1).Address() {
			t.Fatalf("the leader is %+v, error %v", node, err)
		}
	}
}

// Without a leader nothing can be done, and that is said soon. When there is one
// again, everything goes on.
func TestWithoutALeaderTheStoreIsUnavailable(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{Nodes: 3})
	s := open(t, server.ConnectionString(), short)
	server.Depose()
	for range 3 {
		began := time.Now()
		_, err := s.Append(within(t), stream, 0, records(1))
		if !errors.Is(err, eventstore.ErrUnavailable) && !errors.Is(err, eventstore.ErrUnknownOutcome) {
			t.Errorf("append: error %v", err)
		}
		if _, err := s.Head(within(t)); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("head: error %v", err)
		}
		if took := time.Since(began); took > 2*short.AppendTimeout+3*time.Second {
			t.Errorf("it took %s", took)
		}
	}
	server.Elect(2)
	for s.Ready(within(t)) != nil {
		time.Sleep(time.Millisecond) // until the leader is found
	}
	mustAppend(t, s, stream, 0, records(1))
}

// Writers go through election after election: each record is there once, and
// nothing is left of the connections to former leaders.
func TestElectionsLoseAndDoubleNothing(t *testing.T) {
	const writers, each, elections = 12, 25, 12
	before := goleak.IgnoreCurrent()
	server, err := kurrenttest.New(kurrenttest.Options{Nodes: 3})
	if err != nil {
		t.Fatal(err)
	}
	s, err := kurrent.Open(within(t), server.ConnectionString(), quick)
	if err != nil {
		t.Fatal(err)
	}
	var want [writers][]eventstore.NewRecord
	var g sync.WaitGroup
	for w := range writers {
		g.Go(func() {
			for v := range uint64(each) {
				r := records(1)
				if _, err := s.Append(within(t), fmt.Sprint(stream, w), v, r); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				want[w] = append(want[w], r...)
				time.Sleep(2 * time.Millisecond) // so that elections come in between
			}
		})
	}
	for i := range elections {
		if i%3 == 0 {
			server.Depose()
		}
		server.Elect(i % 3)
		server.Node((i + 1) % 3).BreakConnections()
		time.Sleep(5 * time.Millisecond) // so that some writers notice
	}
	g.Wait()
	for w := range want {
		got := mustRead(t, s, fmt.Sprint(stream, w))
		if len(got) != each {
			t.Errorf("writer %d: %d records, want %d", w, len(got), each)
			continue
		}
		for i := range got {
			if got[i].ID != want[w][i].ID {
				t.Errorf("writer %d: record %d is another one", w, i)
			}
		}
	}
	for patience := within(t); server.Connections() > 1 && patience.Err() == nil; {
		time.Sleep(time.Millisecond) // until the server has noticed what was closed
	}
	if n := server.Connections(); n > 1 {
		t.Errorf("%d connections are open", n)
	}
	if err := errors.Join(s.Close(), server.Close()); err != nil {
		t.Error(err)
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

// While the leader is away, one goroutine of a process looks for it, with pauses.
func TestNodesAreNotFloodedWhileTheLeaderIsAway(t *testing.T) {
	const nodes, gap = 3, 200 * time.Millisecond
	server := kurrenttest.Start(t, kurrenttest.Options{Nodes: nodes})
	s := open(t, server.ConnectionString(), kurrent.Options{AppendTimeout: 500 * time.Millisecond, Gap: gap})
	server.Depose()
	began, asked := time.Now(), server.Counts(kurrenttest.Gossip).Calls
	var g sync.WaitGroup
	for w := range 64 {
		g.Go(func() { _, _ = s.Append(within(t), fmt.Sprint(stream, w), 0, records(1)) }) // it cannot succeed
	}
	g.Wait()
	// Pauses double from 25 ms up to the gap, and may be half as long by chance.
	rounds := 4 + int(time.Since(began)/(gap/2))
	if n := server.Counts(kurrenttest.Gossip).Calls - asked; n > nodes*rounds {
		t.Errorf("the nodes were asked %d times for their leader, in at most %d rounds", n, rounds)
	}
}
