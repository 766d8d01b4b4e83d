package disk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore/disk"
	"github.com/pmledger/pmledger/eventstore/torture"
)

// tally counts what a campaign has seen. Safe for concurrent use.
type tally struct {
	t                             *testing.T
	goal                          int64
	tried                         atomic.Int64
	lost, doubled, torn, unopened atomic.Int64
}

// more says whether the campaign should go on.
func (c *tally) more() bool { return c.tried.Load() < c.goal && !c.t.Failed() }

// blame counts what err is guilty of.
func (c *tally) blame(err error, format string, args ...any) {
	c.t.Helper()
	switch {
	case errors.Is(err, errLost):
		c.lost.Add(1)
	case errors.Is(err, errDoubled):
		c.doubled.Add(1)
	case errors.Is(err, errTorn):
		c.torn.Add(1)
	default:
		c.unopened.Add(1)
	}
	c.t.Errorf("%s: %v", fmt.Sprintf(format, args...), err)
}

func (c *tally) violations() []torture.Figure {
	return []torture.Figure{
		torture.Count(c.lost.Load(), "lost"), torture.Count(c.doubled.Load(), "doubled"),
		torture.Count(c.torn.Load(), "torn"), torture.Count(c.unopened.Load(), "refused to start"),
	}
}

// inParallel runs work on every core with numbers from 0 until it returns false.
func inParallel(work func(n uint64) bool) {
	var g sync.WaitGroup
	var next atomic.Uint64
	for range 2 * runtime.GOMAXPROCS(0) { // they wait, too
		g.Go(func() {
			for work(next.Add(1) - 1) {
			}
		})
	}
	g.Wait()
}

// Power is lost before every operation on the disk while a log is opened, filled
// by several writers, closed and opened again after a power loss. Of what was not
// synced, none, half or all of the blocks and directory entries are on the disk.
func TestPowerLossKeepsWhatWasAcknowledged(t *testing.T) {
	states := torture.Size[int64](2400, 8_000, 105_000)
	if testing.Short() {
		states = 300
	}
	seed := torture.Seed(t)
	all := &tally{t: t, goal: states}
	var losses atomic.Int64
	inParallel(func(n uint64) bool {
		c := powerCut{tally: all, seed: seed + n, script: newScript(seed+n, lives*callsPerLife+1)}
		losses.Add(c.live())
		return all.more()
	})
	torture.Add(t, torture.Report{
		Campaign:   "power loss",
		Seed:       seed,
		Counts:     []torture.Figure{torture.Count(all.tried.Load(), "crash states"), torture.Count(losses.Load(), "logs that went on after one")},
		Violations: all.violations(),
	})
}

// callsPerLife is how many calls each writer makes between two power losses, lives
// how many such times a log has.
const callsPerLife, lives = 12, 4

// kept is how many percent of what was not synced are on the disk afterwards.
var kept = []int{0, 50, 100}

// keptNames is the same before the folder is synced: new names may be there or not
// in many combinations.
var keptNames = []int{0, 50, 50, 50, 50, 100}

// powerCut is a log that loses power again and again. Of all the losses that are
// tried one really happens in each life, and the log goes on after it.
type powerCut struct {
	*tally
	*script
	progress
	seed uint64
	life int

	disk *crashable
	next survivor
}

// survivor is what a power loss has left, and what was known of it.
type survivor struct {
	after        int64 // operation
	kept         int   // percent
	disk         *crashable
	acked, begun reached
}

// live lets the log live and die. It returns how often it went on.
func (c *powerCut) live() int64 {
	c.disk = newCrashable()
	rng := rand.New(rand.NewPCG(c.seed, 1))
	for ; c.life < lives && c.more(); c.life++ {
		c.next = survivor{after: 20 + rng.Int64N(150), kept: kept[rng.IntN(len(kept))]}
		s, err := disk.Open("log", tiny(watch(c.disk.MemFS, c.losePower)))
		if err != nil {
			c.blame(err, "seed %d, life %d", c.seed, c.life)
			break
		}
		if err := c.fill(s); err != nil {
			c.blame(err, "seed %d, life %d, without a power loss", c.seed, c.life)
		}
		if c.next.disk != nil {
			c.disk = c.next.disk
			c.set(c.next.acked, c.next.begun)
		}
	}
	return int64(c.life)
}

// fill checks what was recovered, lets the writers go on, and closes the log.
func (c *powerCut) fill(s *disk.Store) error {
	log, err := readLog(s)
	if err != nil {
		return err
	}
	now, err := c.judge(log, taken(&c.acked), taken(&c.begun))
	if err != nil {
		return err
	}
	c.set(now, now)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(errors.Join(c.run(ctx, s, callsPerLife, &c.progress)...), s.Close())
}

// losePower looks at what the disk would hold if power were lost before op.
func (c *powerCut) losePower(op operation, _ func(), whole func() error) error {
	if !c.more() {
		return c.disk.during(whole)
	}
	acked := taken(&c.acked)
	percents := kept
	if op.isSync() && op.path == "log" {
		percents = keptNames
	}
	for i, percent := range percents {
		seed := c.seed ^ uint64(op.number)<<32 ^ uint64(c.life)<<56 ^ uint64(i)<<24
		if op.number == c.next.after && percent == c.next.kept {
			c.next.disk, c.next.acked = c.disk.picture(percent, seed), acked
			c.next.begun = taken(&c.begun)
		}
		left := c.disk.picture(percent, seed)
		begun := taken(&c.begun) // after the picture was taken
		if err := c.recovers(left, "log", acked, begun); err != nil {
			c.blame(err, "seed %d, life %d, before operation %d (%s %s), %d %% kept", c.seed, c.life, op.number, op.kind, op.path, percent)
		}
		c.tried.Add(1)
	}
	return c.disk.during(whole)
}
