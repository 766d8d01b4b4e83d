package stripe_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/gatewaytest"
)

func TestContract(t *testing.T) {
	gatewaytest.Run(t, func(t *testing.T) gatewaytest.Provider { return newFake(t).provider(t) }, gatewaytest.Tokens{
		Card: "pm_card", OtherCard: "pm_other", Declined: "pm_declined", Unavailable: "pm_away", Unknown: "pm_missing",
		VerifyFails: "pm_verify_fails", NoVerify: "pm_sepa", Bank: "pm_bank", InstantBank: "pm_bank_instant", Approval: "pm_3ds",
		Lost: "pm_lost", LostBank: "pm_bank_lost", Slow: "pm_slow", Amounts: []int{32, 45}, Code: "SM11AA",
		Number: "4242424242424242", OtherNumber: "5555555555554444", DeclinedNumber: "4000000000000002",
	})
}

// fails checks the kind of an error, and that its text is fit for a log.
func fails(t *testing.T, what string, err error, kind gateway.Kind, says string) {
	t.Helper()
	var typed *gateway.Error
	if !errors.As(err, &typed) || typed.Kind != kind || !strings.Contains(typed.Message, says) {
		t.Errorf("%s: error %v, want kind %q that says %q", what, err, kind, says)
		return
	}
	for _, secret := range []string{apiKey, otherKey, limitKey, "seti_secret_canary", "pm_card", "a message"} {
		if strings.Contains(fmt.Sprintf("%+v %v", err, err), secret) {
			t.Errorf("%s: the error holds %q: %v", what, secret, err)
		}
	}
}

func TestAVerificationThatNeedsTheBuyerIsDeclinedAndCanceled(t *testing.T) {
	f := newFake(t)
	_, err := f.gateway(t).Verify(t.Context(), keyed("pm_3ds", "k"), gateway.Instrument{})
	fails(t, "verify", err, gateway.Declined, "setup intent")
	if f.intents["seti_1"]["status"] != "canceled" || f.intents["seti_1"]["cancellation_reason"] != "duplicate" {
		t.Errorf("the intent is left %v", f.intents["seti_1"])
	}
}

func TestADeclineNamesItsReason(t *testing.T) {
	f := newFake(t)
	g := f.gateway(t)
	_, err := g.Setup(t.Context(), keyed("pm_declined", "k"), gateway.Setup{})
	fails(t, "setup", err, gateway.Declined, "(insufficient_funds)")
	if !strings.Contains(err.Error(), "req_of_the_test") {
		t.Errorf("the log does not learn Stripe's request id: %v", err)
	}
	answer, err := g.Setup(t.Context(), keyed("pm_3ds", "later"), gateway.Setup{ReturnURL: "https://shop.example"})
	if err != nil {
		t.Fatal(err)
	}
	f.intents[answer.Reference]["status"] = "requires_payment_method"
	f.intents[answer.Reference]["last_setup_error"] = object{"type": "invalid_request_error", "code": "setup_intent_authentication_failure", "message": "a message"}
	_, err = g.Setup(t.Context(), keyed("pm_3ds", "back"), gateway.Setup{Approved: true, Reference: answer.Reference})
	fails(t, "an approval that failed", err, gateway.Declined, "(setup_intent_authentication_failure)")
	f.intents[answer.Reference]["status"], f.intents[answer.Reference]["last_setup_error"] = "requires_confirmation", nil
	ready, err := g.Setup(t.Context(), keyed("pm_3ds", "to be confirmed"), gateway.Setup{Approved: true, Reference: answer.Reference})
	if err != nil || ready.Instrument.Card == nil || f.made("POST /v1/setup_intents/"+answer.Reference+"/confirm") != 1 {
		t.Errorf("a setup that waited for a confirmation: %+v, %v", ready, err)
	}
	f.intents[answer.Reference]["status"] = "canceled"
	_, err = g.Setup(t.Context(), keyed("pm_3ds", "back again"), gateway.Setup{Approved: true, Reference: answer.Reference})
	fails(t, "a setup that was canceled", err, gateway.Declined, "gave this payment method up")
}

func TestASetupThatIsStillAtWorkIsFoundLater(t *testing.T) {
	f := newFake(t)
	g := f.gateway(t)
	if answer, err := g.Setup(t.Context(), keyed("pm_processing", "k"), gateway.Setup{}); err != nil || answer.Instrument.Card == nil {
		t.Errorf("done at the second look: %+v, %v", answer, err)
	}
	for range 2 {
		_, err := g.Setup(t.Context(), keyed("pm_stuck", "stuck"), gateway.Setup{})
		fails(t, "at work", err, gateway.UnknownOutcome, "still at work")
	}
	f.approve("pm_stuck")
	if answer, err := g.Setup(t.Context(), keyed("pm_stuck", "stuck"), gateway.Setup{}); err != nil || answer.Instrument.Card == nil || f.count("pm_stuck") != 1 {
		t.Errorf("done: %+v, %v, %d effects", answer, err, f.count("pm_stuck"))
	}
}

