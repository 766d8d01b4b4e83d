package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
	"github.com/pmledger/pmledger/eventstore/torture"
)

// fault is what goes wrong with a disk.
type fault struct {
	seed  uint64 // of the script
	at    int64  // operation
	cause error  // EIO or ENOSPC
	short bool   // a write is done by half
	stays bool   // everything fails from then on; with ENOSPC, what needs room
}

func (f fault) String() string {
	return fmt.Sprintf("seed %d, %v at operation %d, short %t, stays %t", f.seed, f.cause, f.at, f.short, f.stays)
}

// hits tells whether op fails.
func (f fault) hits(op operation) bool {
	needsRoom := op.kind != "remove" && op.kind != "rename"
	return op.number == f.at || f.stays && op.number > f.at && (needsRoom || f.cause == syscall.EIO)
}

// faultyDisk has one fault. What could not be synced is gone. As on Linux, each
// open file hears of it once; a sync that is tried again says that all is well and
// has nothing to write.
type faultyDisk struct {
	fault
	*crashable
	mu     sync.Mutex
	open   func() int64 // how many files were ever opened
	struck bool
	dead   bool            // the process has ended
	files  int64           // opened until then
	gone   map[string]bool // paths of which a sync has failed
	told   map[int64]bool  // files that have heard of it
}

func newFaultyDisk(f fault) *faultyDisk {
	return &faultyDisk{fault: f, crashable: newCrashable(), gone: map[string]bool{}, told: map[int64]bool{}}
}

func (d *faultyDisk) between(op operation, half func(), whole func() error) error {
	d.mu.Lock()
	if d.dead {
		d.mu.Unlock()
		select {}
	}
	struck, lies := d.hits(op), false
	switch {
	case op.isSync() && d.gone[op.path] && op.handle <= d.files && !d.told[op.handle]:
		struck, d.told[op.handle] = true, true
	case op.isSync() && struck:
		d.gone[op.path], d.told[op.handle] = true, true
	case op.isSync():
		lies = d.gone[op.path]
	case !op.isWrite():
		delete(d.gone, op.path) // another file
	}
	if struck && !d.struck {
		d.struck, d.files = true, d.open()
	}
	d.mu.Unlock()
	switch {
	case struck:
		if d.short {
			_ = d.during(func() error { half(); return nil })
		}
		return d.cause
	case lies:
		return nil
	}
	return d.during(whole)
}

// faultCounts is what became of the logs whose disk had a fault.
type faultCounts struct {
	*tally
	refused, stopped, late atomic.Int64
}

// line and add carry counts from a child of the test to its parent.
func (c *faultCounts) line() string {
	return fmt.Sprintln("counts", c.tried.Load(), c.refused.Load(), c.stopped.Load(), c.late.Load(), c.lost.Load(), c.doubled.Load(), c.torn.Load(), c.unopened.Load())
}

func (c *faultCounts) add(line string) error {
	into := []*atomic.Int64{&c.tried, &c.refused, &c.stopped, &c.late, &c.lost, &c.doubled, &c.torn, &c.unopened}
	fields := strings.Fields(line)
	if len(fields) != 1+len(into) || fields[0] != "counts" {
		return fmt.Errorf("a child said %q", line)
	}
	for i, to := range into {
		n, err := strconv.ParseInt(fields[i+1], 10, 64)
		if err != nil {
			return err
		}
		to.Add(n)
	}
	return nil
}

// faultsEnv holds the seed of a child of the test, and its first fault: a log that
// has stopped leaves its memory behind, as only the end of its process frees it.
const faultsEnv, faultsPerChild = "PMLEDGER_TEST_FAULTS", 50

