package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// atOnce runs f for 0..n-1, all started at the same moment, and waits for them.
func atOnce(n int, f func(i int)) {
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range n {
		done.Go(func() {
			start.Wait()
			f(i)
		})
	}
	start.Done()
	done.Wait()
}

func TestSixteenClientsWithOneIdempotencyKeyHaveOneEffect(t *testing.T) {
	b := newBench(t)
	for round := range 10 {
		path := fmt.Sprintf("/v1/customers/cus_%d/payment-methods", round)
		answers := make([]answer, 16)
		atOnce(len(answers), func(i int) {
			answers[i] = b.do("POST", path, `{"type":"card","token":"tok_visa"}`, "Idempotency-Key: one", "X-Request-Id: r")
		})
		replayed := 0
		for _, a := range answers {
			if a.status != 201 || a.body != answers[0].body || a.header.Get("Location") != answers[0].header.Get("Location") {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if a.header.Get("Idempotency-Replayed") == "true" {
				replayed++
			}
		}
		if replayed != 15 {
			t.Errorf("%d answers of 16 are repeats", replayed)
		}
		history := b.want(200, b.do("GET", "/v1/payment-methods/"+idIn(answers[0].body)+"/history", "")).body
		if n := strings.Count(history, `"type":"customer.payment_method_attached"`); n != 1 {
			t.Errorf("attached %d times", n)
		}
	}
}

func TestTwentyDefaultChangesAtOnceAllSucceed(t *testing.T) {
	b := newBench(t)
	ids := make([]string, 20)
	for i := range ids {
		ids[i] = idIn(b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", fmt.Sprintf(`{"type":"card","token":"tok_visa_fp_%d"}`, i))).body)
	}
	answers := make([]answer, 20)
	atOnce(20, func(i int) { answers[i] = b.do("POST", "/v1/payment-methods/"+ids[i]+"/default", "") })
	for _, a := range answers {
		if a.status != 200 || !strings.Contains(a.body, `"is_default":true`) {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	list := b.want(200, b.do("GET", "/v1/customers/cus_1/payment-methods?is_default=true", ""))
	if n := strings.Count(list.body, `"is_default":true`); n != 1 {
		t.Errorf("%d defaults", n)
	}
	changes := b.want(200, b.do("GET", "/v1/events?type=customer.default_payment_method_changed&limit=100", ""))
	var page struct {
		Data []struct{ Data struct{ From, To *string } }
	}
	if err := json.Unmarshal([]byte(changes.body), &page); err != nil {
		t.Fatal(err)
	}
	for i := range len(page.Data) - 1 { // newest first
		if from := page.Data[i].Data.From; from == nil || *from != *page.Data[i+1].Data.To {
			t.Errorf("change %d does not begin where the one before it ended", i)
		}
	}
}

// operationKind is a step of a client that is checked for linearizability.
type operationKind int

const (
	opAttach operationKind = iota
	opDetach
	opDefault
	opRead
	opDefaultOf
)

type operationIn struct {
	kind   operationKind
	method int
}

type operationOut struct {
	status   int
	isDeflt  bool // of an object that came back
	detached bool
	deflt    int    // of opDefaultOf; -1 for none
	id       string // of the object that came back
}

// modelState is one customer: which of up to 4 methods are attached or detached,
// and which is the default.
type modelState struct {
	attached, detached [4]bool
	deflt              int
}

// customerModel says what one client after the other would see.
var customerModel = porcupine.Model{
	Init: func() any { return modelState{deflt: -1} },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(modelState), input.(operationIn), output.(operationOut)
		m := in.method
		switch in.kind {
		case opAttach: // default_policy explicit: an attach makes no default
			s.attached[m] = true
			return out.status == 201, s
		case opDetach:
			if s.attached[m] {
				s.attached[m], s.detached[m] = false, true
				if s.deflt == m {
					s.deflt = -1
				}
			}
			return out.status == 200 && out.detached && !out.isDeflt, s
		case opDefault:
			if s.detached[m] {
				return out.status == 409, s
			}
			s.deflt = m
			return out.status == 200 && out.isDeflt, s
		case opRead:
			return out.status == 200 && out.detached == s.detached[m] && out.isDeflt == (s.deflt == m), s
		default:
			return out.deflt == s.deflt, s
		}
	},
}

// TestOneCustomerIsLinearizable lets clients attach, detach, change the default
// and read ("head") one customer at once, and asks whether some order of one
// after the other explains every answer.
func TestOneCustomerIsLinearizable(t *testing.T) {
	b := newBench(t)
	b.want(200, b.do("PATCH", "/v1/organization", `{"default_policy":"explicit"}`))
	began := time.Now()
	since := func() int64 { return int64(time.Since(began)) }
	for customer := range 12 {
		var ids [4]string
		var ready [4]chan struct{}
		for i := range ready {
			ready[i] = make(chan struct{})
		}
		var mu sync.Mutex
		var history []porcupine.Operation
		step := func(client int, in operationIn, run func() operationOut) {
			from := since()
			out := run()
			op := porcupine.Operation{ClientId: client, Input: in, Call: from, Output: out, Return: since()}
			mu.Lock()
			defer mu.Unlock()
			history = append(history, op)
		}
		atOnce(8, func(client int) {
			m := client % 4
			if client < 4 {
				step(client, operationIn{opAttach, m}, func() operationOut {
					body := fmt.Sprintf(`{"type":"card","token":"tok_visa_fp_%d"}`, m)
					a := b.do("POST", fmt.Sprintf("/v1/customers/c%d/payment-methods", customer), body)
					ids[m] = idIn(a.body)
					return operationOut{status: a.status}
				})
				close(ready[m])
			}
			<-ready[m]
			for i := range 6 {
				in := operationIn{opRead, m}
				switch (client + i) % 4 {
				case 0:
					in.kind = opDefault
				case 1:
					in.kind = opDefaultOf
				case 2:
					if i > 3 {
						in.kind = opDetach
					}
				}
				step(client, in, func() operationOut { return act(b, customer, in, ids[m]) })
			}
		})
		for i := range history {
			out := history[i].Output.(operationOut)
			out.deflt = slices.Index(ids[:], out.id)
			history[i].Output = out
		}
		if result, _ := porcupine.CheckOperationsVerbose(customerModel, history, 10*time.Second); result != porcupine.Ok {
			t.Fatalf("customer %d: %v over %d operations", customer, result, len(history))
		}
	}
}

// act does one step over HTTP.
func act(b *bench, customer int, in operationIn, id string) operationOut {
	const head = "Ledger-Min-Position: head"
	var a answer
	switch path := "/v1/payment-methods/" + id; in.kind {
	case opDetach:
		a = b.do("DELETE", path, "")
	case opDefault:
		a = b.do("POST", path+"/default", "")
	case opRead:
		a = b.do("GET", path, "", head)
	default:
		a = b.do("GET", fmt.Sprintf("/v1/customers/c%d/default-payment-method", customer), "", head)
	}
	var m struct {
		ID        string
		Status    string
		IsDefault bool `json:"is_default"`
	}
	_ = json.Unmarshal([]byte(a.body), &m)
	return operationOut{status: a.status, isDeflt: m.IsDefault, detached: m.Status == "detached", id: m.ID}
}
