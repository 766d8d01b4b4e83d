package projections_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/projections"
)

// absent is a gateway that cannot be reached for a while.
type absent struct {
	gateway.Gateway
	away *bool
}

func (a absent) check() error {
	if *a.away {
		return &gateway.Error{Kind: gateway.Unavailable, Message: "away"}
	}
	return nil
}

func (a absent) Lookup(ctx context.Context, r gateway.Request) (gateway.Instrument, error) {
	if err := a.check(); err != nil {
		return gateway.Instrument{}, err
	}
	return a.Gateway.Lookup(ctx, r)
}

func (a absent) Verify(ctx context.Context, r gateway.Request, i gateway.Instrument) (gateway.Verification, error) {
	if err := a.check(); err != nil {
		return gateway.Verification{}, err
	}
	return a.Gateway.Verify(ctx, r, i)
}

func (a absent) Setup(ctx context.Context, r gateway.Request, s gateway.Setup) (gateway.SetupAnswer, error) {
	if err := a.check(); err != nil {
		return gateway.SetupAnswer{}, err
	}
	return a.Gateway.Setup(ctx, r, s)
}

func (a absent) Cancel(ctx context.Context, r gateway.Request, reference string) error {
	if err := a.check(); err != nil {
		return err
	}
	return a.Gateway.Cancel(ctx, r, reference)
}

func (a absent) Detach(ctx context.Context, r gateway.Request) error {
	if err := a.check(); err != nil {
		return err
	}
	return a.Gateway.Detach(ctx, r)
}

func TestWhatIsAskedWhileTheGatewayIsAwayIsDoneWhenItIsBack(t *testing.T) {
	o := newOffice(t)
	c := o.chores()
	o.v.caughtUp(o.store)
	away := true
	options := o.options()
	options.Gateways = map[string]gateway.Gateway{"sandbox": absent{o.gateway, &away}}
	w := projections.NewWorker(options)
	for range 40 {
		_, next, _ := w.Step(t.Context(), o.real)
		if next.Sub(o.real) > 5*time.Minute {
			t.Fatalf("the next attempt is %v away", next.Sub(o.real))
		}
		o.real = next
	}
	if n := projections.OpenWork(o.v.Views); n != choreCount {
		t.Errorf("%d items are left while the gateway is away", n)
	}
	away = false
	if did, err := o.idle(w); did != choreCount || err != nil {
		t.Errorf("did %d: %v", did, err)
	}
	o.done(c)
}

func TestWhatIsNeverAnsweredIsRecordedAsThat(t *testing.T) {
	o := newOffice(t)
	c := o.chores()
	o.v.caughtUp(o.store)
	away := true
	options := o.options()
	options.Attempts = 3
	options.Gateways = map[string]gateway.Gateway{"sandbox": absent{o.gateway, &away}}
	// Two verifications and a setup may have begun all the same: they are canceled.
	if did, _ := o.idle(projections.NewWorker(options)); did != 3*(choreCount+3) {
		t.Errorf("%d attempts", did)
	}
	if v := o.method("cus_1", c.card).Verification; v.Status != domain.VerificationFailed || v.LastError != "gateway_unavailable" {
		t.Errorf("card: %+v", v)
	}
	if m := o.method("cus_1", c.detached); m.GatewayDetach != "failed" {
		t.Errorf("detached: %q", m.GatewayDetach)
	}
	if m := o.method("cus_1", c.synced); m.Status != domain.StatusFailed || m.StatusReason == "" {
		t.Errorf("synced: %s %q", m.Status, m.StatusReason)
	}
	if s := o.intent("cus_1", c.intent); s.Status != domain.SetupNeedsMethod || s.LastError.Code != domain.CodeGatewayUnavailable {
		t.Errorf("intent: %+v", s)
	}
}

