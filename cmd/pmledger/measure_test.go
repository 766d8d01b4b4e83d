package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/sandbox"
	"github.com/pmledger/pmledger/gateway/stripe"
)

func TestAppendsAndGatewayCallsAreCountedByOutcome(t *testing.T) {
	s := serve(t, t.TempDir())
	s.attach("cus_1", "tok_visa")
	s.attach("cus_1", "tok_amex_unavailable")
	text := fetch(t, s.admin)
	for _, want := range []string{
		`pmledger_gateway_call_seconds_count{call="lookup",outcome="ok",provider="sandbox"} 1`,
		`pmledger_gateway_call_seconds_count{call="lookup",outcome="unavailable",provider="sandbox"} 1`,
		`pmledger_append_seconds_count{outcome="conflict"} 0`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, `pmledger_append_seconds_count{outcome="ok"} 0`) {
		t.Error("no append is counted")
	}
}

// What a gateway can do besides is not lost by being measured.
func TestMeasuredGatewaysTakeWebhooksIfTheyDid(t *testing.T) {
	box, err := sandbox.Open(t.TempDir(), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	paid, err := stripe.New(stripe.Config{Key: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	plain := struct{ gateway.Gateway }{box}
	all := measureGateways(map[string]gateway.Gateway{"sandbox": box, "stripe": paid, "plain": plain}, prometheus.NewRegistry())
	for name, want := range map[string]bool{"sandbox": true, "stripe": true, "plain": false} {
		if _, got := all[name].(gateway.Webhooks); got != want {
			t.Errorf("%s takes webhooks: %v, want %v", name, got, want)
		}
	}
}

func TestEveryErrorOfAnAppendHasItsOutcome(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := measureStore(memory.New(), registry)
	record := []eventstore.NewRecord{{ID: [16]byte{1}, Type: "a", Data: []byte("{}"), Metadata: []byte("{}")}}
	if _, err := s.Append(t.Context(), "customer-a+b", 7, record); appendOutcome(err) != "conflict" {
		t.Errorf("got %v", err)
	}
	for want, err := range map[string]error{
		"ok": nil, "full": eventstore.ErrFull, "unavailable": eventstore.ErrUnavailable,
		"unknown": eventstore.ErrUnknownOutcome, "error": errors.New("another"),
	} {
		if got := appendOutcome(err); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
	if n, err := registry.Gather(); err != nil || len(n) != 1 {
		t.Errorf("%v, %v", n, err)
	}
}
