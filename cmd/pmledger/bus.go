package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pmledger/pmledger/projections"
	"github.com/pmledger/pmledger/projections/publisher"
)

// natsUser is the user that consumers of the embedded server give outside --dev.
const natsUser = "consumer"

// verdictTimeout bounds how long the start waits for the publisher to find out
// whether the stream continues this log. A NATS that is away is no reason not to
// serve.
const verdictTimeout = 3 * time.Second

// flushTimeout bounds how long a stop waits for the last events to be published.
// What is left is published at the next start.
const flushTimeout = 3 * time.Second

// bus is the way to NATS: the publisher, and the embedded server unless another
// one is configured.
type bus struct {
	server    *publisher.Server // nil with --nats-url
	publisher *publisher.Publisher
	views     *projections.Views
}

func openBus(c Config, t *truth, views *projections.Views, log *slog.Logger) (*bus, error) {
	b := &bus{views: views}
	o := publisher.Options{
		Source: publisher.Source{Messages: views.Messages, Wait: views.WaitMessages, Head: t.store.Head, Reached: views.Wait, Find: views.Message},
		URL:    c.NATSURL, Replicas: c.NATSReplicas, Gate: t.gate.Check, Logger: log,
	}
	var err error
	if o.Connect, err = c.natsLogin(log); err != nil {
		return nil, err
	}
	if c.NATSURL == "" {
		if b.server, err = startServer(c, log); err != nil {
			return nil, err
		}
		o.Server = b.server
	}
	if b.publisher, err = publisher.New(o); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// startServer starts the embedded server. Outside --dev it asks consumers for a
// password, which is made once.
func startServer(c Config, log *slog.Logger) (*publisher.Server, error) {
	o := publisher.ServerOptions{Dir: c.NATSDir(), Listen: c.NATSListen, Anonymous: c.Dev, Logger: log}
	if c.NATSListen != "" && !c.Dev {
		password, err := readOrMake(c.NATSPasswordPath(), rand.Text)
		if err != nil {
			return nil, fmt.Errorf("the password for NATS consumers: %w", err)
		}
		o.User, o.Password = natsUser, password
	}
	return publisher.StartServer(o)
}

// check refuses a stream that does not continue this log, or that is not fit to:
// what waiting does not mend. A NATS that is away, too old, or does not let the
// publisher in is no reason not to serve.
func (b *bus) check(ctx context.Context, c Config) error {
	ctx, cancel := context.WithTimeout(ctx, verdictTimeout)
	defer cancel()
	err := b.publisher.Checked(ctx)
	switch {
	case errors.Is(err, publisher.ErrUnfit):
		return err
	case errors.Is(err, publisher.ErrAhead), errors.Is(err, publisher.ErrOtherLog):
	default:
		return nil // in order, or not known yet; Status and /readyz say which
	}
	if b.server == nil {
		return fmt.Errorf("%w\nThe stream %s at --nats-url was published from another log, or from a later state of this one. Put that log back, or delete the stream: it is made again from this log", err, publisher.StreamName)
	}
	return fmt.Errorf("%w\nIf %s is the right log, delete %s, which is made again from it; if not, put the right log back", err, c.logName(), c.NATSDir())
}

// flush waits, not for long, until everything that was written is published.
func (b *bus) flush(t *truth) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	head, err := t.store.Head(ctx)
	if err != nil || b.views.Wait(ctx, head) != nil {
		return
	}
	for ctx.Err() == nil {
		s := b.publisher.Status()
		if lag, err := b.publisher.Lag(1); err != nil || lag == 0 || s.Halted != nil || !s.Connected {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// url is where consumers connect, "" when only this process can.
func (b *bus) url(c Config) string {
	if b.server == nil {
		return redactURLs(c.NATSURL)
	}
	return b.server.URL()
}

func (b *bus) close() {
	if b.server != nil {
		b.server.Close()
	}
}
