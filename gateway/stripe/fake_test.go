package stripe_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/gatewaytest"
	"github.com/pmledger/pmledger/gateway/stripe"
)

const (
	apiKey    = "sk_test_key_of_the_test"
	otherKey  = "sk_test_that_stripe_refuses"
	limitKey  = "rk_test_that_may_read_only"
	elsewhere = "globex"
)

// object is a JSON object in the shape that Stripe records.
type object map[string]any

// fake is Stripe, as far as the gateway uses it: objects in memory, idempotency
// keys that remember every answer, and ways to go wrong that follow from the id
// of the payment method.
type fake struct {
	*httptest.Server
	mu        sync.Mutex
	methods   map[string]object
	intents   map[string]object
	customers []object
	answers   map[string]*answer // by idempotency key
	effects   map[string]int     // by payment method
	fail      map[string]int     // how many calls of "METHOD /path" are still answered with 500
	done      map[string]bool    // intents whose buyer approved, or whose wait is over
	seen      []*http.Request
	attempts  int
	unindexed bool // a search does not find what was just made
	released  chan struct{}
}

type answer struct {
	request  string
	status   int
	body     any
	finished bool
}

func newFake(t *testing.T) *fake {
	f := &fake{
		methods: map[string]object{}, intents: map[string]object{}, answers: map[string]*answer{}, effects: map[string]int{},
		fail: map[string]int{}, done: map[string]bool{}, released: make(chan struct{}),
	}
	for _, id := range []string{"pm_card", "pm_other", "pm_declined", "pm_verify_fails", "pm_3ds", "pm_lost", "pm_processing", "pm_stuck"} {
		f.methods[id] = cardMethod(id, "4242", 12, 2034)
	}
	f.methods["pm_other"]["customer"] = nil
	f.methods["pm_other"]["card"].(object)["fingerprint"] = "another"
	for _, id := range []string{"pm_bank", "pm_bank_code", "pm_bank_lost", "pm_bank_instant"} {
		f.methods[id] = bankMethod(id, id == "pm_bank_instant")
	}
	f.methods["pm_sepa"] = object{"id": "pm_sepa", "object": "payment_method", "type": "sepa_debit", "customer": "cus_attached",
		"billing_details": object{"name": "Jenny Rosen"},
		"sepa_debit":      object{"bank_code": "37040044", "country": "DE", "fingerprint": "fp_sepa", "last4": "3000"}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(func() { close(f.released); f.Close() })
	return f
}

func cardMethod(id, last4 string, month, year int) object {
	return object{"id": id, "object": "payment_method", "type": "card", "customer": "cus_attached",
		"billing_details": object{"name": "Jenny Rosen", "email": "jenny@example.com", "address": object{"country": "US"}},
		"card": object{"brand": "visa", "last4": last4, "exp_month": month, "exp_year": year, "country": "US", "funding": "credit",
			"fingerprint": "fp_" + last4, "networks": object{"available": []string{"visa"}, "preferred": nil}, "wallet": nil}}
}

func bankMethod(id string, instant bool) object {
	m := object{"id": id, "object": "payment_method", "type": "us_bank_account", "customer": "cus_attached",
		"billing_details": object{"name": "Jenny Rosen"},
		"us_bank_account": object{"account_holder_type": "individual", "account_type": "checking", "bank_name": "STRIPE TEST BANK",
			"fingerprint": "fp_bank", "last4": "6789", "routing_number": "110000000", "financial_connections_account": nil}}
	if instant {
		m["us_bank_account"].(object)["financial_connections_account"] = "fca_1"
	}
	return m
}

func failure(kind, code, param string) object {
	return object{"error": object{"type": kind, "code": code, "param": param, "message": "a message that names pm_card and " + apiKey}}
}

// serve is the outer shell of every call: the key, what hangs, what Stripe
// remembers, and what gets lost.
func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	params, _ := url.ParseQuery(string(body))
	for name, values := range r.URL.Query() {
		params[name] = values
	}
	f.mu.Lock()
	f.seen = append(f.seen, r)
	f.mu.Unlock()
	token := params.Get("payment_method")
	for _, id := range []string{"pm_slow", "pm_away"} {
		if strings.Contains(r.URL.Path, id) {
			token = id
		}
	}
	switch auth := r.Header.Get("Authorization"); {
	case auth == "Bearer "+limitKey && r.Method == http.MethodPost:
		reply(w, 403, failure("invalid_request_error", "", ""))
	case auth != "Bearer "+apiKey && auth != "Bearer "+limitKey:
		reply(w, 401, failure("invalid_request_error", "", ""))
	case token == "pm_slow":
		<-f.released
	case token == "pm_away":
		reply(w, 429, failure("invalid_request_error", "rate_limit", ""))
	case r.Method == http.MethodGet:
		status, answer := f.route(r, params)
		reply(w, status, answer)
	default:
		f.change(w, r, params, string(body))
	}
}

