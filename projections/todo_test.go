package projections_test

import (
	"context"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/sandbox"
	"github.com/pmledger/pmledger/projections"
)

// office is a ledger with views, a gateway, and a worker that a test drives.
type office struct {
	*ledger
	v       *running
	gateway *sandbox.Gateway
	real    time.Time // of the worker's pauses
}

func newOffice(t *testing.T) *office {
	l := newLedger(t)
	return &office{ledger: l, v: views(l), gateway: &sandbox.Gateway{}, real: epoch}
}

func (o *office) policy(context.Context, string) (domain.Policy, time.Time, error) {
	return policy(), o.now, nil
}

func (o *office) options() projections.WorkerOptions {
	return projections.WorkerOptions{
		Views: o.v.Views, Ledger: o.Ledger, Gateways: map[string]gateway.Gateway{"sandbox": o.gateway}, Policy: o.policy,
		ReturnURL: func(s *domain.SetupIntent) string { return "https://return.example/" + string(s.ID) },
		Logger:    quiet(), Now: func() time.Time { return o.real }, Random: func() float64 { return 0.5 }, Grace: time.Nanosecond,
	}
}

// idle lets the worker do all there is, skipping its pauses.
func (o *office) idle(w *projections.Worker) (did int, last error) {
	o.t.Helper()
	for range 10_000 {
		o.v.caughtUp(o.store)
		done, next, err := w.Step(o.t.Context(), o.real)
		switch {
		case done:
			did++
			last = err
		case next.IsZero():
			return did, last
		default:
			o.real = next
		}
	}
	o.t.Fatalf("the worker does not come to an end: %v", last)
	return did, last
}

// pending attaches a method that the gateway has not told of yet.
func (o *office) pending(customer, token string, typ domain.Type) (domain.MethodID, eventstore.Result) {
	o.t.Helper()
	cmd := o.card()
	cmd.Type, cmd.Facts, cmd.ProviderID, cmd.FactsFrom, cmd.Unsynced = typ, domain.Facts{Type: typ}, token, "", true
	cmd.Policy.DuplicatePolicy = domain.DuplicateAllow
	return cmd.MethodID, o.execute(domain.CustomerStream("acme", customer, cmd.MethodID), cmd)
}

// attached attaches what the gateway tells of a token.
func (o *office) attached(customer, token string) domain.MethodID {
	o.t.Helper()
	i, err := o.gateway.Lookup(o.t.Context(), gateway.Request{Organization: "acme", Token: token})
	if err != nil {
		o.t.Fatal(err)
	}
	cmd := o.card()
	cmd.Type, cmd.Facts, cmd.ProviderID = i.Type, i.Facts, token
	cmd.Policy.DuplicatePolicy = domain.DuplicateAllow
	o.execute(domain.CustomerStream("acme", customer, cmd.MethodID), cmd)
	return cmd.MethodID
}

func (o *office) method(customer string, id domain.MethodID) *domain.Method {
	o.t.Helper()
	return method(o.t, o.ledger, "acme", customer, id)
}

func (o *office) intent(customer string, id domain.SetupIntentID) *domain.SetupIntent {
	o.t.Helper()
	state, _, err := o.State(context.Background(), domain.CustomerStream("acme", customer, ""))
	if err != nil {
		o.t.Fatal(err)
	}
	return state.(*domain.Customer).SetupIntents[id]
}

func stream(customer string) string { return domain.CustomerStream("acme", customer, "") }

func TestAPendingMethodIsSynced(t *testing.T) {
	o := newOffice(t)
	id, _ := o.pending("cus_1", "tok_visa_updates", domain.TypeCard)
	bank, _ := o.pending("cus_1", "ba_us", domain.TypeBankAccount)
	wrong, _ := o.pending("cus_1", "paypal_demo", domain.TypeCard)
	declined, _ := o.pending("cus_1", "tok_visa_declined", domain.TypeCard)
	o.v.caughtUp(o.store)
	w := projections.NewWorker(o.options())
	if did, err := o.idle(w); did != 4 || err != nil {
		t.Errorf("did %d: %v", did, err)
	}
	if m := o.method("cus_1", id); m.Status != domain.StatusActive || m.Card == nil || m.Replacement == nil || m.ExpiresAt.IsZero() {
		t.Errorf("card: %+v", m)
	}
	if m := o.method("cus_1", bank); m.Status != domain.StatusActive || m.Personal.Holder == "" {
		t.Errorf("bank account: %+v", m)
	}
	for _, id := range []domain.MethodID{wrong, declined} {
		if m := o.method("cus_1", id); m.Status != domain.StatusFailed || m.StatusReason == "" {
			t.Errorf("%s %q", m.Status, m.StatusReason)
		}
	}
}

