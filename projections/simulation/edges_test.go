package simulation

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/projections/publisher"
)

// dies tells whether the process ends at this point.
func (p *process) dies() bool {
	if p.fails(p.mood.crash) {
		p.dead = true
	}
	return p.dead
}

// edge is the log as one process reaches it.
type edge struct {
	*process
	views bool // it is the views that ask
}

var _ eventstore.Store = (*edge)(nil)

// Append implements eventstore.Store.
func (e *edge) Append(_ context.Context, stream string, version uint64, records []eventstore.NewRecord) (eventstore.Position, error) {
	if e.dead || e.dies() {
		return 0, errDead
	}
	e.race(e.process)
	if e.dead {
		return 0, errDead
	}
	apply := func() (eventstore.Position, error) {
		return e.truth.Append(context.Background(), stream, version, records)
	}
	fate := e.outcome(e.mood.store)
	switch fate {
	case notDone:
		return 0, one(e.world, eventstore.ErrUnavailable, eventstore.ErrFull)
	case later:
		e.arrivesLater(func() { _, _ = apply() })
		return 0, eventstore.ErrUnknownOutcome
	}
	position, err := apply()
	switch {
	case e.dies():
		return 0, errDead
	case fate == unanswered && err == nil:
		return 0, eventstore.ErrUnknownOutcome
	}
	return position, err
}

// arrivesLater puts off what a message does that is still on its way.
func (w *world) arrivesLater(does func()) { w.late = append(w.late, does) }

// Stream implements eventstore.Store.
func (e *edge) Stream(ctx context.Context, stream string, from uint64) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		if err := e.unreadable(); err != nil {
			yield(eventstore.Record{}, err)
			return
		}
		for r, err := range e.truth.Stream(ctx, stream, from) {
			if !yield(r, err) {
				return
			}
			if err := e.unreadable(); err != nil {
				yield(eventstore.Record{}, err)
				return
			}
		}
	}
}

func (e *edge) unreadable() error {
	if e.dead {
		return errDead
	}
	if e.fails(e.mood.reads) {
		e.count.notDone++
		return eventstore.ErrUnavailable
	}
	return nil
}

// Follow implements eventstore.Store. At times a record cannot be understood, as if
// it came from a later release or through a bad wire.
func (e *edge) Follow(ctx context.Context, after eventstore.Position) iter.Seq2[[]eventstore.Record, error] {
	return func(yield func([]eventstore.Record, error) bool) {
		if err := e.unreadable(); err != nil {
			yield(nil, err)
			return
		}
		for batch, err := range e.truth.Follow(ctx, after) {
			if len(batch) > 0 && e.fails(e.mood.misread) {
				e.count.misread++
				e.misread = true
				batch = slices.Clone(batch)
				batch[e.rng.IntN(min(len(batch), 1+e.rng.IntN(4)))].Type = "payment_method.from_tomorrow"
			}
			if !yield(batch, err) {
				return
			}
		}
	}
}

// Head implements eventstore.Store. Who asks for the head is about to wait until the
// views have reached it.
func (e *edge) Head(ctx context.Context) (eventstore.Position, error) {
	if err := e.unreadable(); err != nil {
		return 0, err
	}
	if !e.views {
		e.catchUp()
	}
	return e.truth.Head(ctx)
}

// door is the payment provider as one process reaches it.
type door struct{ *process }

var _ gateway.Gateway = door{}

func lost(err error) error {
	return &gateway.Error{Kind: gateway.UnknownOutcome, Message: "no answer", Err: err}
}

// call makes a call that may fail. do takes a context of its own: what was sent goes
// on when the caller has given up.
func (d door) call(do func(context.Context) error) error {
	if d.dead || d.dies() {
		return lost(errDead)
	}
	fate := d.outcome(d.mood.gateway)
	switch fate {
	case notDone:
		return &gateway.Error{Kind: gateway.Unavailable, Message: "out of reach"}
	case later:
		d.arrivesLater(func() { _ = do(context.Background()) })
		return lost(nil)
	}
	err := do(context.Background())
	switch {
	case d.dies():
		return lost(errDead)
	case fate == unanswered:
		return lost(nil)
	}
	return err
}

// ask is call for what has an answer.
func ask[T any](d door, do func(context.Context) (T, error)) (T, error) {
	var answer, none T
	err := d.call(func(ctx context.Context) (err error) {
		answer, err = do(ctx)
		return err
	})
	if err != nil {
		return none, err
	}
	return answer, nil
}

func (d door) Lookup(_ context.Context, r gateway.Request) (gateway.Instrument, error) {
	return ask(d, func(ctx context.Context) (gateway.Instrument, error) { return d.provider.Lookup(ctx, r) })
}

func (d door) Tokenize(_ context.Context, r gateway.Request, card gateway.RawCard) (token string, i gateway.Instrument, err error) {
	i, err = ask(d, func(ctx context.Context) (i gateway.Instrument, err error) {
		token, i, err = d.provider.Tokenize(ctx, r, card)
		return i, err
	})
	return token, i, err
}

