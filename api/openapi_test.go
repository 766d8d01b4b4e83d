package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestOpenAPIDocumentIsTheCommittedOne(t *testing.T) {
	document, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("openapi.json", document, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(document, committed) {
		t.Error("api/openapi.json is not what the code describes: run make openapi and read the difference")
	}
	for range 3 {
		if again, _ := OpenAPI(); !bytes.Equal(again, document) {
			t.Fatal("two documents of one release differ")
		}
	}
}

// document is the served OpenAPI document, parsed.
func openDocument(t *testing.T, b *bench) map[string]any {
	t.Helper()
	var document map[string]any
	if err := json.Unmarshal([]byte(b.want(200, b.as("", "GET", "/openapi.json", "")).body), &document); err != nil {
		t.Fatal(err)
	}
	return document
}

func TestOpenAPIDocumentListsEveryRouteWithItsScopeAndCodes(t *testing.T) {
	b := newBench(t)
	paths := openDocument(t, b)["paths"].(map[string]any)
	for _, r := range b.server.routes {
		item, _ := paths[openPath(r.path)].(map[string]any)
		operation, ok := item[strings.ToLower(r.method)].(map[string]any)
		if !ok {
			t.Errorf("%s %s is not in the document", r.method, r.path)
			continue
		}
		if r.scope == scopePublic {
			continue
		}
		if operation["x-required-scope"] != r.scope {
			t.Errorf("%s %s: scope %v, want %s", r.method, r.path, operation["x-required-scope"], r.scope)
		}
		responses := operation["responses"].(map[string]any)
		for _, status := range []string{"401", "403", "422", "429", "500", "503"} {
			if responses[status] == nil {
				t.Errorf("%s %s: status %s is not documented", r.method, r.path, status)
			}
		}
	}
}

// Every example in the document must be accepted by the call it stands at.
func TestOpenAPIExamplesAreAccepted(t *testing.T) {
	b := newBench(t, func(o *Options) { o.RawCards = true })
	b.key(DevOrganization, domain.ModeTest) // which makes the organization
	attach := func(customer, body string) string {
		t.Helper()
		return idIn(b.want(201, b.do("POST", "/v1/customers/"+customer+"/payment-methods", body)).body)
	}
	account := func() string {
		t.Helper()
		id := attach(strings.ReplaceAll(t.Name(), "Test", "cus")+fmt.Sprint(b.clock.Now().UnixNano()), `{"type":"bank_account","token":"ba_us"}`)
		b.clock.add(time.Second) // for another customer
		b.want(202, b.do("POST", "/v1/payment-methods/"+id+"/verify", ""))
		return id
	}
	ids := map[string]func() string{
		"/verify/confirm": account, "/verify/resend": account,
		"/payment-methods/": func() string {
			return attach("cus_9", `{"type":"card","token":"tok_amex_fp_`+fmt.Sprint(b.clock.Now().Unix())+`"}`)
		},
		"/setup-intents/": func() string {
			return idIn(b.want(201, b.do("POST", "/v1/setup-intents", `{"customer_id":"cus_8"}`)).body)
		},
		"/subscriptions/": func() string { return "sub_1" },
	}
	for path, item := range openDocument(t, b)["paths"].(map[string]any) {
		for verb, o := range item.(map[string]any) {
			body, ok := o.(map[string]any)["requestBody"].(map[string]any)
			if !ok {
				continue
			}
			content, ours := body["content"].(map[string]any)["application/json"].(map[string]any)
			if !ours {
				continue
			}
			example, _ := json.Marshal(content["example"])
			id := ""
			for _, part := range []string{"/verify/confirm", "/verify/resend", "/payment-methods/", "/setup-intents/", "/subscriptions/"} {
				if id == "" && strings.Contains(path, part) && strings.Contains(path, "{id}") {
					id = ids[part]()
				}
			}
			b.clock.add(time.Second)
			target := strings.NewReplacer("{customer_id}", "cus_1", "{id}", id).Replace(path)
			if a := b.do(strings.ToUpper(verb), target, string(example)); a.status >= 300 {
				t.Errorf("%s %s with %s: %d %s", verb, path, example, a.status, a.body)
			}
		}
	}
}

// What the document says of a payment method and an event, and what the
// projections write, are the same members.
func TestDocumentedObjectsAreTheServedOnes(t *testing.T) {
	b := newBench(t)
	attached := b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"direct_debit","token":"sepa_de"}`))
	schemas := openDocument(t, b)["components"].(map[string]any)["schemas"].(map[string]any)
	compare := func(name string, text string) {
		t.Helper()
		served, err := parseStrict([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		documented := schemas[name].(map[string]any)["properties"].(map[string]any)
		for _, member := range served.names {
			if documented[member] == nil {
				t.Errorf("%s: %s is served and not documented", name, member)
			}
		}
		for member := range documented {
			if !slices.Contains(served.names, member) {
				t.Errorf("%s: %s is documented and not served", name, member)
			}
		}
	}
	member := func(text, name string) string {
		t.Helper()
		var object map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		return string(object[name])
	}
	compare("PaymentMethod", attached.body)
	compare("BankAccount", member(attached.body, "bank_account"))
	compare("Mandate", member(attached.body, "mandate"))
	compare("Verification", member(attached.body, "verification"))
	compare("Card", member(b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"tok_visa"}`).body, "card"))
	compare("Wallet", member(b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"paypal","token":"paypal_demo"}`).body, "wallet"))
	compare("Organization", b.do("GET", "/v1/organization", "").body)
	compare("IssuedKey", b.do("POST", "/v1/api-keys", `{"scopes":["keys.admin"]}`).body)
	deposits := b.want(202, b.do("POST", "/v1/payment-methods/"+idIn(b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"bank_account","token":"ba_us"}`).body)+"/verify", ""))
	compare("NextAction", member(deposits.body, "next_action"))
	compare("AwaitedDeposits", member(member(deposits.body, "next_action"), "verify_with_microdeposits"))
	approval := b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"tok_amex_3ds"}`))
	compare("ApprovalAddress", member(member(approval.body, "next_action"), "redirect"))
	compare("Replacement", member(approval.body, "replacement"))
	intent := b.want(201, b.do("POST", "/v1/setup-intents", `{"customer_id":"cus_1","token":"tok_visa_declined","confirm":true}`))
	compare("SetupIntent", intent.body)
	compare("SetupError", member(intent.body, "last_error"))
	compare("Subscription", b.want(200, b.do("PUT", "/v1/subscriptions/sub_1", `{"customer_id":"cus_1","status":"active"}`)).body)
	compare("TestClock", b.want(200, b.do("GET", "/v1/test-clock", "")).body)
	compare("Problem", strings.Replace(b.want(404, b.do("GET", "/nope", "")).body, `"request_id"`, `"in_use_by":[],"payment_method_id":"","request_id"`, 1))
	var page struct{ Data []json.RawMessage }
	if err := json.Unmarshal([]byte(b.do("GET", "/v1/events?type=customer.payment_method_attached", "").body), &page); err != nil || len(page.Data) == 0 {
		t.Fatal("no event", err)
	}
	compare("Event", string(page.Data[0]))
}

func idIn(object string) string {
	var o struct{ ID string }
	_ = json.Unmarshal([]byte(object), &o)
	return o.ID
}

func TestDocsPageNeedsNothingFromElsewhere(t *testing.T) {
	b := newBench(t)
	a := b.want(http.StatusOK, b.as("", "GET", "/docs", ""))
	if !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || a.header.Get("Content-Security-Policy") == "" {
		t.Errorf("headers %v", a.header)
	}
	if strings.Contains(a.body, "http://") || strings.Contains(a.body, "https://") || !strings.Contains(a.body, `fetch("/openapi.json")`) {
		t.Error("the page refers to another server, or does not read the document")
	}
}
