package stripe_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/stripe"
)

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
			if r.URL.Path == "/elsewhere" {
				t.Errorf("%d: a redirect was followed, with the key %v", status, r.Header["Authorization"] != nil)
			}
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
	f.methods["pm_other"]["customer"] = nil
	f.customers = append(f.customers, object{"id": "cus_elder", "created": 1600000000, "metadata": f.customers[0]["metadata"]})
	if got := customerOf(keyed("pm_other", "8")); got != "cus_elder" {
		t.Errorf("of two customers: %q, want the elder", got)
	}
	f.methods["pm_other"]["customer"] = nil
	f.fail["GET /v1/customers/search"] = 1
	_, err = g.Setup(t.Context(), keyed("pm_other", "7"), gateway.Setup{})
	fails(t, "a search that fails", err, gateway.Unavailable, "cannot be reached")
}

func TestACustomerMadeAMomentAgoIsNotMadeAgain(t *testing.T) {
	f := newFake(t)
	f.unindexed = true
	g := f.gateway(t)
	for _, key := range []string{"1", "2"} {
		if _, err := g.Setup(t.Context(), keyed("pm_other", key), gateway.Setup{}); err != nil {
			t.Fatal(err)
		}
		f.methods["pm_other"]["customer"] = nil
	}
	if len(f.customers) != 1 {
		t.Errorf("%d customers were made", len(f.customers))
	}
}

func TestEachAnswerOfStripeHasItsKind(t *testing.T) {
	for _, row := range []struct {
		status      int
		kind, code  string
		read, write gateway.Kind
	}{
		{400, "invalid_request_error", "parameter_invalid", gateway.Declined, gateway.Declined},
		{400, "idempotency_error", "", gateway.Declined, gateway.Declined},
		{402, "card_error", "card_declined", gateway.Declined, gateway.Declined},
		{401, "invalid_request_error", "", gateway.Unavailable, gateway.Unavailable},
		{403, "invalid_request_error", "", gateway.Unavailable, gateway.Unavailable},
		{404, "invalid_request_error", "resource_missing", gateway.UnknownToken, gateway.UnknownToken},
		{409, "invalid_request_error", "idempotency_key_in_use", gateway.Unavailable, gateway.UnknownOutcome},
		{429, "invalid_request_error", "rate_limit", gateway.Unavailable, gateway.Unavailable},
		{429, "invalid_request_error", "lock_timeout", gateway.Unavailable, gateway.Unavailable},
		{500, "api_error", "", gateway.Unavailable, gateway.UnknownOutcome},
		{503, "api_error", "", gateway.Unavailable, gateway.UnknownOutcome},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			reply(w, row.status, failure(row.kind, row.code, "payment_method"))
		}))
		g, err := stripe.New(stripe.Config{URL: s.URL, Key: func(string) string { return apiKey }})
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.Lookup(t.Context(), keyed("pm_card", "k"))
		fails(t, fmt.Sprint("a read: ", row.status, row.code), err, row.read, "")
		_, _, err = g.Tokenize(t.Context(), keyed("", "k"), gateway.RawCard{Number: []byte("4242424242424242"), ExpMonth: 1, ExpYear: 2030})
		fails(t, fmt.Sprint("a write: ", row.status, row.code), err, row.write, "")
		s.Close()
	}
}
