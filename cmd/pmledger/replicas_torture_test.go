package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/pmledger/pmledger/api/apitest"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
	"github.com/pmledger/pmledger/eventstore/torture"
)

// TestTortureReplicasAreOneLedger kills one of three servers on one store, again and
// again, while clients work through all of them. The store elects other leaders, and
// some of its answers to appends are lost.
func TestTortureReplicasAreOneLedger(t *testing.T) {
	if testing.Short() {
		t.Skip("a torture takes its time")
	}
	length := torture.Size(4*time.Second, 8*time.Second, time.Minute)
	r := newReplicasOn(t, 3, kurrenttest.Options{Nodes: 3})
	first := r.startAll()[0]
	first.call(http.StatusOK, http.MethodPatch, "/v1/organization", `{"default_policy":"explicit"}`)
	w := &workload{replicas: r, known: map[string]attached{}}
	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	var working sync.WaitGroup
	for n := range 4 {
		working.Go(func() { w.attachAndReadElsewhere(ctx, n) })
	}
	for n := range 3 {
		working.Go(func() { w.oneCustomerAfterTheOther(ctx, n) })
	}
	r.store.FailEvery(kurrenttest.Append, kurrenttest.BreakAfter(), 200)
	kills, elections := 0, 0
	for ctx.Err() == nil {
		next := time.After(time.Second)
		i := rand.IntN(len(r.dirs))
		r.kill(i)
		if kills++; kills%3 == 0 {
			r.store.Elect((r.store.Leader() + 1) % 3)
			elections++
		}
		r.start(i)
		<-next
	}
	working.Wait()
	r.store.Heal()

	checkOneLedger(t, r, w.known)
	torture.Add(t, torture.Report{Campaign: "three replicas",
		Counts: []torture.Figure{
			torture.Count(kills, "kills"), torture.Count(elections, "elections in the store"), torture.Count(r.store.Counts(kurrenttest.Append).Faults, "answers of the store lost"),
			torture.Count(len(w.known), "attaches acknowledged"), torture.Count(w.positioned.Load(), "reads at a position of another server"),
			torture.Count(w.operations.Load(), "operations"), torture.Count(w.customers.Load(), "customers"), torture.Count(r.again.Load(), "requests asked again"),
		},
		Violations: []torture.Figure{torture.Count(w.stale.Load(), "stale reads"), torture.Count(w.wrong.Load(), "customers not linearizable")},
	})
}

// checkOneLedger looks whether log, stream and the views of all servers agree.
func checkOneLedger(t *testing.T, r *replicas, known map[string]attached) {
	t.Helper()
	store := r.open()
	public := checkRecords(t, store, known)
	var lists [2][]string
	for i := range r.slots {
		s := r.slots[i].Load()
		if stream := s.published(); !slices.Equal(stream, public) {
			t.Errorf("the stream has %d messages that are not the %d public events of the log in order", len(stream), len(public))
		}
		for n, path := range []string{"/v1/events?limit=100", "/v1/payment-methods?limit=100&include_removed=true"} {
			pages := s.walk(path)
			if i > 0 && !slices.Equal(pages, lists[n]) {
				t.Errorf("server %d lists %s otherwise than server 0", i, path)
			}
			lists[n] = pages
		}
		if code := s.terminate(); code != exitOK {
			t.Errorf("SIGTERM ended server %d with %d", i, code)
		}
		checkRows(t, store, r.dirs[i])
	}
}

// workload is what clients do to all servers, and what they saw.
type workload struct {
	*replicas
	mu    sync.Mutex
	known map[string]attached // acknowledged, by idempotency key

	positioned, stale, customers, operations, wrong atomic.Int64
}

