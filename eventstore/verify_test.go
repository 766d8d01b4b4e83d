package eventstore_test

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
)

// tampered is a store whose readers are shown changed records.
type tampered struct {
	eventstore.Store
	log    func([]eventstore.Record) []eventstore.Record
	stream func(eventstore.Record) (eventstore.Record, bool)
}

func (s tampered) Follow(ctx context.Context, after eventstore.Position) iter.Seq2[[]eventstore.Record, error] {
	return func(yield func([]eventstore.Record, error) bool) {
		for batch, err := range s.Store.Follow(ctx, after) {
			if err == nil && s.log != nil {
				batch = s.log(slices.Clone(batch))
			}
			if !yield(batch, err) {
				return
			}
		}
	}
}

func (s tampered) Stream(ctx context.Context, stream string, from uint64) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		for r, err := range s.Store.Stream(ctx, stream, from) {
			keep := true
			if err == nil && s.stream != nil {
				r, keep = s.stream(r)
			}
			if keep && !yield(r, err) {
				return
			}
		}
	}
}

// someLog is a log of two streams: five records of one customer, two of another.
func someLog(t *testing.T) eventstore.Store {
	store := memory.New()
	ledger, _ := newLedger(store)
	for n := range 4 {
		execute(t, ledger, request("", attach(n)))
	}
	other := request("", attach(9))
	other.Stream = domain.CustomerStream("acme", "cus_2", "")
	execute(t, ledger, other)
	return store
}

func TestVerifyCountsALogInOrder(t *testing.T) {
	reached := map[eventstore.Pass][2]uint64{}
	got, err := eventstore.Verify(t.Context(), someLog(t), func(pass eventstore.Pass, done, total uint64) { reached[pass] = [2]uint64{done, total} })
	want := eventstore.Verification{Records: 7, Streams: 2, Head: 7}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if ends := [2]uint64{7, 7}; len(reached) != 2 || reached[eventstore.PassLog] != ends || reached[eventstore.PassStreams] != ends {
		t.Errorf("progress ended at %v", reached)
	}
}

func TestVerifyOfAnEmptyLogFindsNothing(t *testing.T) {
	got, err := eventstore.Verify(t.Context(), memory.New(), nil)
	if err != nil || got != (eventstore.Verification{}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestVerifyNamesTheFirstBrokenPlace(t *testing.T) {
	change := func(at eventstore.Position, fn func(*eventstore.Record)) func([]eventstore.Record) []eventstore.Record {
		return func(batch []eventstore.Record) []eventstore.Record {
			for i := range batch {
				if batch[i].Position == at {
					fn(&batch[i])
				}
			}
			return batch
		}
	}
	for _, c := range []struct {
		name string
		log  func([]eventstore.Record) []eventstore.Record
		at   eventstore.Position
		says string
	}{
		{"a changed byte of data", change(3, func(r *eventstore.Record) {
			r.Data = []byte(strings.Replace(string(r.Data), "4242", "4243", 1))
		}), 4, "prev is"},
		{"a changed byte of metadata", change(2, func(r *eventstore.Record) {
			r.Metadata = []byte(strings.Replace(string(r.Metadata), "tester", "nobody", 1))
		}), 3, "prev is"},
		{"a record that does not decode", change(3, func(r *eventstore.Record) { r.Data = []byte("{") }), 3, "decode"},
		{"an unknown event type", change(3, func(r *eventstore.Record) { r.Type = "payment_method.sold" }), 3, "payment_method.sold"},
		{"a missing record", func(batch []eventstore.Record) []eventstore.Record {
			return slices.DeleteFunc(batch, func(r eventstore.Record) bool { return r.Position == 3 })
		}, 4, "version 4 follows version 2"},
		{"a position that does not grow", change(4, func(r *eventstore.Record) { r.Position = 3 }), 3, "it follows position 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := eventstore.Verify(t.Context(), tampered{Store: someLog(t), log: c.log}, nil)
			broken := (*eventstore.BrokenStreamError)(nil)
			if !errors.As(err, &broken) || broken.Position != c.at || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want a broken stream at position %d that says %q", err, c.at, c.says)
			}
		})
	}
}

// forgery is a record that somebody made with right hashes.
type forgery struct {
	command, mac string
	id           uuid.UUID // the zero one: that of the command's first record
	event        domain.Event
}