func TestAPendingMethodThatNeedsApprovalWaitsForIt(t *testing.T) {
	o := newOffice(t)
	w := projections.NewWorker(o.options())
	id, _ := o.pending("cus_1", "tok_visa_3ds", domain.TypeCard)
	if did, err := o.idle(w); did != 1 || err != nil {
		t.Errorf("did %d: %v", did, err)
	}
	m := o.method("cus_1", id)
	if m.Status != domain.StatusPending || m.SetupIntent == "" || m.NextAction == nil || m.NextAction.RedirectURL == "" {
		t.Fatalf("%+v", m)
	}
	s := o.intent("cus_1", m.SetupIntent)
	r, err := w.Do(t.Context(), stream("cus_1"), o.execute(stream("cus_1"), domain.ApproveSetupIntent{SetupIntentID: s.ID, Version: s.Version}))
	if m = r.State.(*domain.Customer).Methods[id]; err != nil || m.Status != domain.StatusActive || m.Card == nil {
		t.Errorf("%v %+v", err, m)
	}
}

func TestDoAnswersAtOnceAndAgain(t *testing.T) {
	o := newOffice(t)
	w := projections.NewWorker(o.options())
	id := o.attached("cus_1", "tok_visa")
	asked := o.execute(stream("cus_1"), domain.VerifyMethod{MethodID: id})
	after, err := w.Do(t.Context(), stream("cus_1"), asked)
	if err != nil || after.State.(*domain.Customer).Methods[id].Verification.Status != domain.Verified {
		t.Fatalf("Do: %v %+v", err, after.State.(*domain.Customer).Methods[id].Verification)
	}
	again, err := w.Do(t.Context(), stream("cus_1"), asked)
	if err != nil || !again.Replayed || again.Version != after.Version {
		t.Errorf("Do again: %v, version %d replayed %v, want %d", err, again.Version, again.Replayed, after.Version)
	}
	if effects := o.gateway.Effects(); len(effects) != 1 {
		t.Errorf("%d effects at the gateway", len(effects))
	}
	if did, err := o.idle(w); did > 1 || err != nil {
		t.Errorf("the worker did %d: %v", did, err)
	}
	silent := o.attached("cus_1", "ba_us_instant_fp_1")
	nothing, err := w.Do(t.Context(), stream("cus_1"), o.execute(stream("cus_1"), domain.SetDefault{MethodID: silent}))
	if err != nil || len(nothing.Events) != 1 {
		t.Errorf("a command that calls for nothing: %v %v", nothing.Events, err)
	}
}

func TestARefusalOfTheGatewayIsTheAnswerAndIsRecorded(t *testing.T) {
	o := newOffice(t)
	w := projections.NewWorker(o.options())
	id := o.attached("cus_1", "tok_visa_verify_fails")
	after, err := w.Do(t.Context(), stream("cus_1"), o.execute(stream("cus_1"), domain.VerifyMethod{MethodID: id}))
	if domain.CodeOf(err) != domain.CodeGatewayDeclined || len(after.Events) != 2 {
		t.Fatalf("Do: %v, %v", after.Events, err)
	}
	if v := o.method("cus_1", id).Verification; v.Status != domain.VerificationFailed || v.LastError != "declined" {
		t.Errorf("%+v", v)
	}
	if did, err := o.idle(w); did > 1 || err != nil {
		t.Errorf("the worker did %d: %v", did, err)
	}
}

func TestWhatTheGatewayDoesNotAnswerIsAskedAgainAndGivenUpAtLast(t *testing.T) {
	o := newOffice(t)
	options := o.options()
	options.Attempts = 5
	w := projections.NewWorker(options)
	id, result := o.pending("cus_1", "tok_visa_unavailable", domain.TypeCard)
	if same, err := w.Do(t.Context(), stream("cus_1"), result); gateway.KindOf(err) != gateway.Unavailable || same.Version != result.Version {
		t.Errorf("Do: version %d, %v", same.Version, err)
	}
	begin := o.real
	if did, _ := o.idle(w); did != 5 {
		t.Errorf("%d attempts", did)
	}
	if m := o.method("cus_1", id); m.Status != domain.StatusFailed {
		t.Errorf("%s %q", m.Status, m.StatusReason)
	}
	// 1, 2, 4 and 8 seconds, three quarters of each with this random number.
	if took := o.real.Sub(begin); took < 11*time.Second || took > 12*time.Second {
		t.Errorf("the attempts took %v", took)
	}
}

