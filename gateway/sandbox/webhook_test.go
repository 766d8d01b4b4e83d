package sandbox_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/sandbox"
)

const secret = "whsec_of_the_test"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func notices(t *testing.T, body string) ([]gateway.Notice, error) {
	t.Helper()
	g := &sandbox.Gateway{Now: func() time.Time { return noon }}
	header := http.Header{sandbox.SignatureHeader: {sandbox.Sign([]byte(body), secret, noon)}}
	return g.Notices(header, []byte(body), secret)
}

func TestEveryNoticeCanBeWritten(t *testing.T) {
	twint := lookup(t, "tok_twint")
	approved := lookup(t, "tok_visa_3ds")
	approved.NeedsApproval = false
	news := lookup(t, "tok_visa_updates").News
	for body, want := range map[string]gateway.Notice{
		`{"id":"e","token":"tok_visa","replacement":{}}`: {Token: "tok_visa", Replacement: news},
		`{"id":"e","token":"anything","replacement":{"card":{"brand":"visa","last4":"1881","exp_month":2,"exp_year":2031},"provider_id":"tok_visa_fp_x"}}`: {
			Token: "anything", Replacement: &domain.Replacement{
				Card: domain.Card{Brand: "visa", Last4: "1881", ExpMonth: 2, ExpYear: 2031}, ProviderID: "tok_visa_fp_x",
			},
		},
		`{"id":"e","token":"sepa_de","mandate":{"reference":"M1","scheme":"sepa","status":"inactive"}}`: {
			Token: "sepa_de", Mandate: &domain.Mandate{Reference: "M1", Scheme: "sepa", Status: "inactive"},
		},
		`{"id":"e","token":"tok_twint","facts":{}}`: {Token: "tok_twint", Facts: &twint},
		`{"id":"e","token":"x","facts":{"type":"twint","method":"twint","holder":"A B"}}`: {
			Token: "x", Facts: &gateway.Instrument{Facts: domain.Facts{Type: domain.TypeTwint, Method: "twint"}, Holder: "A B"},
		},
		`{"id":"e","token":"tok_visa","detached":true}`:                                        {Token: "tok_visa", Detached: true},
		`{"id":"e","token":"ba_us","reference":"r","verified":"micro_deposits"}`:               {Token: "ba_us", Reference: "r", Verified: domain.EvidenceMicroDeposits},
		`{"id":"e","reference":"r","unverified":"declined"}`:                                   {Reference: "r", Unverified: domain.CauseDeclined},
		`{"id":"e","token":"tok_visa_3ds","reference":"r","setup":{}}`:                         {Token: "tok_visa_3ds", Reference: "r", Setup: &gateway.SetupAnswer{Instrument: approved, Reference: "r"}},
		`{"id":"e","reference":"r","setup":{"next_action":{"type":"use_provider_sdk"}}}`:       {Reference: "r", Setup: &gateway.SetupAnswer{NextAction: &domain.NextAction{Type: domain.ActionProviderSDK}, Reference: "r"}},
		`{"id":"e","reference":"r","setup_failed":{"code":"gateway.declined","message":"no"}}`: {Reference: "r", SetupFailed: &domain.SetupError{Code: domain.CodeGatewayDeclined, Message: "no"}},
	} {
		want.ID = "e"
		got, err := notices(t, body)
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%s: %+v, %v; want %+v", body, got, err, want)
		}
	}
}

func TestAWebhookThatIsNotUnderstoodIsRefused(t *testing.T) {
	for _, body := range []string{
		``, `null`, `[]`, `{}`, `{"id":"e"}`, `{"id":"e","token":"tok_visa"}`, `{"token":"tok_visa","detached":true}`,
		`{"id":"e","detached":true}`, `{"id":"e","token":"tok_visa","detached":true,"verified":"card_auth"}`,
		`{"id":"e","token":"tok_visa","detached":true}{}`, `{"id":"e","token":"tok_visa","unheard_of":1,"detached":true}`,
		`{"id":"e","token":"nothing","replacement":{}}`, `{"id":"e","token":"ba_us","replacement":{}}`,
		`{"id":"e","token":"4242424242424242","detached":true}`,
	} {
		got, err := notices(t, body)
		if gateway.KindOf(err) != gateway.Unsupported || got != nil {
			t.Errorf("%s: %v, %v; want an unsupported webhook", body, got, err)
		}
	}
}

func TestASignatureMustBeRightAndRecent(t *testing.T) {
	body := []byte(`{"id":"e","token":"tok_visa","detached":true}`)
	right := sandbox.Sign(body, secret, noon)
	for header, ok := range map[string]bool{
		right:                                true,
		"v1=00," + right:                     true,
		right + ",v1=beef,v0=11":             true,
		"":                                   false,
		"t=1":                                false,
		right[:len(right)-1]:                 false,
		strings.Replace(right, ",", "0,", 1): false,
		sandbox.Sign(body, "another secret", noon):                        false,
		sandbox.Sign(append(body, ' '), secret, noon):                     false,
		sandbox.Sign(body, secret, noon.Add(-sandbox.SignatureTolerance)): true,
		sandbox.Sign(body, secret, noon.Add(-301*time.Second)):            false,
		sandbox.Sign(body, secret, noon.Add(301*time.Second)):             false,
	} {
		g := &sandbox.Gateway{Now: func() time.Time { return noon }}
		_, err := g.Notices(http.Header{sandbox.SignatureHeader: {header}}, body, secret)
		if ok && err != nil || !ok && gateway.KindOf(err) != gateway.Declined {
			t.Errorf("%q: %v, want accepted: %v", header, err, ok)
		}
	}
	g := &sandbox.Gateway{Now: func() time.Time { return noon }}
	if _, err := g.Notices(http.Header{sandbox.SignatureHeader: {sandbox.Sign(body, "", noon)}}, body, ""); err == nil {
		t.Error("a signature without a secret is accepted")
	}
}
