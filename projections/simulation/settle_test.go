package simulation

import (
	"context"
	"fmt"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

// settledWithin is I18: how long everything may take, once nothing fails any more.
const settledWithin = 2 * time.Hour

// mostRounds is how often everybody has a turn until then. A life needs some dozens.
const mostRounds = 500

// settle stops all faults and lets everything go on by itself until nothing is left
// to do. Then what must hold at the end is checked.
func (w *world) settle() {
	w.calm = true
	began := w.now
	for _, p := range w.processes {
		p.skew = 0
		p.link.cut()
	}
	for len(w.late) > 0 {
		w.arrive()
	}
	pause := time.Second
	for rounds := 1; w.err == nil; rounds++ {
		if rounds > mostRounds {
			w.violated("I18: it does not come to rest")
		}
		if !w.round() {
			undone := w.undone()
			if undone == nil {
				break
			}
			if w.now.Sub(began) > settledWithin {
				w.violated("I18: %v after the faults have stopped: %w", settledWithin, undone)
			}
			w.now = w.now.Add(pause)
			pause = min(2*pause, time.Minute)
		}
		w.check()
	}
	for _, i := range atTheEnd {
		if w.err != nil {
			return
		}
		if err := i.holds(w); err != nil {
			w.violated("%s: %w", i.name, err)
		}
	}
}

// round lets everybody do what there is to do, and tells whether anybody did.
func (w *world) round() (did bool) {
	for _, p := range w.processes {
		if p.up && p.halted() {
			p.stop()
		}
		if !p.up {
			p.start()
			did = true
		}
		for range 1000 {
			if !p.project() {
				break
			}
			did = true
		}
		for range 100 {
			if !p.publish() {
				break
			}
		}
		for range 100 {
			if !p.work() {
				break
			}
			did = true
			p.project()
		}
		did = p.tick() || did
	}
	for _, r := range append([]*request(nil), w.open...) {
		w.serve(w.processes[w.rng.IntN(len(w.processes))], r)
		did = true
	}
	return did
}

// undone is what should have come about by itself, nil when all has.
func (w *world) undone() error {
	head, err := w.truth.Head(context.Background())
	if err != nil {
		return err
	}
	for _, p := range w.processes {
		if at := p.views.Position(); at != head {
			return fmt.Errorf("the views of process %d are at %s of %s", p.number, at, head)
		}
		for provider, b := range p.worker.Backlog() {
			if b.Items > 0 {
				return fmt.Errorf("process %d has %d items for %s on its list", p.number, b.Items, provider)
			}
		}
	}
	if got, want := len(w.stream.messages), len(w.audit.public); got != want {
		return fmt.Errorf("the stream has %d messages of %d", got, want)
	}
	for stream, state := range w.audit.states {
		if err := w.due(stream, customer(state)); err != nil {
			return err
		}
	}
	return nil
}

// due tells what a state calls for now.
func (w *world) due(stream string, c *domain.Customer) error {
	settings, now := domain.DefaultSettings(), w.now
	if o, ok := w.audit.states[domain.OrganizationStream(c.Organization)].(*domain.Organization); ok {
		settings = o.Settings
		if !o.Clock.IsZero() {
			now = o.Clock
		}
	}
	for id, m := range c.Methods {
		v := m.Verification
		switch due, ok := m.ExpiryDue(settings.ExpiryWindowsDays); {
		case ok && !due.After(now):
			return fmt.Errorf("%s: the expiry of %s is due since %v", stream, id, due)
		case m.Status == domain.StatusPending && m.SetupIntent == "":
			return fmt.Errorf("%s: the gateway is not asked about %s", stream, id)
		case m.Attached() && v.Status == domain.VerificationPending && v.Kind == "":
			return fmt.Errorf("%s: the gateway is not asked to verify %s", stream, id)
		case m.Attached() && v.Status == domain.VerificationPending && !v.ExpiresAt.After(now):
			return fmt.Errorf("%s: the verification of %s is over since %v", stream, id, v.ExpiresAt)
		case !m.Attached() && m.GatewayDetach == "", len(m.LeftOpen) > 0:
			return fmt.Errorf("%s: the gateway is not told about the end of %s", stream, id)
		}
	}
	for id, s := range c.SetupIntents {
		switch {
		case s.Status == domain.SetupProcessing, len(s.LeftOpen) > 0:
			return fmt.Errorf("%s: the gateway is not asked about %s", stream, id)
		case s.Open() && !s.ExpiresAt.After(now):
			return fmt.Errorf("%s: %s is over since %v", stream, id, s.ExpiresAt)
		}
	}
	return nil
}

// seen is I9: once the views have reached the position of an answer, they show it.
func (w *world) seen(p *process, result eventstore.Result) {
	p.catchUp()
	if p.dead || p.halted() {
		return
	}
	if p.views.Position() < result.Position {
		w.violated("I9: the views are at %s, and the answer at %s", p.views.Position(), result.Position)
	}
	for _, m := range sorted(customer(result.State).Methods) {
		if row, found, err := p.views.Method(m.Organization, m.ID); err != nil || !found || row.Version < m.Version {
			w.violated("I9: %s at version %d was answered, and the views show %d: %v", m.ID, m.Version, row.Version, err)
		}
	}
}
