package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	drainTitle   = "expiry drain"
	drainClients = 64
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
// leaves to the clients that attach meanwhile.
type drain struct {
	p       *product
	control *client
	attach  target
	methods int
	expires time.Time // of all methods
}

// measureDrain takes turns: attaches alone, beside the drain, alone, and so on.
// Each drain is compared with the attaches right before and right after it, so
// that a ledger that grows and a machine that changes its pace weigh on both
// sides. In each turn the same methods are due for their next notice; with one
// round all notices are due at once. The organization's time stands still.
func measureDrain(ctx context.Context, s settings, p *product) error {
	c := dial(p.http)
	defer c.close()
	turns := min(s.rounds, drainTurns)
	var made atomic.Int64
	d := &drain{p: p, control: c, methods: (s.drain + turns - 1) / turns, attach: target{
		address: p.http, status: 201, settled: p.settled, request: newCustomers("beside_"+strconv.Itoa(os.Getpid()), &made),
	}}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	before, err := load(ctx, d.attach, drainClients, s.length)
	if err != nil {
		return err
	}
	var rates, alones, besides, ratios []float64
	var beside result
	for turn := range turns {
		profile := p.profile(ctx, s)
		var took time.Duration
		beside, took, err = d.run(ctx, turn)
		if err = errors.Join(err, profile()); err != nil {
			return err
		}
		after, err := load(ctx, d.attach, drainClients, s.length)
		if err != nil {
			return err
		}
		alone := (before.perSecond + after.perSecond) / 2
		rates, alones = append(rates, float64(d.methods)/took.Seconds()), append(alones, alone)
		besides, ratios = append(besides, beside.perSecond), append(ratios, beside.perSecond/alone)
		before = after
	}
	rate := median(rates)
	fmt.Printf("%s: %d times %d methods, %.0f methods/s; 100 000 at that rate in %s\n", drainTitle, turns, d.methods, rate,
		time.Duration(100_000/rate*float64(time.Second)).Round(time.Second))
	fmt.Printf("attach beside it, %d clients: %.0f requests/s, alone %.0f; ratio %.2f (%.2f), goal >= 0.75; p50 %s, p99 %s, settled %s after\n", drainClients,
		median(besides), median(alones), median(ratios), ratios, beside.p50, beside.p99, beside.settling.Round(time.Millisecond))
	return nil
}

// prepare stops the organization's time and attaches the cards, which all expire
// in the month after the next.
func (d *drain) prepare(ctx context.Context) error {
	status, err := d.control.do(ctx, getRequest("/v1/test-clock"))
	var clock struct{ Now time.Time }
	if err == nil && status == 200 {
		err = json.Unmarshal(d.control.body.Bytes(), &clock)
	}
	if err != nil || status != 200 {
		return fmt.Errorf("reading the test clock answered %d, %v", status, err)
	}
	if err := d.setClock(ctx, clock.Now.Add(time.Second)); err != nil {
		return err
	}
	month := time.Date(clock.Now.Year(), clock.Now.Month()+2, 1, 0, 0, 0, 0, time.UTC)
	token := month.Format("tok_visa_exp_2006_01")
	run := "due_" + strconv.Itoa(os.Getpid()) + "_"
	status, err = d.control.do(ctx, attachRequest(run+"first", token, ""))
	var method struct {
		ExpiresAt time.Time `json:"expires_at"`
	}
	if err == nil && status == 201 {
		err = json.Unmarshal(d.control.body.Bytes(), &method)
	}
	if err != nil || status != 201 || method.ExpiresAt.IsZero() {
		return fmt.Errorf("attaching a card that expires answered %d, %v: %s", status, err, d.control.body.Bytes())
	}
	d.expires = method.ExpiresAt
	var taken, made atomic.Int64
	due := d.attach
	due.request = func(int, int) request {
		return attachRequest(run+strconv.FormatInt(made.Add(1), 10), token, "")
	}
	_, err = loadWhile(ctx, due, drainClients, func(time.Time) bool { return taken.Add(1) < int64(d.methods) })
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
	beside, err = loadWhile(ctx, d.attach, drainClients, func(time.Time) bool { return !over.Load() })
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
	status, err := d.control.do(ctx, request{method: "POST", path: "/v1/test-clock", body: to.UTC().Format(`{"now":"2006-01-02T15:04:05.000Z"}`)})
	if err != nil || status != 200 {
		return fmt.Errorf("setting the test clock answered %d, %v: %s", status, err, d.control.body.Bytes())
	}
	return nil
}
