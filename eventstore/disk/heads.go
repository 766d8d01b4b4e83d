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
	commits    uint64 // that put has told of
}

// get returns the head of stream if it is known, and the count of commits to
// hand to learn.
func (c *heads) get(stream string) (h head, ok bool, commits uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h, ok = c.young[stream]; !ok {
		h, ok = c.old[stream]
	}
	return h, ok, c.commits
}

// learn remembers a head that was read from the database after get had returned
// commits. If there was a commit since, the head may be an old one and is not
// remembered.
func (c *heads) learn(stream string, h head, commits uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if commits == c.commits {
		c.makeRoom(1)
		c.young[stream] = h
	}
}

// put remembers the heads that a commit has made, which is synced.
func (c *heads) put(latest map[string]head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commits++
	c.makeRoom(len(latest))
	for stream, h := range latest {
		c.young[stream] = h
	}
}

func (c *heads) makeRoom(n int) {
	if c.young == nil || len(c.young)+n > maxHeads {
		c.young, c.old = make(map[string]head, maxHeads/4), c.young
	}
}
