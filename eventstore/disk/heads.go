package disk

import "sync"

// maxHeads bounds each of the two generations of heads: about 10 MB in all.
const maxHeads = 32 << 10

// heads remembers where recently written streams end, so that a busy stream's
// version costs no read. It forgets by generations: a full young one becomes
// the old one, and the old one goes. Only the writer adds, after the sync, so
// what is found is always durable and never stale.
type heads struct {
	mu         sync.Mutex
	young, old map[string]head
}

func (c *heads) get(stream string) (head, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.young[stream]
	if !ok {
		h, ok = c.old[stream]
	}
	return h, ok
}

func (c *heads) put(latest map[string]head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.young == nil || len(c.young)+len(latest) > maxHeads {
		c.young, c.old = make(map[string]head, maxHeads/4), c.young
	}
	for stream, h := range latest {
		c.young[stream] = h
	}
}
