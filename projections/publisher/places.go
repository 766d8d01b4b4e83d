package publisher

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// place is a durable consumer and the sequence it reads next.
type place struct {
	config jetstream.ConsumerConfig
	next   uint64
}

// places notes the durable consumers of a stream that is about to be replaced.
//
// A rebuilt stream numbers its messages without gaps, so a place moves down by the
// sequences that were missing below it. Some of them may have been messages: then
// the consumer gets as many once more, which it must expect anyway, and never one
// too few.
func (p *Publisher) places(ctx context.Context) []place {
	info, err := p.bus.Info(ctx, true)
	if err != nil {
		p.o.Logger.Warn("the consumers of the damaged stream are lost with it", "cause", err)
		return nil
	}
	stream, err := p.js.Stream(ctx, StreamName)
	if err != nil {
		p.o.Logger.Warn("the consumers of the damaged stream are lost with it", "cause", err)
		return nil
	}
	missing := missingOf(info.State)
	var places []place
	consumers := stream.ListConsumers(ctx)
	for c := range consumers.Info() {
		if c.Config.Durable == "" {
			continue
		}
		done := c.AckFloor.Stream
		if c.Config.AckPolicy == jetstream.AckNonePolicy {
			done = c.Delivered.Stream
		}
		next := done + 1
		for q := range missing {
			if q <= done {
				next--
			}
		}
		places = append(places, place{c.Config, next})
	}
	if err := consumers.Err(); err != nil {
		p.o.Logger.Warn("some consumers of the damaged stream may be lost with it", "cause", err)
	}
	return places
}

// restore makes the consumers again. One that cannot be put back where it was
// starts where its own settings say.
func (p *Publisher) restore(ctx context.Context, stream jetstream.Stream, places []place) {
	for _, at := range places {
		_, err := stream.CreateConsumer(ctx, at.config)
		if err == nil && at.next > 1 {
			_, err = stream.ResetConsumerToSequence(ctx, at.config.Durable, at.next)
		}
		if err != nil {
			p.o.Logger.Warn("a consumer of the rebuilt stream has lost its place", "consumer", at.config.Durable, "cause", err)
		}
	}
}
