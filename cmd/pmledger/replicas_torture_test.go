package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

// TestTortureReplicasAreOneLedger kills one of three servers on one store, again and
// again, while clients work through all of them. The store elects other leaders, and
// some of its answers to appends are lost. The long form is 60 s.
func TestTortureReplicasAreOneLedger(t *testing.T) {
	length := 6 * time.Second
	if os.Getenv("PMLEDGER_TORTURE") == "long" {
		length = time.Minute
	} else if testing.Short() {
		t.Skip("a torture takes its time")
	}
	r := newReplicasOn(t, 3, kurrenttest.Options{Nodes: 3})
	r.startAll()
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
	t.Logf("%d kills, %d elections in the store, %d answers lost; %d attaches acknowledged, %d reads with a position elsewhere, %d of them stale; %d customers with %d operations linearizable; %d requests asked again",
		kills, elections, r.store.Counts(kurrenttest.Append).Faults, len(w.known), w.positioned.Load(), w.stale.Load(), w.customers.Load(), w.operations.Load(), r.again.Load())
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

	positioned, stale, customers, operations atomic.Int64
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
		if !c.attachAll() {
			return
		}
		var working sync.WaitGroup
		for client := range 4 {
			working.Go(func() { c.work(ctx, client) })
		}
		working.Wait()
		if result, _ := porcupine.CheckOperationsVerbose(sharedModel, c.history, patience); result != porcupine.Ok {
			w.t.Errorf("%s: %v over %d operations", c.customer, result, len(c.history))
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
	ids      [3]string

	mu      sync.Mutex
	history []porcupine.Operation
}

type sharedKind int

const (
	sharedDefault   sharedKind = iota // make a method the default
	sharedDefaultOf                   // ask which one it is
	sharedRead                        // read a method
	sharedDetach
)

type sharedStep struct {
	kind   sharedKind
	method int
}

// sharedSeen is what an answer said.
type sharedSeen struct {
	status              int
	isDefault, detached bool
	id                  int // of the method in the answer, -1 for none
}

// sharedState is what one server after the other would know.
type sharedState struct {
	detached  [3]bool
	byDefault int
}

var sharedModel = porcupine.Model{
	Init: func() any { return sharedState{byDefault: 0} }, // the first one attached
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(sharedState), input.(sharedStep), output.(sharedSeen)
		switch in.kind {
		case sharedDefault:
			if s.detached[in.method] {
				return out.status == http.StatusConflict, s
			}
			s.byDefault = in.method
			return out.status == http.StatusOK && out.isDefault, s
		case sharedDetach:
			s.detached[in.method] = true
			if s.byDefault == in.method {
				s.byDefault = -1
			}
			return out.status == http.StatusOK && out.detached && !out.isDefault, s
		case sharedRead:
			return out.status == http.StatusOK && out.detached == s.detached[in.method] && out.isDefault == (s.byDefault == in.method), s
		default:
			return out.id == s.byDefault, s
		}
	},
}

// attachAll attaches the customer's methods, one after the other.
func (c *shared) attachAll() bool {
	for i := range c.ids {
		a, _, err := c.persist(nil, http.MethodPost, "/v1/customers/"+c.customer+"/payment-methods",
			fmt.Sprintf(`{"type":"card","token":"tok_visa_fp_%d"}`, i), "Idempotency-Key", fmt.Sprint(c.customer, "-", i))
		if err != nil || a.status != http.StatusCreated {
			c.t.Errorf("%s: %d %s %v", c.customer, a.status, a.body, err)
			return false
		}
		c.ids[i] = objectIn(a).ID
	}
	return true
}

// work does ten steps. Repeats of a step after a server broke off are the same step.
func (c *shared) work(ctx context.Context, client int) {
	for i := range 10 {
		if ctx.Err() != nil {
			return
		}
		in := sharedStep{kind: sharedKind(rand.IntN(3)), method: rand.IntN(len(c.ids))}
		if i > 6 && rand.IntN(3) == 0 {
			in.kind = sharedDetach
		}
		from := time.Since(c.began)
		out, err := c.act(in, fmt.Sprintf("%s-%d-%d", c.customer, client, i))
		if err != nil {
			c.t.Errorf("%s: %+v: %v", c.customer, in, err)
			return
		}
		op := porcupine.Operation{ClientId: client, Input: in, Call: int64(from), Output: out, Return: int64(time.Since(c.began))}
		c.mu.Lock()
		c.history = append(c.history, op)
		c.mu.Unlock()
	}
}

func (c *shared) act(in sharedStep, key string) (sharedSeen, error) {
	var a answer
	var err error
	switch path := "/v1/payment-methods/" + c.ids[in.method]; in.kind {
	case sharedDefault:
		a, _, err = c.persist(nil, http.MethodPost, path+"/default", "", "Idempotency-Key", key)
	case sharedDetach:
		a, _, err = c.persist(nil, http.MethodDelete, path, "", "Idempotency-Key", key)
	case sharedRead:
		a, _, err = c.persist(nil, http.MethodGet, path, "", "Ledger-Min-Position", "head")
	default:
		a, _, err = c.persist(nil, http.MethodGet, "/v1/customers/"+c.customer+"/default-payment-method", "", "Ledger-Min-Position", "head")
	}
	if err != nil {
		return sharedSeen{}, err
	}
	m := objectIn(a)
	return sharedSeen{status: a.status, isDefault: m.IsDefault, detached: m.Status == "detached", id: slices.Index(c.ids[:], m.ID)}, nil
}

// object is what the tests look at in a payment method, empty for a problem.
type object struct {
	ID        string
	Status    string
	IsDefault bool `json:"is_default"`
}

func objectIn(a answer) (m object) {
	if a.status < http.StatusBadRequest {
		_ = json.Unmarshal(a.body, &m)
	}
	return m
}
