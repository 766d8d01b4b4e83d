package disk_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/eventstore/disk"
	"github.com/pmledger/pmledger/eventstore/torture"
)

// killEnv tells a child of the test what to do, see killPoint.
const killEnv = "PMLEDGER_TEST_KILL"

// A killed script has two openings of its log, and so many calls of each writer
// between opening and closing it.
const callsPerOpening = 10

// killPoint is a moment of a child's life, and its order to die then.
type killPoint struct {
	dir    string
	seed   uint64 // of the script
	before int64  // operation; 0: it lives
	inside bool   // not before the operation: in the middle of a write, else right behind it
}

func (k killPoint) String() string {
	return fmt.Sprintf("%d %d %t %s", k.seed, k.before, k.inside, k.dir)
}

func TestMain(m *testing.M) {
	if order, ok := os.LookupEnv(killEnv); ok {
		var k killPoint
		if _, err := fmt.Sscan(order, &k.seed, &k.before, &k.inside, &k.dir); err == nil {
			err = k.obey()
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// obey runs the script and ends the process: by SIGKILL, or with the number of
// operations that there were.
func (k killPoint) obey() error {
	log := watch(vfs.Default, func(op operation, half func(), whole func() error) (err error) {
		if op.number != k.before {
			return whole()
		}
		switch {
		case k.inside && op.isWrite():
			half()
		case k.inside:
			err = whole()
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // nothing can be done about an error but to be found alive
		select {}
	})
	script, p := newScript(k.seed, 2*callsPerOpening+1), progress{}
	p.tell = func(writer, acked int) {
		_, _ = os.Stdout.WriteString(fmt.Sprintf("%d %d\n", writer, acked)) // one write; the parent reads what there is
	}
	for range 2 {
		s, err := disk.Open(k.dir, tiny(log))
		if err != nil {
			return err
		}
		if err := errors.Join(errors.Join(script.run(context.Background(), s, callsPerOpening, &p)...), s.Close()); err != nil {
			return err
		}
	}
	fmt.Println("operations", log.begun.Load())
	os.Exit(0)
	return nil
}

// The process is killed before, in the middle of and after each operation on the
// disk, and the log it leaves is opened: what it said was acknowledged is there,
// and what it had no answer for is there once when it is repeated.
func TestKillAtEveryOperationKeepsWhatWasAcknowledged(t *testing.T) {
	kills := torture.Size[int64](60, 200, 2500)
	if testing.Short() {
		kills = 10
	}
	seed := torture.Seed(t)
	all, points := &tally{t: t, goal: kills}, &killPoints{t: t, rng: rand.New(rand.NewPCG(seed, 2)), seed: seed}
	inParallel(func(uint64) bool {
		if all.more() {
			k := points.take()
			killed, err := k.execute()
			if err != nil {
				all.blame(err, "seed %d, killed at operation %d, inside %t", k.seed, k.before, k.inside)
			}
			if killed {
				all.tried.Add(1)
			}
		}
		return all.more()
	})
	torture.Add(t, torture.Report{
		Campaign:   "kill at every file operation",
		Seed:       seed,
		Counts:     []torture.Figure{torture.Count(all.tried.Load(), "kill points"), torture.Count(points.scripts, "scripts")},
		Violations: all.violations(),
	})
}

// killPoints are all points of one script after the other, each script's in random
// order.
type killPoints struct {
	t       *testing.T
	mu      sync.Mutex
	rng     *rand.Rand
	seed    uint64
	scripts int
	left    []killPoint
}

func (p *killPoints) take() killPoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.left) == 0 {
		k := killPoint{dir: p.t.TempDir(), seed: p.seed + uint64(p.scripts)}
		p.scripts++
		out, err := k.child().Output()
		if err != nil {
			p.t.Fatalf("the script by itself: %v", err)
		}
		operations := int64(0)
		_, _ = fmt.Sscanf(string(out[bytes.LastIndexByte(out[:len(out)-1], '\n')+1:]), "operations %d", &operations) // 0 is seen below
		if operations == 0 {
			p.t.Fatalf("the script by itself says %q", out)
		}
		for n := range operations {
			for _, inside := range []bool{false, true} {
				p.left = append(p.left, killPoint{filepath.Join(k.dir, fmt.Sprintf("%d-%t", n, inside)), k.seed, n + 1, inside})
			}
		}
		p.rng.Shuffle(len(p.left), func(i, j int) { p.left[i], p.left[j] = p.left[j], p.left[i] })
	}
	k := p.left[0]
	p.left = p.left[1:]
	return k
}

func (k killPoint) child() *exec.Cmd {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killEnv+"="+k.String())
	return child
}

// execute lets a child live until the point and judges what it left. A child may
// have fewer operations than another one had: then it was not killed.
func (k killPoint) execute() (killed bool, err error) {
	child := k.child()
	var said, complaint bytes.Buffer
	child.Stdout, child.Stderr = &said, &complaint
	if err := child.Run(); err != nil {
		status, ok := child.ProcessState.Sys().(syscall.WaitStatus)
		if killed = ok && status.Signal() == syscall.SIGKILL; !killed {
			return false, fmt.Errorf("the child ended by itself: %w: %s", err, &complaint)
		}
	}
	script, acked, begun := newScript(k.seed, 2*callsPerOpening+1), reached{}, reached{}
	for lines := bufio.NewScanner(&said); lines.Scan(); {
		var writer, calls int
		if n, _ := fmt.Sscan(lines.Text(), &writer, &calls); n == 2 {
			acked[writer] = calls
		}
	}
	for w := range begun {
		begun[w] = min(acked[w]+1, 2*callsPerOpening)
	}
	return killed, errors.Join(script.recovers(vfs.Default, k.dir, acked, begun), os.RemoveAll(k.dir))
}
