package projections_test

import (
	"context"
	"sync"
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
	if did, _ := o.idle(projections.NewWorker(options)); did != 3*choreCount {
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
	w := projections.NewWorker(o.options())
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
	if calls := o.gateway.Calls(o.gateway.Effects()[0].Key); calls != 1 {
		t.Errorf("the gateway was asked %d times", calls)
	}
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
	o.execute(stream("cus_1"), slow)
	o.v.caughtUp(o.store)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	w := projections.NewWorker(options)
	go func() { ended <- w.Run(ctx) }()
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
	if m := o.method("cus_1", slow.MethodID); m.Status != domain.StatusPending {
		t.Errorf("the slow one is %s", m.Status)
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
