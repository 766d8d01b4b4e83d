package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bus is JetStream as publishing sees it: everything that is asked of it, and
// nothing more. The publisher brings its own on a NATS connection; the
// simulation of the whole runs the same algorithm on a model of JetStream.
type Bus struct {
	// Ready returns the stream, made or set right if need be. A stream that is not
	// fit is a *HaltedError.
	Ready func(ctx context.Context) (*jetstream.StreamInfo, error)
	// Info returns the stream as it is, on request with the sequences that are missing.
	Info func(ctx context.Context, missing bool) (*jetstream.StreamInfo, error)
	// Get returns the headers of the message with a sequence; ErrMissing when the
	// stream has none, nil when they cannot be read.
	Get func(ctx context.Context, sequence uint64) (nats.Header, error)
	// Send hands a message over. What becomes of it is told by answers to its reply
	// subject, if it has one. The message is the caller's again afterwards.
	Send func(m *nats.Msg) error
	// Answer returns the next answer, which may be to a message that nobody waits
	// for any more. It is an error when none came before the timeout.
	Answer func(ctx context.Context, timeout <-chan time.Time) (*nats.Msg, error)
	// Lost is why the connection that Ready was asked over is no more, nil while it
	// is. Step asks; Run is told by the connection, whatever it waits for.
	Lost func() error
}

// ErrMissing: the stream has no message with that sequence.
var ErrMissing = errors.New("no message with that sequence")

// jetStream is the bus on the publisher's connection.
func (p *Publisher) jetStream() *Bus {
	return &Bus{Ready: p.ready, Info: p.info, Get: p.get, Send: p.hand, Answer: p.answer, Lost: p.lost}
}

func (p *Publisher) ready(ctx context.Context) (*jetstream.StreamInfo, error) {
	if err := p.fit(nil); err != nil {
		return nil, err
	}
	stream, err := p.ensure(ctx)
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

func (p *Publisher) info(ctx context.Context, missing bool) (*jetstream.StreamInfo, error) {
	stream, err := p.js.Stream(ctx, StreamName)
	if err != nil {
		return nil, fmt.Errorf("the stream %s: %w", StreamName, unavailable(err))
	}
	if !missing {
		return stream.CachedInfo(), nil
	}
	info, err := stream.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return nil, fmt.Errorf("the stream %s: %w", StreamName, unavailable(err))
	}
	return info, nil
}

func (p *Publisher) hand(m *nats.Msg) error { return p.nc.PublishMsg(m) }

func (p *Publisher) lost() error {
	if !p.nc.IsConnected() {
		return p.whyDown()
	}
	return nil
}

func (p *Publisher) answer(ctx context.Context, timeout <-chan time.Time) (*nats.Msg, error) {
	select {
	case m := <-p.acks:
		return m, nil
	case <-timeout:
		if p.o.Server != nil {
			p.o.Server.doubt()
		}
		return nil, fmt.Errorf("%w within %s", errUnacknowledged, p.o.AckTimeout)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
