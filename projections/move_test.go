package projections_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

// moved is a log as another store has it: the same records at other positions.
type moved struct{ eventstore.Store }

func there(p eventstore.Position) eventstore.Position { return p*1311 + 77 }

func (s moved) Head(ctx context.Context) (eventstore.Position, error) {
	p, err := s.Store.Head(ctx)
	return there(p), err
}

func (s moved) Stream(ctx context.Context, stream string, from uint64) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		for r, err := range s.Store.Stream(ctx, stream, from) {
			r.Position = there(r.Position)
			if !yield(r, err) {
				return
			}
		}
	}
}

func (s moved) Follow(ctx context.Context, after eventstore.Position) iter.Seq2[[]eventstore.Record, error] {
	if after > 0 {
		after = (after - 77) / 1311
	}
	return func(yield func([]eventstore.Record, error) bool) {
		for batch, err := range s.Store.Follow(ctx, after) {
			batch = slices.Clone(batch)
			for i := range batch {
				batch[i].Position = there(batch[i].Position)
			}
			if !yield(batch, err) {
				return
			}
		}
	}
}

// The views of a log that has moved to another store are made anew, there and back.
func TestViewsOfAMovedLogAreMadeAnew(t *testing.T) {
	l := newLedger(t)
	life(l)
	l.execute("organization-acme", key("k1"))
	o := options("views")
	for _, store := range []eventstore.Store{l.store, moved{l.store}, moved{l.store}, l.store} {
		v := start(t, store, o)
		v.caughtUp(store)
		fresh := start(t, store, options("views"))
		fresh.caughtUp(store)
		if got, want := dump(t, v.Views), dump(t, fresh.Views); got != want || v.Position() != fresh.Position() {
			t.Errorf("%T: %s", store, firstDifference(want, got))
		}
		v.stop()
		fresh.stop()
		l.attach("acme", "cus_3")
	}
}

// A log that was restored from an older copy, and given the lost command again with
// its idempotency key, has a record with the same id. Its views are of a later state
// all the same, which is not passed over.
func TestARepeatOfALostCommandIsNoMove(t *testing.T) {
	l := newLedger(t)
	life(l)
	lost := l.card()
	again := func(l *ledger) {
		t.Helper()
		if _, err := l.Execute(t.Context(), eventstore.Request{
			Stream: domain.CustomerStream("acme", "cus_1", ""), CommandID: "k", RequestMAC: "m",
			Prepare: func(context.Context) (domain.Command, error) { return lost, nil },
		}); err != nil {
			t.Fatal(err)
		}
	}
	restored := newLedger(t)
	for batch, err := range l.store.Follow(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range batch {
			if _, err := restored.store.Append(t.Context(), r.Stream, r.Version-1, []eventstore.NewRecord{{ID: r.ID, Type: r.Type, Data: r.Data, Metadata: r.Metadata}}); err != nil {
				t.Fatal(err)
			}
		}
		break
	}
	again(l)
	o := options("views")
	v := start(t, l.store, o)
	v.caughtUp(l.store)
	v.stop()
	restored.now = l.now.Add(1e9)
	restored.attach("acme", "cus_9")
	again(restored)
	var ahead *projections.AheadError
	if _, err := projections.Open(t.Context(), restored.store, o); !errors.As(err, &ahead) {
		t.Fatalf("Open: %v", err)
	}
}

// A cursor from before a move leads on from the same event. One whose event the views
// do not have yet leads to nothing, and one whose event no log has, nowhere.
func TestCursorsOfEventsOutliveAMove(t *testing.T) {
	l := newLedger(t)
	for n := range 9 {
		l.attach("acme", fmt.Sprint("cus_", n))
	}
	before := views(l)
	before.caughtUp(l.store)
	after := start(t, moved{l.store}, options("views"))
	after.caughtUp(moved{l.store})
	behind := views(newLedger(t))
	for _, ascending := range []bool{false, true} {
		q := projections.EventQuery{Ascending: ascending, Limit: 4}
		all := ids(t, before, projections.EventQuery{Ascending: ascending, Limit: 100}, nil)
		for _, pair := range [][2]*running{{before, after}, {after, before}, {before, before}} {
			q := q
			got := ids(t, pair[0], q, &q.After)
			got = append(got, ids(t, pair[1], q, &q.After)...)
			got = append(got, ids(t, pair[0], q, &q.After)...)
			if !slices.Equal(got, all[:12]) {
				t.Errorf("ascending %v: %v, want %v", ascending, got, all[:12])
			}
			if page, err := behind.Events("acme", q); err != nil || len(page.Items) > 0 {
				t.Errorf("views that are behind: %v, %v", page, err)
			}
		}
	}
	unknown := uuid.New()
	foreign := fmt.Sprintf("%016x%x", 3, unknown[:])
	if _, err := before.Events("acme", projections.EventQuery{After: foreign}); !errors.Is(err, projections.ErrCursor) {
		t.Errorf("an event of no log: %v", err)
	}
}

// ids are those of a page of events; the cursor to the next one goes to after.
func ids(t *testing.T, v *running, q projections.EventQuery, after *string) (ids []string) {
	t.Helper()
	page, err := v.Events("acme", q)
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range page.Items {
		var e struct{ ID string }
		if err := json.Unmarshal(item, &e); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	if after != nil {
		*after = page.Next
	}
	return ids
}
