package stripe_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/gatewaytest"
	"github.com/pmledger/pmledger/gateway/stripe"
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

func TestConfigurationFaultsAreNamed(t *testing.T) {
	if _, err := stripe.New(stripe.Config{}); err == nil || !strings.Contains(err.Error(), "API keys") {
		t.Errorf("without keys: %v", err)
	}
	for _, u := range []string{"api.stripe.com", "ftp://x", "://", "https://"} {
		if _, err := stripe.New(stripe.Config{Key: func(string) string { return "k" }, URL: u}); err == nil {
			t.Errorf("the URL %q is accepted", u)
		}
	}
	f := newFake(t)
	g := f.gateway(t)
	at := func(organization string) gateway.Request {
		return gateway.Request{Organization: organization, Token: "pm_card", IdempotencyKey: "k"}
	}
	_, err := g.Lookup(t.Context(), at("nobody"))
	fails(t, "no key", err, gateway.Unavailable, "configure one")
	if len(f.calls()) != 0 {
		t.Errorf("without a key Stripe was asked: %v", f.calls())
	}
	_, err = g.Lookup(t.Context(), at(elsewhere))
	fails(t, "a refused key", err, gateway.Unavailable, "check the gateway's configuration")
	fails(t, "a key without a right", g.Detach(t.Context(), at("readers")), gateway.Unavailable, "check the gateway's configuration")
	if f.count("pm_card") != 0 {
		t.Error("something happened")
	}
}

func TestARequestCarriesTheKeysAndNothingOfTheMachine(t *testing.T) {
	f := newFake(t)
	g := f.gateway(t)
	if err := g.Detach(t.Context(), keyed("pm_card", "caller's key")); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Setup(t.Context(), keyed("pm_card", "caller's key"), gateway.Setup{}); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, r := range f.seen {
		if r.Header.Get("X-Stripe-Client-User-Agent") != "" || r.Header.Get("X-Stripe-Client-Telemetry") != "" {
			t.Errorf("%s %s tells of the machine: %v", r.Method, r.URL.Path, r.Header)
		}
		if key := r.Header.Get("Idempotency-Key"); r.Method == http.MethodPost {
			if !strings.HasPrefix(key, "pmledger-") || strings.Contains(key, "caller") || keys[key] {
				t.Errorf("%s has the idempotency key %q, want one of its own that hides the caller's", r.URL.Path, key)
			}
			keys[key] = true
		}
	}
	if len(keys) != 3 { // detach, customer, setup
		t.Errorf("%d calls that change something, want 3: %v", len(keys), f.calls())
	}
}

func TestAnAnswerOf500LeavesTheOutcomeOpenUntilItIsFound(t *testing.T) {
	f := newFake(t)
	g := f.gateway(t)
	f.fail["GET /v1/payment_methods/pm_card"] = 1
	_, err := g.Lookup(t.Context(), keyed("pm_card", "k"))
	fails(t, "a read", err, gateway.Unavailable, "cannot be reached")

	// Not made: Stripe remembers its own failure, so the repeat makes it under another key.
	f.fail["POST /v1/setup_intents"] = 1
	_, err = g.Verify(t.Context(), keyed("pm_card", "k"), gateway.Instrument{})
	fails(t, "a write", err, gateway.UnknownOutcome, "failed while")
	first, err := g.Verify(t.Context(), keyed("pm_card", "k"), gateway.Instrument{})
	if err != nil || f.count("pm_card") != 1 {
		t.Fatalf("the repeat: %v, %d effects", err, f.count("pm_card"))
	}
	again, err := g.Verify(t.Context(), keyed("pm_card", "k"), gateway.Instrument{})
	if err != nil || again != first || f.count("pm_card") != 1 {
		t.Errorf("the second repeat: %+v, %v, %d effects; want %+v", again, err, f.count("pm_card"), first)
	}

	// Made all the same: it is found by its mark.
	if _, err := g.Verify(t.Context(), keyed("pm_card", "made"), gateway.Instrument{}); err != nil {
		t.Fatal(err)
	}
	for _, a := range f.answers {
		if strings.Contains(a.request, "setup_intents") {
			a.status, a.body = 500, failure("api_error", "", "")
		}
	}
	before := f.count("pm_card")
	if v, err := g.Verify(t.Context(), keyed("pm_card", "made"), gateway.Instrument{}); err != nil || !v.Done || f.count("pm_card") != before {
		t.Errorf("found again: %+v, %v, %d more effects", v, err, f.count("pm_card")-before)
	}
}

func TestWhatWasNeverSentIsUnavailableWhateverItWouldChange(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	g, err := stripe.New(stripe.Config{URL: "http://" + listener.Addr().String(), Key: func(string) string { return apiKey }})
	if err != nil {
		t.Fatal(err)
	}
	fails(t, "nobody listens", g.Detach(t.Context(), keyed("pm_card", "k")), gateway.Unavailable, "cannot be reached")
}

func TestAnAnswerThatIsNotStripesTellsNothing(t *testing.T) {
	for _, status := range []int{200, 302, 400, 502} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			fmt.Fprint(w, "<html>pm_card "+apiKey)
		}))
		g, err := stripe.New(stripe.Config{URL: proxy.URL, Key: func(string) string { return apiKey }})
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.Lookup(t.Context(), keyed("pm_card", "k"))
		fails(t, fmt.Sprint("a read, ", status), err, gateway.Unavailable, "cannot be reached")
		fails(t, fmt.Sprint("a write, ", status), g.Detach(t.Context(), keyed("pm_card", "k")), gateway.UnknownOutcome, "got lost")
		proxy.Close()
	}
}

func TestTheCustomerAtStripeIsTheOneThatExists(t *testing.T) {
	f := newFake(t)
	g := f.gateway(t)
	customerOf := func(req gateway.Request) string {
		t.Helper()
		answer, err := g.Setup(t.Context(), req, gateway.Setup{})
		if err != nil {
			t.Fatal(err)
		}
		return f.intents[answer.Reference]["customer"].(string)
	}
	if got := customerOf(keyed("pm_card", "1")); got != "cus_attached" {
		t.Errorf("an attached card: %q", got)
	}
	if got := customerOf(keyed("pm_other", "2")); got != "cus_made1" {
		t.Errorf("a new customer: %q", got)
	}
	f.methods["pm_other"]["customer"] = nil
	f.answers = map[string]*answer{} // a day later
	if got := customerOf(keyed("pm_other", "3")); got != "cus_made1" || len(f.customers) != 1 {
		t.Errorf("the customer made before: %q of %d", got, len(f.customers))
	}
	f.methods["pm_other"]["customer"] = nil
	named := keyed("pm_other", "4")
	named.Customer = "cus_NffrFeUfNV2Hib"
	if got := customerOf(named); got != named.Customer {
		t.Errorf("a customer named by Stripe's id: %q", got)
	}
	f.methods["pm_other"]["customer"] = nil
	named.Customer, named.IdempotencyKey = "cus_00000000000000", "5"
	_, err := g.Setup(t.Context(), named, gateway.Setup{})
	fails(t, "a customer that Stripe does not know", err, gateway.Declined, "does not know this customer")
	nobody := keyed("pm_other", "6")
	nobody.Customer = ""
	if got := customerOf(nobody); got != "" {
		t.Errorf("no customer: %q", got)
	}
	f.fail["GET /v1/customers/search"] = 1
	_, err = g.Setup(t.Context(), keyed("pm_other", "7"), gateway.Setup{})
	fails(t, "a search that fails", err, gateway.Unavailable, "cannot be reached")
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
