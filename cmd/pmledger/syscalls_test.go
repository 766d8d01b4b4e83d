package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore/torture"
)

// theSystemCalls change what is on the disk, or say something to somebody.
var theSystemCalls = []string{"openat", "write", "pwrite64", "fsync", "fdatasync", "sync_file_range", "renameat", "unlinkat", "ftruncate", "fallocate"}

// lastCall bounds which of a thread's calls of one kind is its last one: few threads
// make many.
const lastCall = 40

// tracer finds strace, and whether it may trace, or skips the test.
func tracer(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("there is no strace")
	}
	if out, err := exec.Command(path, "-f", "-o", os.DevNull, "-e", "inject=fsync:signal=KILL:when=1", binary, "version").CombinedOutput(); err != nil {
		t.Skipf("strace may not trace here: %v: %s", err, out)
	}
	return path
}

// The server is killed at the entry of a random system call, while it starts and while
// somebody attaches. Started again and asked again, every attach is in the log once.
func TestTortureKillAtRandomSystemCalls(t *testing.T) {
	if testing.Short() {
		t.Skip("a torture takes its time")
	}
	strace := tracer(t)
	goal := torture.Size(4, 12, 200)
	seed := torture.Seed(t)
	k := &systemKills{strace: strace, rng: rand.New(rand.NewPCG(seed, 0)), goal: goal}
	t.Run("Servers", func(t *testing.T) {
		for n := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				k.sweep(t)
			})
		}
	})
	torture.Add(t, torture.Report{
		Campaign: "kill at random system calls",
		Seed:     seed,
		Counts: []torture.Figure{
			torture.Count(k.kills, "kills"), torture.Count(k.starting, "while it started"), torture.Count(k.attaches, "attaches"), torture.Count(k.repeats, "repeated after a kill"),
		},
	})
}

// systemKills is what the sweeps of all cores have in common.
type systemKills struct {
	strace string
	goal   int

	mu                                 sync.Mutex
	rng                                *rand.Rand
	tried                              int
	kills, starting, attaches, repeats int
}

// next draws the call to die at.
func (k *systemKills) next() (number int, call string, when int, more bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried++
	call = theSystemCalls[k.rng.IntN(len(theSystemCalls))]
	return k.tried, call, 1 + k.rng.IntN(lastCall), k.kills < k.goal && k.tried < 3*k.goal
}

// sweep kills one server after the other on a data folder.
func (k *systemKills) sweep(t *testing.T) {
	dir, known := t.TempDir(), map[string]attached{}
	for {
		number, call, when, more := k.next()
		if !more {
			return
		}
		s := k.launch(t, dir, call, when)
		unsure, done, started := attachUntilItDies(s, number)
		killed := false
		select {
		case <-s.ended:
			killed = s.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		default:
		}
		s.kill()
		for _, a := range done {
			known[a.key] = a
		}
		again := serve(t, dir)
		resolve(t, again, unsure, known)
		again.kill()
		checkLog(t, dir, known)
		if t.Failed() {
			t.Logf("killed at %s, call %d of a thread", call, when)
			return
		}
		k.count(killed, started, len(done), len(unsure))
	}
}

func (k *systemKills) count(killed, started bool, done, unsure int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.attaches += done + unsure
	if !killed {
		return
	}
	k.kills++
	k.repeats += unsure
	if !started {
		k.starting++
	}
}

// launch starts a server that dies at a call. The tracer is its grandchild, so that
// the process is the server's.
func (k *systemKills) launch(t *testing.T, dir, call string, when int) *instance {
	t.Helper()
	return spawn(t, dir, exec.Command(k.strace, "-D", "-f", "-o", os.DevNull, "-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, when),
		binary, "serve", "--dev", "--data", dir, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--min-free", "1MiB"))
}

// attachUntilItDies makes a few attaches. It returns the one that had no answer.
func attachUntilItDies(s *instance, number int) (unsure []attempt, done []attached, started bool) {
	select {
	case <-s.ready:
	case <-s.ended:
		return nil, nil, false
	case <-time.After(patience):
		s.t.Errorf("no greeting after %s", patience)
		return nil, nil, false
	}
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	for i := range 24 {
		a := attempt{fmt.Sprintf("cus_%d_%d", number, i/3), fmt.Sprintf("%d-%d", number, i), fmt.Sprintf(`{"type":"card","token":"tok_visa_fp_%d"}`, i)}
		location, err := attachOnce(s, client, a)
		if err != nil {
			select {
			case <-s.ended:
			case <-time.After(patience):
				s.t.Errorf("an attach failed, and the server lives: %v", err)
			}
			return []attempt{a}, done, true
		}
		done = append(done, attached{a, location})
	}
	return nil, done, true
}