func TestASetupIntentComesToItsEnd(t *testing.T) {
	o := newOffice(t)
	w := projections.NewWorker(o.options())
	create := func(token string, typ domain.Type) (domain.SetupIntentID, eventstore.Result, error) {
		id := domain.NewSetupIntentID(o.id())
		r, err := w.Do(t.Context(), stream("cus_1"), o.execute(stream("cus_1"), domain.CreateSetupIntent{
			SetupIntentID: id, Type: typ, Usage: "off_session", Provider: "sandbox", Token: token, Confirm: true, SetAsDefault: true,
			Metadata: map[string]string{"order": "7"},
		}))
		return id, r, err
	}
	id, r, err := create("tok_visa", "")
	s := r.State.(*domain.Customer).SetupIntents[id]
	if err != nil || s.Status != domain.SetupSucceeded || r.State.(*domain.Customer).Default != s.MethodID || !s.MethodID.Valid() {
		t.Errorf("at once: %v %+v", err, s)
	}
	id, r, err = create("tok_mastercard_3ds", domain.TypeCard)
	s = r.State.(*domain.Customer).SetupIntents[id]
	if err != nil || s.Status != domain.SetupNeedsAction || s.NextAction.RedirectURL != "https://return.example/"+string(id) {
		t.Fatalf("approval: %v %+v", err, s)
	}
	r, err = w.Do(t.Context(), stream("cus_1"), o.execute(stream("cus_1"), domain.ApproveSetupIntent{SetupIntentID: id, Version: s.Version}))
	if s = r.State.(*domain.Customer).SetupIntents[id]; err != nil || s.Status != domain.SetupSucceeded {
		t.Errorf("approved: %v %+v", err, s)
	}
	for token, code := range map[string]domain.Code{
		"tok_visa_fp_1_declined": domain.CodeGatewayDeclined, "tok_nonsense": domain.CodeValidationFailed, "ba_us": domain.CodeValidationFailed,
	} {
		id, r, err = create(token, domain.TypeCard)
		if s = r.State.(*domain.Customer).SetupIntents[id]; err != nil || s.Status != domain.SetupNeedsMethod || s.LastError == nil || s.LastError.Code != code {
			t.Errorf("%s: %v %+v", token, err, s)
		}
	}
	o.v.caughtUp(o.store)
	row, found, err := o.v.SetupIntent("acme", id)
	if err != nil || !found || string(row.JSON) != string(projections.RenderSetupIntent(s, "")) || row.Stream != stream("cus_1") || row.Version != s.Version {
		t.Errorf("the view: %v %v %s", found, err, row.JSON)
	}
	if row, found, err := o.v.SetupIntent("", id); err != nil || !found || row.Intent.Organization != "acme" {
		t.Errorf("by whom the organization is not known: %v %v", found, err)
	}
	if _, found, _ := o.v.SetupIntentByReference("other", "sandbox", s.Reference); found {
		t.Error("another organization found it by its reference")
	}
	if _, found, _ := o.v.SetupIntent("other", id); found {
		t.Error("another organization found it")
	}
}

func TestADetachedMethodIsDetachedAtTheGateway(t *testing.T) {
	o := newOffice(t)
	detach := func(id domain.MethodID) { o.execute(stream("cus_1"), domain.DetachMethod{MethodID: id}) }
	alone, shared, twin := o.attached("cus_1", "tok_visa"), o.attached("cus_1", "tok_amex"), o.attached("cus_1", "tok_amex")
	foreign, external := o.attached("cus_1", "tok_discover"), "elsewhere"
	o.execute(stream("cus_1"), domain.UpdateMethod{MethodID: foreign, Provider: &external})
	w := projections.NewWorker(o.options())
	for _, id := range []domain.MethodID{alone, shared, foreign} {
		detach(id)
	}
	if did, err := o.idle(w); did != 3 || err != nil {
		t.Errorf("did %d: %v", did, err)
	}
	if m := o.method("cus_1", alone); m.GatewayDetach != "done" {
		t.Errorf("alone: %q", m.GatewayDetach)
	}
	if m := o.method("cus_1", shared); m.GatewayDetach != "done" { // which is nobody's concern
		t.Errorf("a token that another method stands for: %q", m.GatewayDetach)
	}
	if m := o.method("cus_1", foreign); m.GatewayDetach != "failed" {
		t.Errorf("a provider without a gateway: %q", m.GatewayDetach)
	}
	detach(twin)
	o.idle(w)
	if m := o.method("cus_1", twin); m.GatewayDetach != "done" {
		t.Errorf("the last with its token: %q", m.GatewayDetach)
	}
	if n := len(o.gateway.Effects()); n != 2 {
		t.Errorf("%d effects", n)
	}
}
