package eventstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore/planted"
)

// Bounds of Execute. A conflict can only come from another process, since
// commands on one stream queue inside this one.
const (
	MaxConflicts = 8 // lost races before a command is refused with conflict
	MaxUnknown   = 4 // identical appends while the outcome stays unknown
)

// Ledger runs commands against the log. It is safe for concurrent use; commands
// on one stream are decided one after the other, in the order they came.
type Ledger struct {
	store   Store
	now     func() time.Time
	newID   func() uuid.UUID
	shared  bool
	folds   *foldCache
	written atomic.Uint64 // newest position that readers must see
}

// LedgerOptions are the parts of a Ledger that a test may want to hold still.
type LedgerOptions struct {
	Now   func() time.Time // required
	NewID func() uuid.UUID // required; ids of commands without an idempotency key
	// CachedRecords bounds the folded states kept in memory, counted in the
	// records they were folded from. 0: 1 << 15.
	CachedRecords int
	// Shared: other processes append to the store too.
	Shared bool
	// Written is where Ledger.Written begins: the log's head when the process
	// starts, for what it wrote before it was started again.
	Written Position
}

// NewLedger makes a Ledger on a store.
func NewLedger(store Store, o LedgerOptions) *Ledger {
	if o.CachedRecords == 0 {
		o.CachedRecords = 1 << 15
	}
	l := &Ledger{store: store, now: o.Now, newID: o.NewID, shared: o.Shared, folds: newFoldCache(o.CachedRecords)}
	l.written.Store(uint64(o.Written))
	return l
}

// Request is a command on its way into a stream, with what the record shall say
// about who asked.
type Request struct {
	Stream      string
	CommandID   string // idempotency key; "" for a command that is not repeated
	RequestMAC  string // required with a CommandID: the keyed hash of the canonical request
	Actor       string
	Reason      string
	Correlation string
	Causation   string
	Traceparent string
	// Now is when the command happens, for organizations whose time stands still.
	// Zero: now, by the ledger's clock.
	Now time.Time
	// Prepare returns the command. It is called once at most, and not at all
	// for a repeat: this is where a gateway is asked.
	Prepare func(ctx context.Context) (domain.Command, error)
}

// Result is what a command led to.
type Result struct {
	State    domain.State   // of the stream after the command's own records
	Version  uint64         // of the stream then
	Events   []domain.Event // the command's own; none when it changed nothing
	Position Position       // of its last record, or of the stream's when it changed nothing
	Replayed bool           // the command was recorded before
}

// Execute decides a command on the present state of its stream and appends what
// follows. It returns when that is durable.
//
// A command id that the stream already holds is not decided again: its result is
// rebuilt from its own records. With another RequestMAC it is refused
// (idempotency_key.reused). A refusal recorded as an event comes back as the
// error, together with its result. Other codes: those of the command's Decide;
// conflict after MaxConflicts races lost to other processes; storage.full;
// store.unavailable when the outcome could not be found out.
func (l *Ledger) Execute(ctx context.Context, req Request) (Result, error) {
	cached, err := l.folds.acquire(ctx, req.Stream)
	if err != nil {
		return Result{}, err
	}
	defer l.folds.release(cached)
	x := &execution{Ledger: l, Request: req, fold: cached.fold, contested: l.shared && req.CommandID != ""}
	if x.CommandID == "" {
		x.CommandID = l.newID().String()
	}
	x.fold.watched = x.CommandID
	result, err := x.run(ctx)
	l.answered(result.Position)
	if x.RequestMAC == "" {
		delete(x.fold.commands, x.CommandID)
	}
	if err != nil {
		return result, refusalOf(err)
	}
	return result, domain.RefusalIn(result.Events)
}

// execution is one command being executed. It holds its stream's fold alone.
type execution struct {
	*Ledger
	Request
	fold      *fold
	command   domain.Command
	contested bool // another process may be executing the same command
}

// run: catch up, look whether the command is there already, decide, append; again
// after a lost race.
func (x *execution) run(ctx context.Context) (Result, error) {
	for range MaxConflicts {
		if _, err := x.fold.read(ctx, x.store, 0); err != nil {
			return Result{}, err
		}
		if planted.DecideAgain.Here() && x.command != nil {
			delete(x.fold.commands, x.CommandID)
		}
		if known, ok := x.fold.commands[x.CommandID]; ok {
			return x.replay(ctx, known)
		}
		if x.command == nil {
			command, err := x.Prepare(ctx)
			if err != nil {
				return Result{}, err
			}
			x.command = command
		}
		result, err := x.decideAndAppend(ctx)
		if conflict := (*ConflictError)(nil); !errors.As(err, &conflict) {
			return result, err
		}
	}
	return Result{}, domain.Refuse(domain.CodeConflict, "the stream is being changed by others; try again")
}

