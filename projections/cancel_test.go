package projections_test

import (
	"context"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/projections"
)

func (o *office) request(customer, token, key string) gateway.Request {
	return gateway.Request{Organization: "acme", Customer: customer, Token: token, IdempotencyKey: key}
}

// begunDeposits attaches a bank account whose verification waits for its holder.
func (o *office) begunDeposits(customer, token, key string) (id domain.MethodID, reference string) {
	o.t.Helper()
	id = o.attached(customer, token)
	asked := o.execute(stream(customer), domain.VerifyMethod{MethodID: id})
	v, err := o.gateway.Verify(o.t.Context(), o.request(customer, token, key), gateway.Instrument{})
	if err != nil {
		o.t.Fatal(err)
	}
	o.execute(stream(customer), domain.RecordVerification{
		MethodID: id, Asked: asked.Version, Kind: v.Kind, Named: v.Named, ArrivalDate: v.ArrivalDate, Reference: v.Reference,
	})
	return id, v.Reference
}

// begunSetup makes a setup intent that waits for its buyer.
func (o *office) begunSetup(customer, token, key string) (id domain.SetupIntentID, reference string) {
	o.t.Helper()
	id = domain.NewSetupIntentID(o.id())
	asked := o.execute(stream(customer), domain.CreateSetupIntent{
		SetupIntentID: id, Usage: "off_session", Provider: "sandbox", Token: token, Confirm: true,
	})
	a, err := o.gateway.Setup(o.t.Context(), o.request(customer, token, key), gateway.Setup{Usage: "off_session", ReturnURL: "https://return.example"})
	if err != nil || a.NextAction == nil {
		o.t.Fatalf("%+v, %v", a, err)
	}
	o.execute(stream(customer), domain.ResolveSetupIntent{
		SetupIntentID: id, Version: asked.Version, NextAction: a.NextAction, Reference: a.Reference,
	})
	return id, a.Reference
}

// expire ends a verification by micro-deposits by time.
func (o *office) expire(id domain.MethodID) {
	o.t.Helper()
	if _, err := o.try(stream("cus_1"), domain.ExpireVerification{MethodID: id}); domain.CodeOf(err) != domain.CodeVerificationExpired {
		o.t.Fatalf("it does not expire: %v", err)
	}
}

// right are the deposits that arrive.
var right = gateway.Deposits{Amounts: []int{32, 45}}

// canceled counts the cancels at the gateway.
func (o *office) canceled() (n int) {
	for _, e := range o.gateway.Effects() {
		if e.Op == "cancel" {
			n++
		}
	}
	return n
}

func TestWhatEndsHereIsCanceledAtTheGateway(t *testing.T) {
	for name, end := range map[string]func(o *office) (reference string){
		"a verification whose time is over": func(o *office) string {
			id, reference := o.begunDeposits("cus_1", "ba_us", "begun")
			o.now = o.now.Add(domain.MicroDepositLifetime)
			o.expire(id)
			return reference
		},
		"a verification without attempts": func(o *office) string {
			id, reference := o.begunDeposits("cus_1", "ba_us", "begun")
			for range domain.AmountAttempts {
				if _, err := o.try(stream("cus_1"), domain.ConfirmVerification{MethodID: id, Reference: reference, Named: domain.NamedAmounts}); err == nil {
					o.t.Error("a wrong answer is taken")
				}
			}
			return reference
		},
		"the verification of a detached method": func(o *office) string {
			id, reference := o.begunDeposits("cus_1", "ba_us", "begun")
			o.execute(stream("cus_1"), domain.DetachMethod{MethodID: id})
			return reference
		},
		"the verification of a method that another takes the place of": func(o *office) string {
			id, reference := o.begunDeposits("cus_1", "ba_us", "begun")
			o.execute(stream("cus_1"), domain.ReplaceWith{MethodID: id, With: o.attached("cus_1", "tok_visa")})
			return reference
		},
		"the verification of a token that another takes the place of": func(o *office) string {
			id, reference := o.begunDeposits("cus_1", "ba_us", "begun")
			token := "ba_us_fp_2"
			o.execute(stream("cus_1"), domain.UpdateMethod{MethodID: id, ProviderID: &token})
			return reference
		},
		"the verification of an instrument that another takes the place of": func(o *office) string {
			id, reference := o.begunDeposits("cus_1", "ba_us", "begun")
			o.execute(stream("cus_1"), domain.ReplaceInstrument{
				MethodID: id, Provider: "sandbox", ProviderID: "ba_us_fp_2", Facts: factsOf(domain.TypeBankAccount), Policy: policy(),
			})
			return reference
		},
		"a setup intent that is canceled": func(o *office) string {
			id, reference := o.begunSetup("cus_1", "tok_visa_3ds", "begun")
			o.execute(stream("cus_1"), domain.CancelSetupIntent{SetupIntentID: id})
			return reference
		},
		"a setup intent whose time is over": func(o *office) string {
			id, reference := o.begunSetup("cus_1", "tok_visa_3ds", "begun")
			o.now = o.now.Add(domain.SetupIntentLifetime)
			o.execute(stream("cus_1"), domain.ExpireSetupIntent{SetupIntentID: id})
			return reference
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			o.isCanceledOnce(end(o))
		})
	}
}

