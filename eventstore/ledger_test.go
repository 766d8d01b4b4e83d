package eventstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
	"github.com/pmledger/pmledger/eventstore/storetest"
)

const stream = "customer-acme+cus_1"

var start = time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)

// clock is a clock that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

func newLedger(store eventstore.Store) (*eventstore.Ledger, *clock) {
	c := &clock{now: start}
	return eventstore.NewLedger(store, eventstore.LedgerOptions{Now: c.Now, NewID: uuid.New}), c
}

func attach(n int) domain.AttachMethod {
	card := domain.Card{Brand: "visa", Last4: "4242", ExpMonth: 12, ExpYear: 2034}
	return domain.AttachMethod{
		MethodID: domain.NewMethodID(uuid.NewSHA1(uuid.Nil, fmt.Append(nil, n))), Type: domain.TypeCard, Provider: "sandbox", ProviderID: fmt.Sprint("tok_", n),
		Facts:     domain.Facts{Type: domain.TypeCard, Method: "card", Card: &card, Fingerprint: fmt.Sprint("fp_", n)},
		FactsFrom: "gateway",
		Policy:    domain.Policy{Settings: domain.DefaultSettings(), Location: time.UTC, MaxMethods: 1000},
	}
}

// request is a request whose command is already prepared; key "" is no idempotency key.
func request(key string, cmd domain.Command) eventstore.Request {
	r := eventstore.Request{
		Stream: stream, CommandID: key, Actor: "tester",
		Prepare: func(context.Context) (domain.Command, error) { return cmd, nil },
	}
	if key != "" {
		body, _ := json.Marshal(cmd)
		r.RequestMAC = fmt.Sprintf("mac of %T%s", cmd, body)
	}
	return r
}

func execute(t *testing.T, l *eventstore.Ledger, r eventstore.Request) eventstore.Result {
	t.Helper()
	result, err := l.Execute(t.Context(), r)
	if err != nil {
		t.Fatalf("execute: %v", err)
	}
	return result
}

func records(t *testing.T, store eventstore.Store, stream string) []eventstore.Record {
	t.Helper()
	var all []eventstore.Record
	for r, err := range store.Stream(t.Context(), stream, 1) {
		if err != nil {
			t.Fatalf("read stream: %v", err)
		}
		all = append(all, r)
	}
	return all
}

func customer(r eventstore.Result) *domain.Customer { return r.State.(*domain.Customer) }

func TestRepeatOfARecordedCommandHasOneEffectAndTheSameResult(t *testing.T) {
	store := memory.New()
	l, _ := newLedger(store)
	first := execute(t, l, request("key-1", attach(1)))
	execute(t, l, request("key-2", attach(2)))

	for name, l := range map[string]*eventstore.Ledger{"same process": l, "restarted": first2(newLedger(store))} {
		again := request("key-1", attach(1))
		again.Prepare = func(context.Context) (domain.Command, error) {
			t.Error("a repeat was prepared again")
			return attach(1), nil
		}
		repeat := execute(t, l, again)
		if !repeat.Replayed || repeat.Version != first.Version || repeat.Position != first.Position || len(repeat.Events) != len(first.Events) {
			t.Errorf("%s: repeat gave %+v, first gave %+v", name, repeat, first)
		}
		if got := len(customer(repeat).Methods); got != 1 {
			t.Errorf("%s: the repeat shows %d methods, not the 1 of the time of its command", name, got)
		}
	}
	if got := len(records(t, store, stream)); got != 3 {
		t.Errorf("%d records, want attached, default changed, attached", got)
	}
}

func first2[A, B any](a A, _ B) A { return a }

func TestAnotherRequestUnderTheSameKeyIsRefused(t *testing.T) {
	l, _ := newLedger(memory.New())
	execute(t, l, request("key-1", attach(1)))
	_, err := l.Execute(t.Context(), request("key-1", attach(2)))
	if domain.CodeOf(err) != domain.CodeKeyReused {
		t.Errorf("got %v", err)
	}
}

