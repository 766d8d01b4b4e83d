package eventstore_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
)

// newReplica is a ledger of one of several processes on one store.
func newReplica(store eventstore.Store) *eventstore.Ledger {
	c := &clock{now: start}
	return eventstore.NewLedger(store, eventstore.LedgerOptions{Now: c.Now, NewID: uuid.New, Shared: true})
}

// overtaken is a request whose command another process executes while this one
// prepares it.
func overtaken(t *testing.T, other *eventstore.Ledger, theirs, ours eventstore.Request) eventstore.Request {
	prepare := ours.Prepare
	ours.Prepare = func(ctx context.Context) (domain.Command, error) {
		execute(t, other, theirs)
		return prepare(ctx)
	}
	return ours
}

// TestOneCommandOnTwoReplicasAtOnceHasOneEffectAndOneResult lets both prepare an
// attach under one idempotency key, each with an id of its own. A store takes the
// slower append for a repeat of the faster one: their record ids are the same.
func TestOneCommandOnTwoReplicasAtOnceHasOneEffectAndOneResult(t *testing.T) {
	store := memory.New()
	fast, slow := newReplica(store), newReplica(store)
	theirs, ours := request("key", attach(1)), request("key", attach(2))
	ours.RequestMAC = theirs.RequestMAC // the ids that a process makes are no part of the request

	got := execute(t, slow, overtaken(t, fast, theirs, ours))
	want := execute(t, fast, theirs)
	if !got.Replayed || !reflect.DeepEqual(got.Events, want.Events) || !reflect.DeepEqual(got.State, want.State) || got.Position != want.Position {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	// The slower one's memory of the stream must be what the log holds, or its next
	// record would not link to the one before it.
	execute(t, slow, request("next", attach(3)))
	if _, err := eventstore.Verify(t.Context(), store, nil); err != nil {
		t.Errorf("the history is not in order: %v", err)
	}
	if n := len(records(t, store, stream)); n != 3 {
		t.Errorf("%d records, want attached, default changed, attached", n)
	}
}

func TestAnotherRequestUnderAKeyThatAnotherReplicaIsUsingIsRefused(t *testing.T) {
	store := memory.New()
	fast, slow := newReplica(store), newReplica(store)
	_, err := slow.Execute(t.Context(), overtaken(t, fast, request("key", attach(1)), request("key", attach(2))))
	if refusal := (*domain.Error)(nil); !errors.As(err, &refusal) || refusal.Code != domain.CodeKeyReused {
		t.Errorf("got %v", err)
	}
}

// TestWhatIsDoneTwiceByItselfIsDoneOnce is for commands whose id follows from what
// they are about, such as those of the expiry clock: they carry no request MAC.
func TestWhatIsDoneTwiceByItselfIsDoneOnce(t *testing.T) {
	store := memory.New()
	fast, slow := newReplica(store), newReplica(store)
	theirs, ours := request("pmledger·work", attach(1)), request("pmledger·work", attach(2))
	theirs.RequestMAC, ours.RequestMAC = "", ""
	execute(t, slow, overtaken(t, fast, theirs, ours))
	execute(t, slow, request("next", attach(3)))
	if _, err := eventstore.Verify(t.Context(), store, nil); err != nil {
		t.Errorf("the history is not in order: %v", err)
	}
	if n := len(records(t, store, stream)); n != 3 {
		t.Errorf("%d records, want 3", n)
	}
}

// TestReadersMustSeeWhatARepeatWasAnswered: the first attempt was answered, or not,
// by a process that is gone.
func TestReadersMustSeeWhatARepeatWasAnswered(t *testing.T) {
	store := memory.New()
	first, second := newReplica(store), newReplica(store)
	made := execute(t, first, request("key", attach(1)))
	execute(t, second, request("key", attach(1)))
	if second.Written() != made.Position {
		t.Errorf("readers of the second one must see %s, not %s", second.Written(), made.Position)
	}
}

func TestReadersMustSeeWhatWasThereAtTheStart(t *testing.T) {
	l := eventstore.NewLedger(memory.New(), eventstore.LedgerOptions{Written: 7})
	if l.Written() != 7 {
		t.Errorf("got %s", l.Written())
	}
}
