package projections

import (
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

// Change is a record of the log, decoded.
type Change struct {
	Record eventstore.Record
	Event  domain.Event
	Meta   eventstore.Metadata
}

// Projector makes a view of the records it takes. One goroutine drives it.
//
// What Apply and Stage write goes into the batch and into memory of the
// projector's own that Discard forgets, so that everything since the last
// Committed can be done again. They must be pure functions of the log: the same
// records lead to the same content, however they are cut into batches.
type Projector interface {
	// Name is the projection's name in checkpoints, logs and metrics. It never
	// changes.
	Name() string
	// Takes tells whether the projection is made of streams of this category.
	Takes(category string) bool
	// Apply works one record into the batch. An error halts the projection at
	// this record.
	Apply(batch *pebble.Batch, c Change) error
	// Stage writes what was gathered since the last commit into the batch.
	Stage(batch *pebble.Batch) error
	// Committing is called before the batch is committed, Committed when readers
	// of the database see it. Committed must make memory agree with it.
	Committing()
	Committed()
	// Discard forgets everything since the last commit. The batch was dropped,
	// perhaps after Committing.
	Discard()
}

// HaltedError says that a projection has stopped, and at which record. It goes on
// from there at the next start, when a release that knows better may pass.
type HaltedError struct {
	Projection string
	Position   eventstore.Position
	Stream     string
	Type       string // of the record
	Cause      error
}

func (e *HaltedError) Error() string {
	return fmt.Sprintf("projection %s has halted at position %s (%s in stream %s): %v", e.Projection, e.Position, e.Type, e.Stream, e.Cause)
}

func (e *HaltedError) Unwrap() error { return e.Cause }

// Status is how a projection fares.
type Status struct {
	Projection string
	Position   eventstore.Position // the last record it has applied, or had no use for
	Records    uint64              // since the views were opened
	Halted     error               // a *HaltedError, nil while it runs
}

// projection is a projector and how far it came.
type projection struct {
	Projector
	mark    atomic.Pointer[checkpoint] // in memory
	saved   eventstore.Position        // in the database; the runner's alone
	idle    int                        // records passed since then; the runner's alone
	records atomic.Uint64
	halted  atomic.Pointer[HaltedError]
}

func newProjection(p Projector) *projection {
	made := &projection{Projector: p}
	made.reached(checkpoint{})
	return made
}

func (p *projection) reached(mark checkpoint) { p.mark.Store(&mark) }

// Status tells how each projection fares.
func (v *Views) Status() []Status {
	out := make([]Status, len(v.projections))
	for i, p := range v.projections {
		out[i] = Status{Projection: p.Name(), Position: p.mark.Load().position, Records: p.records.Load()}
		if halted := p.halted.Load(); halted != nil {
			out[i].Halted = halted
		}
	}
	return out
}

// halt stops a projection at a record. Only the first reason counts, and only it
// is logged; halt tells whether this was the first.
func (v *Views) halt(p *projection, r eventstore.Record, cause error) bool {
	halted := &HaltedError{Projection: p.Name(), Position: r.Position, Stream: r.Stream, Type: r.Type, Cause: cause}
	if !p.halted.CompareAndSwap(nil, halted) {
		return false
	}
	v.log.Error("a projection has halted; the others go on, and it is tried again at the next start",
		"projection", halted.Projection, "position", halted.Position.String(), "stream", halted.Stream, "type", halted.Type, "error", cause)
	return true
}