// replay rebuilds the result of a recorded command from its own records.
func (x *execution) replay(ctx context.Context, known command) (Result, error) {
	if known.mac != x.RequestMAC && !planted.KeyAlone.Here() {
		return Result{}, domain.Refuse(domain.CodeKeyReused, "the idempotency key was used before with another request")
	}
	then := x.fold
	if known.last != then.version {
		then = newFold(x.Stream)
		if _, err := then.read(ctx, x.store, known.last); err != nil {
			return Result{}, err
		}
	}
	result := Result{State: then.state, Version: then.version, Position: then.position, Replayed: true}
	for past, err := range x.History(ctx, x.Stream, known.first) {
		if err != nil {
			return Result{}, err
		}
		if past.Version > known.last {
			break
		}
		result.Events = append(result.Events, past.Event)
	}
	return result, nil
}

func (x *execution) decideAndAppend(ctx context.Context) (Result, error) {
	f := x.fold
	now := x.Now
	if now.IsZero() {
		now = x.now()
	}
	now = now.UTC().Truncate(time.Millisecond)
	if now.Before(f.last) && !planted.TimeGoesBack.Here() {
		now = f.last
	}
	events, err := f.state.Decide(x.command, now)
	if err != nil {
		return Result{}, err
	}
	if len(events) == 0 && x.RequestMAC != "" {
		events = []domain.Event{domain.CommandAccepted{Command: x.command.CommandName()}}
	}
	if len(events) == 0 {
		return Result{State: f.state, Version: f.version, Position: f.position}, nil
	}
	next := f.draft()
	records := make([]NewRecord, len(events))
	tail := f.tail
	for i, e := range events {
		if err := domain.Contradiction(next, e); err != nil {
			return Result{}, fmt.Errorf("command %s would break stream %s: %w", x.command.CommandName(), x.Stream, err)
		}
		next.Evolve(e, now)
		records[i], tail, err = x.record(e, i, now, tail)
		if err != nil {
			return Result{}, err
		}
	}
	position, err := x.append(ctx, records)
	if err != nil {
		return Result{}, err
	}
	f.state, f.tail, f.last, f.position = next, tail, now, position
	if x.RequestMAC != "" {
		f.commands[x.CommandID] = command{mac: x.RequestMAC, first: f.version + 1, last: f.version + uint64(len(records))}
	}
	f.version += uint64(len(records))
	return Result{State: next, Version: f.version, Events: events, Position: position}, nil
}

// record writes the index-th event of the command as it will be stored, and
// returns its leaf hash.
func (x *execution) record(e domain.Event, index int, at time.Time, prev string) (NewRecord, string, error) {
	name, data, err := domain.Encode(e)
	if err != nil {
		return NewRecord{}, "", err
	}
	metadata := Metadata{
		Time: at, Schema: domain.Schema, Prev: prev, CommandID: x.CommandID, RequestMAC: x.RequestMAC, Actor: x.Actor,
		Reason: x.Reason, Correlation: x.Correlation, Causation: x.Causation, Traceparent: x.Traceparent,
	}.Encode()
	r := NewRecord{ID: EventID(x.Stream, x.CommandID, index), Type: name, Data: data, Metadata: metadata}
	version := x.fold.version + uint64(index) + 1
	return r, LeafHash(x.Stream, version, r.ID, r.Type, r.Metadata, r.Data), nil
}

// append repeats an append whose outcome is unknown until the store tells: the
// identical repeat either finds the first one or a stream that has moved on.
//
// A caller that leaves does not end it. Were the stream let go of while the append is
// under way, the caller's repeat would not find its records, be decided anew with
// ids of its own, and have its append taken for a repeat of the first.
func (x *execution) append(ctx context.Context, records []NewRecord) (Position, error) {
	var position Position
	var err error
	staying := context.WithoutCancel(ctx)
	for range MaxUnknown {
		position, err = x.store.Append(staying, x.Stream, x.fold.version, records)
		if !errors.Is(err, ErrUnknownOutcome) || ctx.Err() != nil {
			break
		}
	}
	if err == nil && x.contested && !planted.SkipConfirm.Here() {
		err = x.confirm(staying, records)
	}
	return position, err
}