// An operation on the disk fails while a log is opened, filled and closed, or all
// do from then on. Whatever the engine makes of it, nothing is acknowledged that
// is not there when the log is opened again, and nothing after it has stopped.
func TestNothingIsAcknowledgedAfterAnErrorOfTheDisk(t *testing.T) {
	all := &faultCounts{tally: &tally{t: t, goal: torture.Size[int64](200, 1000, 10_000)}}
	var seed, first uint64
	if n, _ := fmt.Sscan(os.Getenv(faultsEnv), &seed, &first); n == 2 {
		for i := range uint64(faultsPerChild) {
			all.strike(newFault(seed, first+i))
		}
		fmt.Print("\n", all.line())
		return
	}
	if testing.Short() {
		all.goal = faultsPerChild
	}
	seed = torture.Seed(t)
	inParallel(func(n uint64) bool {
		child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
		child.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", faultsEnv, seed, n*faultsPerChild))
		out, err := child.CombinedOutput()
		if i := bytes.Index(out, []byte("\ncounts ")); i >= 0 {
			line, _, _ := strings.Cut(string(out[i+1:]), "\n")
			err = errors.Join(err, all.add(line))
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return all.more()
	})
	volumes := all.fillVolumes(torture.Size(8, 32, 640))
	torture.Add(t, torture.Report{
		Campaign: "errors of the disk",
		Seed:     seed,
		Counts: []torture.Figure{
			torture.Count(all.tried.Load(), "errors of writes, syncs and names"), torture.Count(all.stopped.Load(), "stopped the log"),
			torture.Count(all.refused.Load(), "its opening"), torture.Count(all.tried.Load()-all.stopped.Load()-all.refused.Load(), "neither"),
			torture.Count(volumes, "full volumes"),
		},
		Violations: append(all.violations(), torture.Count(all.late.Load(), "acknowledged after it")),
	})
}

func newFault(seed, n uint64) fault {
	rng := rand.New(rand.NewPCG(seed, n))
	f := fault{seed: seed + n, at: 1 + rng.Int64N(200), cause: syscall.EIO, short: rng.IntN(2) == 0, stays: rng.IntN(2) == 0}
	if rng.IntN(3) == 0 {
		f.cause = syscall.ENOSPC
	}
	return f
}

// die ends the process, as far as the disk can tell.
func (d *faultyDisk) die() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
}

// strike runs a script on a disk with a fault and opens what is left.
func (c *faultCounts) strike(f fault) {
	d := newFaultyDisk(f)
	script, p := newScript(f.seed, callsPerLife+2), progress{}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	log := watch(d.MemFS, d.between)
	d.open = log.handles.Load
	opt := tiny(log)
	opt.OnFatal = func(error) {
		d.die()
		cancel()
		select {}
	}
	opened, ended := make(chan *disk.Store, 1), make(chan struct{})
	go func() {
		defer close(ended)
		s, err := disk.Open("log", opt)
		if err != nil {
			c.refused.Add(1)
			return
		}
		opened <- s
		err = errors.Join(script.run(ctx, s, callsPerLife, &p)...)
		if err != nil && ctx.Err() == nil {
			<-ctx.Done() // a log refuses a moment before it stops
			if !errors.Is(ctx.Err(), context.Canceled) {
				c.blame(fmt.Errorf("an append failed and the log has not stopped: %w", err), "%s", f)
			}
		}
		_ = s.Close() // may fail, too
	}()
	select {
	case <-ctx.Done():
		c.afterwards(ctx, opened, script, &p, f)
	case <-ended:
	}
	if d.struck {
		c.tried.Add(1)
	}
	for _, percent := range kept {
		left := d.picture(percent, f.seed)
		if err := script.recovers(left, "log", taken(&p.acked), taken(&p.begun)); err != nil {
			c.blame(err, "%s, %d %% kept", f, percent)
		}
	}
}

// afterwards expects that a log which has stopped has stopped.
func (c *faultCounts) afterwards(ctx context.Context, opened <-chan *disk.Store, script *script, p *progress, f fault) {
	if !errors.Is(ctx.Err(), context.Canceled) {
		if f.cause == syscall.ENOSPC {
			return // appends wait for room
		}
		c.blame(errors.New("an append has no answer, and the log has not stopped"), "%s", f)
		return
	}
	c.stopped.Add(1)
	select {
	case s := <-opened:
		later, done := context.WithTimeout(context.Background(), 10*time.Second)
		defer done()
		for _, err := range script.run(later, s, 1, p) {
			if !errors.Is(err, eventstore.ErrUnavailable) && !errors.Is(err, eventstore.ErrClosed) {
				c.late.Add(1)
				c.t.Errorf("%s: an append to a log that has stopped was answered with error %v", f, err)
			}
		}
	default: // while it was being opened
	}
}
