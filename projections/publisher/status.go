package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pmledger/pmledger/eventstore"
)

// Causes that halt a publisher, for errors.Is on Status.Halted.
var (
	// ErrAhead: the stream holds positions that the log does not have. The log was
	// restored from an older copy, or this is another log's stream.
	ErrAhead = errors.New("the stream is ahead of the log")
	// ErrOtherLog: the stream's last message is not the one that the log has at
	// its position.
	ErrOtherLog = errors.New("the stream belongs to another log")
	// ErrHole: messages are missing inside an external stream.
	ErrHole = errors.New("the stream has lost messages")
	// ErrUnfit: the stream's settings break its promises and cannot be changed.
	ErrUnfit = errors.New("the stream is not fit to be published to")
)

var (
	errConflict = errors.New("another publisher was faster")
	errTakeover = errors.New("the other publisher stands still")
	errCut      = errors.New("the connection to NATS was lost")
	errDown     = errors.New("not connected to NATS")
	// Nothing came from a server that seems to be there.
	errSilent         = errors.New("JetStream does not answer; a cluster does while most of its servers run")
	errUnacknowledged = errors.New("the stream did not acknowledge")
	// The stream was deleted and made anew, or another publisher is at work.
	errElsewhere = errors.New("the stream does not end where it did")
)

// HaltedError says why a publisher stopped for good, and what an operator can do.
type HaltedError struct {
	Cause  error // one of the Err… above, or what the stream answered
	Detail string
}

func (e *HaltedError) Error() string { return fmt.Sprintf("%v: %s", e.Cause, e.Detail) }
func (e *HaltedError) Unwrap() error { return e.Cause }

// Status is a publisher's state at one moment.
type Status struct {
	Position    eventstore.Position // of the last message known to be in the stream
	Sequence    uint64              // of that message in the stream
	Published   uint64              // messages stored by this publisher since it was made
	Conflicts   int                 // writes refused because another was faster
	Rebuilds    int                 // of a damaged embedded stream
	Walked      bool                // every message of the embedded stream was read since the start
	Connected   bool
	Standby     bool      // another publisher is at work
	LastSuccess time.Time // when the stream last acknowledged or was found up to date; zero before
	LastError   error     // nil after a success
	Halted      error     // a *HaltedError; nil while it works
}

// Status returns the state now.
func (p *Publisher) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Lag counts the messages that are not in the stream yet, up to max; max means that
// many or more.
func (p *Publisher) Lag(max int) (int, error) {
	messages, err := p.o.Source.Messages(p.Status().Position, max)
	return len(messages), err
}

// Checked waits for the first verdict about the stream. It returns nil when the
// stream continues this log, the *HaltedError when it does not, and ctx's error
// when NATS was not reached in time, which is no reason not to serve.
func (p *Publisher) Checked(ctx context.Context) error {
	select {
	case <-p.checked:
		return p.Status().Halted
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Publisher) verdict() {
	select {
	case <-p.checked:
	default:
		close(p.checked)
	}
}

// reached records where the stream was found to end and reports whether that is
// news.
func (p *Publisher) reached(e end) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	moved := e.sequence != p.status.Sequence
	if moved {
		p.succeeded()
	}
	p.status.Position, p.status.Sequence = e.position, e.sequence
	p.status.Connected = true
	p.verdict()
	return moved
}

func (p *Publisher) published(e end) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Published += e.sequence - p.status.Sequence
	p.status.Position, p.status.Sequence = e.position, e.sequence
	p.succeeded()
}

// idle records that there is nothing to publish.
func (p *Publisher) idle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.succeeded()
}

// succeeded must be called with mu held.
func (p *Publisher) succeeded() {
	p.status.LastSuccess, p.status.LastError = p.o.Now(), nil
}

// failed records an error that is retried and logs it when it is a new one.
func (p *Publisher) failed(err error) {
	if err == nil || errors.Is(err, errTakeover) {
		return
	}
	p.mu.Lock()
	before := p.status.LastError
	p.status.LastError, p.status.Connected = err, p.nc == nil || p.nc.IsConnected()
	p.mu.Unlock()
	stillDown := errors.Is(err, errDown) && errors.Is(before, errDown) // each server has its own reason
	if errors.Is(err, errConflict) {
		p.o.Logger.Debug("publishing is tried again", "cause", err)
	} else if before == nil || before.Error() != err.Error() && !stillDown {
		p.o.Logger.Warn("publishing to NATS is tried again", "cause", err)
	}
}

func (p *Publisher) halt(err error) {
	p.mu.Lock()
	p.status.Halted, p.status.LastError = err, err
	p.verdict()
	p.mu.Unlock()
	p.o.Logger.Error("publishing to NATS has stopped", "cause", err)
}

func (p *Publisher) conflicted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Conflicts++
}

func (p *Publisher) setStandby(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Standby = on
}
