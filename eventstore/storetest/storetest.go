// Package storetest is the second half of the Store contract: what the comments
// of eventstore.Store promise, as named behaviours that every backend passes.
//
// A backend's own test is a few lines: Run with a function that opens a store,
// and RunReopen when the backend survives a restart. The suite assumes no empty
// log, so a backend may use one server for all behaviours.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
)

// patience is how long the suite waits for what must happen. It is only spent
// when something is wrong.
const patience = 30 * time.Second

// opener opens a store for one behaviour.
type opener = func(t *testing.T) eventstore.Store

// behaviour is one promise of the contract.
type behaviour struct {
	name  string
	check func(t *testing.T, open opener)
}

// Run checks that the stores which open returns keep the contract. Each
// behaviour opens its own; open registers what closes it with t.Cleanup. The list
// of behaviours is the same for all backends: a skipped one is a failure.
func Run(t *testing.T, open func(t *testing.T) eventstore.Store) {
	t.Helper()
	for _, group := range [][]behaviour{appends, streams, follows, endings, faults, models} {
		for _, b := range group {
			t.Run(b.name, func(t *testing.T) {
				defer func() {
					if t.Skipped() {
						t.Errorf("%s was skipped", b.name)
					}
				}()
				b.check(t, open)
			})
		}
	}
}

// within is a context that ends when patience does, or the test.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// newStream is the name of a stream that nobody has used.
func newStream() string { return "customer-acme+" + uuid.NewString() }

// newRecords returns n records with fresh ids and contents of their own.
func newRecords(n int) []eventstore.NewRecord {
	records := make([]eventstore.NewRecord, n)
	for i := range records {
		id := uuid.New()
		records[i] = eventstore.NewRecord{
			ID:       id,
			Type:     "payment_method.attached",
			Data:     fmt.Appendf(nil, `{"n":%d,"id":%q}`, i, id),
			Metadata: fmt.Appendf(nil, `{"command_id":%q,"time":"2026-01-02T03:04:05.678Z"}`, id),
		}
	}
	return records
}

// mustAppend appends and returns the position.
func mustAppend(t *testing.T, s eventstore.Store, stream string, version uint64, records []eventstore.NewRecord) eventstore.Position {
	t.Helper()
	p, err := s.Append(within(t), stream, version, records)
	if err != nil {
		t.Fatalf("append to %s at version %d: %v", stream, version, err)
	}
	return p
}

// mustStream reads a stream whole from a version on.
func mustStream(t *testing.T, s eventstore.Store, stream string, from uint64) []eventstore.Record {
	t.Helper()
	var all []eventstore.Record
	for r, err := range s.Stream(within(t), stream, from) {
		if err != nil {
			t.Fatalf("stream %s from %d: %v", stream, from, err)
		}
		all = append(all, r)
	}
	return all
}

// mustHead returns the head.
func mustHead(t *testing.T, s eventstore.Store) eventstore.Position {
	t.Helper()
	p, err := s.Head(within(t))
	if err != nil {
		t.Fatalf("head: %v", err)
	}
	return p
}

// mustFollow reads what follows a position up to the record at until.
func mustFollow(t *testing.T, s eventstore.Store, after, until eventstore.Position) []eventstore.Record {
	t.Helper()
	all, err := follow(within(t), s, after, until)
	if err != nil {
		t.Fatalf("follow after %s until %s: %v, with %d records read", after, until, err, len(all))
	}
	return all
}

func follow(ctx context.Context, s eventstore.Store, after, until eventstore.Position) ([]eventstore.Record, error) {
	var all []eventstore.Record
	for batch, err := range s.Follow(ctx, after) {
		if err != nil {
			return all, err
		}
		if len(batch) == 0 {
			return all, errors.New("an empty batch")
		}
		all = append(all, batch...)
		if last := all[len(all)-1].Position; last >= until {
			return all, nil
		}
	}
	return all, errors.New("the iteration ended by itself")
}

// checkRecords compares what was read of one stream, from a version on, with
// what was appended there.
func checkRecords(t *testing.T, stream string, first uint64, got []eventstore.Record, want []eventstore.NewRecord) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records of stream %s, want %d", len(got), stream, len(want))
	}
	for i := range got {
		g, w := got[i], want[i]
		switch {
		case g.Stream != stream || g.Version != first+uint64(i):
			t.Fatalf("record %d is version %d of %s, want version %d of %s", i, g.Version, g.Stream, first+uint64(i), stream)
		case g.ID != w.ID || g.Type != w.Type:
			t.Fatalf("version %d of %s is %s %s, want %s %s", g.Version, stream, g.Type, g.ID, w.Type, w.ID)
		case string(g.Data) != string(w.Data):
			t.Fatalf("version %d of %s: data %.80q, want %.80q", g.Version, stream, g.Data, w.Data)
		case string(g.Metadata) != string(w.Metadata):
			t.Fatalf("version %d of %s: metadata %.80q, want %.80q", g.Version, stream, g.Metadata, w.Metadata)
		case i > 0 && g.Position <= got[i-1].Position:
			t.Fatalf("version %d of %s is at position %s, not after %s", g.Version, stream, g.Position, got[i-1].Position)
		}
	}
}

// checkConflict expects a *ConflictError.
func checkConflict(t *testing.T, err error, stream string, expected, actual uint64) {
	t.Helper()
	want := eventstore.ConflictError{Stream: stream, Expected: expected, Actual: actual}
	var got *eventstore.ConflictError
	if !errors.As(err, &got) || *got != want {
		t.Fatalf("error %v, want %v", err, &want)
	}
}

// closeStore closes s.
func closeStore(t *testing.T, s eventstore.Store) {
	t.Helper()
	c, ok := s.(io.Closer)
	if !ok {
		t.Fatal("this store cannot be closed")
	}
	if err := c.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// text is a JSON string.
func text(s string) string {
	b, _ := json.Marshal(s) // of a string cannot fail
	return string(b)
}
