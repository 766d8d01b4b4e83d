package api

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore/memory"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/sandbox"
)

// interrupted is a gateway whose answer to a confirmation is on its way while
// something else happens; and one whose verification it may fail to answer.
type interrupted struct {
	*sandbox.Gateway
	meanwhile func()
	silent    bool
}

func (g *interrupted) Confirm(ctx context.Context, r gateway.Request, reference string, named gateway.Deposits) (bool, error) {
	matches, err := g.Gateway.Confirm(ctx, r, reference, named)
	if g.meanwhile != nil {
		g.meanwhile()
	}
	return matches, err
}

func (g *interrupted) Verify(ctx context.Context, r gateway.Request, i gateway.Instrument) (gateway.Verification, error) {
	if g.silent {
		return gateway.Verification{}, &gateway.Error{Kind: gateway.UnknownOutcome, Message: "no answer"}
	}
	return g.Gateway.Verify(ctx, r, i)
}

// verification is what the ledger holds of the verification of cus_1's method.
func (b *bench) verification(id string) domain.Verification {
	b.t.Helper()
	state, _, err := b.ledger.State(b.t.Context(), domain.CustomerStream("demo", "cus_1", ""))
	if err != nil {
		b.t.Fatal(err)
	}
	return state.(*domain.Customer).Methods[domain.MethodID(id)].Verification
}

// ops counts what happened at the sandbox, by kind.
func (b *bench) ops() map[string]int {
	counts := map[string]int{}
	for _, e := range b.sandbox.Effects() {
		counts[e.Op]++
	}
	return counts
}

// The provider takes a confirmation while another process tells that its time is
// over: the ledger stays with what it told, and asks the provider to end it.
func TestWhatHasExpiredIsNotVerifiedByAnAnswerThatCameLate(t *testing.T) {
	store, shared := memory.New(), &interrupted{Gateway: &sandbox.Gateway{}}
	a := newNode(t, store, 1, func(o *Options) { o.Gateways["sandbox"] = shared })
	other := newNode(t, store, 2, func(o *Options) { o.Gateways["sandbox"] = shared })
	a.sandbox, other.sandbox = shared.Gateway, shared.Gateway
	shared.Gateway.Now = a.clock.Now
	id := idIn(a.want(201, a.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"bank_account","token":"ba_us"}`)).body)
	a.want(202, a.do("POST", "/v1/payment-methods/"+id+"/verify", ""))
	reference := a.verification(id).Reference
	shared.meanwhile = func() {
		other.clock.add(domain.MicroDepositLifetime)
		other.settle()
	}
	a.refused(409, "verification.expired", a.do("POST", "/v1/payment-methods/"+id+"/verify/confirm", `{"amounts":[32,45]}`))
	if got := a.ops(); got["confirm"] != 1 || got["cancel"] != 0 {
		t.Errorf("at the gateway: %v, want what succeeded and nothing to cancel", got)
	}
	notice := func(n int) string {
		return fmt.Sprintf(`{"id":"evt_%d","token":"ba_us","reference":%q,"verified":"micro_deposits"}`, n, reference)
	}
	a.want(200, a.webhook(notice(1)))
	if m := a.want(200, a.do("GET", "/v1/payment-methods/"+id, "")); !strings.Contains(m.body, `"last_error":"expired"`) || !strings.Contains(m.body, `"verified":false`) {
		t.Error(m.body)
	}
	// The next verification, too, rests on evidence of its own: also before the
	// provider has answered, when only the history knows what the notice is about.
	shared.silent = true
	a.want(202, a.do("POST", "/v1/payment-methods/"+id+"/verify", ""))
	a.want(200, a.webhook(notice(2)))
	a.want(200, a.webhook(fmt.Sprintf(`{"id":"evt_3","token":"ba_us","reference":%q,"unverified":"declined"}`, reference)))
	a.want(200, a.webhook(`{"id":"evt_4","token":"ba_us","reference":"never_heard_of","unverified":"declined"}`))
	if v := a.verification(id); v.Status != domain.VerificationPending || v.Kind != "" {
		t.Errorf("before the answer: %+v", v)
	}
	shared.silent = false
	a.clock.add(domain.MicroDepositLifetime)
	a.settle()
	if v := a.verification(id); v.Status != domain.VerificationPending || v.Reference == reference {
		t.Errorf("after it: %+v", v)
	}
}

// What the buyer approves after the setup intent was canceled attaches nothing.
func TestWhatWasCanceledIsCanceledAtTheProvider(t *testing.T) {
	b := newBench(t)
	const body = `{"customer_id":"cus_1","token":"tok_visa_3ds","confirm":true}`
	s := b.intent(b.do("POST", "/v1/setup-intents", body))
	b.want(200, b.do("POST", "/v1/setup-intents/"+s.ID+"/cancel", ""))
	b.settle()
	if got := b.ops(); got["cancel"] != 1 {
		t.Errorf("at the gateway: %v", got)
	}
	b.as("", "GET", s.back(), "")
	b.want(200, b.webhook(`{"id":"evt_1","token":"tok_visa_3ds","reference":"`+b.reference(s.ID)+`","setup":{}}`))
	if a := b.want(200, b.do("GET", "/v1/setup-intents/"+s.ID, "")); !strings.Contains(a.body, `"status":"canceled"`) || !strings.Contains(a.body, `"payment_method_id":null`) {
		t.Error(a.body)
	}
	if got := b.ops(); got["approve"] != 0 {
		t.Errorf("at the gateway: %v", got)
	}
}

// reference is the provider's name of a setup intent of cus_1.
func (b *bench) reference(id string) string {
	b.t.Helper()
	state, _, err := b.ledger.State(b.t.Context(), domain.CustomerStream("demo", "cus_1", ""))
	if err != nil {
		b.t.Fatal(err)
	}
	return state.(*domain.Customer).SetupIntents[domain.SetupIntentID(id)].Reference
}
