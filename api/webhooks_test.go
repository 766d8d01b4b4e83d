package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway/sandbox"
)

// webhook sends a signed webhook of the sandbox.
func (b *bench) webhook(body string) answer {
	b.t.Helper()
	return b.as("", "POST", "/v1/gateways/sandbox/demo/webhooks", body, sandbox.SignatureHeader+": "+sandbox.Sign([]byte(body), webhookSecret, b.clock.Now()))
}

// A provider tells that its customer approved; they need not come back here.
func TestASetupThatTheProviderCompletesIsAskedAboutAndEnds(t *testing.T) {
	b := newBench(t)
	for n, ending := range []string{`"setup":{}`, `"setup_failed":{"code":"gateway.declined","message":"no"}`} {
		customer := fmt.Sprint("cus_", n)
		id := idIn(b.want(201, b.do("POST", "/v1/setup-intents", `{"customer_id":"`+customer+`","token":"tok_visa_3ds","confirm":true}`)).body)
		state, _, err := b.ledger.State(t.Context(), domain.CustomerStream("demo", customer, ""))
		if err != nil {
			t.Fatal(err)
		}
		s := state.(*domain.Customer).SetupIntents[domain.SetupIntentID(id)]
		if s.Status != domain.SetupNeedsAction || s.Reference == "" {
			t.Fatalf("%+v", s)
		}
		body := fmt.Sprintf(`{"id":"evt_%d","token":"tok_visa_3ds","reference":%q,%s}`, n, s.Reference, ending)
		for range 2 {
			if a := b.want(200, b.webhook(body)); !strings.Contains(a.body, `"handled":1`) {
				t.Error(a.body)
			}
		}
		// The sandbox's buyer has approved: what counts is what the gateway answers, not what the webhook says.
		if a := b.want(200, b.do("GET", "/v1/setup-intents/"+id, "")); !strings.Contains(a.body, `"status":"succeeded"`) {
			t.Error(a.body)
		}
	}
}

func TestAWebhookIsNotTakenWithoutASecretOrInAnotherSize(t *testing.T) {
	b := newBench(t, func(o *Options) { o.WebhookSecrets = nil })
	b.refused(401, "unauthorized", b.webhook(`{"id":"evt_1","token":"tok_visa","detached":true}`))
	b = newBench(t, someLimit)
	b.refused(413, "body.too_large", b.webhook(strings.Repeat(" ", maxWebhook+1)))
	b.refused(400, "body.malformed", b.webhook(""))
	for range failuresBurst {
		b.as("", "POST", "/v1/gateways/sandbox/demo/webhooks", "{}")
	}
	b.refused(429, "rate_limited", b.as("", "POST", "/v1/gateways/sandbox/demo/webhooks", "{}"))
	b.want(200, b.webhook(`{"id":"evt_1","token":"tok_visa","detached":true}`))
}

// What the gateway says of a pending payment method is what it was to be asked.
func TestAWebhookWithFactsMakesAPendingMethodKnown(t *testing.T) {
	b := newBench(t)
	id := idIn(b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"tok_visa_unavailable"}`)).body)
	b.want(200, b.webhook(`{"id":"evt_1","token":"tok_visa_unavailable","facts":{"type":"card","method":"card","fingerprint":"f1","card":{"brand":"visa","last4":"1881","exp_month":1,"exp_year":2035}}}`))
	if a := b.want(200, b.do("GET", "/v1/payment-methods/"+id, "")); !strings.Contains(a.body, `"status":"active"`) || !strings.Contains(a.body, `"last4":"1881"`) {
		t.Error(a.body)
	}
	// Later only the expiry changes: it is taken over at once.
	b.want(200, b.webhook(`{"id":"evt_2","token":"tok_visa_unavailable","facts":{"type":"card","method":"card","fingerprint":"f1","card":{"brand":"visa","last4":"1881","exp_month":1,"exp_year":2039}}}`))
	// What comes under an event's id again is that event, whatever it says.
	b.want(200, b.webhook(`{"id":"evt_2","token":"tok_visa_unavailable","facts":{"type":"card","method":"card","fingerprint":"f1","card":{"brand":"visa","last4":"1881","exp_month":1,"exp_year":2040}}}`))
	if a := b.want(200, b.do("GET", "/v1/payment-methods/"+id, "")); !strings.Contains(a.body, `"exp_year":2039`) {
		t.Error(a.body)
	}
}

// Idempotency keys of callers and ids of webhooks cannot meet.
func TestACallersKeyCannotStandInAWebhooksWay(t *testing.T) {
	b := newBench(t)
	id := idIn(b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", visa)).body)
	b.want(422, b.do("PATCH", "/v1/payment-methods/"+id, `{"status":"paused"}`, "Idempotency-Key: webhook·evt_1"))
	b.want(200, b.webhook(`{"id":"evt_1","token":"tok_visa","detached":true}`))
	if a := b.do("GET", "/v1/payment-methods/"+id, ""); !strings.Contains(a.body, `"status":"detached"`) {
		t.Error(a.body)
	}
}
