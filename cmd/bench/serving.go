package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pmledger/pmledger/cmd/bench/baseline"
)

// serving is pmledger, E and B side by side.
type serving struct {
	settings
	product  *product
	ours, e  *system
	b        *system // nil without a baseline
	postgres *postgres
	stops    []func() error // in the order of starting
}

func (s *serving) open(ctx context.Context) error {
	p, err := newProduct(ctx, s.settings, "serving")
	if err != nil {
		return err
	}
	s.product = p
	if err := p.start(); err != nil {
		return err
	}
	s.stops = append(s.stops, p.stop)
	s.ours = p.system("p")
	if err := s.ours.prepare(ctx); err != nil {
		return err
	}
	if err := s.ours.age(ctx); err != nil {
		return err
	}
	address, err := s.child("-role", "echo")
	if err != nil {
		return err
	}
	s.e = &system{target: target{address: address}}
	if !s.baseline {
		return nil
	}
	return s.openBaseline(ctx)
}

func (s *serving) openBaseline(ctx context.Context) error {
	if err := installPostgres(ctx); err != nil {
		return err
	}
	pg, err := startPostgres(ctx, s.dir)
	if err != nil {
		return err
	}
	s.postgres = pg
	s.stops = append(s.stops, pg.stop)
	line, err := s.child("-role", "baseline", "-dir", filepath.Join(s.dir, "baseline"), "-postgres", pg.address)
	if err != nil {
		return err
	}
	address, nats, _ := strings.Cut(line, " ")
	s.b = &system{target: target{address: address, settled: lagging(address)}, nats: nats, run: "b"}
	return s.b.prepare(ctx)
}

// lagging returns when B's relay has published everything.
func lagging(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		return drained(ctx, func() (bool, string, error) {
			text, err := fetch(ctx, "http://"+address+"/lag")
			return text == "0", text, err
		})
	}
}

