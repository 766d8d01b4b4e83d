package disk

import (
	"strconv"
	"testing"
)

// A head that was read before a commit and arrives after it is an old one.
func TestHeadsLearnNothingThatACommitMadeOld(t *testing.T) {
	var c heads
	_, ok, forgotten := c.get("a")
	if ok {
		t.Fatal("something is known of an unknown stream")
	}
	c.put(map[string]head{"a": {version: 2, last: 7}})
	c.learn("a", head{version: 1, last: 3}, forgotten)
	if h, ok, _ := c.get("a"); !ok || h.version != 2 {
		t.Errorf("the head is %+v, known %v", h, ok)
	}
	_, _, forgotten = c.get("b")
	c.put(map[string]head{"another": {version: 1, last: 9}})
	c.learn("b", head{version: 1, last: 8}, forgotten)
	if h, ok, _ := c.get("b"); !ok || h.last != 8 {
		t.Errorf("the head is %+v, known %v", h, ok)
	}
}

// What a commit told may have been forgotten again when an old head arrives.
func TestHeadsLearnNothingAfterForgetting(t *testing.T) {
	var c heads
	_, _, forgotten := c.get("a")
	c.put(map[string]head{"a": {version: 2, last: 7}})
	for i := range 3 * maxHeads {
		c.put(map[string]head{"b" + strconv.Itoa(i): {version: 1}})
	}
	c.learn("a", head{version: 1, last: 3}, forgotten)
	if h, ok, _ := c.get("a"); ok {
		t.Errorf("the head %+v is known, which a commit has made old", h)
	}
}

func TestHeadsForgetAndNeverGoBack(t *testing.T) {
	var c heads
	c.put(map[string]head{"old": {version: 1}})
	for i := range maxHeads {
		c.put(map[string]head{"a" + strconv.Itoa(i): {version: 1}})
	}
	c.put(map[string]head{"old": {version: 2}})
	if h, _, _ := c.get("old"); h.version != 2 {
		t.Errorf("version %d after a newer one was put", h.version)
	}
	for i := range 3 * maxHeads {
		c.put(map[string]head{"b" + strconv.Itoa(i): {version: 1}})
	}
	if n := len(c.young) + len(c.old); n > 2*maxHeads {
		t.Errorf("%d heads are kept", n)
	}
	if _, ok, _ := c.get("old"); ok {
		t.Error("nothing is forgotten")
	}
}
