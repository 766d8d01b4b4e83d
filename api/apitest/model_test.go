package apitest

import (
	"net/http"
	"testing"

	"github.com/anishathalye/porcupine"
)

// past is a history of operations, one after the other, unless they say otherwise.
type past struct {
	now        int64
	operations []porcupine.Operation
}

func (p *past) then(o Operation, a Answer) {
	p.until(o, a, p.now+1)
}

// until is then for an operation that lasts, while others go on.
func (p *past) until(o Operation, a Answer, end int64) {
	p.now++
	p.operations = append(p.operations, porcupine.Operation{Input: o, Output: a, Call: p.now, Return: end})
	p.now++
}

func shows(status int, methods ...Method) Answer {
	a := Answer{Status: status}
	copy(a.Shows[:], methods)
	return a
}

func TestTheModelKnowsWhatCannotBe(t *testing.T) {
	var (
		attach   = Operation{Kind: Attach}
		get      = Operation{Kind: Get}
		list     = Operation{Kind: List}
		attached = Method{ID: "pm_1", Attached: true}
		noted    = Method{ID: "pm_1", Attached: true, Note: 7}
		note     = Operation{Kind: Annotate, Note: 7}
		lost     = Answer{Lost: true}
	)
	for name, c := range map[string]struct {
		happened func(p *past)
		may      bool
	}{
		"read after attach": {func(p *past) {
			p.then(attach, shows(http.StatusCreated, attached))
			p.then(list, shows(http.StatusOK, attached))
		}, true},
		"an acknowledged attach is gone": {func(p *past) {
			p.then(attach, shows(http.StatusCreated, attached))
			p.then(list, shows(http.StatusOK))
		}, false},
		"a stale read": {func(p *past) {
			p.then(attach, shows(http.StatusCreated, attached))
			p.then(note, shows(http.StatusOK, noted))
			p.then(get, shows(http.StatusOK, attached))
		}, false},
		"a lost answer that happened": {func(p *past) {
			p.until(attach, lost, Never)
			p.then(list, shows(http.StatusOK, attached))
		}, true},
		"a lost answer that did not": {func(p *past) {
			p.until(attach, lost, p.now+2)
			p.then(list, shows(http.StatusOK))
		}, true},
		"a lost answer that happens after the server's end": {func(p *past) {
			p.until(attach, lost, p.now+2)
			p.then(list, shows(http.StatusOK))
			p.then(list, shows(http.StatusOK, attached))
		}, false},
		"a lost answer that is undone": {func(p *past) {
			p.until(attach, lost, Never)
			p.then(list, shows(http.StatusOK, attached))
			p.then(list, shows(http.StatusOK))
		}, false},
		"two defaults": {func(p *past) {
			p.then(Operation{Kind: AttachDefault}, shows(http.StatusCreated, Method{Attached: true, Default: true}))
			p.then(Operation{Kind: AttachDefault, Method: 1}, shows(http.StatusCreated, Method{}, Method{Attached: true, Default: true}))
			p.then(list, shows(http.StatusOK, Method{Attached: true, Default: true}, Method{Attached: true, Default: true}))
		}, false},
		"an answer that is none": {func(p *past) { p.then(attach, Answer{Status: http.StatusTooManyRequests}) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			var p past
			c.happened(&p)
			if err := Linearizable(p.operations); (err == nil) != c.may {
				t.Errorf("linearizable: %v", !c.may)
			}
		})
	}
}
