// Package kurrent keeps the log in a KurrentDB or EventStoreDB cluster, for
// those who outgrow one machine.
//
// It speaks the server's gRPC protocol with the generated messages of the
// EventStore client module, but over connections of its own. The module's client
// would do the same in fewer lines here, and was measured not to be fit for a
// ledger: during an outage its callers block for ever whatever their contexts
// say, a failed discovery closes it for good, closing it then ends the process,
// and its wish for the leader never reaches the server. Its reader of connection
// strings shows passwords in its errors and passes over settings it does not
// know.
//
// What the server calls a revision is a version less one. Positions are commit
// positions of $all. The log is what stands in the streams that package domain
// names; the server's own streams and those of others are passed over. So Head
// is the position of the last record of these streams, which Follow reaches
// however much others write after it.
//
// Commands and their reads go to the leader, and say so to the server: a node
// that is not the leader answers who is. Positions of records in streams need a
// server of version 23.10 or later.
package kurrent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pmledger/pmledger/eventstore"
)

// Options bound what a Store waits for and sends. The zero value is for production.
type Options struct {
	// AppendTimeout bounds one Append with all its repeats. When no leader has been
	// found for three fifths of it, calls fail at once until there is one: an
	// election takes less, and what takes longer should not pile up callers.
	// 0: the connection string's defaultDeadline, else 5 s.
	AppendTimeout time.Duration
	// ReadTimeout bounds how long Head, Ready and a page of Stream go without an
	// answer, repeats included, and how long a follower hears nothing before it asks
	// the leader whether there is something to hear. It does not bound how long the
	// server searches for Head. 0: defaultDeadline, else 5 s.
	ReadTimeout time.Duration
	// MaxAppend bounds the bytes of one append as the server counts them: data,
	// metadata, and two for each letter of the type. 0: 1 MiB, which is what servers
	// before 25.1 take.
	MaxAppend int
	// Gap is the longest pause between two attempts to reach the server. 0: 1 s.
	Gap time.Duration
	// Logger is told when the leader is lost and found. nil discards.
	Logger *slog.Logger
}

const (
	defaultTimeout   = 5 * time.Second
	defaultMaxAppend = 1 << 20
	defaultGap       = time.Second
	// attemptTimeout is how long one attempt waits at least for a sign of the server
	// before another connection is tried; longer when the server is far away. The
	// server drops a repeat that comes before the first append is replicated, without
	// a word; so it must be well below the timeouts above.
	attemptTimeout = 2 * time.Second
	// firstPause is the pause after the first failed attempt; each next one doubles.
	firstPause = 25 * time.Millisecond
)

// Store is an eventstore.Store on a cluster. Use Open.
type Store struct {
	o       Options
	cluster *cluster
	horizon horizon
}

var _ eventstore.Store = (*Store)(nil)

// Open reads the connection string and waits, until ctx ends, for a leader to
// answer. It fails with every fault of the string, with ErrUnavailable when no
// leader answered, and with the server's refusal when it denies the credentials or
// the right to read $all. No error shows the password.
func Open(ctx context.Context, connectionString string, o Options) (*Store, error) {
	t, err := parseTarget(connectionString)
	if err != nil {
		return nil, err
	}
	s := &Store{o: o.withDefaults(t)}
	s.cluster = newCluster(t, s.o)
	for tries := 0; ; tries++ {
		if err := s.cluster.wait(ctx); err != nil {
			return nil, errors.Join(unavailable(err), s.Close())
		}
		err := s.Ready(ctx)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, eventstore.ErrUnavailable) || !s.cluster.pause(ctx, tries) {
			return nil, errors.Join(err, s.Close())
		}
	}
}