// An item that another command has ended is nobody's work any more.
func TestWhatOthersHaveDoneIsLeftAlone(t *testing.T) {
	o := newOffice(t)
	w := projections.NewWorker(o.options())
	id := o.attached("cus_1", "tok_visa")
	asked := o.execute(stream("cus_1"), domain.VerifyMethod{MethodID: id})
	o.execute(stream("cus_1"), domain.RecordVerification{
		MethodID: id, Asked: asked.Version, Kind: domain.EvidenceCardAuth, Done: true,
	})
	if r, err := w.Do(t.Context(), stream("cus_1"), asked); err != nil || r.Version != asked.Version {
		t.Errorf("Do: version %d, %v", r.Version, err)
	}
	if did, err := o.idle(w); did != 0 || err != nil {
		t.Errorf("did %d: %v", did, err)
	}
	if n := len(o.gateway.Effects()); n != 0 {
		t.Errorf("%d effects", n)
	}
}

// Do and Run of one process do not ask the gateway the same thing at once.
func TestDoAndTheWorkerShareAnItem(t *testing.T) {
	o := newOffice(t)
	var crowd crowded
	options := o.options()
	options.Gateways = map[string]gateway.Gateway{"sandbox": counting{o.gateway, &crowd}}
	w := projections.NewWorker(options)
	id := o.attached("cus_1", "tok_visa")
	asked := o.execute(stream("cus_1"), domain.VerifyMethod{MethodID: id})
	var all sync.WaitGroup
	versions := make([]uint64, 8)
	for i := range versions {
		all.Go(func() {
			r, err := w.Do(context.Background(), stream("cus_1"), asked)
			if err != nil {
				t.Error(err)
			}
			versions[i] = r.Version
		})
	}
	all.Wait()
	for _, v := range versions {
		if v != versions[0] {
			t.Errorf("the answers differ: %v", versions)
		}
	}
	if calls := o.gateway.Calls(o.gateway.Effects()[0].Key); calls != 1 || crowd.most.Load() != 1 {
		t.Errorf("the gateway was asked %d times, %d at once", calls, crowd.most.Load())
	}
}

// crowded counts the calls that are made at the same time.
type crowded struct{ inside, most atomic.Int64 }

type counting struct {
	gateway.Gateway
	*crowded
}

func (c counting) Verify(ctx context.Context, r gateway.Request, i gateway.Instrument) (gateway.Verification, error) {
	defer c.inside.Add(-1)
	if n := c.inside.Add(1); n > c.most.Load() {
		c.most.Store(n)
	}
	for range 1000 {
		runtime.Gosched() // let the others in, if they can
	}
	return c.Gateway.Verify(ctx, r, i)
}

// A gateway that hangs is left after the timeout, and holds up no other.
func TestASlowGatewayHoldsUpNoOther(t *testing.T) {
	o := newOffice(t)
	slow, quick := o.card(), o.card()
	for _, cmd := range []*domain.AttachMethod{&slow, &quick} {
		cmd.Unsynced, cmd.Facts, cmd.ProviderID = true, domain.Facts{Type: domain.TypeCard}, "tok_visa"
	}
	slow.Provider = "slow"
	entered := make(chan struct{}, 16)
	options := o.options()
	options.Now, options.Timeout = time.Now, 30*time.Second
	options.Gateways["slow"] = hanging{entered: entered}
	options.Concurrency = 2
	for i := range 5 {
		slow.MethodID = o.methodID()
		o.execute(stream(fmt.Sprintf("slow_%d", i)), slow)
	}
	o.v.caughtUp(o.store)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	w := projections.NewWorker(options)
	go func() { ended <- w.Run(ctx) }()
	<-entered
	<-entered
	position := o.execute(stream("cus_2"), quick).Position
	for o.method("cus_2", quick.MethodID).Status != domain.StatusActive {
		if err := o.v.WaitMessages(bounded(t), position); err != nil {
			t.Fatal(err)
		}
		position = o.v.LastMessage()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if m := o.method("slow_4", slow.MethodID); m.Status != domain.StatusPending {
		t.Errorf("a slow one is %s", m.Status)
	}
	if more := len(entered); more > 0 {
		t.Errorf("%d more than 2 were asked at once", more)
	}
}

type hanging struct {
	gateway.Gateway
	entered chan struct{}
}

func (h hanging) Lookup(ctx context.Context, _ gateway.Request) (gateway.Instrument, error) {
	h.entered <- struct{}{}
	<-ctx.Done()
	return gateway.Instrument{}, &gateway.Error{Kind: gateway.UnknownOutcome, Message: "no answer", Err: ctx.Err()}
}
