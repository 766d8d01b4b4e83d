package stripe_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v82/webhook"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/stripe"
)

const webhookSecret = "whsec_of_the_test"

func signed(body string, secret string, at time.Time) http.Header {
	payload := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: []byte(body), Secret: secret, Timestamp: at})
	return http.Header{"Stripe-Signature": {payload.Header}}
}

func idle(t *testing.T) *stripe.Gateway {
	t.Helper()
	g, err := stripe.New(stripe.Config{Key: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func notices(t *testing.T, event, object string) ([]gateway.Notice, error) {
	t.Helper()
	body := fmt.Sprintf(`{"id":"evt_1","object":"event","api_version":"2020-08-27","created":1767225600,"type":%q,"data":{"object":%s}}`, event, object)
	return idle(t).Notices(signed(body, webhookSecret, time.Now()), []byte(body), webhookSecret)
}

const (
	cardObject = `{"id":"pm_1","object":"payment_method","type":"card","customer":"cus_1","billing_details":{"name":"Jenny Rosen"},
		"card":{"brand":"visa","last4":"1881","exp_month":2,"exp_year":2031,"country":"US","funding":"debit","fingerprint":"fp_new"}}`
	verifying = `"metadata":{"pmledger_purpose":"verify"}`
)

func intentObject(rest string) string {
	return `{"id":"seti_1","object":"setup_intent","payment_method":"pm_1","client_secret":"seti_1_secret_canary",` + rest + `}`
}

func TestEventsBecomeNotices(t *testing.T) {
	card := domain.Card{Brand: "visa", Last4: "1881", ExpMonth: 2, ExpYear: 2031, Country: "US", Funding: "debit"}
	about := func(n gateway.Notice) gateway.Notice {
		n.ID, n.Token = "evt_1", "pm_1"
		return n
	}
	intent := func(n gateway.Notice) gateway.Notice {
		n.Reference = "seti_1"
		return about(n)
	}
	for _, row := range []struct {
		event, object string
		want          gateway.Notice
	}{
		{"payment_method.automatically_updated", cardObject, about(gateway.Notice{Replacement: &domain.Replacement{Card: card, Fingerprint: "fp_new"}})},
		{"payment_method.card_automatically_updated", cardObject, about(gateway.Notice{Replacement: &domain.Replacement{Card: card, Fingerprint: "fp_new"}})},
		{"payment_method.updated", cardObject, about(gateway.Notice{Facts: &gateway.Instrument{Holder: "Jenny Rosen", Facts: domain.Facts{
			Type: domain.TypeCard, Method: "card", Card: &card, Fingerprint: "fp_new", Country: "US"}}})},
		{"payment_method.detached", cardObject, about(gateway.Notice{Detached: true})},
		{"setup_intent.succeeded", intentObject(`"payment_method_types":["us_bank_account"],` + verifying), intent(gateway.Notice{Verified: domain.EvidenceMicroDeposits})},
		{"setup_intent.succeeded", intentObject(`"payment_method_types":["card"],` + verifying), intent(gateway.Notice{Verified: domain.EvidenceCardAuth})},
		{"setup_intent.succeeded", intentObject(`"metadata":{}`), intent(gateway.Notice{Setup: &gateway.SetupAnswer{Reference: "seti_1"}})},
		{"setup_intent.requires_action", intentObject(`"next_action":{"type":"redirect_to_url","redirect_to_url":{"url":"https://hooks.stripe.com/x"}}`),
			intent(gateway.Notice{Setup: &gateway.SetupAnswer{Reference: "seti_1", NextAction: &domain.NextAction{
				Type: domain.ActionRedirect, RedirectURL: "https://hooks.stripe.com/x", RedirectTarget: "any"}}})},
		{"setup_intent.setup_failed", intentObject(`"last_setup_error":{"type":"card_error","code":"card_declined","decline_code":"do_not_honor","message":"x"}`),
			intent(gateway.Notice{SetupFailed: &domain.SetupError{Code: domain.CodeGatewayDeclined, Message: "the payment provider declined this payment method (do_not_honor)"}})},
		{"setup_intent.canceled", intentObject(`"cancellation_reason":"abandoned"`),
			intent(gateway.Notice{SetupFailed: &domain.SetupError{Code: domain.CodeGatewayDeclined, Message: "the setup was canceled at the payment provider"}})},
		{"setup_intent.setup_failed", intentObject(`"last_setup_error":{"code":"payment_method_microdeposit_verification_attempts_exceeded"},` + verifying), intent(gateway.Notice{Unverified: domain.CauseExhausted})},
		{"setup_intent.setup_failed", intentObject(`"last_setup_error":{"code":"payment_method_microdeposit_verification_timeout"},` + verifying), intent(gateway.Notice{Unverified: domain.CauseExpired})},
		{"setup_intent.setup_failed", intentObject(`"last_setup_error":{"code":"payment_method_microdeposit_failed"},` + verifying), intent(gateway.Notice{Unverified: domain.CauseDeclined})},
		{"setup_intent.canceled", intentObject(verifying), intent(gateway.Notice{Unverified: domain.CauseDeclined})},
		{"mandate.updated", `{"id":"mandate_1","object":"mandate","payment_method":"pm_1","status":"inactive","type":"multi_use","customer_acceptance":{"accepted_at":1767225600},
			"payment_method_details":{"type":"sepa_debit","sepa_debit":{"reference":"REF1","url":"https://x"}}}`,
			about(gateway.Notice{Mandate: &domain.Mandate{Reference: "REF1", Scheme: "sepa", Status: "inactive", AcceptedAt: time.Unix(1767225600, 0).UTC()}})},
		{"mandate.updated", `{"id":"mandate_1","object":"mandate","payment_method":"pm_1","status":"active","payment_method_details":{"type":"us_bank_account","us_bank_account":{}}}`,
			about(gateway.Notice{Mandate: &domain.Mandate{Reference: "mandate_1", Scheme: "ach", Status: "active"}})},
	} {
		got, err := notices(t, row.event, row.object)
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], row.want) {
			t.Errorf("%s: %+v, %v; want %+v", row.event, got, err, row.want)
		}
		if strings.Contains(fmt.Sprintf("%+v", got), "canary") {
			t.Errorf("%s: the client secret is in the notice", row.event)
		}
	}
}

func TestEventsOfNoInterestGiveNoNotices(t *testing.T) {
	for _, row := range []struct{ event, object string }{
		{"charge.succeeded", `{"id":"ch_1"}`}, {"payment_method.attached", cardObject}, {"setup_intent.created", intentObject(`"status":"x"`)},
		{"an.event.of.next.year", `[]`},
		{"setup_intent.canceled", intentObject(`"cancellation_reason":"duplicate",` + verifying)},
		{"setup_intent.requires_action", intentObject(`"next_action":{"type":"verify_with_microdeposits","verify_with_microdeposits":{}},` + verifying)},
		{"payment_method.automatically_updated", `{"id":"pm_1","object":"payment_method","type":"paypal","paypal":{}}`},
		{"mandate.updated", `{"id":"mandate_1","object":"mandate","payment_method":"pm_1","payment_method_details":{"type":"card","card":{}}}`},
	} {
		if got, err := notices(t, row.event, row.object); err != nil || got != nil {
			t.Errorf("%s: %+v, %v; want nothing", row.event, got, err)
		}
	}
}

func TestABodyThatStripeWouldNotWriteIsRefused(t *testing.T) {
	for _, body := range []string{``, `{}`, `null`, `{"id":"evt_1"}`, `{"id":"evt_1","type":"payment_method.updated"}`, `{"id":1,"type":"x"}`,
		`{"id":"evt_1","type":"setup_intent.succeeded","data":{"object":{}}}`, `{"id":"evt_1","type":"mandate.updated","data":{"object":[]}}`} {
		got, err := idle(t).Notices(signed(body, webhookSecret, time.Now()), []byte(body), webhookSecret)
		if gateway.KindOf(err) != gateway.Unsupported || got != nil {
			t.Errorf("%s: %v, %v; want an unsupported webhook", body, got, err)
		}
	}
}

func TestASignatureMustBeRightAndRecent(t *testing.T) {
	body := fmt.Sprintf(`{"id":"evt_1","type":"payment_method.detached","data":{"object":%s}}`, cardObject)
	now := time.Now()
	for name, row := range map[string]struct {
		header http.Header
		secret string
		ok     bool
	}{
		"right":             {signed(body, webhookSecret, now), webhookSecret, true},
		"young enough":      {signed(body, webhookSecret, now.Add(-4*time.Minute)), webhookSecret, true},
		"too old":           {signed(body, webhookSecret, now.Add(-6*time.Minute)), webhookSecret, false},
		"another secret":    {signed(body, "whsec_other", now), webhookSecret, false},
		"another body":      {signed(body+" ", webhookSecret, now), webhookSecret, false},
		"no signature":      {http.Header{}, webhookSecret, false},
		"half a signature":  {http.Header{"Stripe-Signature": {"t=1"}}, webhookSecret, false},
		"no secret to know": {signed(body, "", now), "", false},
	} {
		got, err := idle(t).Notices(row.header, []byte(body), row.secret)
		if row.ok && (err != nil || len(got) != 1) || !row.ok && gateway.KindOf(err) != gateway.Declined {
			t.Errorf("%s: %v, %v; want accepted: %v", name, got, err, row.ok)
		}
		if err != nil && (strings.Contains(err.Error(), webhookSecret) || strings.Contains(err.Error(), "pm_1")) {
			t.Errorf("%s: the error holds a secret or a token: %v", name, err)
		}
	}
}
