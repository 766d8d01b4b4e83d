package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/kurrent"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

const (
	kurrentTitle   = "kurrent"
	kurrentWriters = 32
	kurrentAppends = 250 // of each writer in a round
	kurrentGoal    = 1.3
)

// kurrentPrefixes choose the ledger's streams, for the server's own client.
var kurrentPrefixes = []string{"customer-", "organization-", "subscription-", "ledger"}

// serveKurrent is the double of a KurrentDB server. It prints how to reach it and
// runs until ctx ends.
func serveKurrent(ctx context.Context, out io.Writer) error {
	server, err := kurrenttest.New(kurrenttest.Options{})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, server.ConnectionString())
	<-ctx.Done()
	return server.Close()
}

// kurrentCost compares what the store on a KurrentDB cluster costs this process
// with what the server's own client does: processor time for an append and for a
// followed record. The server's double is another process. The two take turns.
type kurrentCost struct {
	settings
	store  *kurrent.Store
	client *esdb.Client
	stop   func() error // the double
	run    int
}

func (k *kurrentCost) open(ctx context.Context) error {
	serving, interrupt := context.WithCancel(context.Background())
	server, at, err := child(serving, "-role", "kurrent")
	if err != nil {
		interrupt()
		return err
	}
	k.stop = func() error { interrupt(); return ended(server) }
	if k.store, err = kurrent.Open(ctx, at, kurrent.Options{}); err != nil {
		return err
	}
	k.client, err = ownClient(at)
	return err
}

func (k *kurrentCost) close() error {
	var err error
	if k.client != nil {
		err = k.client.Close()
	}
	if k.store != nil {
		err = errors.Join(err, k.store.Close())
	}
	if k.stop != nil {
		err = errors.Join(err, k.stop())
	}
	return err
}

func ownClient(at string) (*esdb.Client, error) {
	conf, err := esdb.ParseConnectionString(at)
	if err != nil {
		return nil, err
	}
	conf.Logger = nil
	return esdb.NewClient(conf)
}

func (k *kurrentCost) measurements() []measurement {
	cost := func(name string) *figure {
		return &figure{name: kurrentTitle + " " + name + ", processor time", unit: "µs", reference: "the server's own client", goals: []goal{atMost(kurrentGoal, toReference)}}
	}
	appends, follows := cost("append"), cost("follow")
	return []measurement{
		{figures: []*figure{appends}, round: func(ctx context.Context) error {
			return k.round(ctx, appends, k.append(k.throughStore), k.append(k.throughClient))
		}},
		{figures: []*figure{follows}, round: func(ctx context.Context) error { return k.round(ctx, follows, k.followStore, k.followClient) }},
	}
}

func (k *kurrentCost) round(ctx context.Context, f *figure, adapter, client func(context.Context) (int, error)) error {
	theirs, err := costOf(ctx, client)
	if err != nil {
		return err
	}
	ours, err := costOf(ctx, adapter)
	f.add(ours, none, none, theirs)
	return err
}

// costOf is the processor time of this process, in µs, for each of what do does.
func costOf(ctx context.Context, do func(context.Context) (int, error)) (float64, error) {
	before, err := processorTime()
	if err != nil {
		return 0, err
	}
	n, err := do(ctx)
	if err != nil {
		return 0, err
	}
	after, err := processorTime()
	return float64((after - before).Nanoseconds()) / 1000 / float64(n), err
}

func processorTime() (time.Duration, error) {
	var u unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

// append is many appends of one record by writers with a stream each.
func (k *kurrentCost) append(one func(context.Context, string, uint64, eventstore.NewRecord) error) func(context.Context) (int, error) {
	data := fmt.Appendf(nil, `{"filler":%q}`, strings.Repeat("d", 600))
	metadata := fmt.Appendf(nil, `{"filler":%q}`, strings.Repeat("m", 300))
	return func(ctx context.Context) (int, error) {
		k.run++
		var g sync.WaitGroup
		failed := make([]error, kurrentWriters)
		for w := range failed {
			stream := fmt.Sprintf("customer-bench+%d-%d", k.run, w)
			g.Go(func() {
				for v := uint64(0); v < kurrentAppends && failed[w] == nil; v++ {
					failed[w] = one(ctx, stream, v, eventstore.NewRecord{
						ID: uuid.New(), Type: "payment_method.attached", Data: data, Metadata: metadata,
					})
				}
			})
		}
		g.Wait()
		return kurrentWriters * kurrentAppends, errors.Join(failed...)
	}
}

func (k *kurrentCost) throughStore(ctx context.Context, stream string, version uint64, r eventstore.NewRecord) error {
	_, err := k.store.Append(ctx, stream, version, []eventstore.NewRecord{r})
	return err
}

func (k *kurrentCost) throughClient(ctx context.Context, stream string, version uint64, r eventstore.NewRecord) error {
	o := esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}
	if version > 0 {
		o.ExpectedRevision = esdb.Revision(version - 1)
	}
	_, err := k.client.AppendToStream(ctx, stream, o, esdb.EventData{
		EventID: r.ID, EventType: r.Type, ContentType: esdb.ContentTypeJson, Data: r.Data, Metadata: r.Metadata,
	})
	return err
}

// written is how many records the appends have left to be followed.
func (k *kurrentCost) written() int { return k.run * kurrentWriters * kurrentAppends }

func (k *kurrentCost) followStore(ctx context.Context) (int, error) {
	n := 0
	for batch, err := range k.store.Follow(ctx, 0) {
		if err != nil {
			return n, err
		}
		if n += len(batch); n >= k.written() {
			break
		}
	}
	return n, nil
}

func (k *kurrentCost) followClient(ctx context.Context) (int, error) {
	sub, err := k.client.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{
		From: esdb.Start{}, Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: kurrentPrefixes},
	})
	if err != nil {
		return 0, err
	}
	for n := 0; n < k.written(); {
		switch e := sub.Recv(); {
		case e.EventAppeared != nil:
			n++
		case e.SubscriptionDropped != nil:
			return n, errors.Join(e.SubscriptionDropped.Error, sub.Close())
		}
	}
	return k.written(), sub.Close()
}
