package projections_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
	"github.com/pmledger/pmledger/projections"
)

// ledger is a real ledger on a log in memory, with a clock and ids that a test
// can foresee.
type ledger struct {
	t     testing.TB
	store *memory.Store
	*eventstore.Ledger
	now    time.Time
	serial atomic.Uint64
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 250e6, time.UTC)

func newLedger(t testing.TB) *ledger {
	l := &ledger{t: t, store: memory.New(), now: epoch}
	l.Ledger = eventstore.NewLedger(l.store, eventstore.LedgerOptions{
		Now: func() time.Time { return l.now }, NewID: l.id,
	})
	t.Cleanup(func() { _ = l.store.Close() })
	return l
}

// id makes version 7 UUIDs that count up.
func (l *ledger) id() uuid.UUID {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:], uint64(l.now.UnixMilli())<<16|0x7000)
	binary.BigEndian.PutUint64(u[8:], l.serial.Add(1)|1<<63)
	return u
}

func (l *ledger) methodID() domain.MethodID { return domain.NewMethodID(l.id()) }

// execute runs a command that must be accepted.
func (l *ledger) execute(stream string, cmd domain.Command) eventstore.Result {
	l.t.Helper()
	result, err := l.try(stream, cmd)
	if err != nil {
		l.t.Fatalf("%s on %s: %v", cmd.CommandName(), stream, err)
	}
	return result
}

func (l *ledger) try(stream string, cmd domain.Command) (eventstore.Result, error) {
	return l.Execute(context.Background(), eventstore.Request{
		Stream: stream, Actor: "alice", Reason: "because",
		Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		Prepare:     func(context.Context) (domain.Command, error) { return cmd, nil },
	})
}

func policy() domain.Policy {
	return domain.Policy{Settings: domain.DefaultSettings(), Location: time.UTC, MaxMethods: 1000}
}

// card is the command that attaches a card; every card has another fingerprint.
func (l *ledger) card() domain.AttachMethod {
	n := l.serial.Add(1)
	return domain.AttachMethod{
		MethodID: l.methodID(), Type: domain.TypeCard, Provider: "sandbox", ProviderID: fmt.Sprintf("tok_%d", n), FactsFrom: "gateway",
		Facts: domain.Facts{
			Type: domain.TypeCard, Method: "card", Fingerprint: fmt.Sprintf("fp_%d", n), Country: "US",
			Card: &domain.Card{Brand: "visa", Last4: "4242", ExpMonth: 12, ExpYear: 2034, Country: "US", Funding: "credit"},
		},
		Policy: policy(),
	}
}

// attach attaches a card to a customer and returns its id.
func (l *ledger) attach(organization, customer string) domain.MethodID {
	l.t.Helper()
	cmd := l.card()
	l.execute(domain.CustomerStream(organization, customer, cmd.MethodID), cmd)
	return cmd.MethodID
}

// options are those of a test: small memory, and a file system of its own.
func options(dir string) projections.Options {
	return projections.Options{Dir: dir, Logger: quiet(), MemTableBytes: 1 << 20, CacheBytes: 1 << 20, FS: vfs.NewMem()}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// running are views that follow their log in the background.
type running struct {
	*projections.Views
	t      testing.TB
	cancel context.CancelFunc
	ended  chan error
}

func open(t testing.TB, store eventstore.Store, o projections.Options) *projections.Views {
	t.Helper()
	v, err := projections.Open(context.Background(), store, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func start(t testing.TB, store eventstore.Store, o projections.Options) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Views: open(t, store, o), t: t, cancel: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- r.Run(ctx) }()
	t.Cleanup(func() { r.stop() })
	return r
}

// views starts views of a ledger in a new folder.
func views(l *ledger) *running {
	l.t.Helper()
	return start(l.t, l.store, options("views"))
}

// stop ends the run and closes the views. It may be called again.
func (r *running) stop() {
	r.t.Helper()
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.cancel = nil
	if err := <-r.ended; err != nil {
		r.t.Errorf("Run: %v", err)
	}
	if err := r.Close(); err != nil {
		r.t.Errorf("Close: %v", err)
	}
}

// caughtUp waits until the views show the whole log.
func (r *running) caughtUp(store eventstore.Store) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	head, err := store.Head(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.Wait(ctx, head); err != nil {
		r.t.Fatalf("waiting for %s at %s: %v", head, r.Position(), err)
	}
}

// dump is all that views hold.
func dump(t testing.TB, v *projections.Views) string {
	t.Helper()
	var out strings.Builder
	if err := v.Dump(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func method(t testing.TB, l *ledger, organization, customer string, id domain.MethodID) *domain.Method {
	t.Helper()
	state, _, err := l.State(context.Background(), domain.CustomerStream(organization, customer, id))
	if err != nil {
		t.Fatal(err)
	}
	m := state.(*domain.Customer).Methods[id]
	if m == nil {
		t.Fatalf("the ledger has no method %s", id)
	}
	return m
}

func TestAMethodIsReadAsTheLedgerFoldsIt(t *testing.T) {
	l := newLedger(t)
	v := views(l)
	id := l.attach("acme", "cus_1")
	v.caughtUp(l.store)

	row, found, err := v.Method("acme", id)
	if err != nil || !found {
		t.Fatalf("Method: %v %v", found, err)
	}
	if want := string(projections.RenderMethod(method(t, l, "acme", "cus_1", id))); string(row.JSON) != want {
		t.Errorf("JSON:\n got %s\nwant %s", row.JSON, want)
	}
	if row.Version != 2 || row.Customer != "cus_1" || row.Stream != "customer-acme+cus_1" {
		t.Errorf("row: %d %q %q", row.Version, row.Customer, row.Stream)
	}
	if _, found, err := v.Method("other", id); found || err != nil {
		t.Errorf("another organization found it: %v %v", found, err)
	}
	messages, err := v.Messages(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, found, err := v.Event("other", messages[0].ID); found || err != nil {
		t.Errorf("another organization found its event: %v %v", found, err)
	}
}

func TestClosedViewsSaySo(t *testing.T) {
	l := newLedger(t)
	v := views(l)
	id := l.attach("acme", "cus_1")
	v.caughtUp(l.store)
	v.stop()
	if _, _, err := v.Method("acme", id); !errors.Is(err, projections.ErrClosed) {
		t.Errorf("Method: %v", err)
	}
	if err := v.Wait(context.Background(), v.Position()+1); !errors.Is(err, projections.ErrClosed) {
		t.Errorf("Wait: %v", err)
	}
	if err := v.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}