// attachAndReadElsewhere attaches, and reads what it attached from another server, at
// the position that the first one answered.
func (w *workload) attachAndReadElsewhere(ctx context.Context, client int) {
	for i := 0; ctx.Err() == nil; i++ {
		a := attempt{customer: fmt.Sprintf("cus_%d_%d", client, i/5), key: fmt.Sprintf("attach-%d-%d", client, i), body: fmt.Sprintf(`{"type":"card","token":"tok_visa_fp_%d"}`, i)}
		made, by, err := w.persist(nil, http.MethodPost, "/v1/customers/"+a.customer+"/payment-methods", a.body, "Idempotency-Key", a.key)
		if err != nil || made.status != http.StatusCreated {
			w.t.Errorf("attach %s: %d %s %v", a.key, made.status, made.body, err)
			return
		}
		location := made.header.Get("Location")
		w.mu.Lock()
		w.known[a.key] = attached{a, location}
		w.mu.Unlock()
		read, _, err := w.persist(by, http.MethodGet, location, "", "Ledger-Min-Position", made.header.Get("Ledger-Position"))
		if err != nil {
			w.t.Errorf("reading %s: %v", location, err)
			return
		}
		w.positioned.Add(1)
		if version(read) < version(made) {
			w.stale.Add(1)
			w.t.Errorf("%s at position %s: %d %s", location, made.header.Get("Ledger-Position"), read.status, read.body)
		}
	}
}

// version is the version in an answer's ETag, 0 without one.
func version(a answer) uint64 {
	etag, err := strconv.Unquote(a.header.Get("Etag"))
	if err != nil {
		return 0
	}
	v, _ := strconv.ParseUint(etag, 10, 64)
	return v
}

// oneCustomerAfterTheOther lets clients work on one customer at once, asks whether
// that looks as if one server had done it, and goes on to the next customer.
func (w *workload) oneCustomerAfterTheOther(ctx context.Context, n int) {
	for round := 0; ctx.Err() == nil; round++ {
		c := &shared{workload: w, customer: fmt.Sprintf("one_%d_%d", n, round), began: time.Now()}
		var working sync.WaitGroup
		for client := range apitest.Methods {
			working.Go(func() { c.work(ctx, client) })
		}
		working.Wait()
		if err := apitest.Linearizable(c.history); err != nil {
			w.wrong.Add(1)
			w.t.Errorf("%s: %v:\n%s", c.customer, err, told(c.history))
		}
		w.customers.Add(1)
		w.operations.Add(int64(len(c.history)))
	}
}

// shared is a customer that several clients work on, through all servers.
type shared struct {
	*workload
	customer string
	began    time.Time

	mu      sync.Mutex
	ids     [apitest.Methods]string // of the methods, as far as a client has seen them
	history []porcupine.Operation
}

// work attaches a method and does ten steps. Repeats of a step after a server broke
// off are the same step.
func (c *shared) work(ctx context.Context, client int) {
	o := apitest.Operation{Kind: apitest.Attach, Method: client}
	for i := 0; i <= 10 && ctx.Err() == nil; i++ {
		if err := c.act(o, fmt.Sprintf("%s-%d-%d", c.customer, client, i)); err != nil {
			c.t.Errorf("%s: %+v: %v", c.customer, o, err)
			return
		}
		o = c.next(i)
	}
}

// next is an operation that a client can ask for in its i-th step.
func (c *shared) next(i int) apitest.Operation {
	kinds := []apitest.Kind{apitest.SetDefault, apitest.Default, apitest.Get, apitest.Annotate, apitest.List}
	o := apitest.Operation{Kind: kinds[rand.IntN(len(kinds))], Method: rand.IntN(apitest.Methods), Note: rand.Uint32()}
	if i > 6 && rand.IntN(3) == 0 {
		o.Kind = apitest.Detach
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids[o.Method] == "" && o.Kind < apitest.Default {
		o.Kind = apitest.List
	}
	return o
}

func (c *shared) act(o apitest.Operation, key string) error {
	c.mu.Lock()
	id := c.ids[o.Method]
	c.mu.Unlock()
	method, path, body, header := o.Request(c.customer, id)
	if o.Writes() {
		header = append(header, "Idempotency-Key", key)
	} else {
		header = append(header, "Ledger-Min-Position", "head")
	}
	from := time.Since(c.began)
	answered, _, err := c.persist(nil, method, path, body, header...)
	if err != nil {
		return err
	}
	a := apitest.Read(answered.status, answered.body)
	op := porcupine.Operation{Input: o, Call: int64(from), Output: a, Return: int64(time.Since(c.began))}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = append(c.history, op)
	for i, m := range a.Shows {
		c.ids[i] = cmp.Or(c.ids[i], m.ID)
	}
	return nil
}
