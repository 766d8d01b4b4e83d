package projections_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/projections"
)

var errCrash = errors.New("the process ended")

// fate ends a process at the n-th time that it comes to a point.
type fate struct {
	mu    sync.Mutex
	point string
	n     int
	end   context.CancelFunc
	dead  bool
}

func (f *fate) at(point string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if point == f.point {
		f.n--
	}
	if f.n == 0 && !f.dead {
		f.dead = true
		f.end()
	}
	if f.dead {
		return errCrash
	}
	return nil
}

// mortal is a gateway of a process that may end around its calls.
type mortal struct {
	gateway.Gateway
	*fate
}

func (m mortal) around(call func() error) error {
	if err := m.at("before the gateway"); err != nil {
		return err
	}
	err := call()
	if crash := m.at("after the gateway"); crash != nil {
		return crash
	}
	return err
}

func (m mortal) Lookup(ctx context.Context, r gateway.Request) (i gateway.Instrument, err error) {
	err = m.around(func() error { i, err = m.Gateway.Lookup(ctx, r); return err })
	return i, err
}

func (m mortal) Verify(ctx context.Context, r gateway.Request, in gateway.Instrument) (v gateway.Verification, err error) {
	err = m.around(func() error { v, err = m.Gateway.Verify(ctx, r, in); return err })
	return v, err
}

func (m mortal) Setup(ctx context.Context, r gateway.Request, s gateway.Setup) (a gateway.SetupAnswer, err error) {
	err = m.around(func() error { a, err = m.Gateway.Setup(ctx, r, s); return err })
	return a, err
}

func (m mortal) Cancel(ctx context.Context, r gateway.Request, reference string) error {
	return m.around(func() error { return m.Gateway.Cancel(ctx, r, reference) })
}

func (m mortal) Detach(ctx context.Context, r gateway.Request) error {
	return m.around(func() error { return m.Gateway.Detach(ctx, r) })
}

// mortalStore is the log as such a process sees it.
type mortalStore struct {
	eventstore.Store
	*fate
}

func (s mortalStore) Append(ctx context.Context, stream string, version uint64, records []eventstore.NewRecord) (eventstore.Position, error) {
	if err := s.at("before the command"); err != nil {
		return 0, err
	}
	position, err := s.Store.Append(context.WithoutCancel(ctx), stream, version, records)
	if crash := s.at("after the command"); crash != nil {
		return 0, crash
	}
	return position, err
}

// dying returns options of a worker that ends with f.
func (o *office) dying(f *fate) projections.WorkerOptions {
	options := o.options()
	options.Gateways = map[string]gateway.Gateway{"sandbox": mortal{o.gateway, f}}
	options.Ledger = eventstore.NewLedger(mortalStore{o.store, f}, eventstore.LedgerOptions{
		Now: func() time.Time { return o.now }, NewID: o.id,
	})
	return options
}

// chores are one item of every kind of gateway work.
type chores struct {
	card, bank, detached, synced, left domain.MethodID
	intent, canceled                   domain.SetupIntentID
}

const choreCount = 8

func (o *office) chores() chores {
	o.t.Helper()
	c := chores{
		card: o.attached("cus_1", "tok_visa"), bank: o.attached("cus_1", "ba_us"), detached: o.attached("cus_1", "tok_amex"),
		intent: domain.NewSetupIntentID(o.id()),
	}
	o.execute(stream("cus_1"), domain.VerifyMethod{MethodID: c.card})
	o.execute(stream("cus_1"), domain.VerifyMethod{MethodID: c.bank})
	o.execute(stream("cus_1"), domain.DetachMethod{MethodID: c.detached})
	c.synced, _ = o.pending("cus_1", "tok_mastercard", domain.TypeCard)
	o.execute(stream("cus_1"), domain.CreateSetupIntent{
		SetupIntentID: c.intent, Usage: "off_session", Provider: "sandbox", Token: "tok_discover", Confirm: true,
	})
	// Two that end here and are open at the gateway; the first is to be detached there as well.
	c.left, _ = o.begunDeposits("cus_1", "ba_us_fp_left", "begun")
	o.execute(stream("cus_1"), domain.DetachMethod{MethodID: c.left})
	c.canceled, _ = o.begunSetup("cus_1", "tok_amex_3ds", "begun")
	o.execute(stream("cus_1"), domain.CancelSetupIntent{SetupIntentID: c.canceled})
	return c
}

