// Package publisher copies the public events of the log into the JetStream stream
// PM_EVENTS: each exactly once and in log order, whatever crashes, however many
// publishers run and however long NATS was away. It also holds the NATS server
// that pmledger embeds.
//
// The publisher keeps no checkpoint. Its place is the position in the header of
// the stream's last message (or that message's event, when the log has moved to
// another store and has other positions there), and a message is stored only when the stream's last
// sequence is the one that was read together with it. A lost acknowledgement, a
// second publisher or a write that arrives late all carry an old sequence, and the
// stream refuses them. Messages are pure functions of the log, so two publishers
// that take turns write what one would have written.
package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

const (
	singlesMax   = 15 // from 16 messages on an atomic batch costs less than a sync each
	batchMax     = 1000
	batchBytes   = 4 << 20
	backoffFirst = 20 * time.Millisecond
	backoffMax   = 2 * time.Second
	lookEvery    = 250 * time.Millisecond // at a closed gate, or at another publisher's stream
	// replyPrefix keeps answers to the publisher off _INBOX, which clients of the
	// embedded server may listen to.
	replyPrefix = "_pm.reply"
	reconnect   = 20 * time.Millisecond // before the first attempt; later ones wait longer
	// A connection that nothing waits on is given up after 15 s without an answer.
	pingEvery       = 5 * time.Second
	pingsUnanswered = 2
	// lookIdle is how often the stream is looked at while there is nothing to publish.
	lookIdle = 5 * time.Second
	// standstill is how long the stream must not move, although there is
	// something to publish, before a standby takes over.
	standstill = 2 * time.Second
)

// Source is where messages come from: the outbox of the events view.
type Source struct {
	// Messages returns at most max public messages after a position, in log order.
	Messages func(after eventstore.Position, max int) ([]projections.Message, error)
	// Wait returns when there is a message after the position, or ctx ended.
	Wait func(ctx context.Context, after eventstore.Position) error
	// Head is the position of the log's last record.
	Head func(ctx context.Context) (eventstore.Position, error)
	// Reached returns when the view has applied everything up to the position.
	Reached func(ctx context.Context, p eventstore.Position) error
	// Find returns the message of an event, false when the view holds none.
	Find func(event uuid.UUID) (projections.Message, bool, error)
}

// Options of a Publisher.
type Options struct {
	Source Source
	// Server is the embedded server, nil with URL.
	Server *Server
	// Bus stands in for a connection, with neither Server nor URL. Then Step does
	// the work, and Run must not be called.
	Bus *Bus
	// URL is an external server or a comma-separated list of a cluster's; Connect
	// are its credentials, TLS settings and the like.
	URL     string
	Connect []nats.Option
	// Replicas of the stream when an external NATS has none yet; 0 is 3 in a cluster
	// and 1 on a single server. The embedded server always has 1.
	Replicas int
	// Gate pauses the publisher while it returns an error, such as too little free
	// space. nil is always open.
	Gate func() error
	// AckTimeout is how long an acknowledgement may take before the publisher
	// looks at the stream again; 0 is 5 s.
	AckTimeout time.Duration
	// Now is the clock of Status; nil is time.Now.
	Now func() time.Time
	// Logger is required.
	Logger *slog.Logger
}

// Publisher copies messages from a Source to the stream. Run does the work, or Step
// does a part of it; the other methods are safe to call at any time from any
// goroutine.
type Publisher struct {
	o       Options
	bus     *Bus
	nc      *nats.Conn // nil with Options.Bus
	js      jetstream.JetStream
	acks    chan *nats.Msg
	inbox   string      // prefix of the subjects that acks arrive on
	header  nats.Header // reused for every message: publishing copies it
	windows uint64

	compared  bool // the stream's files with its state
	benign    gaps // the gaps of the stream that were found to hide nothing
	conflicts int  // in a row, without a message stored in between
	most      int  // messages that are handed over together

	// Of the session that runs.
	at        end
	placed    bool      // at is known
	moved     bool      // the stream has moved
	standsBy  bool      // for another publisher
	stillFrom time.Time // since when the other stands still, although there is something to publish
	looked    time.Time // when the stream was last found as it should be

	mu      sync.Mutex
	status  Status
	link    link
	hole    string                  // that the walk has found and nobody has mended yet
	endNow  context.CancelCauseFunc // ends the session that runs, when its connection is lost
	checked chan struct{}           // closed after the first verdict about the stream
}

