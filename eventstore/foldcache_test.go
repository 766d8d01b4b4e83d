package eventstore

import (
	"context"
	"fmt"
	"testing"
)

// held takes a stream's fold and moves it to a version.
func held(t *testing.T, c *foldCache, stream string, version uint64) *cachedFold {
	t.Helper()
	h, err := c.acquire(context.Background(), stream)
	if err != nil {
		t.Fatal(err)
	}
	h.fold.version = version
	return h
}

func TestTheFoldCacheDropsTheOldestBeyondItsLimit(t *testing.T) {
	c := newFoldCache(30)
	for n := range 10 {
		c.release(held(t, c, fmt.Sprintf("customer-acme+%d", n), 9)) // ten each, the fold itself included
	}
	for n := range 10 {
		if _, known := c.peek(fmt.Sprintf("customer-acme+%d", n)); known != (n >= 7) {
			t.Errorf("stream %d of 0 to 9: known %v", n, known)
		}
	}
	if c.records != 30 {
		t.Errorf("%d are counted, want 30", c.records)
	}
}

// The next holder may be done before the last one is counted out.
func TestTheFoldCacheShowsNothingOlderThanItDid(t *testing.T) {
	c := newFoldCache(100)
	first := held(t, c, "customer-acme+1", 3)
	older := folded{first.fold.state, first.fold.version, first.fold.last}
	first.lock <- struct{}{}
	c.release(held(t, c, "customer-acme+1", 4))
	c.leave(first, older)
	if now, _ := c.peek("customer-acme+1"); now.version != 4 || c.records != 5 {
		t.Errorf("version %d is shown, %d are counted; want 4 and 5", now.version, c.records)
	}
}
