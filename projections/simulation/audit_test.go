package simulation

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

// recorded is a record of the log with the states around it.
type recorded struct {
	eventstore.Record
	event         domain.Event
	meta          eventstore.Metadata
	before, after domain.State
}

// audit folds the log anew, from its bytes alone, as it grows.
type audit struct {
	head    eventstore.Position
	states  map[string]domain.State
	records []recorded
	streams map[string][]int // indexes into records
	public  []int            // those that concern the bus
	checked int              // messages of the stream that were found right

	ids      map[uuid.UUID]bool
	tails    map[string]string // hash of a stream's last record
	times    map[string]time.Time
	commands map[commandName]span
	notices  map[notice]bool
}

type commandName struct{ stream, id string }

// span is where the records of a command stand.
type span struct {
	first, last uint64
	position    eventstore.Position // of the last
	mac         string
}

// notice is something that must be said once of an expiry.
type notice struct {
	method  domain.MethodID
	expires time.Time
	window  int // 0: that it has expired
}

func newAudit() *audit {
	return &audit{
		states: map[string]domain.State{}, streams: map[string][]int{}, ids: map[uuid.UUID]bool{}, tails: map[string]string{},
		times: map[string]time.Time{}, commands: map[commandName]span{}, notices: map[notice]bool{},
	}
}

// check looks at what is new in the log and in the stream.
func (w *world) check() {
	a := w.audit
	for _, r := range w.records(a.head) {
		if err := a.take(r); err != nil {
			w.violated("at position %d, %s %s: %w", r.Position, r.Stream, r.Type, err)
			return
		}
		w.count.records++
	}
	if err := i6EveryPublicEventOnceAndInOrder(w); err != nil {
		w.violated("%w", err)
	}
}

// take folds a record and holds it to what must be so of each.
func (a *audit) take(r eventstore.Record) error {
	e, meta, err := eventstore.DecodeRecord(r)
	if err != nil {
		return err
	}
	before, known := a.states[r.Stream]
	if !known {
		before = domain.NewState(r.Stream)
	}
	after := before.Clone()
	if err := domain.Contradiction(after, e); err != nil {
		return err
	}
	after.Evolve(e, meta.Time)
	next := recorded{r, e, meta, before, after}
	for _, i := range ofEachRecord {
		if err := i.holds(a, next); err != nil {
			return fmt.Errorf("%s: %w", i.name, err)
		}
	}
	a.head = r.Position
	a.states[r.Stream] = after
	a.streams[r.Stream] = append(a.streams[r.Stream], len(a.records))
	if domain.PublicName(e) != "" {
		a.public = append(a.public, len(a.records))
	}
	a.records = append(a.records, next)
	return nil
}

// customer is a state of a customer, an empty one of anything else.
func customer(s domain.State) *domain.Customer {
	if c, ok := s.(*domain.Customer); ok {
		return c
	}
	return &domain.Customer{}
}
