package apitest

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/anishathalye/porcupine"
)

// customer is what one client after the other would know: its methods, without
// their ids.
type customer [Methods]Method

// model says what one client after the other would see of a customer.
var model = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{customer{}} },
	Step: func(state, input, output any) []any {
		before, o, a := state.(customer), input.(Operation), output.(Answer)
		after, status := before.after(o)
		if a.Lost {
			return []any{before, after}
		}
		for i := range a.Shows {
			a.Shows[i].ID = ""
		}
		if want := after.answer(o, status); a != want {
			return nil
		}
		return []any{after}
	},
}).ToModel()

// after is the customer after an operation, and the status of its answer.
func (c customer) after(o Operation) (customer, int) {
	m := &c[o.Method]
	switch o.Kind {
	case Attach, AttachDefault:
		m.Attached = true
		if o.Kind == AttachDefault {
			c.makeDefault(o.Method)
		}
		return c, http.StatusCreated
	case Annotate, SetDefault:
		if m.Detached {
			return c, http.StatusConflict
		}
		if o.Kind == SetDefault {
			c.makeDefault(o.Method)
		} else {
			m.Note = o.Note
		}
	case Detach, DetachBriefly:
		m.Attached, m.Detached, m.Default = false, true, false
		if o.Kind == DetachBriefly {
			return c, http.StatusNoContent
		}
	case Default:
		for _, m := range c {
			if m.Default {
				return c, http.StatusOK
			}
		}
		return c, http.StatusNotFound
	}
	return c, http.StatusOK
}

func (c *customer) makeDefault(number int) {
	for i := range c {
		c[i].Default = i == number
	}
}

// answer is what an operation answers that leaves the customer as c.
func (c customer) answer(o Operation, status int) Answer {
	a := Answer{Status: status}
	if status >= http.StatusBadRequest || status == http.StatusNoContent {
		return a
	}
	for i, m := range c {
		if o.Kind == List && m.Attached || o.Kind == Default && m.Default || o.Kind < Default && i == o.Method {
			a.Shows[i] = m
		}
	}
	return a
}

// Never is the moment at which an operation has ended whose answer was lost, when
// nobody can tell that it does not go on.
const Never = math.MaxInt64

// patience is when the search for an order is given up. Where there is one it is
// found in milliseconds; that there is none can take for ever.
const patience = 20 * time.Second

// Linearizable returns nil when some order of one operation after the other explains
// every answer. No proof either way within 20 s is an error too, and says so.
func Linearizable(history []porcupine.Operation) error {
	switch porcupine.CheckOperationsTimeout(model, history, patience) {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		return fmt.Errorf("%d operations are not linearizable", len(history))
	default:
		return fmt.Errorf("whether %d operations are linearizable is undecided after %s", len(history), patience)
	}
}
