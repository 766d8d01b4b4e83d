package eventstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/kurrent"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
	"github.com/pmledger/pmledger/eventstore/memory"
)

const fingerprint = "fingerprint of the secret"

// sourceLog is a log with its identity, three customers, and commands of one and of
// two records, two by two on one customer.
func sourceLog(t *testing.T) *memory.Store {
	t.Helper()
	store := memory.New()
	if _, err := eventstore.Identify(t.Context(), store, fingerprint, uuid.New(), start); err != nil {
		t.Fatal(err)
	}
	ledger, _ := newLedger(store)
	for n := range 9 {
		r := request(fmt.Sprint("key_", n), attach(n))
		r.Stream = domain.CustomerStream("acme", fmt.Sprint("cus_", n/2%3), "")
		execute(t, ledger, r)
	}
	return store
}

// exportOf is the export of a log, line by line.
func exportOf(t *testing.T, store eventstore.Store) []string {
	t.Helper()
	return exportOfRecords(t, logOf(t, store))
}

func exportOfRecords(t *testing.T, log []eventstore.Record) []string {
	t.Helper()
	var lines []string
	last := eventstore.NoPrev
	for _, r := range log {
		line, err := eventstore.Exported{Record: r, Follows: last}.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		lines, last = append(lines, string(line)), r.LeafHash()
	}
	return lines
}

func logOf(t *testing.T, store eventstore.Store) []eventstore.Record {
	t.Helper()
	head, err := store.Head(t.Context())
	if err != nil || head == 0 {
		return nil
	}
	var all []eventstore.Record
	for batch, err := range store.Follow(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, batch...); all[len(all)-1].Position == head {
			return all
		}
	}
	return nil
}

func importInto(store eventstore.Store, lines ...string) (eventstore.Imported, error) {
	in := eventstore.NewExportReader(strings.NewReader(strings.Join(lines, "")))
	return eventstore.Import(context.Background(), store, in, eventstore.ImportOptions{Fingerprint: fingerprint})
}

// sameLog expects the same records in the same order; positions are the stores' own.
func sameLog(t *testing.T, got, want eventstore.Store) {
	t.Helper()
	a, b := logOf(t, got), logOf(t, want)
	if len(a) != len(b) {
		t.Fatalf("the log has %d records, want %d", len(a), len(b))
	}
	for i := range a {
		if a[i].ID != b[i].ID || a[i].Stream != b[i].Stream || a[i].Version != b[i].Version || a[i].Type != b[i].Type ||
			!bytes.Equal(a[i].Data, b[i].Data) || !bytes.Equal(a[i].Metadata, b[i].Metadata) {
			t.Fatalf("record %d is\n%+v, want\n%+v", i, a[i], b[i])
		}
	}
	if _, err := eventstore.Verify(t.Context(), got, nil); err != nil {
		t.Fatal(err)
	}
}

// plainStore hides that a store can take many appends at once, and counts its appends.
type plainStore struct {
	eventstore.Store
	appends [][]eventstore.NewRecord
	fail    func(n int) error // of the n-th append, after it has happened
}

func (s *plainStore) Append(ctx context.Context, stream string, version uint64, records []eventstore.NewRecord) (eventstore.Position, error) {
	s.appends = append(s.appends, records)
	p, err := s.Store.Append(ctx, stream, version, records)
	if err == nil && s.fail != nil {
		err = s.fail(len(s.appends))
	}
	return p, err
}

func TestAnImportMakesTheSameLog(t *testing.T) {
	source := sourceLog(t)
	lines := exportOf(t, source)
	for name, target := range map[string]eventstore.Store{"many at once": memory.New(), "one by one": &plainStore{Store: memory.New()}} {
		t.Run(name, func(t *testing.T) {
			done, err := importInto(target, lines...)
			n := uint64(len(lines))
			if err != nil || done.Records != n || done.Appended != n || done.Present != 0 || done.Source != eventstore.Position(n) || done.Head != eventstore.Position(n) {
				t.Fatalf("%+v, %v", done, err)
			}
			sameLog(t, target, source)
			if done, err = importInto(target, lines...); err != nil || done.Appended != 0 || done.Present != n {
				t.Errorf("again: %+v, %v", done, err)
			}
			sameLog(t, target, source)
		})
	}
}