func forged(t *testing.T, log ...forgery) eventstore.Store {
	t.Helper()
	store, prev := memory.New(), eventstore.NoPrev
	for i, f := range log {
		meta := eventstore.Metadata{Time: start, Schema: domain.Schema, Prev: prev, CommandID: f.command, RequestMAC: f.mac, Actor: "forger"}
		name, data, err := domain.Encode(f.event)
		if err != nil {
			t.Fatal(err)
		}
		r := eventstore.NewRecord{ID: cmp.Or(f.id, eventstore.EventID(stream, f.command, 0)), Type: name, Data: data, Metadata: meta.Encode()}
		if _, err := store.Append(t.Context(), stream, uint64(i), []eventstore.NewRecord{r}); err != nil {
			t.Fatal(err)
		}
		made := records(t, store, stream)
		prev = made[i].LeafHash()
	}
	return store
}

// With every hash made anew, what the records say still gives a forgery away.
func TestVerifyFindsWhatHashesDoNotShow(t *testing.T) {
	attached := func(n int) domain.MethodAttached {
		cmd := attach(n)
		return domain.MethodAttached{
			MethodID: cmd.MethodID, Organization: "acme", Customer: "cus_1", Facts: cmd.Facts, FactsFrom: cmd.FactsFrom,
			Provider: cmd.Provider, ProviderID: cmd.ProviderID, Status: domain.StatusActive, Verification: domain.Verification{Status: domain.Unverified},
		}
	}
	foreign := attached(2)
	foreign.Customer = "cus_2"
	one := forgery{command: "a", mac: "m", event: attached(1)}
	for _, c := range []struct {
		name, says string
		log        []forgery
	}{
		{"a default that was never attached", "default", []forgery{one, {command: "b", event: domain.DefaultChanged{To: attach(2).MethodID, Cause: domain.CauseRequested}}}},
		{"a method attached twice", "attached", []forgery{one, {command: "b", event: attached(1)}}},
		{"a method of another customer", "customer", []forgery{one, {command: "b", event: foreign}}},
		{"one command for two requests", "for another request", []forgery{
			one, {command: "a", mac: "o", id: eventstore.EventID(stream, "a", 1), event: attached(2)},
		}},
		{"an id that no command gives", "id is not that of record 0 of command b", []forgery{one, {command: "b", id: uuid.NewSHA1(uuid.Nil, nil), event: attached(2)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := eventstore.Verify(t.Context(), forged(t, c.log...), nil)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want a refusal that says %q", err, c.says)
			}
		})
	}
	if found, err := eventstore.Verify(t.Context(), forged(t, one, forgery{command: "b", event: attached(2)}), nil); err != nil || found.Records != 2 {
		t.Errorf("what contradicts nothing: got %+v, %v", found, err)
	}
}

func TestVerifyFindsAnIDThatOccursTwice(t *testing.T) {
	paused := forgery{command: "b", event: domain.MethodPaused{MethodID: attach(1).MethodID}}
	resumed := forgery{command: "c", event: domain.MethodResumed{MethodID: attach(1).MethodID}}
	attached := forgery{command: "a", event: domain.MethodAttached{MethodID: attach(1).MethodID, Organization: "acme", Customer: "cus_1", Facts: attach(1).Facts, Status: domain.StatusActive}}
	_, err := eventstore.Verify(t.Context(), forged(t, attached, paused, resumed, paused), nil)
	duplicate := (*eventstore.DuplicateIDError)(nil)
	if !errors.As(err, &duplicate) || duplicate.First != 2 || duplicate.Second != 4 {
		t.Errorf("got %v, want the id at positions 2 and 4", err)
	}
}

func TestVerifyFindsAStreamWhoseEndTheStoreLost(t *testing.T) {
	store := tampered{Store: someLog(t), stream: func(r eventstore.Record) (eventstore.Record, bool) { return r, r.Version < 5 }}
	_, err := eventstore.Verify(t.Context(), store, nil)
	broken := (*eventstore.BrokenStreamError)(nil)
	if !errors.As(err, &broken) || broken.Stream != stream || broken.Version != 5 {
		t.Errorf("got %v, want %s broken at version 5", err, stream)
	}
}