// isCanceledOnce: the worker tells the gateway, once, and nobody can finish there
// what was begun under the reference.
func (o *office) isCanceledOnce(reference string) {
	o.t.Helper()
	open := projections.OpenWork(caught(o).Views)
	if did, err := o.idle(projections.NewWorker(o.options())); did != open || err != nil || projections.OpenWork(caught(o).Views) != 0 {
		o.t.Errorf("did %d of %d: %v", did, open, err)
	}
	effects := o.gateway.Effects()
	var last int
	for i, e := range effects {
		if e.Op == "cancel" {
			last = i
		}
	}
	if effects[last].Op != "cancel" || o.canceled() != 1 || effects[last].Key == "begun" || effects[last].Key == "" {
		o.t.Fatalf("%+v", effects)
	}
	if ok, err := o.gateway.Confirm(o.t.Context(), o.request("cus_1", effects[0].Token, "late"), reference, right); ok || gateway.KindOf(err) == "" {
		o.t.Errorf("it can still be confirmed: %v, %v", ok, err)
	}
}

func caught(o *office) *running {
	o.v.caughtUp(o.store)
	return o.v
}

// The gateway holds a verification whose answer never arrived here: it is found by
// the key of the question, once that cannot begin anything any more.
func TestWhatWasNeverAnsweredIsCanceledByItsQuestion(t *testing.T) {
	o := newOffice(t)
	id := o.attached("cus_1", "ba_us_lost")
	o.execute(stream("cus_1"), domain.VerifyMethod{MethodID: id})
	w := projections.NewWorker(o.options())
	o.v.caughtUp(o.store)
	if did, _, err := w.Step(t.Context(), o.real); !did || gateway.KindOf(err) != gateway.UnknownOutcome {
		t.Fatalf("the answer did not get lost: %v", err)
	}
	o.execute(stream("cus_1"), domain.DetachMethod{MethodID: id})
	caught(o)
	begin := o.real
	for range 20 { // the detach is done at once, the cancel is not
		did, next, err := w.Step(t.Context(), o.real)
		if o.canceled() > 0 {
			break
		}
		if err != nil {
			t.Log(err) // its answer gets lost as well
		}
		if !did {
			o.real = next
		}
		caught(o)
	}
	if waited := o.real.Sub(begin); o.canceled() != 1 || waited < 20*time.Second {
		t.Fatalf("%d canceled after %v", o.canceled(), waited)
	}
	if _, err := o.idle(w); err != nil || len(o.method("cus_1", id).LeftOpen) > 0 || o.canceled() != 1 {
		t.Errorf("%v; left %+v; %d canceled", err, o.method("cus_1", id).LeftOpen, o.canceled())
	}
	if n := projections.OpenWork(caught(o).Views); n != 0 {
		t.Errorf("%d items are left", n)
	}
}

