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

	mu      sync.Mutex
	checked atomic.Int64 // Unix nanoseconds of the last measurement
	verdict atomic.Pointer[error]
}

// Check returns an error that is eventstore.ErrFull while less than MinFree
// bytes are free, and the cause when the free space cannot be told. It measures
// at most every 100 ms and costs an atomic load between.
func (g *Gate) Check() error {
	now := time.Now
	if g.Now != nil {
		now = g.Now
	}
	at := now().UnixNano()
	last := g.verdict.Load()
	if last != nil && at-g.checked.Load() < int64(gateInterval) {
		return *last
	}
	if last == nil {
		g.mu.Lock() // there is no verdict to go by until the first measurement
	} else if !g.mu.TryLock() {
		return *last
	}
	defer g.mu.Unlock()
	err := g.measure()
	g.verdict.Store(&err)
	g.checked.Store(at)
	return err
}

func (g *Gate) measure() error {
	free, err := g.FreeSpace(g.Dir)
	if err != nil {
		return fmt.Errorf("the free space of %s is unknown: %w", g.Dir, err)
	}
	if free < g.MinFree {
		return fmt.Errorf("%w: %d bytes are free on the volume of %s, %d must stay free: make room or lower --min-free",
			eventstore.ErrFull, free, g.Dir, g.MinFree)
	}
	return nil
}