// New prepares a publisher. It does not connect; an error is a caller's mistake.
func New(o Options) (*Publisher, error) {
	s := o.Source
	if s.Messages == nil || s.Wait == nil || s.Head == nil || s.Reached == nil || s.Find == nil || o.Logger == nil {
		return nil, errors.New("the publisher needs a complete source and a logger")
	}
	if o.Bus != nil && (o.Server != nil || o.URL != "") || o.Bus == nil && (o.Server == nil) == (o.URL == "") {
		return nil, errors.New("the publisher needs either the embedded server or the address of another")
	}
	if o.AckTimeout == 0 {
		o.AckTimeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Publisher{
		o: o, bus: o.Bus, acks: make(chan *nats.Msg, 4*batchMax), inbox: replyPrefix + "." + nuid.Next() + ".",
		header: nats.Header{}, checked: make(chan struct{}), most: batchMax,
	}
	if p.bus == nil {
		p.bus = p.jetStream()
	}
	return p, nil
}

// Run publishes until ctx ends and returns nil then. Errors of the bus are retried
// with back-off; what retrying cannot mend halts the publisher, which then waits
// for ctx and says why in Status. Run must be called once.
func (p *Publisher) Run(ctx context.Context) error {
	if err := p.connect(); err != nil {
		return fmt.Errorf("NATS: %w", err)
	}
	defer p.nc.Close()
	if p.o.Server != nil {
		var walking sync.WaitGroup
		walking.Go(func() { p.walk(ctx) })
		defer walking.Wait()
	}
	for delay := backoffFirst; ctx.Err() == nil; {
		err := p.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if p.ended(err) {
			<-ctx.Done()
			break
		}
		if p.moved {
			delay = backoffFirst
		}
		p.leave(ctx, err)
		pause(ctx, delay/2+rand.N(delay))
		p.renew()
		delay = min(2*delay, backoffMax)
	}
	return nil
}

// session reads the stream's end and publishes from there until something goes
// wrong.
func (p *Publisher) session(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	p.mu.Lock()
	p.endNow = end
	p.mu.Unlock()
	p.begin()
	if !p.nc.IsConnected() {
		return p.whyDown()
	}
	err := p.follow(ctx)
	if cause := context.Cause(ctx); cause != nil && !isHalt(err) {
		err = cause
	} else if denied := p.deniedBy(); denied != nil && !isHalt(err) {
		err = denied // before the session began, so it waited for an answer in vain
	}
	return err
}

// follow is a session's work.
func (p *Publisher) follow(ctx context.Context) error {
	defer p.setStandby(false)
	for {
		then, err := p.step(ctx)
		if err == nil {
			err = p.rest(ctx, then)
		}
		if err != nil {
			return err
		}
	}
}

// rest waits for what a step said must be waited for.
func (p *Publisher) rest(ctx context.Context, until rest) error {
	switch until {
	case untilMore:
		waiting, stop := context.WithTimeout(ctx, lookIdle)
		defer stop()
		err := p.o.Source.Wait(waiting, p.at.position)
		if err != nil && (ctx.Err() != nil || waiting.Err() == nil) {
			return fmt.Errorf("the events view: %w", err)
		}
	case aWhile:
		return pause(ctx, lookEvery)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func isHalt(err error) bool {
	var halt *HaltedError
	return errors.As(err, &halt)
}
