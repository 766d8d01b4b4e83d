package projections

import "testing"

// What was read from the database while a commit was under way may be old.
func TestWhatWasReadDuringACommitIsNotKept(t *testing.T) {
	const old, current = "old", "current"
	nothing := func(*lru[int, string]) {}
	c := newCommitCache[int, string](2)
	_, _, before := c.get(1)
	c.begin()
	_, _, during := c.get(1)
	c.put(1, old, before)
	c.put(1, old, during)
	if _, ok, _ := c.get(1); ok {
		t.Error("what was read before or during the commit was kept while it was under way")
	}
	c.end(nothing)
	c.put(1, old, before)
	c.put(1, old, during)
	if _, ok, _ := c.get(1); ok {
		t.Error("what was read before or during the commit was kept after it")
	}
	_, _, after := c.get(1)
	c.put(1, current, after)
	if found, _, _ := c.get(1); found != current {
		t.Error("what was read after the commit was not kept")
	}
	c.begin()
	c.end(func(values *lru[int, string]) { values.put(1, old) })
	if found, _, _ := c.get(1); found != old {
		t.Error("what the commit has written is not what readers get")
	}
	c.begin()
	c.end(func(values *lru[int, string]) { values.remove(1); values.remove(2) })
	if _, ok, _ := c.get(1); ok {
		t.Error("what the commit has changed is still there")
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

func TestWhatIsReadOftenOutlastsWhatIsPutOften(t *testing.T) {
	c := newLRU[int, int](3)
	c.put(0, 0)
	for i := 1; i < 100; i++ {
		if _, ok := c.get(0); !ok {
			t.Fatalf("after %d others the one that is read each time is gone", i-1)
		}
		c.put(i, i)
	}
	if _, ok := c.get(99); !ok || len(c.items) != 3 {
		t.Errorf("the last one is there: %v, of %d items", ok, len(c.items))
	}
}
