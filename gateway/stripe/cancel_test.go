package stripe_test

import (
	"strings"
	"testing"

	"github.com/pmledger/pmledger/gateway"
)

// begunDeposits verifies pm_bank and returns the intent's id.
func begunDeposits(t *testing.T, g gateway.Gateway, key string) string {
	t.Helper()
	v, err := g.Verify(t.Context(), keyed("pm_bank", key), gateway.Instrument{})
	if err != nil {
		t.Fatal(err)
	}
	return v.Reference
}

func TestACanceledIntentIsAbandonedAtStripe(t *testing.T) {
	f := newFake(t)
	g := f.gateway(t)
	ref := begunDeposits(t, g, "v")
	if err := g.Cancel(t.Context(), keyed("pm_bank", "c"), ref); err != nil {
		t.Fatal(err)
	}
	if i := f.intents[ref]; i["status"] != "canceled" || i["cancellation_reason"] != "abandoned" {
		t.Errorf("the intent is left %v", i)
	}
	for _, r := range f.seen {
		if key := r.Header.Get("Idempotency-Key"); strings.HasSuffix(r.URL.Path, "/cancel") && !strings.HasPrefix(key, "pmledger-cancel-") {
			t.Errorf("canceled with the idempotency key %q", key)
		}
	}
	ended := f.made("POST /v1/setup_intents/" + ref + "/cancel")
	if err := g.Cancel(t.Context(), keyed("pm_bank", "another"), ref); err != nil || f.made("POST /v1/setup_intents/"+ref+"/cancel") != ended {
		t.Errorf("what has ended was canceled again: %v", err)
	}
}

func TestWhatWasNotAnsweredIsFoundByItsMark(t *testing.T) {
	f := newFake(t)
	g := f.gateway(t)
	ref, other := begunDeposits(t, g, "v"), begunDeposits(t, g, "another")
	if err := g.Cancel(t.Context(), keyed("pm_bank", "v"), ""); err != nil {
		t.Fatal(err)
	}
	if f.intents[ref]["status"] != "canceled" || f.intents[other]["status"] != "requires_action" {
		t.Errorf("marked: %v; another: %v", f.intents[ref]["status"], f.intents[other]["status"])
	}
	for range 2 { // one key may have served a verification and a setup
		setup, err := g.Setup(t.Context(), keyed("pm_bank", "another"), gateway.Setup{})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Cancel(t.Context(), keyed("pm_bank", "another"), ""); err != nil || f.intents[setup.Reference]["status"] != "canceled" {
			t.Errorf("both: %v, %v", err, f.intents[setup.Reference]["status"])
		}
	}
	if f.intents[other]["status"] != "canceled" {
		t.Errorf("the verification of both is %v", f.intents[other]["status"])
	}
	other = begunDeposits(t, g, "a third")
	elsewhere := keyed("pm_bank", "a third")
	elsewhere.Organization = "readers" // may read there, and made nothing
	if err := g.Cancel(t.Context(), elsewhere, ""); err != nil || f.intents[other]["status"] != "requires_action" {
		t.Errorf("another organization's key: %v, %v", err, f.intents[other]["status"])
	}
}

func TestWhatStripeIsAtWorkOnIsCanceledLater(t *testing.T) {
	f := newFake(t)
	g := f.gateway(t)
	ref := begunDeposits(t, g, "v")
	f.intents[ref]["status"] = "processing"
	for range 2 {
		fails(t, "cancel", g.Cancel(t.Context(), keyed("pm_bank", "c"), ref), gateway.UnknownOutcome, "still at work")
	}
	f.intents[ref]["status"] = "requires_action"
	if err := g.Cancel(t.Context(), keyed("pm_bank", "c"), ref); err != nil || f.intents[ref]["status"] != "canceled" {
		t.Errorf("at rest: %v, %v", err, f.intents[ref]["status"])
	}
}

// Stripe repeats a refusal and even an answer of 500 to the same key, for a day.
func TestAnOldRefusalOfACancelIsNotBelieved(t *testing.T) {
	for name, row := range map[string]struct {
		status int
		body   object
	}{
		"at work then":  {400, failure("invalid_request_error", "setup_intent_unexpected_state", "")},
		"failed then":   {500, failure("api_error", "", "")},
		"failed to say": {503, failure("api_error", "", "")},
	} {
		f := newFake(t)
		g := f.gateway(t)
		ref := begunDeposits(t, g, "v")
		path := "/v1/setup_intents/" + ref + "/cancel"
		f.fail["POST "+path] = 1
		fails(t, name, g.Cancel(t.Context(), keyed("pm_bank", "c"), ref), gateway.UnknownOutcome, "failed while")
		for _, a := range f.answers {
			if strings.HasPrefix(a.request, path) {
				a.status, a.body = row.status, row.body
			}
		}
		if err := g.Cancel(t.Context(), keyed("pm_bank", "c"), ref); err != nil || f.intents[ref]["status"] != "canceled" {
			t.Errorf("%s: %v, %v", name, err, f.intents[ref]["status"])
		}
	}
}

func TestACancelThatStripeRefusesIsNoSuccess(t *testing.T) {
	f := newFake(t)
	g := f.gateway(t)
	ref := begunDeposits(t, g, "v")
	reader := keyed("pm_bank", "c")
	reader.Organization = "readers"
	fails(t, "a key without a right", g.Cancel(t.Context(), reader, ref), gateway.Unavailable, "check the gateway's configuration")
	if f.intents[ref]["status"] != "requires_action" {
		t.Errorf("the intent is %v", f.intents[ref]["status"])
	}
}
