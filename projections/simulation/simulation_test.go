package simulation

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/pmledger/pmledger/eventstore/torture"
)

// steps of a life.
const steps = 300

// Whatever fails, and however often, the invariants hold.
func TestTheInvariantsHoldWhateverFails(t *testing.T) {
	lives := torture.Size(30, 500, 10_000)
	if testing.Short() {
		lives = 4
	}
	seed := torture.Seed(t)
	var mu sync.Mutex
	var all tally
	violations, next := 0, seed
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for {
				mu.Lock()
				mine := next
				next++
				stop := mine >= seed+uint64(lives) || violations >= 3
				mu.Unlock()
				if stop {
					return
				}
				w := newWorld(mine)
				err := w.live(steps)
				mu.Lock()
				all.add(w.count)
				if err != nil {
					violations++
					t.Error(err)
					t.Logf("that was the life of seed %d; it comes first with %s=%d", mine, torture.SeedEnv, mine)
				}
				mu.Unlock()
			}
		})
	}
	running.Wait()
	all.report(t, lives, seed, violations)
}

func (t tally) report(tb testing.TB, lives int, seed uint64, violations int) {
	torture.Add(tb, torture.Report{
		Campaign: "simulation", Seed: seed,
		Counts: []torture.Figure{
			torture.Count(lives, "seeds"), torture.Count(t.days/365, "virtual years"),
			torture.Count(t.commands, "commands"), torture.Count(t.records, "records"), torture.Count(t.messages, "messages"),
			torture.Count(t.notDone, "calls failed"), torture.Count(t.unanswered, "answers lost"), torture.Count(t.later, "calls that came late"),
			torture.Count(t.misread, "records misread"), torture.Count(t.lostTail, "tails of the stream lost"),
			torture.Count(t.jumps, "clock jumps"), torture.Count(t.races, "races"), torture.Count(t.repeats, "repeats answered"),
			torture.Count(t.crashes, "crashes"), torture.Count(t.stops, "restarts"),
		},
		Violations: []torture.Figure{torture.Count(violations, "violations of I1 to I18")},
	})
}

// A seed is a history: nothing in it depends on the machine, or on the day.
func TestASeedIsAHistory(t *testing.T) {
	lives := torture.Size(3, 10, 50)
	if testing.Short() {
		lives = 1
	}
	for seed := range uint64(lives) {
		var first string
		for i := range 2 {
			w := newWorld(seed)
			err := w.live(steps)
			got := fmt.Sprintln(w.fingerprint(), w.count, err)
			if i == 0 {
				first = got
			} else if got != first {
				t.Errorf("seed %d lives twice, as\n%s and as\n%s", seed, first, got)
			}
		}
	}
}
