package projections

import (
	"sync"

	"github.com/pmledger/pmledger/domain"
)

// lru keeps values that were used lately, up to a number of entries. What was put
// longest ago goes first, unless it was read since: then it counts as put again. So
// reading moves nothing. It is not safe for concurrent use.
type lru[K comparable, V any] struct {
	limit int
	items map[K]*lruItem[K, V]
	root  lruItem[K, V] // root.next was put last
}

type lruItem[K comparable, V any] struct {
	key        K
	value      V
	read       bool // since it was put
	prev, next *lruItem[K, V]
}

func newLRU[K comparable, V any](limit int) *lru[K, V] {
	c := &lru[K, V]{limit: limit, items: make(map[K]*lruItem[K, V])}
	c.root.prev, c.root.next = &c.root, &c.root
	return c
}

func (c *lru[K, V]) get(key K) (V, bool) {
	item, ok := c.items[key]
	if !ok {
		var none V
		return none, false
	}
	item.read = true
	return item.value, true
}

func (c *lru[K, V]) put(key K, value V) {
	if item, ok := c.items[key]; ok {
		item.value = value
		c.renew(item)
		return
	}
	var item *lruItem[K, V]
	if len(c.items) >= c.limit {
		for item = c.root.prev; item.read; item = c.root.prev {
			c.renew(item)
		}
		c.unlink(item)
		delete(c.items, item.key)
	} else {
		item = &lruItem[K, V]{}
	}
	item.key, item.value = key, value
	c.items[key] = item
	c.pushFront(item)
}

func (c *lru[K, V]) renew(item *lruItem[K, V]) {
	item.read = false
	c.unlink(item)
	c.pushFront(item)
}

func (c *lru[K, V]) remove(key K) {
	if item, ok := c.items[key]; ok {
		c.unlink(item)
		delete(c.items, key)
	}
}

func (c *lru[K, V]) unlink(item *lruItem[K, V]) {
	item.prev.next, item.next.prev = item.next, item.prev
}

func (c *lru[K, V]) pushFront(item *lruItem[K, V]) {
	item.prev, item.next = &c.root, c.root.next
	item.prev.next, item.next.prev = item, item
}

// commitCache keeps what was read or written lately, for readers. What was read from
// the database while a commit was under way may be old, so it is kept only when no
// commit began since the reading did.
type commitCache[K comparable, V any] struct {
	mu     sync.Mutex
	commit uint64 // odd while a commit is under way
	values *lru[K, V]
}

// cachedRow is a row on its own bytes, and what readers get of it.
type cachedRow struct {
	row
	MethodRow
}

func newCommitCache[K comparable, V any](entries int) *commitCache[K, V] {
	return &commitCache[K, V]{values: newLRU[K, V](entries)}
}

// get returns a value, or the stamp to put it with once it has been read.
func (c *commitCache[K, V]) get(k K) (found V, ok bool, stamp uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok = c.values.get(k)
	return found, ok, c.commit
}

// put keeps a value that was read from the database after get returned stamp.
func (c *commitCache[K, V]) put(k K, value V, stamp uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if stamp == c.commit && stamp%2 == 0 {
		c.values.put(k, value)
	}
}

// begin says that a commit begins, end that readers must see what it has changed.
func (c *commitCache[K, V]) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commit++
}

func (c *commitCache[K, V]) end(changed func(*lru[K, V])) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed(c.values)
	c.commit++
}

func newCachedRow(k methodKey, value []byte) (*cachedRow, error) {
	r, err := decodeRow(value)
	if err != nil {
		return nil, err
	}
	organization, customer := string(r.organization), string(r.customer)
	return &cachedRow{row: r, MethodRow: MethodRow{
		JSON: r.json, Version: r.version, Customer: customer,
		Stream: domain.CustomerStream(organization, customer, k.id()),
	}}, nil
}
