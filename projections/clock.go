package projections

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/planted"
)

// ClockOptions are the parts of an ExpiryClock. Those without a default are
// required.
type ClockOptions struct {
	Views  *Views
	Ledger *eventstore.Ledger
	Policy PolicyFunc
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // real time; nil: the machine's

	// Rate bounds the commands per second, so that a month in which very many
	// methods expire leaves room for everybody else. 0: 500, which is 100 000
	// methods in less than four minutes; longer where requests keep the machine busy.
	Rate int
	// Concurrency is how many commands run at once, to share what an append
	// costs. 0: 32.
	Concurrency int
}

// ExpiryClock executes what is due by time: notices of expiries and mandates,
// the expiry of cards, of verifications by micro-deposits and of setup intents.
// It does so late rather than never, and never twice: what was said already is
// part of the state that each command is decided on. So any number of clocks may
// run, on any number of replicas.
//
// Each organization has its own time: that of its test clock, or real time. The
// clock wakes when something is due, and when the views have changed; it does not
// poll.
type ExpiryClock struct {
	o     ClockOptions
	hints *subscription
	dials map[string]*dial
	order []*dial   // all of them, by organization
	turns int       // which of them is first
	soon  time.Time // real time before which no dial need be looked at

	mu     sync.Mutex
	status ClockStatus
}

// dial is what the clock knows of one organization.
type dial struct {
	organization string
	OrganizationRow
	// cursors are places in the list of expiries, by window in days, 0 for the
	// expiry itself: what lies before one has been dealt with. timed is one in
	// the list of what time will do.
	cursors map[int][]byte
	timed   []byte
	reached time.Time // the organization's time up to which it was looked
	next    time.Time // the organization's time at which something is due next; zero: never
	failed  map[string]*failure
}

// failure is something due that could not be done.
type failure struct {
	candidate
	at    time.Time // real time of the next attempt
	count int
}

// NewExpiryClock makes a clock. Run or Step make it go, one of them at a time.
func NewExpiryClock(o ClockOptions) *ExpiryClock {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Rate = cmp.Or(o.Rate, 500)
	o.Concurrency = cmp.Or(o.Concurrency, 32)
	return &ExpiryClock{o: o}
}

// longestSleep is for clocks of machines that are set: what is due is found so
// long after at the latest.
const longestSleep = time.Minute

