package disk

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pmledger/pmledger/eventstore"
)

// DefaultMinFree is the free space in bytes below which nothing is appended.
// It is room for what the engine still has to write when appends have stopped:
// the tables in memory, and a compaction that needs old and new side by side.
const DefaultMinFree = 256 << 20

// gateInterval is how long one measurement of the free space holds.
const gateInterval = 100 * time.Millisecond

// Gate says whether a volume has room. Everything that writes to the volume of
// the log asks it first, because a write error of the log ends the process.
// It opens by itself when there is room again. Safe for concurrent use; its
// fields must not change after the first call.
type Gate struct {
	Dir       string                           // a folder on the volume
	MinFree   uint64                           // bytes
	FreeSpace func(dir string) (uint64, error) // free bytes of the volume
	Now       func() time.Time                 // nil: time.Now

	// room is told how many bytes are free beyond MinFree when the gate opens or
	// stays open. Calls do not overlap.
	room func(beyond uint64)

	mu      sync.Mutex
	verdict atomic.Pointer[verdict]
	spent   atomic.Uint64 // bytes since the last measurement
}

// verdict is what one measurement found: an error, or how much may be spent.
type verdict struct {
	at     time.Time
	err    error
	beyond uint64 // bytes beyond MinFree
}

// writtenTwice is how often a byte takes up room before the gate looks again:
// in the write-ahead log, and in a table.
const writtenTwice = 2

// Spend tells the gate that n bytes are about to be written. They count against
// the last measurement, so that a fast writer cannot run through MinFree before
// the next one.
func (g *Gate) Spend(n int) { g.spent.Add(uint64(n)) }

// Check returns an error that is eventstore.ErrFull while less than MinFree
// bytes are free, and the cause when the free space cannot be told. It measures
// at most every 100 ms and costs a few atomic loads between.
func (g *Gate) Check() error {
	now := time.Now
	if g.Now != nil {
		now = g.Now
	}
	at := now()
	last := g.verdict.Load()
	if last != nil && last.holds(at) {
		return g.judge(last)
	}
	if last == nil {
		g.mu.Lock() // there is no verdict to go by until the first measurement
	} else if !g.mu.TryLock() {
		return g.judge(last)
	}
	defer g.mu.Unlock()
	g.spent.Store(0)
	v := g.measure()
	v.at = at
	g.verdict.Store(v)
	return v.err
}

// holds tells whether a measurement is still good. One from later than now is
// not: the clock was set back since.
func (v *verdict) holds(now time.Time) bool {
	age := now.Sub(v.at)
	return 0 <= age && age < gateInterval
}

func (g *Gate) judge(v *verdict) error {
	if v.err == nil && g.spent.Load() > v.beyond/writtenTwice {
		return g.full(v.beyond + g.MinFree)
	}
	return v.err
}

func (g *Gate) measure() *verdict {
	free, err := g.FreeSpace(g.Dir)
	if err != nil {
		return &verdict{err: fmt.Errorf("the free space of %s is unknown: %w", g.Dir, err)}
	}
	if free < g.MinFree {
		return &verdict{err: g.full(free)}
	}
	if g.room != nil {
		g.room(free - g.MinFree)
	}
	return &verdict{beyond: free - g.MinFree}
}

func (g *Gate) full(free uint64) error {
	return fmt.Errorf("%w: %d bytes were free on the volume of %s at the last look, %d must stay free: make room or lower --min-free",
		eventstore.ErrFull, free, g.Dir, g.MinFree)
}