// change answers a call that changes something, once per idempotency key.
func (f *fake) change(w http.ResponseWriter, r *http.Request, params url.Values, body string) {
	key := r.Header.Get("Idempotency-Key")
	request := r.URL.Path + "?" + body
	f.mu.Lock()
	known := f.answers[key]
	if known == nil {
		f.answers[key] = &answer{request: request}
	}
	f.mu.Unlock()
	switch {
	case known != nil && known.request != request:
		reply(w, 400, failure("idempotency_error", "", ""))
		return
	case known != nil && !f.finished(known):
		reply(w, 409, failure("invalid_request_error", "idempotency_key_in_use", ""))
		return
	case known != nil:
		w.Header().Set("Idempotent-Replayed", "true")
		reply(w, known.status, known.body)
		return
	}
	status, answer := f.route(r, params)
	f.mu.Lock()
	known = f.answers[key]
	known.status, known.body, known.finished = status, answer, true
	token := f.tokenOf(r, params)
	if status == 429 {
		delete(f.answers, key)
	}
	f.mu.Unlock()
	if (token == "pm_lost" || token == "pm_bank_lost") && !strings.Contains(key, "resend-cancel") {
		breakOff(w)
		return
	}
	reply(w, status, answer)
}

func (f *fake) finished(a *answer) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return a.finished
}

// tokenOf is the payment method that a call is about.
func (f *fake) tokenOf(r *http.Request, params url.Values) string {
	parts := strings.Split(r.URL.Path, "/")
	if len(parts) > 3 {
		if intent := f.intents[parts[3]]; intent != nil {
			return intent["payment_method"].(string)
		}
		return parts[3]
	}
	return params.Get("payment_method")
}

// breakOff loses an answer on its way: the first bytes arrive, the rest does not.
func breakOff(w http.ResponseWriter) {
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	fmt.Fprint(buffered, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"id\":")
	buffered.Flush()
	conn.Close()
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Request-Id", "req_of_the_test")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// provider is the gateway under test and what the fake saw.
func (f *fake) provider(t *testing.T) gatewaytest.Provider {
	return gatewaytest.Provider{Gateway: f.gateway(t), Effects: f.count, Approve: f.approve}
}

func (f *fake) gateway(t *testing.T) *stripe.Gateway {
	t.Helper()
	g, err := stripe.New(stripe.Config{URL: f.URL, Key: func(organization string) string {
		return map[string]string{"acme": apiKey, elsewhere: otherKey, "readers": limitKey}[organization]
	}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (f *fake) count(token string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.effects[token]
}

func (f *fake) approve(token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done[token] = true
}

// calls lists what was asked, as "METHOD /path".
func (f *fake) calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var calls []string
	for _, r := range f.seen {
		calls = append(calls, r.Method+" "+r.URL.Path)
	}
	return calls
}

func (f *fake) made(call string) int {
	return len(slices.DeleteFunc(f.calls(), func(c string) bool { return c != call }))
}

func keyed(token, key string) gateway.Request {
	return gateway.Request{Organization: "acme", Customer: "cus_1", Token: token, IdempotencyKey: key}
}
