package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pmledger/pmledger/eventstore/planted"
)

// rest is what must be waited for before the next step.
type rest int

const (
	noTime    rest = iota // there may be more to do at once
	untilMore             // there is a message after the end
	aWhile
)

// Step does the next part of the work and does not wait for there to be any: it
// finds the stream's end, or publishes what follows it. It tells whether there may be
// more to do at once. After an error, which Run would retry, the next step
// begins anew; a *HaltedError is for good.
func (p *Publisher) Step(ctx context.Context) (more bool, err error) {
	if halted := p.Status().Halted; halted != nil {
		return false, halted
	}
	var then rest
	if p.placed {
		err = p.bus.Lost()
	}
	if err == nil {
		then, err = p.step(ctx)
	}
	if err != nil {
		p.ended(err)
		p.setStandby(false)
		p.begin()
	}
	return then == noTime && err == nil, err
}

// begin forgets what the session before knew of the stream.
func (p *Publisher) begin() {
	p.at, p.placed, p.moved, p.standsBy, p.stillFrom = end{}, false, false, false, time.Time{}
}

// ended takes a session's error and tells whether it halts the publisher.
func (p *Publisher) ended(err error) (halted bool) {
	if isHalt(err) {
		p.halt(err)
		return true
	}
	p.failed(err)
	return false
}

func (p *Publisher) step(ctx context.Context) (rest, error) {
	switch {
	case !p.placed:
		return noTime, p.place(ctx)
	case p.standsBy:
		return p.watch(ctx)
	}
	messages, err := p.o.Source.Messages(p.at.position, p.most)
	if err != nil {
		return noTime, fmt.Errorf("the events view: %w", err)
	}
	if len(messages) == 0 {
		if err := p.look(ctx); err != nil {
			return noTime, err
		}
		p.idle()
		return untilMore, nil
	}
	if p.o.Gate != nil {
		if err := p.o.Gate(); err != nil {
			p.failed(fmt.Errorf("paused: %w", err))
			return aWhile, nil
		}
	}
	stored, err := p.publish(ctx, p.at, messages)
	if stored.sequence > p.at.sequence {
		p.moved, p.conflicts = true, 0
		p.at, p.most = stored, min(2*p.most, batchMax)
		p.published(stored)
	}
	switch {
	case errors.Is(err, errConflict):
		p.conflicts++
		p.conflicted()
	case err != nil && len(messages) > singlesMax: // the way may be slow, and what is under way is lost with a connection
		p.most = max(p.most/4, singlesMax)
	}
	return noTime, err
}

// place finds where the stream ends.
func (p *Publisher) place(ctx context.Context) error {
	e, err := p.open(ctx)
	if err != nil {
		return err
	}
	if known := p.Status().Position; planted.RemembersItsPlace.Here() && known > 0 {
		e.position = known
	}
	p.at, p.placed, p.looked = e, true, p.o.Now()
	p.moved = p.reached(e)
	if p.conflicts > 1 { // the second in a row: it was no leftover of an earlier session
		p.standsBy = true
		p.setStandby(true)
		p.o.Logger.Info("another publisher is at work, this one stands by", "sequence", e.sequence)
	}
	return nil
}

// watch looks at what another publisher does, and takes over when the stream stood
// still although there was something to publish.
func (p *Publisher) watch(ctx context.Context) (rest, error) {
	messages, err := p.o.Source.Messages(p.at.position, 1)
	if err != nil {
		return noTime, fmt.Errorf("the events view: %w", err)
	}
	if len(messages) == 0 {
		p.stillFrom = time.Time{}
		return untilMore, p.look(ctx)
	}
	if p.stillFrom.IsZero() {
		p.stillFrom = p.o.Now()
		return aWhile, nil
	}
	now, err := p.readEnd(ctx)
	if err != nil {
		return noTime, err
	}
	if now.sequence != p.at.sequence {
		if p.at, err = p.located(ctx, now); err != nil {
			return noTime, err
		}
		p.stillFrom = p.o.Now()
		p.reached(p.at)
	} else if p.o.Now().Sub(p.stillFrom) > standstill {
		p.conflicts = 0
		p.o.Logger.Info("the other publisher stands still, this one takes over", "sequence", p.at.sequence)
		return noTime, errTakeover
	}
	return aWhile, nil
}

// look finds out, once in a while, whether the stream is still the one that this
// publisher has found or written. Nobody tells when it is deleted, and who has nothing
// to publish asks for nothing. A standby's stream may have grown.
func (p *Publisher) look(ctx context.Context) error {
	now := p.o.Now()
	if now.Sub(p.looked) < lookIdle {
		return nil
	}
	info, err := p.bus.Info(ctx, false)
	if err != nil {
		return err
	}
	if last := info.State.LastSeq; last < p.at.sequence || last > p.at.sequence && !p.standsBy {
		return fmt.Errorf("%w: at sequence %d instead of %d", errElsewhere, last, p.at.sequence)
	}
	p.looked = now
	return nil
}
