package publisher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pmledger/pmledger/eventstore/planted"
)

const (
	walkStep    = 250                   // messages that are read before a rest
	walkTimeout = 5 * time.Second       // for as many
	walkRest    = 2                     // times as long as the reading took
	walkLook    = 20 * time.Millisecond // at whether a stream is being rebuilt
)

// walk reads every message of the embedded stream once, while the publisher works.
// The server trusts its index at the start. It looks at a message's checksum when a
// consumer reads it, and passes over a wrong one without a word, or waits in front of
// it; so whoever reads first must be somebody who knows what should be there.
func (p *Publisher) walk(ctx context.Context) {
	if p.Checked(ctx) != nil {
		return
	}
	for ctx.Err() == nil {
		hole, err := p.walkOnce(ctx)
		switch {
		case err != nil:
			p.o.Logger.Debug("the walk through the stream is tried again", "cause", err)
			_ = pause(ctx, backoffMax)
		case hole == "":
			p.mu.Lock()
			p.status.Walked = true
			p.mu.Unlock()
			return
		default:
			p.spoil(hole)
			for p.spoiled(false) != "" && pause(ctx, walkLook) == nil {
			}
		}
	}
}

// walkOnce reads the stream up to where it ends now, and describes the first hole.
func (p *Publisher) walkOnce(ctx context.Context) (hole string, err error) {
	last := p.Status().Sequence
	if last == 0 {
		return "", nil
	}
	consumer, err := p.js.OrderedConsumer(ctx, StreamName, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return "", fmt.Errorf("reading the stream %s: %w", StreamName, unavailable(err))
	}
	for at := uint64(0); at < last; {
		began, before := time.Now(), at
		batch, err := consumer.Fetch(int(min(walkStep, last-at)), jetstream.FetchMaxWait(walkTimeout))
		if err != nil {
			return "", err
		}
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return "", err
			}
			q := meta.Sequence.Stream
			if q != at+1 && !planted.PassOverGaps.Here() {
				if hole, err := p.broken(ctx, at, q); hole != "" || err != nil {
					return hole, err
				}
			}
			if !whole(m.Data()) {
				return fmt.Sprintf("message %d is not whole", q), nil
			}
			at = q
		}
		if at == before {
			hole, err := p.broken(ctx, at, at+1)
			if hole == "" && err == nil {
				err = errors.Join(fmt.Errorf("nothing comes after message %d", at), batch.Error())
			}
			return hole, err
		}
		if err := pause(ctx, walkRest*time.Since(began)); err != nil {
			return "", err
		}
	}
	return "", nil
}

// whole tells a body from a part of one, and from one with a part of the headers before
// it: where headers end is outside of the server's checksum. No end of an object is an
// object.
func whole(body []byte) bool { return bytes.HasPrefix(body, []byte("{")) && json.Valid(body) }

// spoil notes a hole and ends the session, so that the next one mends it.
func (p *Publisher) spoil(hole string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hole = hole
	if p.endNow != nil {
		p.endNow(errors.New(hole))
	}
}

// spoiled is the hole that a walk has found, until it is taken.
func (p *Publisher) spoiled(take bool) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	hole := p.hole
	if take {
		p.hole = ""
	}
	return hole
}
