package publisher

import (
	"context"
	"fmt"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

// lasting are the headers of a message that do not depend on where the log is kept:
// with the id, they say which event of which log it is. The id alone does not. It
// follows from the command, so a log that was begun anew and given the same
// command with the same idempotency key has it again, but at another time.
var lasting = map[string]bool{"ce-id": true, "ce-source": true, "ce-type": true, "ce-subject": true, "ce-time": true, "ce-pmorgseq": true}

// located gives the stream's end its place in this log, and refuses a stream that
// is ahead of the log or was filled from another.
//
// Mostly that is the position in the last message. When the log was moved to
// another store since, its records have other positions there, and the message's
// event is looked for by its id. Then later messages have positions of the new
// store, and the first of them names in ce-pmprev the new position of the last one
// before; ce-pmorgseq goes on without a gap.
//
// The log's head is read after the stream's end, so a publisher on another node
// cannot make a healthy stream look ahead.
func (p *Publisher) located(ctx context.Context, e end) (end, error) {
	if e.position == 0 {
		return e, nil
	}
	head, err := p.o.Source.Head(ctx)
	if err != nil {
		return end{}, fmt.Errorf("the log's head: %w", err)
	}
	if e.position <= head {
		ours, err := p.messageAt(ctx, e.position)
		if err != nil || ours.EventID() == e.id {
			return e, err
		}
	}
	ours, found, err := p.find(ctx, head, e.id)
	switch {
	case err != nil:
		return end{}, err
	case found && isSame(ours, e):
		p.o.Logger.Info("the log has moved to another store since the stream's last message; publishing goes on after the event of that message",
			"event", e.id, "then", e.position.String(), "now", ours.Position.String())
		e.position = ours.Position
		return e, nil
	case e.position > head:
		return end{}, &HaltedError{ErrAhead, fmt.Sprintf("it ends with %s at position %d, and the log at %d does not hold that event; bring the newer log back, or delete the stream to publish this one from its start", e.id, e.position, head)}
	}
	return end{}, &HaltedError{ErrOtherLog, fmt.Sprintf("its last message, %s at position %d, is not the log's event there, or anywhere; delete the stream to publish this log from its start", e.id, e.position)}
}

// messageAt is the message at a position, an empty one when there is none.
func (p *Publisher) messageAt(ctx context.Context, at eventstore.Position) (projections.Message, error) {
	if err := p.o.Source.Reached(ctx, at); err != nil {
		return projections.Message{}, fmt.Errorf("the events view: %w", err)
	}
	ours, err := p.o.Source.Messages(at-1, 1)
	if err != nil {
		return projections.Message{}, fmt.Errorf("the events view: %w", err)
	}
	if len(ours) == 0 || ours[0].Position != at {
		return projections.Message{}, nil
	}
	return ours[0], nil
}

// find looks for the message of an event, once the view has got to the head: what
// it does not hold then, the log does not.
func (p *Publisher) find(ctx context.Context, head eventstore.Position, event string) (projections.Message, bool, error) {
	id, ok := domain.ParseEventID(event)
	if !ok {
		return projections.Message{}, false, nil
	}
	if err := p.o.Source.Reached(ctx, head); err != nil {
		return projections.Message{}, false, fmt.Errorf("the events view: %w", err)
	}
	m, found, err := p.o.Source.Find(id)
	if err != nil {
		err = fmt.Errorf("the events view: %w", err)
	}
	return m, found, err
}

// isSame tells whether a message that was read back tells the same event of the
// same log as one that the log makes now.
func isSame(ours projections.Message, e end) bool {
	for _, h := range ours.Headers() {
		if lasting[h.Name] && e.header.Get(h.Name) != h.Value {
			return false
		}
	}
	return true
}

// neighbours tells whether two messages stand next to each other in the log though
// the positions in them do not say so, because the log was moved between them.
func (p *Publisher) neighbours(ctx context.Context, left, right stored) (bool, error) {
	head, err := p.o.Source.Head(ctx)
	if err != nil {
		return false, fmt.Errorf("the log's head: %w", err)
	}
	ours, found, err := p.find(ctx, head, left.id)
	if err != nil || !found {
		return false, err
	}
	next, err := p.o.Source.Messages(ours.Position, 1)
	if err != nil {
		return false, fmt.Errorf("the events view: %w", err)
	}
	return len(next) == 1 && next[0].EventID() == right.id, nil
}