func TestACancelThatNobodyTakesIsGivenUpAndCounted(t *testing.T) {
	o := newOffice(t)
	id, _ := o.begunDeposits("cus_1", "ba_us", "begun")
	intent, _ := o.begunSetup("cus_1", "tok_visa_3ds", "begun")
	o.execute(stream("cus_1"), domain.ReplaceInstrument{
		MethodID: id, Provider: "sandbox", ProviderID: "ba_us_fp_2", Facts: factsOf(domain.TypeBankAccount), Policy: policy(),
	})
	o.execute(stream("cus_1"), domain.CancelSetupIntent{SetupIntentID: intent})
	shown, version := o.method("cus_1", id).Version, o.intent("cus_1", intent).Version
	caught(o)
	away := true
	options := o.options()
	options.Attempts = 3
	options.Gateways = map[string]gateway.Gateway{"sandbox": absent{o.gateway, &away}}
	w := projections.NewWorker(options)
	if did, _ := o.idle(w); did != 6 || w.Uncanceled() != 2 {
		t.Errorf("%d attempts, %d given up", did, w.Uncanceled())
	}
	steps, _, err := o.replay()
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, s := range steps {
		switch e := s.event.(type) {
		case domain.GatewayCanceled:
			if told++; e.Failure == "" {
				t.Error("the log says that the gateway was told")
			}
		case domain.SetupGatewayCanceled:
			if told++; e.Failure == "" {
				t.Error("the log says that the gateway was told")
			}
		}
	}
	if told != 2 || o.method("cus_1", id).Version != shown || o.intent("cus_1", intent).Version != version {
		t.Errorf("%d records; what is shown is at version %d and %d", told, o.method("cus_1", id).Version, o.intent("cus_1", intent).Version)
	}
	if messages, err := o.v.Messages(0, 1000); err != nil || len(messages) == 0 {
		t.Fatal(err)
	} else {
		for _, m := range messages {
			if m.Type == "payment_method.gateway_canceled" || m.Type == "setup_intent.gateway_canceled" {
				t.Errorf("%s is published", m.Type)
			}
		}
	}
}

// meeting is a gateway whose holder confirms at the moment of a cancel.
type meeting struct {
	gateway.Gateway
	confirm func(reference string)
}

func (m meeting) Cancel(ctx context.Context, r gateway.Request, reference string) error {
	m.confirm(reference)
	return m.Gateway.Cancel(ctx, r, reference)
}

// A confirmation is on its way while the verification expires: the gateway takes
// it, and the ledger, which has told that it expired, stays with that.
func TestAConfirmationThatMeetsTheCancelVerifiesNothing(t *testing.T) {
	o := newOffice(t)
	id, reference := o.begunDeposits("cus_1", "ba_us", "begun")
	o.now = o.now.Add(domain.MicroDepositLifetime)
	o.expire(id)
	caught(o)
	options := o.options()
	options.Gateways = map[string]gateway.Gateway{"sandbox": meeting{o.gateway, func(reference string) {
		matches, err := o.gateway.Confirm(t.Context(), o.request("cus_1", "ba_us", "in flight"), reference, right)
		if !matches || err != nil {
			t.Fatalf("the gateway does not take the confirmation: %v, %v", matches, err)
		}
		// Its answer, and the gateway's own word of it, arrive too late.
		if _, err := o.try(stream("cus_1"), domain.ConfirmVerification{MethodID: id, Reference: reference, Named: domain.NamedAmounts, Matches: true}); domain.CodeOf(err) != domain.CodeVerificationExpired {
			t.Errorf("the answer: %v", err)
		}
		if r, err := o.try(stream("cus_1"), domain.RecordVerification{MethodID: id, Done: true, Kind: domain.EvidenceMicroDeposits, Reference: reference}); err != nil || len(r.Events) > 0 {
			t.Errorf("the notice: %v, %v", r.Events, err)
		}
	}}}
	if did, err := o.idle(projections.NewWorker(options)); did != 1 || err != nil {
		t.Errorf("did %d: %v", did, err)
	}
	m := o.method("cus_1", id)
	if m.Verification.Status != domain.VerificationFailed || m.Verification.LastError != "expired" || len(m.LeftOpen) > 0 || o.canceled() != 0 {
		t.Errorf("%+v, left %+v, %d canceled", m.Verification, m.LeftOpen, o.canceled())
	}
	// The holder begins anew; the evidence of before is none for this one.
	asked := o.execute(stream("cus_1"), domain.VerifyMethod{MethodID: id})
	o.execute(stream("cus_1"), domain.RecordVerification{MethodID: id, Done: true, Kind: domain.EvidenceMicroDeposits, Reference: reference})
	if v := o.method("cus_1", id).Verification; v.Status != domain.VerificationPending || v.Asked != asked.Version {
		t.Errorf("%+v", v)
	}
}