// child starts this program in another role until the stage is closed.
func (s *serving) child(args ...string) (string, error) {
	ctx, interrupt := context.WithCancel(context.Background())
	cmd, line, err := child(ctx, args...)
	if err != nil {
		interrupt()
		return "", fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	s.stops = append(s.stops, func() error { interrupt(); return ended(cmd) })
	return line, nil
}

// ended waits for a child that was interrupted. That it was is not an error.
func ended(cmd *exec.Cmd) error {
	err := cmd.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// close stops the servers, the last one started first.
func (s *serving) close() error {
	var err error
	for len(s.stops) > 0 {
		last := len(s.stops) - 1
		err = errors.Join(err, s.stops[last]())
		s.stops = s.stops[:last]
	}
	return err
}

func serveBaseline(ctx context.Context, s settings, address string) error {
	return baseline.Serve(ctx, baseline.Options{Postgres: address, Dir: s.dir, Organization: "demo", Key: benchKey}, stdout)
}

// kind is a row of the table of requests.
type kind struct {
	name    string
	clients int
	status  int
	asked   func(*system) func(client, n int) request
	writes  bool // the run ends when nothing is left to publish
	alone   bool // B does not do this
	goals   []goal
}

// Each ratio to E has two bounds: the least that is asked, and the higher one of the
// contract, which binds.
const (
	leastAttach, contractAttach = 0.35, 0.40
	leastGet, contractGet       = 0.80, 0.85
	leastList, contractList     = 0.65, 0.70
)

// kinds are the requests that are measured with as many clients as given, each
// sending the next request when it has an answer.
func kinds() []kind {
	attaches := func(s *system) func(int, int) request { return s.attaches() }
	return []kind{
		{name: "attach", clients: 1, status: 201, writes: true, asked: attaches},
		{name: "attach", clients: 16, status: 201, writes: true, asked: attaches},
		{name: "attach", clients: full, status: 201, writes: true, asked: attaches, goals: []goal{atLeast(leastAttach, toE), atLeast(contractAttach, toE)}},
		{name: "attach", clients: 256, status: 201, writes: true, asked: attaches},
		{name: "get", clients: 64, status: 200, asked: (*system).gets, goals: []goal{atLeast(leastGet, toE), atLeast(contractGet, toE)}},
		{name: "list of 20", clients: 64, status: 200, asked: func(s *system) func(int, int) request { return s.lists("", listLength) }, goals: []goal{atLeast(leastList, toE), atLeast(contractList, toE)}},
		{name: "list of 20, filtered to 5", clients: 64, status: 200, asked: func(s *system) func(int, int) request {
			return s.lists("?type=bank_account&status=active", listLength/4)
		}},
		{name: "as-of get", clients: 64, status: 200, asked: (*system).getsAsOf, alone: true, goals: []goal{atLeast(0.5, toReference)}},
		{name: "patch default", clients: switchers, status: 200, writes: true, asked: (*system).switches},
		{name: "idempotent replay", clients: 64, status: 201, asked: (*system).replays},
	}
}

func (k kind) title() string {
	if k.clients == 1 {
		return k.name + ", 1 client"
	}
	return fmt.Sprintf("%s, %d clients", k.name, k.clients)
}

func (s *serving) measurements() []measurement {
	var all []measurement
	get := &figure{} // what the as-of get is held against
	for _, k := range kinds() {
		f := &figure{name: k.title(), unit: "/s", goals: k.goals}
		m := measurement{figures: []*figure{f}}
		var like *figure
		switch k.name {
		case "get":
			get = f
		case "as-of get":
			f.reference, like = "get", get
		}
		var single *figure
		if k.clients == 1 {
			single = &figure{name: k.title() + ", p50", unit: "ms", reference: "(3 fdatasync + E/2)", goals: []goal{atMost(1, toReference)}}
			m.figures = append(m.figures, single)
		}
		m.round = func(ctx context.Context) error { return s.closedRound(ctx, k, f, like, single) }
		all = append(all, m)
	}
	return append(append(all, s.openMeasurements()...), s.deliveryMeasurements()...)
}

// closedRound measures E, B and pmledger one right after the other.
func (s *serving) closedRound(ctx context.Context, k kind, f, like, single *figure) error {
	request := k.asked(s.ours)
	size, err := s.ours.size(ctx, request(0, 0), k.status)
	if err != nil {
		return err
	}
	bare, err := s.closed(ctx, s.e, k, static(request(0, 1), k.status, size))
	if err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	base, b := none, result{}
	if s.b != nil && !k.alone {
		if b, err = s.closed(ctx, s.b, k, k.asked(s.b)); err != nil {
			return fmt.Errorf("baseline: %w", err)
		}
		base = b.perSecond
	}
	profile := s.product.profile(ctx, s.settings)
	ours, err := s.closed(ctx, s.ours, k, request)
	if err = errors.Join(err, profile()); err != nil {
		return err
	}
	f.note = ours.String()
	of := none
	if like != nil && len(like.ours) > 0 {
		of = like.ours[len(like.ours)-1]
	}
	f.add(ours.perSecond, bare.perSecond, base, of)
	if single == nil {
		return nil
	}
	fsync, err := syncs(s.dir, 200)
	if err != nil {
		return err
	}
	latencyB := none
	if s.b != nil {
		latencyB = b.latencies.ms(50)
	}
	latencyE := bare.latencies.ms(50)
	single.note = fmt.Sprintf("fdatasync %s ms", number(fsync.ms(50)))
	single.add(ours.latencies.ms(50), latencyE, latencyB, 3*fsync.ms(50)+latencyE/2)
	return nil
}

func (s *serving) closed(ctx context.Context, of *system, k kind, request func(int, int) request) (result, error) {
	t := of.ask(k.status, request)
	if !k.writes {
		t.settled = nil
	}
	r, err := load(ctx, t, k.clients, s.length)
	if k.clients == full && err == nil {
		of.seen(k.name, r.perSecond)
	}
	return r, err
}

// settleStall is how long what is left to do may stay the same.
const settleStall = time.Minute

// drained waits until nothing is left to do. That it does not get less is a
// violation, not a slow run.
func drained(ctx context.Context, done func() (ok bool, left string, err error)) error {
	last, since := "", time.Now()
	for ; ; time.Sleep(5 * time.Millisecond) {
		ok, left, err := done()
		if ok || err != nil {
			return err
		}
		if left != last {
			last, since = left, time.Now()
		}
		if time.Since(since) > settleStall {
			return fmt.Errorf("what was answered is not all projected and published, and for %s nothing was: %s", settleStall, left)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
