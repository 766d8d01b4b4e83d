package stripe_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/stripe"
)

// A webhook is taken when it is signed, and then is about something.
func FuzzNotices(f *testing.F) {
	event := func(kind, object string) []byte {
		return []byte(`{"id":"evt_1","object":"event","created":1767225600,"type":"` + kind + `","data":{"object":` + object + `}}`)
	}
	f.Add(event("payment_method.updated", cardObject), "t=1,v1=00")
	f.Add(event("setup_intent.succeeded", intentObject(verifying)), "")
	f.Add(event("setup_intent.requires_action", intentObject(`"next_action":{"type":"redirect_to_url","redirect_to_url":{"url":"https://x"}}`)), "")
	f.Add(event("mandate.updated", `{"id":"mandate_1","object":"mandate","payment_method":"pm_1","status":"inactive","payment_method_details":{"type":"sepa_debit","sepa_debit":{"reference":"R"}}}`), "")
	f.Add([]byte(`{}`), "t=99999999999999999999,v1=")
	g, err := stripe.New(stripe.Config{Key: func(string) string { return "" }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, signature string) {
		if got, err := g.Notices(http.Header{"Stripe-Signature": {signature}}, body, webhookSecret); err == nil || got != nil {
			t.Fatalf("%q is taken with the signature %q", body, signature)
		}
		got, err := g.Notices(signed(string(body), webhookSecret, time.Now()), body, webhookSecret)
		if err != nil && (gateway.KindOf(err) != gateway.Unsupported || got != nil) {
			t.Fatalf("%q: %v", body, err)
		}
		for _, n := range got {
			if n.ID == "" || n.Token == "" && n.Reference == "" {
				t.Fatalf("%q is taken for %+v", body, n)
			}
		}
	})
}
