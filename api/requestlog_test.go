package api

import (
	"log/slog"
	"strings"
	"testing"
)

// At the level info a log tells of what was refused, not of all that went well.
func TestTheLogTellsOfWhatWasRefused(t *testing.T) {
	log := &safeBuffer{}
	b := newBench(t, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
		o.Ready = func() []Check { return []Check{{Name: "nats"}} }
	})
	b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", visa))
	b.want(200, b.do("GET", "/v1/customers/cus_1/payment-methods", ""))
	b.want(200, b.do("GET", "/healthz", ""))
	if said := log.String(); said != "" {
		t.Errorf("of what went well the log says %s", said)
	}
	b.want(404, b.do("GET", "/v1/payment-methods/pm_"+strings.Repeat("0", 32), "", "X-Request-Id: req_refused"))
	if said := log.String(); !strings.Contains(said, "status=404") || !strings.Contains(said, "request_id=req_refused") {
		t.Errorf("of a refusal the log says %q", said)
	}
	b.want(401, b.as("", "POST", "/v1/gateways/sandbox/demo/webhooks", "{}", "X-Request-Id: req_webhook"))
	b.want(503, b.as("", "GET", "/readyz", "", "X-Request-Id: req_polled"))
	if said := log.String(); !strings.Contains(said, "request_id=req_webhook") || strings.Contains(said, "req_polled") {
		t.Errorf("of a refused webhook and of a probe the log says %q", said)
	}
}
