package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
	"github.com/pmledger/pmledger/eventstore/storetest"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/sandbox"
)

const visa = `{"type":"card","token":"tok_visa"}`

func (b *bench) refused(status int, code domain.Code, a answer) {
	b.t.Helper()
	var p Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != status || p.Code != code || p.Status != status ||
		p.Type != "urn:pmledger:problem:"+string(code) || a.header.Get("Content-Type") != "application/problem+json" {
		b.t.Errorf("want %d %s, got %d %s", status, code, a.status, a.body)
	}
}

// A view that lags is never taken for the truth: a read of what this node wrote,
// or of a position the client names, waits and then says so.
func TestReadsNeverAnswerFromALaggingView(t *testing.T) {
	b := newBench(t, func(o *Options) { o.WaitTimeout = 30 * time.Millisecond })
	id := idIn(b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", visa)).body)
	b.want(200, b.do("GET", "/v1/payment-methods/"+id, ""))
	ahead := b.do("GET", "/v1/payment-methods/"+id, "", "Ledger-Min-Position: 1000000")
	b.refused(503, codePositionNotReached, ahead)
	if ahead.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.stopViews()
	b.want(200, b.do("GET", "/v1/payment-methods/"+id, ""))
	attached := b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"tok_amex"}`))
	for _, target := range []string{
		"/v1/payment-methods/" + id, "/v1/payment-methods/" + idIn(attached.body), "/v1/payment-methods", "/v1/customers/cus_1/payment-methods",
		"/v1/events", "/v1/payment-methods/" + id + "/history", "/v1/customers/cus_1/default-payment-method", "/v1/payment-methods/" + id + "?as_of=2026-06-01T12:00:00Z",
		"/v1/events/evt_00000000000050008000000000000000",
	} {
		b.refused(503, codePositionNotReached, b.do("GET", target, ""))
	}
	// What is folded from the log needs no view.
	b.want(200, b.do("GET", "/v1/organization", "", "Ledger-Min-Position: head"))
	b.want(200, b.do("GET", "/v1/api-keys", ""))
	b.refused(503, codePositionNotReached, b.do("GET", "/v1/organization", "", "Ledger-Min-Position: 1000000"))
	// A write to what the view does not know yet is not told that it does not exist.
	b.refused(503, codePositionNotReached, b.do("DELETE", "/v1/payment-methods/"+idIn(attached.body), ""))
}

func TestAHaltedProjectionStopsReadsAndReadinessAndNothingElse(t *testing.T) {
	b := newBench(t, func(o *Options) { o.WaitTimeout = 2 * time.Second })
	id := idIn(b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", visa)).body)
	b.want(200, b.as("", "GET", "/readyz", ""))
	odd := eventstore.Metadata{Time: b.clock.Now(), Schema: 1, Prev: eventstore.NoPrev, CommandID: "odd"}.Encode()
	record := eventstore.NewRecord{ID: uuid.New(), Type: "payment_method.teleported", Data: []byte(`{}`), Metadata: odd}
	if _, err := b.store.Append(t.Context(), "customer-demo+other", 0, []eventstore.NewRecord{record}); err != nil {
		t.Fatal(err)
	}
	b.refused(503, codePositionNotReached, b.do("GET", "/v1/payment-methods/"+id, "", "Ledger-Min-Position: head"))
	unready := b.want(503, b.as("", "GET", "/readyz", ""))
	if !strings.Contains(unready.body, `"status":"unready"`) || !strings.Contains(unready.body, "payment_method.teleported") {
		t.Errorf("readiness says %s", unready.body)
	}
	b.want(200, b.as("", "GET", "/healthz", ""))
	b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"tok_amex"}`))
}

func TestReadinessReportsWhatItIsGiven(t *testing.T) {
	checks := []Check{{Name: "nats", OK: false, Advisory: true, Detail: "away"}}
	b := newBench(t, func(o *Options) { o.Ready = func() []Check { return checks } })
	if a := b.want(200, b.as("", "GET", "/readyz", "")); !strings.Contains(a.body, `{"name":"nats","ok":false,"advisory":true,"detail":"away"}`) {
		t.Error(a.body)
	}
	checks[0].Advisory = false
	b.want(503, b.as("", "GET", "/readyz", ""))
}

// failing is a store whose appends fail as they are told to.
type failing struct {
	eventstore.Store
	err atomic.Pointer[error]
}

func (f *failing) Append(ctx context.Context, stream string, version uint64, records []eventstore.NewRecord) (eventstore.Position, error) {
	if err := f.err.Load(); err != nil {
		return 0, *err
	}
	return f.Store.Append(ctx, stream, version, records)
}

