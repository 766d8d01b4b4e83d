package api

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/pmledger/pmledger/api/apitest"
	"github.com/pmledger/pmledger/eventstore/torture"
)

// TestOneCustomerIsLinearizable lets clients of two servers attach, detach,
// change and read one customer at once, while the store fails and answers get
// lost. Some order of one after the other must explain every answer.
func TestOneCustomerIsLinearizable(t *testing.T) {
	seed := torture.Seed(t)
	customers := torture.Size(60, 1000, 12_000)
	if testing.Short() {
		customers /= 10
	}
	p := newPair(t, seed)
	p.insist(p.random(0), "PATCH", "/v1/organization", `{"default_policy":"explicit"}`, "policy")
	var operations, lost, wrong, next atomic.Int64
	atOnce(runtime.GOMAXPROCS(0), func(int) {
		for n := next.Add(1); n <= int64(customers); n = next.Add(1) {
			h := history{pair: p, customer: fmt.Sprint("c", n)}
			h.make(uint64(n))
			operations.Add(int64(len(h.operations)))
			lost.Add(int64(h.lost))
			if err := apitest.Linearizable(h.operations); err != nil && wrong.Add(1) <= 3 {
				t.Errorf("customer %d: %v", n, err)
			}
		}
	})
	torture.Add(t, torture.Report{
		Campaign: "one customer is linearizable", Seed: seed,
		Counts:     []torture.Figure{torture.Count(operations.Load(), "operations"), torture.Count(lost.Load(), "lost answers"), torture.Count(customers, "customers")},
		Violations: []torture.Figure{torture.Count(wrong.Load(), "not linearizable"), torture.Count(p.broken(), "broken histories")},
	})
}

const lastKind = apitest.List // of what clients ask for

// history is what clients see of one customer.
type history struct {
	*pair
	customer string
	ids      [apitest.Methods]string
	ready    [apitest.Methods]chan struct{}

	mu         sync.Mutex
	operations []porcupine.Operation
	lost       int
}

func (h *history) make(n uint64) {
	for i := range h.ready {
		h.ready[i] = make(chan struct{})
	}
	began := time.Now()
	atOnce(2*apitest.Methods, func(client int) {
		random, m := h.random(n<<8+uint64(client)), client%apitest.Methods
		if client < apitest.Methods {
			o := apitest.Operation{Kind: apitest.Attach, Method: m}
			if random.IntN(4) == 0 {
				o.Kind = apitest.AttachDefault
			}
			h.ids[m] = h.step(random, began, o, true).Shows[m].ID
			close(h.ready[m])
		}
		<-h.ready[m]
		for range 7 {
			o := apitest.Operation{Kind: apitest.Annotate + apitest.Kind(random.IntN(int(lastKind-apitest.Annotate)+1)), Method: m, Note: random.Uint32N(1000)}
			if (o.Kind == apitest.Detach || o.Kind == apitest.DetachBriefly) && random.IntN(3) > 0 {
				o.Kind = apitest.SetDefault
			}
			h.step(random, began, o, false)
		}
	})
}

// step does one operation. An answer may get lost on its way: then the client asks
// again under the same key, or never learns what happened.
func (h *history) step(random *rand.Rand, began time.Time, o apitest.Operation, must bool) apitest.Answer {
	method, path, body, header := o.Request(h.customer, h.ids[o.Method])
	headers := []string{"Ledger-Min-Position: head"}
	if len(header) > 0 {
		headers = append(headers, strings.Join(header, ": "))
	}
	key := fmt.Sprintf("k%016x", random.Uint64())
	op := porcupine.Operation{Input: o, Call: int64(time.Since(began))}
	a := h.send(random, method, path, body, key, headers...)
	idle := overtaken(a)
	gone := a.status == 503 || random.IntN(10) == 0
	answered := apitest.Read(a.status, []byte(a.body))
	switch {
	case gone && (must || o.Writes() && random.IntN(2) == 0):
		a = h.insist(random, method, path, body, key, headers...)
		answered, idle = apitest.Read(a.status, []byte(a.body)), false
	case gone:
		answered = apitest.Answer{Lost: true}
	}
	op.Output, op.Return = answered, int64(time.Since(began))
	h.mu.Lock()
	defer h.mu.Unlock()
	if gone {
		h.lost++
	}
	if !idle && (!answered.Lost || o.Writes()) { // a read that was not answered says nothing
		h.operations = append(h.operations, op)
	}
	return answered
}
