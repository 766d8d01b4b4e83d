package kurrent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/pmledger/pmledger/eventstore"
)

// cluster knows the leader, and looks for it when it is lost. One goroutine looks,
// however many callers wait, and only while there is something to look for.
type cluster struct {
	target *target
	gap    time.Duration
	// patience is how long calls wait for a lost leader.
	patience time.Duration
	log      *slog.Logger
	ctx      context.Context // ends with close
	stop     context.CancelFunc
	wg       sync.WaitGroup

	mu      sync.Mutex
	leader  *link // nil while it is looked for
	links   map[*link]struct{}
	changed chan struct{} // closed and replaced when anything here changes
	lost    time.Time     // since when there is no leader
	last    error         // why the last look failed; nil before it did
	address string        // of the newest leader that was found
	closed  bool
}

func newCluster(t *target, o Options) *cluster {
	ctx, stop := context.WithCancel(context.Background())
	c := &cluster{
		target: t, gap: o.Gap, patience: o.AppendTimeout * 3 / 5, log: o.Logger,
		ctx: ctx, stop: stop, links: map[*link]struct{}{}, changed: make(chan struct{}),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookLocked("")
	return c
}

// lookLocked starts to look for the leader, first at hint when there is one.
func (c *cluster) lookLocked(hint string) {
	c.leader, c.lost, c.last = nil, time.Now(), nil
	c.changeLocked()
	c.wg.Go(func() { c.look(hint) })
}

func (c *cluster) changeLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// acquire returns a connection to the leader, of the pool that is chosen; it must be
// given back. While the leader is lost it waits until ctx ends, but not when patience
// is over already.
func (c *cluster) acquire(ctx context.Context, of func(*link) *pool) (*link, *conn, error) {
	for {
		c.mu.Lock()
		l, changed, last := c.leader, c.changed, c.last
		left := time.Until(c.lost.Add(c.patience))
		closed := c.closed
		c.mu.Unlock()
		switch {
		case closed:
			return nil, nil, eventstore.ErrClosed
		case l != nil:
			if conn := of(l).take(); conn != nil {
				return l, conn, nil
			}
		case left <= 0 && last != nil:
			return nil, nil, unavailable(last)
		}
		timer := time.NewTimer(max(left, firstPause))
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil, nil, &lostError{cause: c.why(ctx)}
		}
	}
}

// why says why there is no leader.
func (c *cluster) why(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil {
		return c.last
	}
	return fmt.Errorf("no leader was found: %w", ctx.Err())
}

// Of a link, calls use one pool and followers the other.
func forCalls(l *link) *pool   { return l.calls }
func forFollows(l *link) *pool { return l.follows }

// wait waits until a leader was found, with no other bound than ctx.
func (c *cluster) wait(ctx context.Context) error {
	for {
		c.mu.Lock()
		found, closed, changed := c.leader != nil, c.closed, c.changed
		c.mu.Unlock()
		switch {
		case closed:
			return eventstore.ErrClosed
		case found:
			return nil
		}
		select {
		case <-ctx.Done():
			return c.why(ctx)
		case <-changed:
		}
	}
}

// heed looks for the leader again when err says that the link's node is lost, or
// is not the leader.
func (c *cluster) heed(l *link, err error) {
	hint, elsewhere := leaderNamed(err)
	if !elsewhere && !isLost(err) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.leader != l {
		return
	}
	c.log.Warn("the event store's leader is lost", "address", l.address, "error", err)
	l.retire()
	c.lookLocked(hint)
}

// renew looks for the leader again though nothing speaks against the present one.
func (c *cluster) renew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.leader == nil {
		return
	}
	c.leader.retire()
	c.lookLocked("")
}

// look finds the leader, however long it takes.
func (c *cluster) look(hint string) {
	for tries := 0; c.ctx.Err() == nil; tries++ {
		l, err := c.find(c.ctx, hint, attemptTimeout<<min(tries, slowest))
		if err == nil {
			c.found(l)
			return
		}
		hint = ""
		c.mu.Lock()
		c.last = err
		c.changeLocked()
		c.mu.Unlock()
		c.pause(c.ctx, tries)
	}
}

func (c *cluster) found(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		l.retire()
		return
	}
	c.log.Info("the event store's leader is found", "address", l.address, "lost_for", time.Since(c.lost).Round(time.Millisecond))
	for old := range c.links {
		if old.gone() {
			delete(c.links, old)
		} else if old.address != l.address {
			old.leave()
		}
	}
	c.links[l] = struct{}{}
	c.leader, c.last, c.address = l, nil, l.address
	c.changeLocked()
}

// find tries the hint, or what the nodes say, and then whoever those name.
func (c *cluster) find(ctx context.Context, hint string, atMost time.Duration) (*link, error) {
	if hint == "" {
		var err error
		if hint, err = c.candidate(ctx); err != nil {
			return nil, err
		}
	}
	const hops = 3
	for range hops {
		l, err := c.try(ctx, hint, atMost)
		if err == nil {
			return l, nil
		}
		named, elsewhere := leaderNamed(err)
		if !elsewhere || named == "" || named == hint {
			return nil, fmt.Errorf("%s: %w", hint, err)
		}
		hint = named
	}
	return nil, errors.New("the nodes name each other as the leader")
}

// candidate is a node that may be the leader.
func (c *cluster) candidate(ctx context.Context) (string, error) {
	if !c.target.discover {
		return c.target.hosts[0], nil
	}
	hosts := slices.Clone(c.target.hosts)
	c.mu.Lock()
	if c.address != "" && !slices.Contains(hosts, c.address) {
		hosts = append(hosts, c.address)
	}
	c.mu.Unlock()
	return askLeader(ctx, c.target, hosts)
}

// slowest is how often the time for a first answer is doubled when none came.
const slowest = 2

// try connects to a node and asks it something that only the leader answers. How
// long that takes says how long later attempts may wait.
func (c *cluster) try(ctx context.Context, address string, atMost time.Duration) (*link, error) {
	l, err := connect(c.target, address, c.gap)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(leaderOnly(ctx), atMost)
	defer cancel()
	began := time.Now()
	_, err = readEvents(ctx, l.calls.conns[0].ClientConn, endOfAll(1), nil)
	if err != nil && !isRefusal(err) { // who refuses is there, and tells each caller
		l.retire()
		return nil, err
	}
	l.limit = max(l.limit, 2*time.Since(began))
	return l, nil
}

func (c *cluster) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// close ends every call and waits until nothing runs any more.
func (c *cluster) close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.changeLocked()
	c.stop()
	var errs []error
	for l := range c.links {
		l.retire()
		errs = append(errs, l.closeAll())
	}
	c.mu.Unlock()
	c.wg.Wait()
	return errors.Join(errs...)
}

// pause waits after the given number of failed tries: twice as long each time, up
// to the gap, and less by chance, so that those who failed together do not try again
// together. It returns false when ctx ended first, and true at once after close.
func (c *cluster) pause(ctx context.Context, tries int) bool {
	d := c.gap
	if tries < 16 {
		d = min(firstPause<<tries, c.gap)
	}
	timer := time.NewTimer(d/2 + rand.N(d/2+1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-c.ctx.Done():
		return true
	case <-timer.C:
		return true
	}
}
