package eventstore

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/pmledger/pmledger/domain"
)

// foldCache keeps the folds of recently used streams, each behind a lock of its
// own: whoever holds a fold is alone with its stream in this process. Folds in
// use are never dropped; others are dropped, oldest use first, when the records
// they stand for exceed the limit.
type foldCache struct {
	mu      sync.Mutex
	limit   int
	records int
	streams map[string]*cachedFold
	recency *list.List // of idle *cachedFold, newest in front
}

type cachedFold struct {
	fold    *fold
	lock    chan struct{} // holds one token; taking it is holding the fold
	holders int           // and waiters
	idle    *list.Element
	folded  folded // as its last holder left it, and as the cache's sum counts it
}

// folded is a state that nobody changes any more, its version, and the time of
// its last record.
type folded struct {
	state   domain.State
	version uint64
	last    time.Time
}

// size is what a folded state counts in the cache: its records and itself.
func (f folded) size() int {
	if f.state == nil {
		return 0
	}
	return int(f.version) + 1
}

func newFoldCache(limit int) *foldCache {
	return &foldCache{limit: limit, streams: map[string]*cachedFold{}, recency: list.New()}
}

// peek returns what the stream was folded to last, if that is known. Unlike
// acquire it never waits.
func (c *foldCache) peek(stream string) (folded, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held, ok := c.streams[stream]
	if !ok || held.folded.state == nil {
		return folded{}, false
	}
	if held.idle != nil {
		c.recency.MoveToFront(held.idle)
	}
	return held.folded, true
}

// acquire waits for the stream's fold. The caller must release it.
func (c *foldCache) acquire(ctx context.Context, stream string) (*cachedFold, error) {
	c.mu.Lock()
	held, ok := c.streams[stream]
	if !ok {
		held = &cachedFold{fold: newFold(stream), lock: make(chan struct{}, 1)}
		held.lock <- struct{}{}
		c.streams[stream] = held
	}
	if held.idle != nil {
		c.recency.Remove(held.idle)
		held.idle = nil
	}
	held.holders++
	c.mu.Unlock()
	select {
	case <-held.lock:
		return held, nil
	case <-ctx.Done():
		c.leave(held, folded{})
		return nil, ctx.Err()
	}
}

// release gives the fold back.
func (c *foldCache) release(held *cachedFold) {
	left := folded{held.fold.state, held.fold.version, held.fold.last}
	held.lock <- struct{}{}
	c.leave(held, left)
}

// leave counts a holder out, with what the fold is now; without a state from one
// who never held it.
func (c *foldCache) leave(held *cachedFold, left folded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left.state != nil && left.version >= held.folded.version {
		c.records += left.size() - held.folded.size()
		held.folded = left
	}
	held.holders--
	if held.holders > 0 {
		return
	}
	held.idle = c.recency.PushFront(held)
	for c.records > c.limit && c.recency.Len() > 0 {
		oldest := c.recency.Remove(c.recency.Back()).(*cachedFold)
		c.records -= oldest.folded.size()
		delete(c.streams, oldest.fold.stream)
	}
}
