package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore/torture"
)

// TestTortureHistoriesAreLinearizable kills the server again and again while clients
// work on many customers, each on one together with others. Some answers are lost
// with the server, and some because the client leaves. Afterwards, for every
// customer, some order of one operation after the other must explain every answer.
func TestTortureHistoriesAreLinearizable(t *testing.T) {
	if testing.Short() {
		t.Skip("a torture takes its time")
	}
	size := torture.Size(
		lengths{operations: 1_500, kills: 4, most: 600 * time.Millisecond},
		lengths{operations: 51_000, kills: 8, most: 3 * time.Second},
		lengths{operations: 1_020_000, kills: 60, most: 10 * time.Second})
	h := newHistories(t, torture.Seed(t), size.operations)
	random := h.random()
	var working sync.WaitGroup
	began := time.Now()
	h.begin()
	for range 16 {
		working.Go(h.work)
	}
	for kills := 0; kills < size.kills || h.operations.Load() < size.operations; kills++ {
		if kills == size.kills-1 {
			h.enough.Store(true) // from the last kill on, once there are operations enough
		}
		life := h.life()
		next := time.After(time.Duration(random.Int64N(int64(size.most))))
		select {
		case <-next:
		case <-life.ended:
			t.Fatal("the server ended by itself")
		}
		h.end(life)
		h.begin()
	}
	working.Wait()
	h.end(h.life())
	h.begin()
	h.judgeAll()
	t.Logf("%.0f operations a second", float64(h.operations.Load())/time.Since(began).Seconds())
	torture.Add(t, torture.Report{
		Campaign: "linearizable histories under kills", Seed: h.seed,
		Counts: []torture.Figure{
			torture.Count(h.operations.Load(), "operations"), torture.Count(h.customers.Load(), "customers"),
			torture.Count(h.kills.Load(), "kills"), torture.Count(h.lost.Load(), "answers lost"),
		},
		Violations: []torture.Figure{torture.Count(h.wrong.Load(), "customers not linearizable")},
	})
}

// lengths is a size of the campaign: at least so many operations and kills, and how
// long a server lives at most.
type lengths struct {
	operations int64
	kills      int
	most       time.Duration
}

// histories is what clients do to a server that is killed and started again.
type histories struct {
	t      *testing.T
	dir    string
	client *http.Client
	began  time.Time
	target int64 // operations
	enough atomic.Bool

	seed  uint64
	parts atomic.Uint64 // random sequences made of the seed

	up atomic.Pointer[lifetime]

	mu       sync.Mutex
	finished []*contested // customers that nobody works on any more, oldest first

	operations, customers, kills, lost, wrong atomic.Int64
}

// lifetime is one process of the server.
type lifetime struct {
	*instance
	number int
	died   atomic.Int64 // when it was dead; 0 before
}

func newHistories(t *testing.T, seed uint64, target int64) *histories {
	h := &histories{t: t, dir: t.TempDir(), began: time.Now(), target: target, seed: seed}
	h.client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 128}}
	t.Cleanup(h.client.CloseIdleConnections)
	s := serve(t, h.dir)
	s.call(http.StatusOK, http.MethodPatch, "/v1/organization", `{"default_policy":"explicit"}`)
	s.kill()
	return h
}

// random is a sequence that nobody else has, and that follows from the seed.
func (h *histories) random() *rand.Rand { return rand.New(rand.NewPCG(h.seed, h.parts.Add(1))) }

// now is the time of the histories.
func (h *histories) now() int64 { return int64(time.Since(h.began)) }

// begin starts a server. Clients may ask it as soon as it listens.
func (h *histories) begin() {
	h.t.Helper()
	s := &lifetime{instance: launch(h.t, h.dir, "--dev"), number: int(h.kills.Load())}
	select {
	case <-s.ready:
	case <-s.ended:
		h.t.Fatalf("the server ended at its start:\n%s", s.log())
	case <-time.After(patience):
		h.t.Fatalf("no greeting after %s:\n%s", patience, s.log())
	}
	h.up.Store(s)
}

// end kills a server.
func (h *histories) end(s *lifetime) {
	h.up.Store(nil)
	s.kill()
	s.died.Store(h.now())
	h.kills.Add(1)
}

// life is the server that is up, once there is one; nil when the test has failed.
func (h *histories) life() *lifetime {
	for ; ; time.Sleep(time.Millisecond) {
		if s := h.up.Load(); s != nil || h.t.Context().Err() != nil {
			return s
		}
	}
}

// work is what a group of clients does: one customer after the other, and now and
// then a verdict about one of an earlier life.
func (h *histories) work() {
	for h.operations.Load() < h.target || !h.enough.Load() {
		c := h.newContested()
		c.contest()
		h.mu.Lock()
		h.finished = append(h.finished, c)
		h.mu.Unlock()
		for c := h.ofEarlierLife(); c != nil; c = h.ofEarlierLife() {
			c.judge()
		}
	}
}

// ofEarlierLife takes a customer that was finished before the server was last
// started, if there is one.
func (h *histories) ofEarlierLife() *contested {
	s := h.up.Load()
	h.mu.Lock()
	defer h.mu.Unlock()
	if s == nil || len(h.finished) == 0 || h.finished[0].finished >= s.number {
		return nil
	}
	c := h.finished[0]
	h.finished = h.finished[1:]
	return c
}

func (h *histories) judgeAll() {
	var working sync.WaitGroup
	for range 8 {
		working.Go(func() {
			for c := h.ofEarlierLife(); c != nil; c = h.ofEarlierLife() {
				c.judge()
			}
		})
	}
	working.Wait()
}

// leaving is a context that ends in the middle of some requests, as when a client
// gives up.
func leaving(random *rand.Rand) (context.Context, context.CancelFunc) {
	if random.IntN(100) > 0 {
		return context.Background(), func() {}
	}
	return context.WithTimeout(context.Background(), time.Duration(random.IntN(3_000))*time.Microsecond)
}
