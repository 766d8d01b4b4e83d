package projections

import "testing"

// What was read from the database while a commit was under way may be old.
func TestARowReadDuringACommitIsNotKept(t *testing.T) {
	k, old, current := methodKey{1}, &cachedRow{}, &cachedRow{}
	c := newRowCache(2)
	_, before := c.get(k)
	c.begin()
	_, during := c.get(k)
	c.put(k, old, before)
	c.put(k, old, during)
	if found, _ := c.get(k); found != nil {
		t.Error("a row read before or during the commit was kept while it was under way")
	}
	c.end(nil, nil)
	c.put(k, old, before)
	c.put(k, old, during)
	if found, _ := c.get(k); found != nil {
		t.Error("a row read before or during the commit was kept after it")
	}
	_, after := c.get(k)
	c.put(k, current, after)
	if found, _ := c.get(k); found != current {
		t.Error("a row read after the commit was not kept")
	}
	c.begin()
	c.end([]methodKey{k}, []*cachedRow{old})
	if found, _ := c.get(k); found != old {
		t.Error("the commit's own row is not what readers get")
	}
}

func TestTheCacheForgetsWhatWasUsedLongestAgo(t *testing.T) {
	c := newLRU[int, int](2)
	c.put(1, 10)
	c.put(2, 20)
	c.get(1)
	c.put(3, 30)
	if _, ok := c.get(2); ok {
		t.Error("2 is still there")
	}
	if v, ok := c.get(1); !ok || v != 10 {
		t.Errorf("1 is %d, %v", v, ok)
	}
	c.put(1, 11)
	if v, _ := c.get(1); v != 11 || len(c.items) != 2 {
		t.Errorf("1 is %d of %d items", v, len(c.items))
	}
}