func TestNextActionsHoldNoSecret(t *testing.T) {
	f := newFake(t)
	g := f.gateway(t)
	for name, row := range map[string]struct {
		token string
		setup gateway.Setup
		want  domain.NextAction
	}{
		"redirect": {"pm_3ds", gateway.Setup{ReturnURL: "https://shop.example/r"}, domain.NextAction{
			Type: domain.ActionRedirect, RedirectURL: "https://hooks.stripe.com/3ds", RedirectTarget: "any"}},
		"sdk": {"pm_3ds", gateway.Setup{}, domain.NextAction{Type: domain.ActionProviderSDK, SDKData: `{"provider":"stripe","setup_intent":"ID"}`}},
		"amounts": {"pm_bank", gateway.Setup{}, domain.NextAction{
			Type: domain.ActionMicroDeposits, ArrivalDate: "2026-01-01", MicroDepositType: domain.NamedAmounts}},
		"code": {"pm_bank_code", gateway.Setup{}, domain.NextAction{
			Type: domain.ActionMicroDeposits, ArrivalDate: "2026-01-01", MicroDepositType: domain.NamedDescriptor}},
	} {
		answer, err := g.Setup(t.Context(), keyed(row.token, name), row.setup)
		row.want.SDKData = strings.ReplaceAll(row.want.SDKData, "ID", answer.Reference)
		if err != nil || answer.NextAction == nil || *answer.NextAction != row.want {
			t.Errorf("%s: %+v, %v; want %+v", name, answer.NextAction, err, row.want)
		}
		if strings.Contains(fmt.Sprintf("%+v %+v", answer, answer.NextAction), "canary") {
			t.Errorf("%s: the client secret is in the answer", name)
		}
	}
}

func TestADirectDebitComesWithItsMandateOnceItIsSetUp(t *testing.T) {
	g := newFake(t).gateway(t)
	looked, err := g.Lookup(t.Context(), keyed("pm_sepa", ""))
	if err != nil || looked.Mandate != nil {
		t.Fatalf("looked up %+v, %v", looked, err)
	}
	answer, err := g.Setup(t.Context(), keyed("pm_sepa", "k"), gateway.Setup{})
	if err != nil {
		t.Fatal(err)
	}
	looked.Mandate = &domain.Mandate{Reference: "REF123", Scheme: "sepa", Status: "active", AcceptedAt: time.Unix(1767225600, 0).UTC()}
	if !reflect.DeepEqual(answer.Instrument, looked) {
		t.Errorf("set up %+v, want %+v", answer.Instrument, looked)
	}
}

func TestDepositsConfirmedElsewhereAreConfirmed(t *testing.T) {
	f := newFake(t)
	g := f.gateway(t)
	v, err := g.Verify(t.Context(), keyed("pm_bank", "v"), gateway.Instrument{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		if ok, err := g.Confirm(t.Context(), keyed("pm_bank", fmt.Sprint(n)), v.Reference, gateway.Deposits{Amounts: []int{1, 2}}); ok || err != nil {
			t.Fatalf("attempt %d: %v, %v", n, ok, err)
		}
	}
	_, err = g.Confirm(t.Context(), keyed("pm_bank", "one too many"), v.Reference, gateway.Deposits{Amounts: []int{32, 45}})
	fails(t, "confirm", err, gateway.Declined, "attempts_exceeded")
	f.intents[v.Reference]["status"] = "succeeded"
	if ok, err := g.Confirm(t.Context(), keyed("pm_bank", "after"), v.Reference, gateway.Deposits{Amounts: []int{32, 45}}); !ok || err != nil {
		t.Errorf("confirmed at Stripe's page: %v, %v", ok, err)
	}
	again, err := g.Resend(t.Context(), keyed("pm_bank", "resend"), v.Reference)
	if err != nil || !again.Done || again.Kind != domain.EvidenceMicroDeposits || again.Reference != v.Reference {
		t.Errorf("resent after that: %+v, %v", again, err)
	}
}

func TestDepositsCanBeResentWhateverBecameOfTheEarlierOnes(t *testing.T) {
	g := newFake(t).gateway(t)
	v, err := g.Verify(t.Context(), keyed("pm_bank", "v"), gateway.Instrument{})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"first", "second"} { // the second finds the attempt canceled
		if again, err := g.Resend(t.Context(), keyed("pm_bank", key), v.Reference); err != nil || again.Reference == v.Reference {
			t.Errorf("%s: %+v, %v", key, again, err)
		}
	}
}

func TestAnAccountThatMayNotSendNumbersIsToldSo(t *testing.T) {
	_, _, err := newFake(t).gateway(t).Tokenize(t.Context(), keyed("", "k"), gateway.RawCard{Number: []byte("4111111111111111"), ExpMonth: 1, ExpYear: 2030})
	fails(t, "tokenize", err, gateway.Unsupported, "no card numbers")
}

func TestADetachOfWhatIsNotAttachedIsDone(t *testing.T) {
	f := newFake(t)
	if err := f.gateway(t).Detach(t.Context(), keyed("pm_other", "k")); err != nil {
		t.Error(err)
	}
	if want := []string{"POST /v1/payment_methods/pm_other/detach", "GET /v1/payment_methods/pm_other"}; !slices.Equal(f.calls(), want) {
		t.Errorf("asked %v, want %v", f.calls(), want)
	}
}