// TestACommandIsOneAppendAgain looks at what is appended, and cuts the import after
// every append.
func TestACommandIsOneAppendAgain(t *testing.T) {
	source := sourceLog(t)
	lines := exportOf(t, source)
	target := &plainStore{Store: memory.New()}
	if _, err := importInto(target, lines...); err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, records := range target.appends {
		ids := map[string]bool{}
		for _, r := range records {
			meta, err := eventstore.DecodeMetadata(r.Metadata)
			if err != nil {
				t.Fatal(err)
			}
			ids[meta.CommandID] = true
		}
		if commands++; len(ids) != 1 {
			t.Errorf("an append of %d commands", len(ids))
		}
	}
	if commands != 10 || len(lines) <= commands {
		t.Errorf("%d appends of %d records, want the identity and 9 commands, some of two records", commands, len(lines))
	}
	for n := 1; n <= commands; n++ {
		down := errors.New("down")
		cut := &plainStore{Store: memory.New(), fail: func(at int) error {
			if at == n {
				return down
			}
			return nil
		}}
		if _, err := importInto(cut, lines...); !errors.Is(err, down) {
			t.Fatalf("cut after append %d: %v", n, err)
		}
		cut.fail = nil
		if _, err := importInto(cut, lines...); err != nil {
			t.Fatalf("after a cut at %d: %v", n, err)
		}
		sameLog(t, cut, source)
	}
}

// An outcome that is unknown, or a store that is away, is no end of an import.
func TestAnImportOutlivesAStoreThatIsAway(t *testing.T) {
	source := sourceLog(t)
	calls := 0
	target := &plainStore{Store: memory.New(), fail: func(int) error {
		if calls++; calls%4 == 1 {
			return eventstore.ErrUnknownOutcome
		}
		return nil
	}}
	if _, err := importInto(target, exportOf(t, source)...); err != nil {
		t.Fatal(err)
	}
	sameLog(t, target, source)
}

// A log that has grown is brought up to date by what is new, whole or by --after.
func TestAnImportGoesOn(t *testing.T) {
	source := sourceLog(t)
	lines := exportOf(t, source)
	for n := 1; n <= len(lines); n++ {
		for from := 0; from <= n; from++ {
			target := memory.New()
			if _, err := importInto(target, lines[:n]...); err != nil {
				t.Fatal(err)
			}
			done, err := importInto(target, lines[from:]...)
			if err != nil || done.Present != uint64(n-from) || done.Appended != uint64(len(lines)-n) {
				t.Fatalf("%d lines and then from %d on: %+v, %v", n, from, done, err)
			}
			sameLog(t, target, source)
		}
	}
}