func (d door) Verify(_ context.Context, r gateway.Request, i gateway.Instrument) (gateway.Verification, error) {
	return ask(d, func(ctx context.Context) (gateway.Verification, error) { return d.provider.Verify(ctx, r, i) })
}

func (d door) Confirm(_ context.Context, r gateway.Request, reference string, named gateway.Deposits) (bool, error) {
	return ask(d, func(ctx context.Context) (bool, error) { return d.provider.Confirm(ctx, r, reference, named) })
}

func (d door) Resend(_ context.Context, r gateway.Request, reference string) (gateway.Verification, error) {
	return ask(d, func(ctx context.Context) (gateway.Verification, error) { return d.provider.Resend(ctx, r, reference) })
}

func (d door) Setup(_ context.Context, r gateway.Request, s gateway.Setup) (gateway.SetupAnswer, error) {
	return ask(d, func(ctx context.Context) (gateway.SetupAnswer, error) { return d.provider.Setup(ctx, r, s) })
}

func (d door) Cancel(_ context.Context, r gateway.Request, reference string) error {
	return d.call(func(ctx context.Context) error { return d.provider.Cancel(ctx, r, reference) })
}

func (d door) Detach(_ context.Context, r gateway.Request) error {
	return d.call(func(ctx context.Context) error { return d.provider.Detach(ctx, r) })
}

var errCut = errors.New("the connection is cut")

// link is a process's connection to JetStream. One that has failed is made anew
// when the publisher looks at the stream.
type link struct {
	*process
	down    bool // sending fails
	deaf    bool // nothing that is sent arrives
	mute    bool // no answer arrives
	holding *[]*nats.Msg
	answers []*nats.Msg
}

func (l *link) bus() *publisher.Bus {
	return &publisher.Bus{
		Ready: func(context.Context) (*jetstream.StreamInfo, error) {
			if err := l.unreachable(); err != nil {
				return nil, err
			}
			*l = link{process: l.process}
			return l.stream.info(false), nil
		},
		Info: func(_ context.Context, missing bool) (*jetstream.StreamInfo, error) {
			if err := errors.Join(l.unreachable(), l.broken()); err != nil {
				return nil, err
			}
			return l.stream.info(missing), nil
		},
		Get: func(_ context.Context, sequence uint64) (nats.Header, error) {
			if err := errors.Join(l.unreachable(), l.broken()); err != nil {
				return nil, err
			}
			return l.stream.get(sequence)
		},
		Send: l.send, Answer: l.answer, Lost: l.lost,
	}
}

func (l *link) unreachable() error {
	if l.dead {
		return errDead
	}
	if l.away && !l.calm || l.fails(l.mood.bus) {
		return errCut
	}
	return nil
}

func (l *link) broken() error {
	if l.down || l.deaf || l.mute || l.holding != nil {
		return errCut
	}
	return nil
}

// lost is known at once when the connection was cut, and not while it only seems to
// be there.
func (l *link) lost() error {
	if l.down {
		return errCut
	}
	return nil
}

// cut ends the connection: what is on its way in it is gone.
func (l *link) cut() { *l = link{process: l.process, down: true} }

func (l *link) send(m *nats.Msg) error {
	if l.dead || l.dies() {
		return errDead
	}
	l.outrun(l.process)
	if l.away && !l.calm {
		l.down = true
	}
	if l.dead || l.down {
		return errCut
	}
	if !l.deaf && l.holding == nil {
		switch l.outcome(l.mood.bus) {
		case notDone:
			l.down, l.deaf = l.chance(0.5), true
		case unanswered:
			l.mute = true
		case later:
			l.hold()
		}
	}
	switch {
	case l.down:
		return errCut
	case l.deaf:
	case l.holding != nil:
		*l.holding = append(*l.holding, &nats.Msg{Subject: m.Subject, Reply: m.Reply, Header: copyOf(m.Header), Data: m.Data})
	default:
		l.deliver(m)
	}
	return nil
}

// hold keeps this message and those that follow it, and lets them arrive later, in
// their order, perhaps not all.
func (l *link) hold() {
	held, server := &[]*nats.Msg{}, l.count.lostTail
	l.holding = held
	l.arrivesLater(func() {
		if l.count.lostTail != server {
			return // that server is no more
		}
		n := len(*held)
		if l.chance(0.3) {
			n = l.rng.IntN(n + 1)
		}
		for _, m := range (*held)[:n] {
			l.deliver(m)
		}
	})
}

func (l *link) deliver(m *nats.Msg) {
	if reply := l.stream.receive(m); reply != nil && m.Reply != "" && !l.mute {
		l.answers = append(l.answers, &nats.Msg{Subject: m.Reply, Data: reply})
	}
}

func (l *link) answer(context.Context, <-chan time.Time) (*nats.Msg, error) {
	switch {
	case l.dead:
		return nil, errDead
	case len(l.answers) == 0:
		return nil, fmt.Errorf("no answer: %w", errCut)
	}
	first := l.answers[0]
	l.answers = l.answers[1:]
	return first, nil
}
