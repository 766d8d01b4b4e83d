package stripe_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stripe/stripe-mock/embedded"
	"github.com/stripe/stripe-mock/server"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/stripe"
)

// mock is Stripe's own stand-in: it checks every request against the published
// description of the API, and answers with fixtures that fit no story.
type mock struct {
	*httptest.Server
	mu      sync.Mutex
	answers []string // "200 METHOD /path"
}

type recorded struct {
	http.ResponseWriter
	status int
}

func (r *recorded) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func newMock(t *testing.T, start func(http.Handler) *httptest.Server) *mock {
	t.Helper()
	spec, err := server.LoadSpec(embedded.OpenAPISpec, "")
	if err != nil {
		t.Fatal(err)
	}
	fixtures, err := server.LoadFixtures(embedded.OpenAPIFixtures, "")
	if err != nil {
		t.Fatal(err)
	}
	stub, err := server.NewStubServer(fixtures, spec, false, false)
	if err != nil {
		t.Fatal(err)
	}
	m := &mock{}
	m.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/pm_of_a_bank") {
			reply(w, 200, bankMethod("pm_of_a_bank", false))
			return
		}
		rec := &recorded{ResponseWriter: w, status: 200}
		stub.HandleRequest(rec, r)
		path := r.URL.Path
		if parts := strings.Split(path, "/"); len(parts) > 3 && parts[3] != "search" {
			parts[3] = "ID"
			path = strings.Join(parts, "/")
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.answers = append(m.answers, http.StatusText(rec.status)+" "+r.Method+" "+path)
	}))
	t.Cleanup(m.Close)
	return m
}

func TestStripesOwnStandInTakesEveryRequest(t *testing.T) {
	for name, start := range map[string]func(http.Handler) *httptest.Server{"http": httptest.NewServer, "https": httptest.NewTLSServer} {
		t.Run(name, func(t *testing.T) {
			m := newMock(t, start)
			g, err := stripe.New(stripe.Config{URL: m.URL, Transport: m.Client().Transport, Key: func(string) string { return "sk_test_123" }})
			if err != nil {
				t.Fatal(err)
			}
			askEverything(t, g)
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, answer := range m.answers {
				if !strings.HasPrefix(answer, "OK ") {
					t.Errorf("a request is refused: %s", answer)
				}
			}
			slices.Sort(m.answers)
			want := []string{
				"OK GET /v1/customers/search", "OK GET /v1/payment_methods/ID", "OK GET /v1/setup_intents", "OK GET /v1/setup_intents/ID", "OK POST /v1/customers",
				"OK POST /v1/payment_methods", "OK POST /v1/payment_methods/ID/detach", "OK POST /v1/setup_intents",
				"OK POST /v1/setup_intents/ID/cancel", "OK POST /v1/setup_intents/ID/verify_microdeposits",
			}
			if got := slices.Compact(slices.Clone(m.answers)); !slices.Equal(got, want) {
				t.Errorf("asked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// askEverything makes every call. The fixtures' answers end some of them in a
// decline; what counts is that no request was malformed.
func askEverything(t *testing.T, g *stripe.Gateway) {
	t.Helper()
	ctx := t.Context()
	i, err := g.Lookup(ctx, keyed("pm_card_visa", ""))
	if err != nil || i.Type == "" || i.Method == "" {
		t.Errorf("lookup: %+v, %v", i, err)
	}
	if _, _, err := g.Tokenize(ctx, keyed("", "t"), gateway.RawCard{
		Number: []byte("4242424242424242"), SecurityCode: []byte("123"), ExpMonth: 4, ExpYear: 2031,
	}); err != nil {
		t.Errorf("tokenize: %v", err)
	}
	settled := func(what string, err error) {
		t.Helper()
		if kind := gateway.KindOf(err); err != nil && kind != gateway.Declined && kind != gateway.Unsupported {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = g.Verify(ctx, keyed("pm_card_visa", "v"), i)
	settled("verify", err)
	_, err = g.Setup(ctx, keyed("pm_card_visa", "s"), gateway.Setup{Usage: "on_session", ReturnURL: "https://shop.example/r"})
	settled("setup", err)
	_, err = g.Setup(ctx, keyed("pm_card_visa", "a"), gateway.Setup{Approved: true, Reference: "seti_1234567890"})
	settled("approved", err)
	_, err = g.Confirm(ctx, keyed("pm_card_visa", "amounts"), "seti_1234567890", gateway.Deposits{Amounts: []int{32, 45}})
	settled("confirm amounts", err)
	_, err = g.Confirm(ctx, keyed("pm_card_visa", "code"), "seti_1234567890", gateway.Deposits{DescriptorCode: "SM11AA"})
	settled("confirm a code", err)
	_, err = g.Resend(ctx, keyed("pm_card_visa", "r"), "seti_1234567890")
	settled("resend", err)
	for _, ref := range []string{"seti_1234567890", ""} {
		if err := g.Cancel(ctx, keyed("pm_card_visa", "c"), ref); err != nil {
			t.Errorf("cancel %q: %v", ref, err)
		}
	}
	unsearchable := keyed("pm_card_visa", "new customer")
	unsearchable.Customer = "it's me"
	_, err = g.Setup(ctx, unsearchable, gateway.Setup{})
	settled("setup for a new customer", err)
	_, err = g.Verify(ctx, keyed("pm_of_a_bank", "bank"), gateway.Instrument{})
	settled("verify a bank account", err)
	if err := g.Detach(ctx, keyed("pm_card_visa", "d")); err != nil {
		t.Errorf("detach: %v", err)
	}
	if i.Type == domain.TypeOther {
		t.Errorf("the fixture is a %s", i.Method)
	}
}
