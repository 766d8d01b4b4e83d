package api

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/domain"
)

// pan is a test number of a card network; each probe writes it in another way.
const pan = "4242424242424242"

// refusedPAN sends a request that holds a card number, and checks that it is
// refused at the place and shown nowhere.
func refusedPAN(t *testing.T, b *bench, location string, a answer) {
	t.Helper()
	var p Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != 422 || p.Code != domain.CodePANDetected {
		t.Errorf("%s: %d %s", location, a.status, a.body)
		return
	}
	if !slices.ContainsFunc(p.Errors, func(f FaultItem) bool { return f.Location == location && f.Code == domain.CodePANDetected }) {
		t.Errorf("%s is not named: %s", location, a.body)
	}
	shown := a.body + b.log.String()
	for name, values := range a.header {
		shown += name + strings.Join(values, " ")
	}
	for _, form := range []string{pan, "4242 4242", "4242-4242", "4242.4242", url.QueryEscape("4242 4242"), base64.StdEncoding.EncodeToString([]byte(pan))} {
		if strings.Contains(shown, form) {
			t.Errorf("%s: the number is shown as %q", location, form)
		}
	}
}

func TestCardNumbersAreRefusedInEveryTextOfABody(t *testing.T) {
	b := newBench(t)
	method := idIn(b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"tok_visa"}`)).body)
	target := map[string]string{
		"/v1/customers/:customer_id/payment-methods": "/v1/customers/cus_1/payment-methods", "/v1/payment-methods": "/v1/payment-methods",
		"/v1/payment-methods/:id": "/v1/payment-methods/" + method, "/v1/payment-methods/:id/default": "/v1/payment-methods/" + method + "/default",
		"/v1/organization": "/v1/organization", "/v1/api-keys": "/v1/api-keys", "/v1/setup-intents": "/v1/setup-intents",
		"/v1/setup-intents/:id/confirm": "/v1/setup-intents/seti_1/confirm", "/v1/setup-intents/:id/cancel": "/v1/setup-intents/seti_1/cancel",
		"/v1/subscriptions/:id": "/v1/subscriptions/sub_1", "/v1/test-clock": "/v1/test-clock",
	}
	for _, call := range []string{"verify", "verify/confirm", "verify/resend", "replace", "declines"} {
		target["/v1/payment-methods/:id/"+call] = "/v1/payment-methods/" + method + "/" + call
	}
	places := 0
	for _, r := range b.server.routes {
		if r.shape == nil || r.ownBody {
			continue
		}
		for _, path := range textPlaces(r.shape, nil) {
			for _, text := range []string{pan, "see 4242 4242-4242.4242 there", base64.StdEncoding.EncodeToString([]byte(pan))} {
				places++
				var body any = text
				location := "body"
				for i := len(path) - 1; i >= 0; i-- {
					if path[i] == "[]" {
						body = []any{body}
					} else {
						body = map[string]any{path[i]: body}
					}
				}
				for _, step := range path {
					if step == "[]" {
						location += "[0]"
					} else {
						location += "." + step
					}
				}
				sent, _ := json.Marshal(body)
				refusedPAN(t, b, location, b.do(r.method, target[r.path], string(sent), "Idempotency-Key: k"+strconv.Itoa(places)))
			}
		}
	}
	if places < 90 {
		t.Errorf("only %d places were tried", places)
	}
	if strings.Contains(b.want(200, b.do("GET", "/v1/events", "")).body, "4242424242") {
		t.Error("an event holds the number")
	}
}

// textPlaces lists the paths to every string that a shape takes.
func textPlaces(sh *shape, path []string) (places [][]string) {
	at := func(name string) []string { return append(slices.Clone(path), name) }
	switch sh.kind {
	case "string":
		places = append(places, path)
	case "array":
		places = append(places, textPlaces(sh.items, at("[]"))...)
	case "object":
		for name, member := range sh.members {
			places = append(places, textPlaces(member, at(name))...)
		}
		if sh.extra != nil {
			places = append(places, textPlaces(sh.extra, at("note"))...)
		}
	}
	return places
}

func TestCardNumbersAreRefusedInKeysNumbersAndUnknownMembers(t *testing.T) {
	b := newBench(t)
	for body, location := range map[string]string{
		`{"type":"card","token":"t","metadata":{"` + pan + `":"x"}}`: "body.metadata",
		`{"type":"card","token":"t","` + pan + `":"x"}`:              "body",
		`{"type":"card","token":` + pan + `}`:                        "body.token",
		`{"type":"card","token":"t","number":"` + pan + `"}`:         "body.number",
		`{"type":"card","token":"t","x":[[{"y":"` + pan + `"}]]}`:    "body.x[0][0].y",
		`["` + pan + `"]`: "body[0]",
		`"` + pan + `"`:   "body",
	} {
		refusedPAN(t, b, location, b.do("POST", "/v1/customers/cus_1/payment-methods", body))
	}
	// Text that is no JSON at all is not looked into, and not shown either.
	a := b.want(400, b.do("POST", "/v1/customers/cus_1/payment-methods", `{"number":`+pan+`,`))
	if strings.Contains(a.body+b.log.String(), pan) {
		t.Error("a malformed body is shown")
	}
}

func TestCardNumbersAreRefusedInHeadersPathsAndQueries(t *testing.T) {
	b := newBench(t)
	body := `{"type":"card","token":"tok_visa"}`
	for _, name := range []string{"Idempotency-Key", "Actor", "Reason"} {
		refusedPAN(t, b, "header."+name, b.do("POST", "/v1/customers/cus_1/payment-methods", body, name+": order "+pan))
	}
	spaced := url.PathEscape("4242 4242 4242 4242")
	refusedPAN(t, b, "path.customer_id", b.do("POST", "/v1/customers/"+pan+"/payment-methods", body))
	refusedPAN(t, b, "path.customer_id", b.do("GET", "/v1/customers/cus:"+pan+"/default-payment-method", ""))
	refusedPAN(t, b, "path.customer_id", b.do("GET", "/v1/customers/"+spaced+"/payment-methods", ""))
	for _, target := range []string{"/v1/payment-methods/", "/v1/events/", "/v1/payment-methods/"} {
		refusedPAN(t, b, "path.id", b.do("GET", target+pan, ""))
	}
	refusedPAN(t, b, "path.id", b.do("DELETE", "/v1/api-keys/"+pan, ""))
	for _, r := range b.server.routes {
		for _, p := range r.parameters {
			target := strings.NewReplacer(":customer_id", "cus_1", ":id", "pm_00000000000070008000000000000000").Replace(r.path)
			refusedPAN(t, b, "query."+p.name, b.do(r.method, target+"?"+p.name+"="+pan, ""))
		}
	}
	refusedPAN(t, b, "query.card", b.do("GET", "/v1/payment-methods?card="+url.QueryEscape("4242 4242 4242 4242"), ""))
	refusedPAN(t, b, "query", b.do("GET", "/v1/payment-methods?"+pan+"=1", ""))

	// Headers that are only looked at are not shown.
	a := b.want(404, b.do("GET", "/v1/"+pan, "", "X-Request-Id: "+pan, "Traceparent: 00-"+pan+pan+"-"+pan+"-01", "If-Match: \""+pan+"\"", "User-Agent: "+pan))
	if a.header.Get("X-Request-Id") == pan || strings.Contains(a.body+b.log.String(), pan) {
		t.Errorf("the number is shown: %s", a.body)
	}
}
