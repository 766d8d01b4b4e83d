package kurrenttest

import (
	"context"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func statusOf(err error) codes.Code { return status.Code(err) }

// next waits for the next event of a subscription.
func next(t *testing.T, sub *esdb.Subscription) *esdb.SubscriptionEvent {
	t.Helper()
	received := make(chan *esdb.SubscriptionEvent, 1)
	go func() { received <- sub.Recv() }()
	ctx := within(t)
	select {
	case e := <-received:
		return e
	case <-ctx.Done():
		_ = sub.Close() // ends Recv; the test has failed already
		<-received
		t.Fatal("the subscription is silent")
		return nil
	}
}

func subscribe(t *testing.T, c *esdb.Client, o esdb.SubscribeToAllOptions) *esdb.Subscription {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	sub, err := c.SubscribeToAll(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
	return sub
}

var customers = &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"customer-"}}

func TestAFilteredSubscriptionCatchesUpAndGoesOn(t *testing.T) {
	s := Start(t, Options{SystemEvery: 1})
	c := client(t, s.ConnectionString())
	write(t, c, "customer-a+1", esdb.NoStream{}, events(1)...)
	s.Foreign(20)
	write(t, c, "customer-a+1", esdb.Revision(0), events(1)...)
	sub := subscribe(t, c, esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: customers, MaxSearchWindow: 10, CheckpointInterval: 1})
	var kinds string
	var last esdb.Position
	for kinds == "" || kinds[len(kinds)-1] != 'C' {
		switch e := next(t, sub); {
		case e.EventAppeared != nil:
			kinds += "e"
			if p := e.EventAppeared.Event.Position; p.Commit <= last.Commit || p.Commit != p.Prepare {
				t.Errorf("position %v after %v", p, last)
			} else {
				last = p
			}
		case e.CheckPointReached != nil:
			kinds += "p"
		case e.CaughtUp != nil:
			kinds += "C"
		default:
			t.Fatalf("dropped: %v", e.SubscriptionDropped.Error)
		}
	}
	// 3 system records, 1+1 append, 20+20 foreign, 1+1 append: a checkpoint after
	// each ten and one when it goes live.
	if kinds != "eppppepC" {
		t.Errorf("it sent %s", kinds)
	}
	write(t, c, "customer-a+1", esdb.Revision(1), events(1)...)
	if e := next(t, sub); e.EventAppeared == nil || e.EventAppeared.Event.EventNumber != 2 {
		t.Errorf("live came %+v", e)
	}

	again := subscribe(t, c, esdb.SubscribeToAllOptions{From: last, Filter: customers})
	if e := next(t, again); e.EventAppeared == nil || e.EventAppeared.Event.EventNumber != 2 {
		t.Errorf("after the position of revision 1 came %+v", e)
	}
}

func TestPositionsOfSubscriptions(t *testing.T) {
	s := Start(t, Options{})
	c := client(t, s.ConnectionString())
	write(t, c, "customer-a+1", esdb.NoStream{}, events(1)...)
	between := s.Head() - 1
	sub := subscribeErr(t, c, esdb.Position{Commit: between, Prepare: between})
	if statusOf(sub) != codes.InvalidArgument {
		t.Errorf("a position between two records: %v", sub)
	}
	ahead := s.Head() + 200 // inside of the second record to come
	waiting := subscribe(t, c, esdb.SubscribeToAllOptions{From: esdb.Position{Commit: ahead, Prepare: ahead}, Filter: customers})
	for next(t, waiting).CaughtUp == nil {
	}
	write(t, c, "customer-a+1", esdb.Revision(0), events(1)...)
	write(t, c, "customer-a+1", esdb.Revision(1), events(2)...)
	e := next(t, waiting)
	for e.CheckPointReached != nil {
		e = next(t, waiting)
	}
	if e.EventAppeared == nil || e.EventAppeared.Event.Position.Commit <= ahead {
		t.Errorf("from a position ahead came %+v", e)
	}
}

// subscribeErr is how the server refuses a subscription: at once, or as its first
// message.
func subscribeErr(t *testing.T, c *esdb.Client, from esdb.AllPosition) error {
	t.Helper()
	sub, err := c.SubscribeToAll(within(t), esdb.SubscribeToAllOptions{From: from})
	if err != nil {
		return err
	}
	if e := next(t, sub); e.SubscriptionDropped != nil {
		return e.SubscriptionDropped.Error
	}
	return sub.Close()
}

func TestSystemRecordsStandBetween(t *testing.T) {
	s := Start(t, Options{SystemEvery: 1})
	c := client(t, s.ConnectionString())
	write(t, c, "customer-a+1", esdb.NoStream{}, events(1)...)
	all, err := c.ReadAll(within(t), esdb.ReadAllOptions{From: esdb.Start{}}, 100)
	if err != nil {
		t.Fatal(err)
	}
	got, err := collect(all)
	if err != nil || len(got) != 5 || got[3].StreamID != "customer-a+1" || got[4].StreamID[0] != '$' {
		t.Errorf("read %d records, %v", len(got), err)
	}
	at := got[3].Position
	if all, err = c.ReadAll(within(t), esdb.ReadAllOptions{From: at}, 1); err != nil {
		t.Fatal(err)
	}
	if got, err = collect(all); err != nil || len(got) != 1 || got[0].Position != at {
		t.Errorf("a read from a position begins at another: %v, %v", got, err)
	}
	sub := subscribe(t, c, esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: esdb.ExcludeSystemEventsFilter()})
	for e := next(t, sub); e.CaughtUp == nil; e = next(t, sub) {
		if e.EventAppeared != nil && e.EventAppeared.Event.EventType[0] == '$' {
			t.Errorf("the filter lets %s through", e.EventAppeared.Event.EventType)
		}
	}
}

func TestSubscriptionsDrop(t *testing.T) {
	s := Start(t, Options{})
	c := client(t, s.ConnectionString())
	write(t, c, "customer-a+1", esdb.NoStream{}, events(5)...)
	s.Fail(Subscribe, DropAfter(2), 1)
	sub := subscribe(t, c, esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: customers})
	for range 2 {
		if e := next(t, sub); e.EventAppeared == nil {
			t.Fatalf("came %+v", e)
		}
	}
	if e := next(t, sub); e.SubscriptionDropped == nil || statusOf(e.SubscriptionDropped.Error) != codes.Unavailable {
		t.Errorf("after two events came %+v", e)
	}
	whole := subscribe(t, c, esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: customers})
	for next(t, whole).CaughtUp == nil {
	}
	s.DropSubscriptions()
	if e := next(t, whole); e.SubscriptionDropped == nil {
		t.Errorf("came %+v", e)
	}
}
