package eventstore

import (
	"container/list"
	"context"
	"sync"
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
	counted int           // records counted into the cache's sum
	idle    *list.Element
}

func newFoldCache(limit int) *foldCache {
	return &foldCache{limit: limit, streams: map[string]*cachedFold{}, recency: list.New()}
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
		c.leave(held, -1)
		return nil, ctx.Err()
	}
}

// release gives the fold back.
func (c *foldCache) release(held *cachedFold) {
	size := int(held.fold.version) + 1
	held.lock <- struct{}{}
	c.leave(held, size)
}

// leave counts a holder out; size is what the fold stands for now, or -1 from
// one who never held it.
func (c *foldCache) leave(held *cachedFold, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if size >= 0 {
		c.records += size - held.counted
		held.counted = size
	}
	held.holders--
	if held.holders > 0 {
		return
	}
	held.idle = c.recency.PushFront(held)
	for c.records > c.limit && c.recency.Len() > 0 {
		oldest := c.recency.Remove(c.recency.Back()).(*cachedFold)
		c.records -= oldest.counted
		delete(c.streams, oldest.fold.stream)
	}
}