func TestACommandThatChangesNothingIsRecordedOnlyWithAKey(t *testing.T) {
	store := memory.New()
	l, _ := newLedger(store)
	id := attach(1).MethodID
	execute(t, l, request("", attach(1)))
	before := len(records(t, store, stream))

	execute(t, l, request("", domain.SetDefault{MethodID: id}))
	if got := len(records(t, store, stream)); got != before {
		t.Errorf("%d records appended without a key", got-before)
	}
	execute(t, l, request("key-1", domain.SetDefault{MethodID: id}))
	if repeat := execute(t, l, request("key-1", domain.SetDefault{MethodID: id})); !repeat.Replayed {
		t.Error("the repeat was not known")
	}
	all := records(t, store, stream)
	if len(all) != before+1 || all[before].Type != "command.accepted" {
		t.Errorf("want one command.accepted after %d records, have %d records", before, len(all))
	}
}

func TestARefusalIsNotRecorded(t *testing.T) {
	store := memory.New()
	l, _ := newLedger(store)
	missing := domain.SetDefault{MethodID: attach(9).MethodID}
	if _, err := l.Execute(t.Context(), request("key-1", missing)); domain.CodeOf(err) != domain.CodeMethodNotFound {
		t.Fatalf("got %v", err)
	}
	execute(t, l, request("", attach(9)))
	if result := execute(t, l, request("key-1", missing)); result.Replayed {
		t.Error("a refused command was not decided again")
	}
}

func TestARejectedDuplicateIsAFactAndARefusalEachTime(t *testing.T) {
	store := memory.New()
	l, _ := newLedger(store)
	execute(t, l, request("", attach(1)))
	again := attach(1)
	again.MethodID = attach(2).MethodID
	again.Policy.DuplicatePolicy = domain.DuplicateReject
	for range 2 {
		_, err := l.Execute(t.Context(), request("key-1", again))
		var refusal *domain.Error
		if !errors.As(err, &refusal) || refusal.Code != domain.CodeMethodDuplicate || refusal.Method != attach(1).MethodID {
			t.Fatalf("got %v", err)
		}
	}
	if all := records(t, store, stream); len(all) != 3 || all[2].Type != "payment_method.duplicate_detected" {
		t.Errorf("want one duplicate_detected after attached and default changed, have %d records", len(all))
	}
}

func TestSixteenAtOnceUnderOneKeyHaveOneEffect(t *testing.T) {
	store := memory.New()
	one, _ := newLedger(store)
	two, _ := newLedger(store) // another process
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			l := one
			if i%2 == 1 {
				l = two
			}
			if _, err := l.Execute(t.Context(), request("key-1", attach(1))); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if got := len(records(t, store, stream)); got != 2 {
		t.Errorf("%d records, want attached and default changed", got)
	}
}

func TestRacesOnOneNodeAreDecidedInTurn(t *testing.T) {
	store := memory.New()
	l, _ := newLedger(store)
	for n := range 20 {
		execute(t, l, request("", attach(n)))
	}
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			result, err := l.Execute(t.Context(), request("", domain.SetDefault{MethodID: attach(n).MethodID}))
			if err != nil || customer(result).Default != attach(n).MethodID {
				t.Errorf("set default %d: %v", n, err)
			}
		})
	}
	wg.Wait()
	verifyChain(t, records(t, store, stream))
}

func TestAConflictIsDecidedAgainButPreparedOnce(t *testing.T) {
	store := memory.New()
	l, _ := newLedger(store)
	other, _ := newLedger(store)
	prepared := 0
	r := request("key-1", nil)
	r.Prepare = func(context.Context) (domain.Command, error) {
		prepared++
		execute(t, other, request("", attach(2))) // wins the race
		return attach(1), nil
	}
	r.RequestMAC = "mac"
	result := execute(t, l, r)
	if prepared != 1 {
		t.Errorf("prepared %d times", prepared)
	}
	if c := customer(result); c.Default != attach(2).MethodID || len(c.Methods) != 2 {
		t.Errorf("the loser did not see the winner: %+v", c)
	}
	verifyChain(t, records(t, store, stream))
}