func TestStoreErrorsHaveTheirCodesAndShowNothing(t *testing.T) {
	store := &failing{Store: memory.New()}
	b := newBenchOn(t, store)
	secret := fmt.Errorf("disk /var/lib/secret: %w", context.DeadlineExceeded)
	for _, c := range []struct {
		err    error
		status int
		code   domain.Code
	}{{eventstore.ErrFull, 507, "storage.full"}, {eventstore.ErrUnavailable, 503, "store.unavailable"}, {eventstore.ErrUnknownOutcome, 503, "store.unavailable"}, {secret, 500, "internal"}} {
		store.err.Store(&c.err)
		a := b.do("POST", "/v1/customers/cus_1/payment-methods", visa, "X-Request-Id: failing-1")
		b.refused(c.status, c.code, a)
		if (a.header.Get("Retry-After") != "") != (c.status != 500) || strings.Contains(a.body, "/var/lib") {
			t.Errorf("%d: %v %s", c.status, a.header, a.body)
		}
		b.want(200, b.do("GET", "/v1/payment-methods", ""))
	}
	if log := b.log.String(); !strings.Contains(log, "/var/lib/secret") || !strings.Contains(log, "request_id=failing-1") {
		t.Error("the cause of an internal error is not in the log under its request id")
	}
	store.err.Store(nil)
	b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", visa))
}

// A lost answer of the store is found out, not guessed: one attach, one answer.
func TestAnAppliedAppendWhoseAnswerWasLostIsAnsweredOnce(t *testing.T) {
	store := &storetest.Faulty{Store: memory.New()}
	b := newBenchOn(t, store)
	store.Plan(storetest.Applied)
	a := b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", visa, "Idempotency-Key: k"))
	again := b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", visa, "Idempotency-Key: k"))
	if a.body != again.body || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%s\n%s", a.body, again.body)
	}
}

// counting counts its lookups, and panics with the token when told to.
type counting struct {
	sandbox.Gateway
	lookups atomic.Int64
	panics  atomic.Bool
}

func (g *counting) Lookup(ctx context.Context, r gateway.Request) (gateway.Instrument, error) {
	g.lookups.Add(1)
	if g.panics.Load() {
		panic("the token is " + r.Token)
	}
	return g.Gateway.Lookup(ctx, r)
}

func TestAGatewayIsAskedOncePerCommandAndNotForARepeat(t *testing.T) {
	g := &counting{}
	b := newBench(t, func(o *Options) { o.Gateways["sandbox"] = g })
	for range 3 {
		b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", visa, "Idempotency-Key: k"))
	}
	if n := g.lookups.Load(); n != 1 {
		t.Errorf("%d lookups", n)
	}
	b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"v","fingerprint":"f","card":{"brand":"visa","last4":"1111","exp_month":1,"exp_year":2030}}`))
	if n := g.lookups.Load(); n != 1 {
		t.Error("facts on the caller's word were looked up")
	}
}

func TestAPanicIsAnsweredAndItsValueIsShownNowhere(t *testing.T) {
	g := &counting{}
	b := newBench(t, func(o *Options) { o.Gateways["sandbox"] = g })
	g.panics.Store(true)
	a := b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"tok_secret"}`)
	b.refused(500, "internal", a)
	if log := b.log.String(); strings.Contains(log+a.body, "tok_secret") || !strings.Contains(log, "fault_test.go") {
		t.Errorf("the log has the value, or not the stack: %s", log)
	}
	g.panics.Store(false)
	b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", visa))
}

func TestWhoAskedAndWhyIsInTheEvent(t *testing.T) {
	b := newBench(t)
	trace := "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", visa, "Actor: user:7", "Reason: checkout", "X-Request-Id: req-1", "Traceparent: "+trace))
	b.want(201, b.do("POST", "/v1/customers/cus_2/payment-methods", visa, "Traceparent: nonsense"))
	for stream, want := range map[string]eventstore.Metadata{
		"customer-demo+cus_1": {Actor: "user:7", Reason: "checkout", Correlation: "req-1", Traceparent: trace},
		"customer-demo+cus_2": {Actor: "api_key:dev"},
	} {
		for r, err := range b.store.Stream(t.Context(), stream, 1) {
			if err != nil {
				t.Fatal(err)
			}
			m, err := eventstore.DecodeMetadata(r.Metadata)
			if err != nil || m.Actor != want.Actor || m.Reason != want.Reason || m.Traceparent != want.Traceparent ||
				want.Correlation != "" && m.Correlation != want.Correlation {
				t.Errorf("%s: %+v, %v", stream, m, err)
			}
		}
	}
}

func TestTooManyMethodsAreRefused(t *testing.T) {
	b := newBench(t, func(o *Options) { o.MaxMethods = 2 })
	for i := range 2 {
		b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", fmt.Sprintf(`{"type":"card","token":"tok_visa_fp_%d"}`, i)))
	}
	b.refused(409, "customer.too_many_methods", b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"tok_amex"}`))
	b.want(201, b.do("POST", "/v1/customers/cus_2/payment-methods", `{"type":"card","token":"tok_amex"}`))
}
