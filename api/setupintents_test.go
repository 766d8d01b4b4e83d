package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
)

// setupIntent is what a test looks at.
type setupIntent struct {
	ID              string
	Status          domain.SetupStatus
	ClientSecret    string `json:"client_secret"`
	PaymentMethodID string `json:"payment_method_id"`
	NextAction      *struct {
		Redirect struct{ URL string }
	} `json:"next_action"`
}

func (b *bench) intent(a answer) setupIntent {
	b.t.Helper()
	var s setupIntent
	if err := json.Unmarshal([]byte(a.body), &s); err != nil || a.status >= 300 {
		b.t.Fatalf("%d %s", a.status, a.body)
	}
	return s
}

// back is the path and query of the way back.
func (s setupIntent) back() string {
	return strings.TrimPrefix(s.NextAction.Redirect.URL, "https://ledger.test")
}

// A way back belongs to one question to the provider: after another one, whoever
// still has it approves nothing.
func TestAnOldWayBackApprovesNothing(t *testing.T) {
	b := newBench(t)
	first := b.intent(b.do("POST", "/v1/setup-intents", `{"customer_id":"cus_1","token":"tok_visa_3ds_verify_fails","confirm":true}`))
	b.want(200, b.as("", "GET", first.back(), ""))
	second := b.intent(b.do("POST", "/v1/setup-intents/"+first.ID+"/confirm", `{"token":"tok_visa_3ds"}`))
	if second.Status != domain.SetupNeedsAction || second.back() == first.back() {
		t.Fatalf("%+v", second)
	}
	b.want(200, b.as("", "GET", first.back(), ""))
	if s := b.intent(b.do("GET", "/v1/setup-intents/"+first.ID, "")); s.Status != domain.SetupNeedsAction {
		t.Errorf("the old way back approved: %+v", s)
	}
	other := b.intent(b.do("POST", "/v1/setup-intents", `{"customer_id":"cus_2","token":"tok_visa_3ds","confirm":true}`))
	_, state, _ := strings.Cut(second.back(), "?")
	b.refused(404, "setup_intent.not_found", b.as("", "GET", "/v1/setup-intents/"+other.ID+"/return?"+state, ""))
	b.want(200, b.as("", "GET", second.back(), ""))
	if s := b.intent(b.do("GET", "/v1/setup-intents/"+first.ID, "")); s.Status != domain.SetupSucceeded {
		t.Errorf("%+v", s)
	}
}

// A client secret opens its own setup intent, and nothing else.
func TestAClientSecretOpensItsOwnSetupIntentOnly(t *testing.T) {
	b := newBench(t)
	mine := b.intent(b.do("POST", "/v1/setup-intents", `{"customer_id":"cus_1","metadata":{"note":"for us"}}`))
	other := b.intent(b.do("POST", "/v1/setup-intents", `{"customer_id":"cus_1"}`))
	secret := "Setup-Intent-Secret: " + mine.ClientSecret
	if a := b.want(200, b.as("", "GET", "/v1/setup-intents/"+mine.ID, "", secret)); strings.Contains(a.body, "for us") {
		t.Errorf("the page sees the merchant's metadata: %s", a.body)
	}
	b.refused(404, "setup_intent.not_found", b.as("", "GET", "/v1/setup-intents/"+other.ID, "", secret))
	b.refused(404, "setup_intent.not_found", b.as("", "POST", "/v1/setup-intents/"+other.ID+"/confirm", `{"token":"tok_visa"}`, secret))
	forged := "Setup-Intent-Secret: " + strings.Replace(mine.ClientSecret, mine.ID, other.ID, 1)
	b.refused(401, "unauthorized", b.as("", "GET", "/v1/setup-intents/"+other.ID, "", forged))
	b.refused(401, "unauthorized", b.as("", "GET", "/v1/setup-intents/"+mine.ID+"?secret="+mine.ClientSecret, ""))
	for _, r := range b.server.routes {
		if r.scope == scopePublic || r.clientSide {
			continue
		}
		b.clock.add(time.Minute) // wrong credentials are counted
		target := strings.NewReplacer(":customer_id", "cus_1", ":id", mine.ID).Replace(r.path)
		if a := b.as("", r.method, target, "", secret); a.status != 401 || a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s: %d %v", r.method, r.path, a.status, a.header)
		}
	}
	b.want(200, b.as("", "POST", "/v1/setup-intents/"+mine.ID+"/confirm", `{"token":"tok_visa"}`, secret, "Actor: the boss", "Reason: because"))
	events := b.want(200, b.do("GET", "/v1/events?type=setup_intent.processing", "")).body
	if !strings.Contains(events, `"actor":"client_secret"`) || strings.Contains(events, "the boss") || strings.Contains(events, "because") {
		t.Errorf("a page says who it is: %s", events)
	}
}

// The id of what a setup intent attaches is made from the record that asked for it, and
// yet a UUIDv7 like every other: it sorts by time.
func TestTheMethodOfASetupIntentHasATimeInItsID(t *testing.T) {
	b := newBench(t)
	before := idIn(b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", visa)).body)
	b.clock.add(time.Minute)
	s := b.intent(b.do("POST", "/v1/setup-intents", `{"customer_id":"cus_2","token":"tok_amex","confirm":true}`))
	id, err := uuid.Parse(strings.TrimPrefix(s.PaymentMethodID, "pm_"))
	if err != nil || id.Version() != 7 || id.Variant() != uuid.RFC4122 || s.PaymentMethodID[:15] <= before[:15] {
		t.Errorf("%s after %s, %v", s.PaymentMethodID, before, err)
	}
}

// What a client secret may ask for is limited like what a key may.
func TestAClientSecretHasARate(t *testing.T) {
	b := newBench(t, func(o *Options) { o.RateLimit = RateLimit{PerSecond: 1, Burst: 2} })
	s := b.intent(b.do("POST", "/v1/setup-intents", `{"customer_id":"cus_1"}`))
	for range 2 {
		b.want(200, b.as("", "GET", "/v1/setup-intents/"+s.ID, "", "Setup-Intent-Secret: "+s.ClientSecret))
	}
	b.refused(429, "rate_limited", b.as("", "GET", "/v1/setup-intents/"+s.ID, "", "Setup-Intent-Secret: "+s.ClientSecret))
	b.want(200, b.do("GET", "/v1/setup-intents/"+s.ID, ""))
}
