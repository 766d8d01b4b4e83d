package eventstore_test

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
)

// slowStore takes its time for the first append: it happens, but an impatient caller
// is gone before.
type slowStore struct {
	eventstore.Store
	entered, goOn, late chan struct{}
}

func (s *slowStore) Append(ctx context.Context, stream string, version uint64, records []eventstore.NewRecord) (eventstore.Position, error) {
	select {
	case <-s.entered:
		<-s.late
		return s.Store.Append(ctx, stream, version, records)
	default:
		close(s.entered)
	}
	var at eventstore.Position
	var err error
	go func() {
		defer close(s.late)
		<-s.goOn
		at, err = s.Store.Append(context.WithoutCancel(ctx), stream, version, records)
	}()
	select {
	case <-s.late:
		return at, err
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", eventstore.ErrUnknownOutcome, ctx.Err())
	}
}

// TestAClientThatLeavesAndComesBackFindsWhatItHasDone repeats an attach, with an id
// of its own, while the append of the first attempt is under way.
func TestAClientThatLeavesAndComesBackFindsWhatItHasDone(t *testing.T) {
	store := &slowStore{Store: memory.New(), entered: make(chan struct{}), goOn: make(chan struct{}), late: make(chan struct{})}
	l, _ := newLedger(store)
	impatient, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = l.Execute(impatient, request("key", attach(1))) // nobody waits for what comes of it
	}()
	<-store.entered
	leave()
	again := request("key", attach(2))
	again.RequestMAC = request("key", attach(1)).RequestMAC
	prepare, came := again.Prepare, make(chan eventstore.Result, 1)
	goOn := sync.OnceFunc(func() { close(store.goOn) })
	again.Prepare = func(ctx context.Context) (domain.Command, error) {
		goOn() // the first append happens after the stream was read for the second
		return prepare(ctx)
	}
	go func() {
		result, err := l.Execute(t.Context(), again)
		if err != nil {
			t.Error(err)
		}
		came <- result
	}()
	select {
	case <-gone: // the stream was let go of, with the append under way
	case <-time.After(50 * time.Millisecond):
		goOn()
	}
	got := <-came
	fresh, _ := newLedger(store.Store)
	want, _, err := fresh.State(t.Context(), stream)
	if err != nil || !reflect.DeepEqual(got.State, want) {
		t.Errorf("answered %+v\nthe log says %+v: %v", customer(got).Methods, want.(*domain.Customer).Methods, err)
	}
	execute(t, l, request("next", attach(3)))
	if _, err := eventstore.Verify(t.Context(), store, nil); err != nil {
		t.Errorf("the history is not in order: %v", err)
	}
}