// verifyChain checks versions, prev hashes, ids and times of one stream.
func verifyChain(t *testing.T, all []eventstore.Record) {
	t.Helper()
	prev, last, ids := eventstore.NoPrev, time.Time{}, map[uuid.UUID]bool{}
	for i, r := range all {
		meta, err := eventstore.DecodeMetadata(r.Metadata)
		if err != nil {
			t.Fatal(err)
		}
		if r.Version != uint64(i+1) || meta.Prev != prev || meta.Time.Before(last) || ids[r.ID] {
			t.Fatalf("record %d breaks the chain: %+v", i, r)
		}
		prev, last, ids[r.ID] = r.LeafHash(), meta.Time, true
	}
}

func TestUnknownOutcomesAreResolvedByAsking(t *testing.T) {
	for name, inject := range map[string]func(*storetest.Faulty){
		"applied, answer lost":       func(f *storetest.Faulty) { f.Plan(storetest.Applied) },
		"applied, answer lost twice": func(f *storetest.Faulty) { f.Plan(storetest.Applied, storetest.Applied) },
	} {
		t.Run(name, func(t *testing.T) {
			store := &storetest.Faulty{Store: memory.New()}
			l, _ := newLedger(store)
			inject(store)
			result := execute(t, l, request("key-1", attach(1)))
			if result.Replayed || len(result.Events) != 2 {
				t.Errorf("got %+v", result)
			}
			execute(t, l, request("", attach(2)))
			all := records(t, store, stream)
			if len(all) != 3 {
				t.Errorf("%d records, want 3", len(all))
			}
			verifyChain(t, all)
		})
	}
}

func TestAFailedAppendLeavesNothingBehind(t *testing.T) {
	store := &storetest.Faulty{Store: memory.New()}
	l, _ := newLedger(store)
	store.Plan(storetest.NotApplied)
	_, err := l.Execute(t.Context(), request("key-1", attach(1)))
	if domain.CodeOf(err) != domain.CodeStoreUnavailable {
		t.Fatalf("got %v", err)
	}
	if result := execute(t, l, request("key-1", attach(1))); result.Replayed || result.Version != 2 {
		t.Errorf("got %+v", result)
	}
}

func TestEventTimeNeverGoesBackAndIsWholeMilliseconds(t *testing.T) {
	store := memory.New()
	l, c := newLedger(store)
	c.Set(start.Add(1234567 * time.Nanosecond))
	execute(t, l, request("", attach(1)))
	c.Set(start.Add(-10 * 365 * 24 * time.Hour))
	execute(t, l, request("", attach(2)))
	all := records(t, store, stream)
	verifyChain(t, all)
	meta, _ := eventstore.DecodeMetadata(all[len(all)-1].Metadata)
	if want := start.Add(time.Millisecond); !meta.Time.Equal(want) {
		t.Errorf("time %s, want %s", meta.Time, want)
	}
}

func TestACommandOfATestOrganizationIsDecidedAtItsOwnTime(t *testing.T) {
	store := memory.New()
	l, _ := newLedger(store)
	r := request("", attach(1))
	r.Now = start.AddDate(3, 0, 0).Add(time.Microsecond)
	execute(t, l, r)
	all := records(t, store, stream)
	meta, _ := eventstore.DecodeMetadata(all[len(all)-1].Metadata)
	if want := start.AddDate(3, 0, 0); !meta.Time.Equal(want) {
		t.Errorf("time %s, want %s", meta.Time, want)
	}
}

func TestStateAtIsInclusive(t *testing.T) {
	l, c := newLedger(memory.New())
	execute(t, l, request("", attach(1)))
	c.Set(start.Add(time.Second))
	execute(t, l, request("", attach(2)))
	for offset, want := range map[time.Duration]int{-time.Millisecond: 0, 0: 1, time.Second - time.Millisecond: 1, time.Second: 2} {
		state, err := l.StateAt(t.Context(), stream, start.Add(offset))
		if err != nil || len(state.(*domain.Customer).Methods) != want {
			t.Errorf("at %s: %d methods, want %d (%v)", offset, len(state.(*domain.Customer).Methods), want, err)
		}
	}
}