// confirm reads back what an append has led to. A store knows a repeated append
// by its record ids. Those follow from the command, so when two processes execute
// one command at the same moment, each with a time and new ids of its own, the
// slower append looks like a repeat: it succeeds and adds nothing. What stands in
// the log then is the other one's, and that is a lost race.
func (x *execution) confirm(ctx context.Context, records []NewRecord) error {
	n := 0
	for r, err := range x.store.Stream(ctx, x.Stream, x.fold.version+1) {
		if err != nil {
			return err
		}
		if !bytes.Equal(r.Data, records[n].Data) || !bytes.Equal(r.Metadata, records[n].Metadata) {
			return &ConflictError{Stream: x.Stream, Expected: x.fold.version, Actual: r.Version}
		}
		if n++; n == len(records) {
			return nil
		}
	}
	return fmt.Errorf("%w: stream %s shows %d of %d records just appended", ErrUnknownOutcome, x.Stream, n, len(records))
}

// answered raises Written.
func (l *Ledger) answered(p Position) {
	for seen := l.written.Load(); uint64(p) > seen && !l.written.CompareAndSwap(seen, uint64(p)); {
		seen = l.written.Load()
	}
}

// Written is the newest position that Execute has answered with: what this
// process's own clients must be able to read. It counts when a repeat was answered
// whose first attempt another process has recorded.
func (l *Ledger) Written() Position { return Position(l.written.Load()) }

// State returns the present state of a stream and its version. The state is
// shared and must not be changed.
func (l *Ledger) State(ctx context.Context, stream string) (domain.State, uint64, error) {
	if known, ok := l.folds.peek(stream); ok && l.ends(ctx, stream, known.version) {
		return known.state, known.version, nil
	}
	cached, err := l.folds.acquire(ctx, stream)
	if err != nil {
		return nil, 0, err
	}
	defer l.folds.release(cached)
	if _, err := cached.fold.read(ctx, l.store, 0); err != nil {
		return nil, 0, refusalOf(err)
	}
	return cached.fold.state, cached.fold.version, nil
}

// ends tells whether the stream has just this version. Any doubt is a no.
func (l *Ledger) ends(ctx context.Context, stream string, version uint64) bool {
	for range l.store.Stream(ctx, stream, version+1) {
		return false
	}
	return true
}

// StateAt returns the state of a stream as it was at the given time, inclusive.
func (l *Ledger) StateAt(ctx context.Context, stream string, at time.Time) (domain.State, error) {
	if known, ok := l.folds.peek(stream); ok && !known.last.After(at) && l.ends(ctx, stream, known.version) {
		return known.state, nil
	}
	then := newFold(stream)
	for r, err := range l.store.Stream(ctx, stream, 1) {
		if err != nil {
			return nil, refusalOf(err)
		}
		meta, err := DecodeMetadata(r.Metadata)
		if err != nil {
			return nil, &BrokenStreamError{Stream: stream, Version: r.Version, Position: r.Position, Cause: err}
		}
		if meta.Time.After(at) {
			break
		}
		if _, err := then.add(r); err != nil {
			return nil, err
		}
	}
	return then.state, nil
}

// Past is an event of a stream's history.
type Past struct {
	Version uint64
	Event   domain.Event
	Meta    Metadata
}

// History returns the events of a stream from the given version on, in their
// order. It ends with the first error: refusals are those of State.
func (l *Ledger) History(ctx context.Context, stream string, from uint64) iter.Seq2[Past, error] {
	return func(yield func(Past, error) bool) {
		for r, err := range l.store.Stream(ctx, stream, from) {
			if err != nil {
				yield(Past{}, refusalOf(err))
				return
			}
			e, meta, err := DecodeRecord(r)
			if err != nil {
				yield(Past{}, &BrokenStreamError{Stream: stream, Version: r.Version, Position: r.Position, Cause: err})
				return
			}
			if !yield(Past{Version: r.Version, Event: e, Meta: meta}, nil) {
				return
			}
		}
	}
}

// Head is the position of the log's last record. A store that does not tell
// before ctx's deadline is unavailable.
func (l *Ledger) Head(ctx context.Context) (Position, error) {
	head, err := l.store.Head(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = ErrUnavailable
	}
	if err != nil {
		return 0, refusalOf(err)
	}
	return head, nil
}

// refusalOf gives the store's errors the codes that callers know.
func refusalOf(err error) error {
	switch {
	case errors.Is(err, ErrFull):
		return domain.Refuse(domain.CodeStorageFull, "the disk is nearly full; writes resume by themselves when there is room")
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrUnknownOutcome), errors.Is(err, ErrClosed):
		return domain.Refuse(domain.CodeStoreUnavailable, "the event store cannot be reached; try again")
	default:
		return err
	}
}
