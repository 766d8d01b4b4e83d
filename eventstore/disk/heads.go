package disk

import "sync"

// maxHeads bounds each of the two generations of heads: about 10 MB in all.
const maxHeads = 32 << 10

// heads remembers where streams end, so that the version of a busy stream costs
// no read, and reading a stream before appending to it costs only one. It
// forgets by generations: a full young one becomes the old one, and the old one
// goes.
type heads struct {
	mu         sync.Mutex
	young, old map[string]head
	forgotten  uint64 // generations
}

// get returns the head of stream if it is known, and the count of forgotten
// generations to hand to learn.
func (c *heads) get(stream string) (h head, ok bool, forgotten uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok = c.known(stream)
	return h, ok, c.forgotten
}

func (c *heads) known(stream string) (h head, ok bool) {
	if h, ok = c.young[stream]; !ok {
		h, ok = c.old[stream]
	}
	return h, ok
}

// learn remembers a head that was read from the database, a stream's lack of one
// included, after get had returned forgotten. What a commit has told meanwhile
// is newer and stays. If a generation was forgotten since, it may have told that,
// and nothing is learnt.
func (c *heads) learn(stream string, h head, forgotten uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, told := c.known(stream); told || forgotten != c.forgotten {
		return
	}
	c.makeRoom(1)
	c.young[stream] = h
}

// put remembers the heads that a commit has made, which is synced.
func (c *heads) put(latest map[string]head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.makeRoom(len(latest))
	for stream, h := range latest {
		c.young[stream] = h
	}
}

func (c *heads) makeRoom(n int) {
	if c.young == nil || len(c.young)+n > maxHeads {
		c.young, c.old = make(map[string]head, maxHeads/4), c.young
		c.forgotten++
	}
}
