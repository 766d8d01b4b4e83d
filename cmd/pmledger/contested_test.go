package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/anishathalye/porcupine"

	"github.com/pmledger/pmledger/api/apitest"
)

// contested is a customer that several clients work on at once, and what they saw.
type contested struct {
	*histories
	name     string
	finished int // the life in which the last of them was done

	mu      sync.Mutex
	ids     [apitest.Methods]string // of the methods, as far as a client has seen them
	history []porcupine.Operation   // of a lost answer, Return is unknown yet
	asked   []*lifetime             // of each in history
	keys    int
}

// steps is how many operations a client makes on a customer.
const steps = 12

func (h *histories) newContested() *contested {
	return &contested{histories: h, name: fmt.Sprint("cus_", h.customers.Add(1))}
}

// contest lets as many clients work on the customer as it has methods. Each begins
// with attaching one.
func (c *contested) contest() {
	var working sync.WaitGroup
	for n := range apitest.Methods {
		random := c.random()
		working.Go(func() {
			c.act(random, apitest.Operation{Kind: apitest.Attach + apitest.Kind(random.IntN(2)), Method: n})
			for range steps {
				c.act(random, c.any(random))
			}
		})
	}
	working.Wait()
	if s := c.life(); s != nil {
		c.finished = s.number
	}
}

// any is an operation that a client can ask for: without a method's id, only about
// the customer.
func (c *contested) any(random *rand.Rand) apitest.Operation {
	kinds := []apitest.Kind{
		apitest.Annotate, apitest.Annotate, apitest.SetDefault, apitest.SetDefault,
		apitest.Get, apitest.Get, apitest.Get, apitest.Get, apitest.Default, apitest.Default, apitest.List, apitest.List,
	}
	if random.IntN(4) == 0 {
		kinds = append(kinds, apitest.Detach, apitest.DetachBriefly)
	}
	o := apitest.Operation{Kind: kinds[random.IntN(len(kinds))], Method: random.IntN(apitest.Methods), Note: random.Uint32()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids[o.Method] == "" && o.Kind < apitest.Default {
		o.Kind = apitest.List
	}
	return o
}

// act asks for an operation until there is an answer, with the same key. One in four
// writes is not asked for again: whether it has happened stays open.
func (c *contested) act(random *rand.Rand, o apitest.Operation) {
	c.mu.Lock()
	c.keys++
	id, header := c.ids[o.Method], []string{}
	if o.Writes() {
		header = append(header, "Idempotency-Key", fmt.Sprint(c.name, "-", c.keys))
	} else if random.IntN(2) == 0 {
		header = append(header, "Ledger-Min-Position", "head") // on one server, all reads are linearizable
	}
	c.mu.Unlock()
	method, path, body, extra := o.Request(c.name, id)
	once := o.Writes() && random.IntN(4) == 0
	call := c.now()
	began := call
	for s := c.life(); s != nil; s = c.life() {
		ctx, cancel := leaving(random)
		answered, err := s.tryFor(ctx, c.client, method, path, body, append(header, extra...)...)
		cancel()
		switch {
		case err == nil && answered.status < http.StatusInternalServerError && !isConflict(answered):
			c.add(s, o, call, apitest.Read(answered.status, answered.body))
			return
		case once:
			c.lost.Add(1)
			c.add(s, o, call, apitest.Answer{Lost: true})
			return
		}
		c.lost.Add(1)
		if c.now()-began > int64(2*patience) {
			c.t.Errorf("%s: %+v has had no answer for %s; the last is %d %s %v", c.name, o, 2*patience, answered.status, answered.body, err)
			return
		}
		if !o.Writes() {
			call = c.now()
		}
	}
}

// add notes what a client has seen.
func (c *contested) add(s *lifetime, o apitest.Operation, call int64, a apitest.Answer) {
	op := porcupine.Operation{Input: o, Output: a, Call: call, Return: c.now()}
	c.operations.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history, c.asked = append(c.history, op), append(c.asked, s)
	for i, m := range a.Shows {
		if m.ID != "" {
			c.ids[i] = m.ID
		}
	}
}

// judge lists the customer once more, which shows whether another process of the
// server knows what the one before has answered, and looks at all of its history.
func (c *contested) judge() {
	c.act(rand.New(rand.NewPCG(c.seed, 0)), apitest.Operation{Kind: apitest.List})
	for i := range c.history {
		op := &c.history[i]
		if !op.Output.(apitest.Answer).Lost {
			continue
		}
		// What a process has not done when it is dead, it does not do any more.
		if op.Return = c.asked[i].died.Load(); op.Return == 0 {
			op.Return = apitest.Never
		}
	}
	// It was dead before it was asked.
	c.history = slices.DeleteFunc(c.history, func(op porcupine.Operation) bool { return op.Return < op.Call })
	if err := apitest.Linearizable(c.history); err != nil && c.wrong.Add(1) <= 3 {
		c.t.Errorf("%s: %v:\n%s", c.name, err, told(c.history))
	}
}

// told is a history as text, in the order in which clients asked.
func told(history []porcupine.Operation) string {
	slices.SortFunc(history, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var b strings.Builder
	for _, op := range history {
		fmt.Fprintf(&b, "%12d %12d %+v %+v\n", op.Call, op.Return, op.Input, op.Output)
	}
	return b.String()
}