func TestAnImportLeavesALogAloneThatWentOn(t *testing.T) {
	source := sourceLog(t)
	lines := exportOf(t, source)
	ledger, _ := newLedger(source)
	execute(t, ledger, request("", attach(20)))
	done, err := importInto(source, lines...)
	if err != nil || done.Appended != 0 || done.Present != uint64(len(lines)) || len(logOf(t, source)) <= len(lines) {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestAnImportRefusesAnotherStore(t *testing.T) {
	lines := exportOf(t, sourceLog(t))
	holding := func(more func(*memory.Store)) *memory.Store {
		store := memory.New()
		more(store)
		return store
	}
	whole := func(s *memory.Store) {
		if _, err := importInto(s, lines...); err != nil {
			t.Fatal(err)
		}
	}
	another := func(s *memory.Store) {
		if _, err := eventstore.Identify(t.Context(), s, fingerprint, uuid.New(), start); err != nil {
			t.Fatal(err)
		}
	}
	ledger := func(s *memory.Store) *eventstore.Ledger { l, _ := newLedger(s); return l }
	other := memory.New()
	another(other)
	for n := range 6 {
		execute(t, ledger(other), request("", attach(n)))
	}
	for _, c := range []struct {
		name  string
		store *memory.Store
		lines []string
		says  string
	}{
		{"another ledger", holding(another), lines, "the store holds the log"},
		{"no ledger", holding(func(s *memory.Store) { execute(t, ledger(s), request("", attach(1))) }), lines, "the store is not empty"},
		{"a log that went another way", holding(func(s *memory.Store) {
			if _, err := importInto(s, lines[:3]...); err != nil {
				t.Fatal(err)
			}
			execute(t, ledger(s), request("", attach(30)))
		}), lines, "line 4"},
		{"a later part of another log", holding(whole), exportOf(t, other)[5:], "which the store does not hold"},
		{"a part after a gap", holding(func(s *memory.Store) {
			if _, err := importInto(s, lines[:3]...); err != nil {
				t.Fatal(err)
			}
		}), lines[6:], "which the store does not hold"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := logOf(t, c.store)
			if _, err := importInto(c.store, c.lines...); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if len(logOf(t, c.store)) != len(before) {
				t.Error("something was appended")
			}
		})
	}
}

func TestAnImportRefusesAnotherSecret(t *testing.T) {
	lines := exportOf(t, sourceLog(t))
	for _, n := range []int{0, 3} {
		target := memory.New()
		if n > 0 {
			if _, err := importInto(target, lines[:n]...); err != nil {
				t.Fatal(err)
			}
		}
		in := eventstore.NewExportReader(strings.NewReader(strings.Join(lines, "")))
		begun := false
		_, err := eventstore.Import(t.Context(), target, in, eventstore.ImportOptions{Fingerprint: "another", Begin: func() error { begun = true; return nil }})
		if err == nil || !strings.Contains(err.Error(), "another secret") || begun || len(logOf(t, target)) != n {
			t.Errorf("got %v, begun %v, %d records", err, begun, len(logOf(t, target)))
		}
	}
}

// intruder is a store to which somebody else appends during an import.
type intruder struct {
	*plainStore
	ledger *eventstore.Ledger
	t      *testing.T
}

func (s *intruder) Append(ctx context.Context, stream string, version uint64, records []eventstore.NewRecord) (eventstore.Position, error) {
	if len(s.appends) == 4 {
		r := request("", attach(40))
		r.Stream = domain.CustomerStream("acme", "somebody", "")
		execute(s.t, s.ledger, r)
	}
	return s.plainStore.Append(ctx, stream, version, records)
}

func TestAnImportNoticesOthersThatWrite(t *testing.T) {
	lines := exportOf(t, sourceLog(t))
	store := &intruder{plainStore: &plainStore{Store: memory.New()}, t: t}
	store.ledger, _ = newLedger(store.plainStore.Store)
	if _, err := importInto(store, lines...); err == nil || !strings.Contains(err.Error(), "somebody else has written") {
		t.Errorf("got %v", err)
	}
}

// A cluster loses answers, breaks off, elects and goes away during an import. The log
// in it is the same all the same.
func TestAnImportIntoAClusterInTrouble(t *testing.T) {
	source := sourceLog(t)
	lines := exportOf(t, source)
	server := kurrenttest.Start(t, kurrenttest.Options{Nodes: 3})
	target, err := kurrent.Open(t.Context(), server.ConnectionString(), kurrent.Options{Gap: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	server.Fail(kurrenttest.Append, kurrenttest.LoseAnswer(codes.DeadlineExceeded, "lost"), 1)
	server.FailEvery(kurrenttest.Append, kurrenttest.BreakAfter(), 4)
	batches := 0
	in := eventstore.NewExportReader(strings.NewReader(strings.Join(lines, "")))
	done, err := eventstore.Import(t.Context(), target, in, eventstore.ImportOptions{Fingerprint: fingerprint, Progress: func(eventstore.Imported) {
		switch batches++; batches {
		case 3:
			server.Elect(1)
		case 6:
			server.Stop()
			time.AfterFunc(300*time.Millisecond, func() {
				if err := server.Restart(); err != nil {
					t.Error(err)
				}
			})
		}
	}})
	if err != nil || done.Appended != uint64(len(lines)) {
		t.Fatalf("%+v, %v", done, err)
	}
	sameLog(t, target, source)
	appends, repeats := server.Appends()
	if repeats == 0 {
		t.Error("no append was repeated: the test shows nothing")
	}
	t.Logf("%d appends, %d repeats, %d faults", appends, repeats, server.Counts(kurrenttest.Append).Faults)
}