// Run does what is due until ctx ends, and then returns nil. It begins when the
// views have caught up with the log.
func (c *ExpiryClock) Run(ctx context.Context) error {
	if !awaitHead(ctx, c.o.Views, c.o.Ledger, c.o.Logger) {
		return nil
	}
	defer func() {
		c.o.Views.timetable.unsubscribe(c.hints)
		c.hints, c.dials, c.order = nil, nil, nil
	}()
	for {
		changed := c.o.Views.progress.change()
		now := c.o.Now()
		did, next, err := c.Step(ctx, now)
		if ctx.Err() != nil {
			return nil
		}
		if did {
			next = rested(next, now, c.o.Now())
		}
		if err != nil {
			c.o.Logger.Error("what is due by time could not be done, and will be tried again", "error", err)
		}
		pause := longestSleep
		if !next.IsZero() {
			pause = min(max(next.Sub(c.o.Now()), 0), longestSleep)
		}
		if did || err != nil {
			changed = nil // the pace counts
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// rested is next, or later: after a turn the clock rests twice as long as the turn
// took. On a machine that is busy with requests turns take long; without the rest
// one would follow the other, and the clock would take the share of as many clients
// as it runs commands at once. With a rest as long as the turn, 64 attaching clients
// kept 0.72 of what they had alone.
func rested(next, began, ended time.Time) time.Time {
	if rest := ended.Add(2 * ended.Sub(began)); next.Before(rest) {
		return rest
	}
	return next
}

// Step does a part of what is due at now, which is real time, and tells when it
// must be called again though the views do not change; zero: not at all. After it
// did something it asks for the next call so late that the rate is kept. An error says that nothing
// can be done now; what concerns one stream alone is logged and tried again.
func (c *ExpiryClock) Step(ctx context.Context, now time.Time) (did bool, next time.Time, err error) {
	defer func() { c.report(now, did || err != nil) }()
	if err := c.update(now); err != nil {
		return false, now.Add(lastRetry), err
	}
	if c.soon.IsZero() || c.soon.After(now) {
		return false, c.soon, nil
	}
	budget := max(c.o.Rate/10, 1)
	c.soon = time.Time{}
	for _, d := range c.inTurn() {
		if budget > 0 {
			n, err := c.advance(ctx, d, now, budget)
			if err != nil {
				c.soon = now.Add(firstPause)
				return did, c.soon, err
			}
			did = did || n > 0
			budget -= n
		}
		c.soon = earliest(c.soon, d.wake(now))
	}
	if did {
		spent := max(c.o.Rate/10, 1) - budget
		return true, now.Add(time.Duration(spent) * time.Second / time.Duration(c.o.Rate)), nil
	}
	return false, c.soon, nil
}

// now is the organization's time.
func (d *dial) now(real time.Time) time.Time {
	if d.Clock.IsZero() {
		return real
	}
	return d.Clock
}

// wake is the real time at which the dial must be looked at, zero for not until
// something changes. Under a test clock time does not pass by itself.
func (d *dial) wake(real time.Time) time.Time {
	var at time.Time
	if !d.next.IsZero() {
		switch {
		case !d.next.After(d.now(real)):
			at = real
		case d.Clock.IsZero():
			at = d.next
		}
	}
	for _, f := range d.failed {
		at = earliest(at, f.at)
	}
	return at
}

// update takes in what the projections have written.
func (c *ExpiryClock) update(now time.Time) error {
	if c.hints == nil {
		hints := c.o.Views.timetable.subscribe()
		organizations, err := c.o.Views.timedOrganizations()
		if err != nil {
			c.o.Views.timetable.unsubscribe(hints)
			return err
		}
		c.hints, c.dials, c.order = hints, map[string]*dial{}, nil
		for _, id := range organizations {
			c.dial(id, now)
		}
		c.soon = now
	}
	for id, h := range c.o.Views.timetable.take(c.hints) {
		d, isNew := c.dial(id, now)
		if !isNew {
			d.take(h, c.o.Views, now)
		}
		if at := d.wake(now); !at.IsZero() {
			c.soon = earliest(c.soon, at)
		}
	}
	return nil
}

// dial returns the dial of an organization, a new one looks at everything once.
func (c *ExpiryClock) dial(id string, now time.Time) (d *dial, isNew bool) {
	if d, ok := c.dials[id]; ok {
		return d, false
	}
	d = &dial{organization: id, failed: map[string]*failure{}}
	d.reset(c.o.Views, now)
	c.dials[id] = d
	at, _ := slices.BinarySearchFunc(c.order, id, func(d *dial, id string) int { return cmp.Compare(d.organization, id) })
	c.order = slices.Insert(c.order, at, d)
	return d, true
}

// inTurn yields all dials, beginning with another one each time: a step may come to
// the end of what it may do before it has come to all.
func (c *ExpiryClock) inTurn() []*dial {
	if len(c.order) == 0 {
		return nil
	}
	c.turns = (c.turns + 1) % len(c.order)
	return slices.Concat(c.order[c.turns:], c.order[:c.turns])
}

// reset makes the dial look at everything once more.
func (d *dial) reset(v *Views, now time.Time) {
	d.OrganizationRow, _ = v.Organization(d.organization)
	d.cursors, d.timed = map[int][]byte{}, nil
	d.reached, d.next = time.Time{}, d.now(now)
}

func (d *dial) take(h hint, v *Views, now time.Time) {
	if h.reset {
		d.reset(v, now)
		return
	}
	d.next = earliest(d.next, earliest(h.due, h.timed))
	if !h.due.IsZero() && !h.due.After(d.reached) {
		// It came late, behind the cursors.
		for days, cursor := range d.cursors {
			if h.place < string(cursor) {
				d.cursors[days] = []byte(h.place)
			}
		}
	}
	if !h.timed.IsZero() && !h.timed.After(d.reached) {
		d.timed = nil
	}
}

// advance does at most budget of what is due on a dial.
func (c *ExpiryClock) advance(ctx context.Context, d *dial, now time.Time, budget int) (did int, err error) {
	if due := d.wake(now); due.IsZero() || due.After(now) {
		return 0, nil
	}
	cursors, timed := maps.Clone(d.cursors), d.timed
	todo := d.again(now, budget)
	if !d.next.IsZero() && !d.next.After(d.now(now)) {
		found, err := c.o.Views.lookAt(d, d.now(now), budget-len(todo))
		if err != nil {
			return 0, err
		}
		todo = append(todo, found...)
	}
	errs := make([]error, len(todo))
	var running sync.WaitGroup
	slots := make(chan struct{}, c.o.Concurrency)
	for i, at := range todo {
		slots <- struct{}{}
		running.Go(func() {
			errs[i] = c.execute(ctx, d.organization, at)
			<-slots
		})
	}
	running.Wait()
	for _, err := range errs {
		if outage(err) {
			// Not the streams' fault: look at all of them again.
			d.cursors, d.timed, d.next = cursors, timed, d.now(now)
			return len(todo), err
		}
	}
	for i, at := range todo {
		d.settle(at, errs[i], now, c.o.Logger)
	}
	return len(todo), nil
}

// outage tells trouble that would meet every stream.
func outage(err error) bool {
	if err == nil {
		return false
	}
	code := domain.CodeOf(err)
	return code == domain.CodeStoreUnavailable || code == domain.CodeStorageFull || errors.Is(err, context.Canceled)
}

// again takes the failures whose time has come.
func (d *dial) again(now time.Time, most int) []candidate {
	var todo []candidate
	for _, f := range d.failed {
		if !f.at.After(now) {
			todo = append(todo, f.candidate)
		}
	}
	slices.SortFunc(todo, func(a, b candidate) int { return cmp.Compare(a.name(), b.name()) })
	return todo[:min(len(todo), most)]
}

func (d *dial) settle(at candidate, err error, now time.Time, log *slog.Logger) {
	name := at.name()
	if err == nil {
		delete(d.failed, name)
		return
	}
	f := d.failed[name]
	if f == nil {
		f = &failure{candidate: at}
		d.failed[name] = f
	}
	f.at = now.Add(min(firstPause<<min(f.count, 16), lastPause))
	f.count++
	log.Warn("something due by time could not be done and will be tried again", "what", at.kind.String(), "subject", at.subject,
		"stream", at.stream, "failures", f.count, "next", f.at, "error", err)
}

// execute runs the command that a candidate calls for, if its state still does.
func (c *ExpiryClock) execute(ctx context.Context, organization string, at candidate) error {
	policy, now, err := c.o.Policy(ctx, organization)
	if err != nil {
		return err
	}
	if planted.MachineTime.Here() {
		now = c.o.Now()
	}
	state, _, err := c.o.Ledger.State(ctx, at.stream)
	if err != nil {
		return err
	}
	customer, ok := state.(*domain.Customer)
	if !ok {
		return nil
	}
	command, id := at.command(customer, policy, now)
	if command == nil {
		return nil
	}
	r, err := c.o.Ledger.Execute(ctx, eventstore.Request{
		Stream: at.stream, CommandID: id, Actor: own, Now: now,
		Prepare: func(context.Context) (domain.Command, error) { return command, nil },
	})
	if err == nil && len(r.Events) > 0 && !r.Replayed {
		c.mu.Lock()
		c.status.Done++
		c.mu.Unlock()
	}
	if refusal := (*domain.Error)(nil); asRefusal(err, &refusal) {
		return nil
	}
	return err
}