// done checks that every chore came to its end, and that the gateway and the log
// saw it once.
func (o *office) done(c chores) {
	o.t.Helper()
	if v := o.method("cus_1", c.card).Verification; v.Status != domain.Verified {
		o.t.Errorf("card: %+v", v)
	}
	if v := o.method("cus_1", c.bank).Verification; v.Kind != domain.EvidenceMicroDeposits {
		o.t.Errorf("bank account: %+v", v)
	}
	if m := o.method("cus_1", c.detached); m.GatewayDetach != "done" {
		o.t.Errorf("detached: %q", m.GatewayDetach)
	}
	if m := o.method("cus_1", c.synced); m.Status != domain.StatusActive {
		o.t.Errorf("synced: %s", m.Status)
	}
	if s := o.intent("cus_1", c.intent); s.Status != domain.SetupSucceeded {
		o.t.Errorf("intent: %s", s.Status)
	}
	if open := o.method("cus_1", c.left).LeftOpen; len(open) > 0 {
		o.t.Errorf("left open: %+v", open)
	}
	if open := o.intent("cus_1", c.canceled).LeftOpen; len(open) > 0 {
		o.t.Errorf("left open: %+v", open)
	}
	keys := map[string]int{}
	for _, e := range o.gateway.Effects() {
		keys[e.Op+e.Key]++
		if keys[e.Op+e.Key] > 1 || e.Key == "" {
			o.t.Errorf("an effect happened again: %+v", e)
		}
	}
	if len(keys) != choreCount-1+2 { // a look-up has no effect; two were begun before
		o.t.Errorf("%d effects at the gateway", len(keys))
	}
	steps, _, err := o.replay()
	if err != nil {
		o.t.Fatal(err)
	}
	names, ids := map[string]int{}, map[string]bool{}
	for _, s := range steps {
		names[s.record.Type]++
		if ids[s.record.ID.String()] {
			o.t.Errorf("two records have the id %s", s.record.ID)
		}
		ids[s.record.ID.String()] = true
	}
	for name, want := range map[string]int{
		"payment_method.provider_synced": 1, "payment_method.verification_started": 3, "payment_method.verified": 1,
		"payment_method.gateway_detached": 2, "payment_method.gateway_canceled": 1, "setup_intent.gateway_canceled": 1,
		"setup_intent.succeeded": 1, "payment_method.attached": 6, "command.accepted": 0,
	} {
		if names[name] != want {
			o.t.Errorf("%d times %s, want %d", names[name], name, want)
		}
	}
}

// Whatever step a process dies at, another one brings each item to its end, and
// both the gateway and the log see it happen once.
func TestAWorkerMayDieBetweenAnyTwoSteps(t *testing.T) {
	crashes := 0
	for _, point := range []string{"before the gateway", "after the gateway", "before the command", "after the command"} {
		for n := 1; n <= choreCount; n++ {
			o := newOffice(t)
			c := o.chores()
			o.v.caughtUp(o.store)
			ctx, cancel := context.WithCancel(t.Context())
			f := &fate{point: point, n: n, end: cancel}
			w := projections.NewWorker(o.dying(f))
			for ctx.Err() == nil {
				if did, _, _ := w.Step(ctx, o.real); !did {
					t.Fatalf("%s, %d: it did not die", point, n)
				}
			}
			crashes++
			o.v.stop()
			o.v = views(o.ledger) // the views are lost as well
			o.v.caughtUp(o.store)
			if _, err := o.idle(projections.NewWorker(o.options())); err != nil {
				t.Errorf("%s, %d: %v", point, n, err)
			}
			o.done(c)
			o.v.stop()
		}
	}
	t.Logf("%d crashes: each of %d items came to its end exactly once", crashes, crashes*choreCount)
}

// Two workers with views of their own do the same at the same time.
func TestWorkersMayDoTheSameAtOnce(t *testing.T) {
	o := newOffice(t)
	other := views(o.ledger)
	c := o.chores()
	o.v.caughtUp(o.store)
	other.caughtUp(o.store)
	second := o.options()
	second.Views = other.Views
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	for _, options := range []projections.WorkerOptions{o.options(), second, o.options()} {
		options.Now = time.Now
		w := projections.NewWorker(options)
		ended.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	emptied(t, o, o.v)
	cancel()
	ended.Wait()
	o.done(c)
}

// emptied waits until the list of gateway work is empty.
func emptied(t *testing.T, o *office, v *running) {
	t.Helper()
	o.v.caughtUp(o.store)
	for range 2000 {
		at := v.Position() // before the look: what comes after it wakes
		if projections.OpenWork(v.Views) == 0 {
			return
		}
		if err := v.Wait(bounded(t), at+1); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the list does not become empty")
}

// A lost answer is found out by asking again with the same key.
func TestAnAnswerThatGotLostIsFoundOut(t *testing.T) {
	o := newOffice(t)
	id, gone := o.attached("cus_1", "tok_visa_lost"), o.attached("cus_1", "tok_amex_lost")
	o.execute(stream("cus_1"), domain.VerifyMethod{MethodID: id})
	o.execute(stream("cus_1"), domain.DetachMethod{MethodID: gone})
	if did, err := o.idle(projections.NewWorker(o.options())); did != 4 || err != nil {
		t.Errorf("did %d: %v", did, err)
	}
	if o.method("cus_1", id).Verification.Status != domain.Verified || o.method("cus_1", gone).GatewayDetach != "done" {
		t.Error("they did not come to their ends")
	}
	if n := len(o.gateway.Effects()); n != 2 {
		t.Errorf("%d effects", n)
	}
}

// What is due is a view like any other: a rebuild finds the same.
func TestARebuildFindsTheSameToDo(t *testing.T) {
	o := newOffice(t)
	o.chores()
	o.v.caughtUp(o.store)
	before, open := dump(t, o.v.Views), projections.OpenWork(o.v.Views)
	again := views(o.ledger)
	again.caughtUp(o.store)
	if got := dump(t, again.Views); got != before || open != choreCount {
		t.Errorf("%d open; %s", open, firstDifference(before, got))
	}
	o.idle(projections.NewWorker(o.options()))
	again.caughtUp(o.store)
	if n := projections.OpenWork(again.Views); n != 0 {
		t.Errorf("%d items are left", n)
	}
}
