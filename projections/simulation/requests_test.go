package simulation

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

// request is what a client asks, as often as it takes. Who has no key asks once.
type request struct {
	organization, customer string
	stream                 string
	key                    string // "" for none
	// prepare makes the command, for the process that is asked. id is the command's.
	prepare func(ctx context.Context, p *process, id string, policy domain.Policy) (domain.Command, error)

	answer  *given
	doubted bool // somebody was asked and did not answer: it may have been done
	refusal error
}

// given is an answer: all that a client can see of it follows from this.
type given struct {
	version  uint64
	position eventstore.Position
	events   string
	state    string
}

// serve lets a process execute a request, and notes what its client hears.
func (w *world) serve(p *process, r *request) {
	if r == nil || !p.up || p.dead {
		return
	}
	w.count.commands++
	before := p.serves
	p.serves = r
	result, err := p.execute(r)
	p.serves = before
	switch {
	case p.dead:
		r.doubted = true
	case err != nil && len(result.Events) == 0 && !transient(err):
		w.count.refused++
		w.refused(r, err)
	case err != nil && len(result.Events) == 0:
		r.doubted = true
	default:
		w.hear(p, r, result)
		if !w.fails(w.mood.lost) {
			w.closed(r)
			return
		}
	}
	if r.key != "" && r.refusal == nil {
		w.opened(r)
	}
}

func (p *process) execute(r *request) (eventstore.Result, error) {
	ctx := context.Background()
	policy, now, err := p.policy(ctx, r.organization)
	if err != nil {
		return eventstore.Result{}, err
	}
	state, _, err := p.ledger.State(ctx, r.stream)
	if err != nil {
		return eventstore.Result{}, err
	}
	p.sees = customer(state)
	req := eventstore.Request{Stream: r.stream, CommandID: r.key, Actor: "simulation", Now: now}
	if r.key == "" {
		req.CommandID = p.id().String()
	} else {
		req.RequestMAC = "mac of " + r.key
	}
	req.Prepare = func(ctx context.Context) (domain.Command, error) { return r.prepare(ctx, p, req.CommandID, policy) }
	result, err := p.ledger.Execute(ctx, req)
	if err != nil || p.dead {
		return result, err
	}
	// What a gateway is to be asked is asked at once; what does not work out is the
	// worker's.
	if _, err := p.worker.Do(ctx, r.stream, result); domain.CodeOf(err) == domain.CodeInternal {
		p.expected("the worker, at once", err)
	}
	return result, nil
}

// refused takes a refusal. One that follows an attempt of unknown fate says
// nothing about that one.
func (w *world) refused(r *request, err error) {
	refusal := (*domain.Error)(nil)
	if !errors.As(err, &refusal) || refusal.Code == domain.CodeInternal {
		w.violated("a request on %s: %w", r.stream, err)
		return
	}
	if r.answer != nil {
		w.violated("I4: key %q was answered, and its repeat is refused: %w", r.key, err)
	}
	r.refusal = err
	w.audit.refused(w, r, refusal)
	w.closed(r)
}

// hear compares an answer with the first one.
func (w *world) hear(p *process, r *request, result eventstore.Result) {
	state, err := json.Marshal(result.State)
	events := ""
	for _, e := range result.Events {
		name, data, encoded := domain.Encode(e)
		err = errors.Join(err, encoded)
		events += name + string(data)
	}
	if err != nil {
		w.violated("an answer: %w", err)
	}
	now := &given{result.Version, result.Position, events, string(state)}
	if r.answer != nil {
		w.count.repeats++
		if *now != *r.answer {
			w.violated("I4: key %q was answered at version %d with %.300s, and its repeat at version %d with %.300s",
				r.key, r.answer.version, r.answer.events, now.version, now.events)
		}
		return
	}
	r.answer = now
	w.answered = append(w.answered, r)
	if w.chance(0.1) {
		w.seen(p, result)
	}
}

func (w *world) opened(r *request) {
	for _, o := range w.open {
		if o == r {
			return
		}
	}
	w.open = append(w.open, r)
}

func (w *world) closed(r *request) {
	for i, o := range w.open {
		if o == r {
			w.open = append(w.open[:i], w.open[i+1:]...)
			return
		}
	}
}

// repeat sends again what has no answer, or what has one.
func (w *world) repeat(p *process) {
	switch {
	case len(w.open) > 0 && w.chance(0.8):
		w.serve(p, w.open[w.rng.IntN(len(w.open))])
	case len(w.answered) > 0:
		if r := w.answered[w.rng.IntN(len(w.answered))]; r.key != "" {
			w.serve(p, r)
		}
	}
}