func (o Options) withDefaults(t *target) Options {
	fallback := defaultTimeout
	if t.deadline > 0 {
		fallback = t.deadline
	}
	if o.AppendTimeout <= 0 {
		o.AppendTimeout = fallback
	}
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = fallback
	}
	if o.MaxAppend <= 0 {
		o.MaxAppend = defaultMaxAppend
	}
	if o.Gap <= 0 {
		o.Gap = defaultGap
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Close closes all connections and ends every call with eventstore.ErrClosed,
// which all later ones return too. An append under way has an unknown outcome.
func (s *Store) Close() error { return s.cluster.close() }

// Ready asks the leader for the log's end: nil means that commands can be
// executed and the log be followed now. Otherwise ErrUnavailable, ErrClosed,
// ctx's error, or the server's refusal. However much others have written, it takes
// no longer.
func (s *Store) Ready(ctx context.Context) error {
	_, err := s.lookBack(ctx, endOfAll(1), 1, 0)
	return err
}

// Node is the server that commands go to.
type Node struct {
	Address string    // host:port
	Version string    // "" when the server does not tell
	Time    time.Time // by its clock, in whole seconds; zero when it does not tell
}

// Node returns the present leader. Errors are those of Ready.
func (s *Store) Node(ctx context.Context) (Node, error) {
	var node Node
	err := s.read(ctx, func(a *attempt) error {
		version, now, err := about(a.ctx, a.conn)
		node = Node{Address: a.link.address, Version: version, Time: now}
		return err
	})
	return node, err
}

// attempt is one try of a read. Its context ends when the server gives no sign
// for a while.
type attempt struct {
	ctx  context.Context
	conn *grpc.ClientConn
	link *link
	idle *time.Timer
	left time.Duration // what the timer is set back to
}

// sign notes that the server has answered something.
func (a *attempt) sign() { a.idle.Reset(a.left) }

// silence lets the server give no sign for longer.
func (a *attempt) silence(d time.Duration) {
	a.left = d
	a.sign()
}

// mute tells whether the node is suspect although it was the caller who would not wait
// any longer.
func (a *attempt) mute(began time.Time) bool {
	return a.link.mute(began) && time.Since(began) >= a.left/2
}

var errNoSign = errors.New("the server gave no sign")

// read tries do until it succeeds, fails for good, ctx ends, or ReadTimeout has
// passed. do must be fit to be repeated.
func (s *Store) read(ctx context.Context, do func(*attempt) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, s.o.ReadTimeout)
	defer cancel()
	for tries := 0; ; tries++ {
		err := s.tryRead(ctx, limited, do)
		if err == nil {
			return nil
		}
		if final := s.final(ctx, err); final != nil {
			return final
		}
		if limited.Err() != nil || !s.cluster.pause(limited, tries) {
			return s.gaveUp(ctx, err)
		}
	}
}

// gaveUp is the answer of a call that has been tried for long enough.
func (s *Store) gaveUp(ctx context.Context, last error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return unavailable(last)
}

// tryRead makes one attempt. The call ends with ctx; limited bounds the wait for
// a leader.
func (s *Store) tryRead(ctx, limited context.Context, do func(*attempt) error) error {
	l, c, err := s.cluster.acquire(limited, forCalls)
	if err != nil {
		return err
	}
	defer l.calls.give(c)
	running, stop := context.WithCancelCause(leaderOnly(ctx))
	defer stop(nil)
	a := &attempt{ctx: running, conn: c.ClientConn, link: l, left: min(l.limit, s.o.ReadTimeout/2)}
	a.idle = time.AfterFunc(a.left, func() { stop(errNoSign) })
	defer a.idle.Stop()
	began := time.Now()
	err = do(a)
	if cause := context.Cause(running); err != nil && errors.Is(cause, errNoSign) {
		err = &lostError{cause: cause}
	}
	if err != nil && (!waitedOut(ctx, err) || a.mute(began)) {
		s.cluster.heed(l, err)
	}
	return err
}

// waitedOut tells whether it was the caller who would not wait any longer. The server
// is told the deadline too, and may be a moment faster to notice.
func waitedOut(ctx context.Context, err error) bool {
	deadline, set := ctx.Deadline()
	return ctx.Err() != nil || set && status.Code(err) == codes.DeadlineExceeded && time.Until(deadline) < 100*time.Millisecond
}

// final is the error that no repeat can mend, or nil.
func (s *Store) final(ctx context.Context, err error) error {
	switch {
	case s.cluster.isClosed():
		return eventstore.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, eventstore.ErrUnavailable):
		return err
	case isTransient(err):
		return nil
	default:
		return err
	}
}

func unavailable(cause error) error {
	if errors.Is(cause, eventstore.ErrUnavailable) || errors.Is(cause, eventstore.ErrClosed) {
		return cause
	}
	return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, cause)
}
