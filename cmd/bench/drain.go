package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	drainTitle   = "expiry drain"
	drainClients = full
	// drainStall is how long no notice may come before the measurement is given up.
	drainStall = 30 * time.Second
	// drainTurns is how many notices a new organization's methods get: 30, 7 and 1
	// days before they expire.
	drainTurns = 3
)

// drainLead is, for each turn, the time before their expiry at which the methods
// are looked at: inside one window and outside the next.
func drainLead(turn int) time.Duration {
	return [drainTurns]time.Duration{29 * 24 * time.Hour, 6 * 24 * time.Hour, 12 * time.Hour}[turn]
}

// drain measures the clock on many methods that are due at once, and what it
// leaves to the clients that attach meanwhile. It has a server of its own, whose
// organization's time stands still.
type drain struct {
	settings
	p       *product
	ours    *system
	control *client
	methods int       // due in each turn
	expires time.Time // of all methods
	turn    int
	before  result // attaches alone, before the turn
}

func (d *drain) open(ctx context.Context) error {
	p, err := newProduct(ctx, d.settings, "drain")
	if err != nil {
		return err
	}
	if err := p.start(); err != nil {
		return err
	}
	d.p, d.ours, d.control = p, p.system("d"), dial(p.http)
	d.methods = max(d.drain/d.turns(), 1)
	if err := d.prepare(ctx); err != nil {
		return err
	}
	d.before, err = d.alone(ctx)
	return err
}

func (d *drain) close() error {
	if d.p == nil {
		return nil
	}
	d.control.close()
	return d.p.stop()
}

// turns is how often the methods become due.
func (d *drain) turns() int { return min(d.rounds, drainTurns) }

func (d *drain) measurements() []measurement {
	rate := &figure{name: drainTitle, unit: "notices/s"}
	beside := &figure{name: "attach beside the " + drainTitle + ", 64 clients", unit: "/s", reference: "attach alone", goals: []goal{atLeast(0.75, toReference)}}
	return []measurement{{figures: []*figure{rate, beside}, round: func(ctx context.Context) error { return d.round(ctx, rate, beside) }}}
}

// round compares attaches beside a drain with the attaches right before and right
// after it, so that a ledger that grows and a machine that changes its pace weigh
// on both sides. In each turn the same methods are due for their next notice; when
// there are no more turns nothing is measured.
func (d *drain) round(ctx context.Context, rate, beside *figure) error {
	if d.turn == d.turns() {
		return nil
	}
	profile := d.p.profile(ctx, d.settings)
	meanwhile, took, err := d.run(ctx, d.turn)
	if err = errors.Join(err, profile()); err != nil {
		return err
	}
	after, err := d.alone(ctx)
	if err != nil {
		return err
	}
	perSecond := float64(d.methods) / took.Seconds()
	rate.note = fmt.Sprintf("%d methods due at once, %d times; 100 000 in %s", d.methods, d.turns(), time.Duration(100_000/perSecond*float64(time.Second)).Round(time.Second))
	rate.add(perSecond, none, none, none)
	beside.note = meanwhile.String()
	beside.add(meanwhile.perSecond, none, none, (d.before.perSecond+after.perSecond)/2)
	d.before = after
	d.turn++
	return nil
}

func (d *drain) alone(ctx context.Context) (result, error) {
	return load(ctx, d.ours.ask(201, d.ours.attaches()), drainClients, d.length)
}

// prepare stops the organization's time and attaches the cards, which all expire
// in the month after the next.
func (d *drain) prepare(ctx context.Context) error {
	if err := d.control.expect(ctx, getRequest("/v1/test-clock", `"now"`), 200); err != nil {
		return err
	}
	var clock struct{ Now time.Time }
	if err := json.Unmarshal(d.control.body.Bytes(), &clock); err != nil {
		return err
	}
	if err := d.setClock(ctx, clock.Now.Add(time.Second)); err != nil {
		return err
	}
	month := time.Date(clock.Now.Year(), clock.Now.Month()+2, 1, 0, 0, 0, 0, time.UTC)
	token := month.Format("tok_visa_exp_2006_01")
	first := cardRequest("due_first", token, "")
	if err := d.control.expect(ctx, first, 201); err != nil {
		return err
	}
	var method struct {
		ExpiresAt time.Time `json:"expires_at"`
	}
	if err := json.Unmarshal(d.control.body.Bytes(), &method); err != nil {
		return err
	}
	if method.ExpiresAt.IsZero() {
		return fmt.Errorf("a card that expires was attached as %s", d.control.body.Bytes())
	}
	d.expires = method.ExpiresAt
	var made atomic.Int64
	due := d.ours.ask(201, func(int, int) request { return cardRequest("due_"+strconv.FormatInt(made.Add(1), 10), token, "") })
	return fill(ctx, due, d.methods-1)
}

// fill sends so many requests.
func fill(ctx context.Context, t target, count int) error {
	var taken atomic.Int64
	_, err := loadWhile(ctx, t, full, func(time.Time) bool { return taken.Add(1) <= int64(count) })
	return err
}

// run moves the time to where all methods are due and attaches until a subscriber
// has the notices of all.
func (d *drain) run(ctx context.Context, turn int) (beside result, took time.Duration, err error) {
	conn, err := nats.Connect(d.p.nats)
	if err != nil {
		return result{}, 0, err
	}
	defer conn.Close()
	notices := make(chan *nats.Msg, d.methods+1)
	if _, err := conn.ChanSubscribe("pm.v1.demo.payment_method.expiring", notices); err != nil {
		return result{}, 0, err
	}
	if err := conn.Flush(); err != nil {
		return result{}, 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now()
	if err := d.setClock(ctx, d.expires.Add(-drainLead(turn))); err != nil {
		return result{}, 0, err
	}
	var over atomic.Bool
	ended := make(chan error, 1)
	go func() {
		err := d.await(ctx, notices)
		took = time.Since(began)
		over.Store(true)
		ended <- err
	}()
	beside, err = loadWhile(ctx, d.ours.ask(201, d.ours.attaches()), drainClients, func(time.Time) bool { return !over.Load() })
	if err != nil {
		cancel()
	}
	err = errors.Join(err, <-ended)
	return beside, took, err
}

// await returns when the notices of all methods have come.
func (d *drain) await(ctx context.Context, notices <-chan *nats.Msg) error {
	said := map[string]bool{}
	for len(said) < d.methods {
		select {
		case m := <-notices:
			said[m.Header.Get("ce-subject")] = true
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(drainStall):
			return fmt.Errorf("no notice came for %s; %d of %d methods had theirs", drainStall, len(said), d.methods)
		}
	}
	return nil
}

func (d *drain) setClock(ctx context.Context, to time.Time) error {
	return d.control.expect(ctx, request{method: "POST", path: "/v1/test-clock", body: to.UTC().Format(`{"now":"2006-01-02T15:04:05.000Z"}`)}, 200)
}
