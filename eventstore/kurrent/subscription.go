package kurrent

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"github.com/pmledger/pmledger/eventstore"
)

const (
	// batchRecords and batchBytes bound what is kept for a slow follower, besides
	// what the connection holds.
	batchRecords = 256
	batchBytes   = 1 << 20
)

// subscription receives records and keeps them until they are asked for. What
// comes meanwhile is handed over together.
type subscription struct {
	store  *Store
	link   *link
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when nothing is received any more

	ready chan struct{} // holds a token when there may be something to take
	space chan struct{} // holds a token when something was taken

	mu    sync.Mutex
	seen  *streams.ReadResp_Checkpoint // up to here, all there is was put
	batch []eventstore.Record
	bytes int
	usual int   // length of the last batch that was taken
	err   error // why nothing more comes
}

// place is where a follower is in the log.
type place struct {
	own eventstore.Position // of the last record that was yielded, or that was begun after
	// seen is how far the server has looked for others, in its own words: the two numbers
	// of a record that may be anyone's. nil: it has not said.
	seen *streams.ReadResp_Checkpoint
}

// reached is how far there is nothing left to receive.
func (p place) reached() eventstore.Position {
	return max(p.own, eventstore.Position(p.seen.GetCommitPosition()))
}

// beyond tells whether the server has looked further than to the last record.
func (p place) beyond() bool { return p.reached() > p.own }

// Why a subscription has nothing to give, now or any more. None is the caller's
// concern: the next one goes on after it.
var (
	errQuiet  = errors.New("nothing came")
	errMoved  = errors.New("the leader has changed")
	errNoMore = errors.New("the event store ended the subscription")
	errBehind = errors.New("the node does not send what the leader has")
)

// subscribe begins to receive what stands after a place. end must be called.
func (s *Store) subscribe(ctx context.Context, after place) (*subscription, error) {
	limited, stop := context.WithTimeout(ctx, s.o.ReadTimeout)
	defer stop()
	l, c, err := s.cluster.acquire(limited, forFollows)
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancelCause(leaderOnly(ctx))
	sub := &subscription{
		store: s, link: l, cancel: cancel, done: make(chan struct{}),
		ready: make(chan struct{}, 1), space: make(chan struct{}, 1), seen: after.seen,
	}
	go sub.watch(running)
	go sub.run(running, c, after)
	return sub, nil
}

// watch ends the subscription when the leader is found elsewhere.
func (s *subscription) watch(ctx context.Context) {
	select {
	case <-s.link.moved:
		s.cancel(errMoved)
	case <-ctx.Done():
	}
}

func (s *subscription) run(ctx context.Context, c *conn, after place) {
	defer close(s.done)
	defer s.link.follows.give(c)
	err := s.receive(ctx, c, after)
	switch cause := context.Cause(ctx); {
	case cause == nil:
		s.store.cluster.heed(s.link, err)
	case errors.Is(cause, errNoSign):
		err = &lostError{cause: cause}
		s.store.cluster.heed(s.link, err)
	default:
		err = cause
	}
	s.finish(err)
	s.cancel(err)
}

// end stops the receiving and waits until it has.
func (s *subscription) end() {
	s.cancel(errEnough)
	<-s.done
}

// receive fills the batch until the subscription fails.
func (s *subscription) receive(ctx context.Context, c *conn, after place) error {
	confirmed := time.AfterFunc(s.link.limit, func() { s.cancel(errNoSign) })
	defer confirmed.Stop()
	answers, err := streams.NewStreamsClient(c.ClientConn).Read(ctx, following(after))
	if err != nil {
		return &replyError{err: err}
	}
	for at := after.own; ; {
		answer, err := answers.Recv()
		if errors.Is(err, io.EOF) {
			return errNoMore
		}
		if err != nil {
			return &replyError{err: err, trailer: answers.Trailer()}
		}
		confirmed.Stop()
		switch content := answer.GetContent().(type) {
		case *streams.ReadResp_Event:
			r, err := recordOf(content.Event)
			if err != nil {
				return err
			}
			if r.Position <= at || !ours(r.Stream) {
				continue
			}
			at = r.Position
			if err := s.put(ctx, r); err != nil {
				return err
			}
		case *streams.ReadResp_Checkpoint_:
			s.store.horizon.checked(at, after.own, eventstore.Position(content.Checkpoint.GetCommitPosition()))
			s.mu.Lock()
			s.seen = content.Checkpoint
			s.mu.Unlock()
		}
	}
}

// put waits until there is room, and keeps the record.
func (s *subscription) put(ctx context.Context, r eventstore.Record) error {
	for {
		s.mu.Lock()
		if len(s.batch) < batchRecords && s.bytes < batchBytes {
			if s.batch == nil {
				s.batch = make([]eventstore.Record, 0, s.usual)
			}
			s.batch = append(s.batch, r)
			s.bytes += len(r.Data) + len(r.Metadata)
			first := len(s.batch) == 1
			s.mu.Unlock()
			if first { // next has been told of the others by then
				token(s.ready)
			}
			return nil
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.space:
		}
	}
}

// finish lets next return why nothing more comes, after what has come.
func (s *subscription) finish(err error) {
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	token(s.ready)
}

// next waits for records, at most as long as given; then errQuiet. What it returns is
// all there is up to the checkpoint that it returns, in whatever case.
func (s *subscription) next(ctx context.Context, atMost time.Duration) ([]eventstore.Record, *streams.ReadResp_Checkpoint, error) {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	for quiet := false; ; {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		s.mu.Lock()
		batch, seen, err := s.batch, s.seen, s.err
		if len(batch) > 0 {
			s.batch, s.bytes, s.usual = nil, 0, len(batch)
		}
		s.mu.Unlock()
		if len(batch) > 0 {
			token(s.space)
			last := batch[len(batch)-1].Position
			s.store.horizon.passed(last, last)
			return batch, seen, nil
		}
		if err != nil {
			return nil, seen, err
		}
		if quiet {
			return nil, seen, errQuiet
		}
		select {
		case <-ctx.Done():
		case <-s.ready:
		case <-timer.C:
			quiet = true
		}
	}
}

// token leaves a token in a channel that holds one.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
