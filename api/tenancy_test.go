package api

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/domain"
)

// version is what counts on with every write of the prober's own.
var version = regexp.MustCompile(`,"version":[0-9]+`)

// probe is a call that names something, as {id}, that may be somebody else's.
type probe struct{ method, target, body string }

// Something of another organization answers exactly as something that does not
// exist: status, headers and body, for every route that takes an id anywhere.
func TestForeignThingsAnswerAsThoseThatDoNotExist(t *testing.T) {
	b := newBench(t)
	owner := b.key("acme", domain.ModeTest)
	attached := b.want(201, b.as(owner, "POST", "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"tok_visa"}`))
	events := b.want(200, b.as(owner, "GET", "/v1/events?limit=1", "")).body
	_, event, _ := strings.Cut(events, `"id":"`)
	issued := idIn(b.want(201, b.as(owner, "POST", "/v1/api-keys", `{"scopes":["keys.admin"]}`)).body)
	intent := idIn(b.want(201, b.as(owner, "POST", "/v1/setup-intents", `{"customer_id":"cus_2"}`)).body)
	b.want(200, b.as(owner, "PUT", "/v1/subscriptions/sub_1", `{"customer_id":"cus_1","status":"active"}`))
	own := idIn(b.want(201, b.do("POST", "/v1/customers/own/payment-methods", `{"type":"card","token":"tok_visa"}`)).body)

	foreign := map[string]string{"method": idIn(attached.body), "event": event[:36], "key": issued, "customer": "cus_1", "intent": intent, "subscription": "sub_1"}
	unknown := map[string]string{"method": "pm_01930000000070008000ffffffffffff", "event": "evt_c613acd56d0055169de9688cbfffffff", "key": "k7c2m5q3xvna", "customer": "cus_x",
		"intent": "seti_01930000000070008000ffffffffffff", "subscription": "sub_x"}
	for _, p := range probesOf(t, b.server.routes, own) {
		var answers []answer
		for _, ids := range []map[string]string{foreign, unknown} {
			target := p.target
			body := p.body
			for name, id := range ids {
				target, body = strings.ReplaceAll(target, "{"+name+"}", id), strings.ReplaceAll(body, "{"+name+"}", id)
			}
			a := b.do(p.method, target, body, "X-Request-Id: probe")
			// The names of customers and subscriptions are the caller's own; only what is behind them must not show.
			a.body = strings.NewReplacer(ids["customer"], "{customer}", ids["subscription"], "{subscription}").Replace(a.body)
			a.body = version.ReplaceAllString(a.body, "")
			delete(a.header, "Etag")
			delete(a.header, "Ledger-Position")
			answers = append(answers, a)
		}
		if answers[0].status != answers[1].status || answers[0].body != answers[1].body || !sameHeaders(answers[0].header, answers[1].header) {
			t.Errorf("%s %s: foreign\n%+v\nunknown\n%+v", p.method, p.target, answers[0], answers[1])
		}
		if answers[0].status < 300 && strings.Contains(answers[0].body, "pm_") {
			t.Errorf("%s %s shows something: %s", p.method, p.target, answers[0].body)
		}
	}
	if again := b.want(200, b.as(owner, "GET", "/v1/payment-methods/"+foreign["method"], "")); again.body != attached.body {
		t.Error("a probe changed the payment method")
	}
}

// probesOf makes a probe of every route with a parameter, and of every query
// parameter that names a thing.
func probesOf(t *testing.T, routes []*route, own string) []probe {
	t.Helper()
	bodies := map[string]string{
		"PATCH /v1/payment-methods/:id": `{"external_id":"mine"}`, "POST /v1/payment-methods/:id/default": "",
		"POST /v1/payment-methods/:id/verify": "", "POST /v1/payment-methods/:id/verify/confirm": `{"amounts":[32,45]}`,
		"POST /v1/payment-methods/:id/verify/resend": "", "POST /v1/payment-methods/:id/replace": `{"token":"tok_amex"}`,
		"POST /v1/payment-methods/:id/declines": `{"code":"stolen_card"}`, "POST /v1/setup-intents/:id/confirm": `{"token":"tok_visa"}`,
		"POST /v1/setup-intents/:id/cancel": "", "PUT /v1/subscriptions/:id": `{"customer_id":"own","status":"paused"}`,
	}
	kinds := map[string]string{
		"/v1/events/:id": "{event}", "/v1/api-keys/:id": "{key}", "/v1/setup-intents/:id": "{intent}", "/v1/setup-intents/:id/confirm": "{intent}",
		"/v1/setup-intents/:id/cancel": "{intent}", "/v1/setup-intents/:id/return": "{intent}", "/v1/subscriptions/:id": "{subscription}",
	}
	probes := []probe{
		{"GET", "/v1/payment-methods?customer_id={customer}&include_removed=true", ""},
		{"GET", "/v1/events?customer_id={customer}", ""},
		{"GET", "/v1/events?payment_method_id={method}", ""},
		{"GET", "/v1/payment-methods/{method}?as_of=2026-06-01T12:00:00Z", ""},
		{"GET", "/v1/customers/{customer}/payment-methods?as_of=2026-06-01T12:00:00Z", ""},
		{"GET", "/v1/customers/{customer}/default-payment-method?as_of=2026-06-01T12:00:00Z", ""},
		{"DELETE", "/v1/payment-methods/" + own + "?promote={method}", ""},
		{"POST", "/v1/payment-methods/" + own + "/replace", `{"with":"{method}"}`},
		{"PUT", "/v1/subscriptions/mine", `{"customer_id":"own","status":"active","default_payment_method_id":"{method}"}`},
	}
	for _, r := range routes {
		if !strings.Contains(r.path, ":") || strings.HasSuffix(r.path, "/webhooks") || r.method == "POST" && strings.Contains(r.path, ":customer_id") {
			continue // attaching to a customer of that name makes one's own
		}
		id := kinds[r.path]
		if id == "" {
			id = "{method}"
		}
		target := strings.NewReplacer(":customer_id", "{customer}", ":id", id).Replace(r.path)
		body, known := bodies[r.method+" "+r.path]
		if !known && r.shape != nil {
			t.Errorf("no body for %s %s", r.method, r.path)
		}
		probes = append(probes, probe{r.method, target, body})
	}
	return probes
}

func sameHeaders(a, b http.Header) bool { return maps.EqualFunc(a, b, slices.Equal) }

// Two organizations with a customer of one name have nothing in common, and one
// idempotency key of theirs is two.
func TestOrganizationsWithTheSameNamesStayApart(t *testing.T) {
	b := newBench(t)
	other := b.key("acme", domain.ModeTest)
	body := `{"type":"card","token":"tok_visa"}`
	mine := b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", body, "Idempotency-Key: k"))
	theirs := b.want(201, b.as(other, "POST", "/v1/customers/cus_1/payment-methods", body, "Idempotency-Key: k"))
	if theirs.header.Get("Idempotency-Replayed") != "" || idIn(mine.body) == idIn(theirs.body) {
		t.Error("the key of another organization was taken for its own")
	}
	alone := b.want(201, b.do("POST", "/v1/payment-methods", body, "Idempotency-Key: k"))
	elsewhere := b.want(201, b.as(other, "POST", "/v1/payment-methods", body, "Idempotency-Key: k"))
	if idIn(alone.body) == idIn(elsewhere.body) {
		t.Error("two organizations derive one id")
	}
	list := b.want(200, b.as(other, "GET", "/v1/payment-methods", ""))
	if strings.Contains(list.body, idIn(mine.body)) || strings.Contains(list.body, idIn(alone.body)) || !strings.Contains(list.body, idIn(elsewhere.body)) {
		t.Error("a list shows another organization's payment methods")
	}
}
