package api

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/sandbox"
)

// forgetful is a gateway that knows nothing of what it began or is given.
type forgetful struct{ *sandbox.Gateway }

var errForgotten = &gateway.Error{Kind: gateway.UnknownToken, Message: "the provider knows nothing of this"}

func (forgetful) Confirm(context.Context, gateway.Request, string, gateway.Deposits) (bool, error) {
	return false, errForgotten
}

func (forgetful) Resend(context.Context, gateway.Request, string) (gateway.Verification, error) {
	return gateway.Verification{}, errForgotten
}

func (forgetful) Tokenize(context.Context, gateway.Request, gateway.RawCard) (string, gateway.Instrument, error) {
	return "", gateway.Instrument{}, errForgotten
}

func TestWhatAGatewayDoesNotKnowIsNamedAsTheRequestNamesIt(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.RawCards = true
		o.Gateways["sandbox"] = forgetful{o.Gateways["sandbox"].(*sandbox.Gateway)}
	})
	id := idIn(b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"bank_account","token":"ba_us"}`)).body)
	b.want(202, b.do("POST", "/v1/payment-methods/"+id+"/verify", ""))
	for target, row := range map[string]struct{ body, place string }{
		"/v1/payment-methods/" + id + "/verify/confirm": {`{"amounts":[32,45]}`, "path.id"},
		"/v1/payment-methods/" + id + "/verify/resend":  {"", "path.id"},
		rawCardPath: {`{"number":"4111111111111111","expiration_date":"12/34"}`, "body.number"},
	} {
		a := b.do("POST", target, row.body)
		b.refused(422, "validation.failed", a)
		if got := placesOf(t, a); got != row.place {
			t.Errorf("%s: the fault is at %s, want %s", target, got, row.place)
		}
	}
}

// placesOf is where an answer names faults, with blanks between them.
func placesOf(t *testing.T, a answer) string {
	t.Helper()
	var p Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatal(err)
	}
	places := make([]string, len(p.Errors))
	for i, f := range p.Errors {
		places[i] = f.Location
	}
	return strings.Join(places, " ")
}

// Whatever member the domain or a gateway means, the place that is named is one
// that the call has.
func TestAFaultStandsAtAPlaceThatTheCallHas(t *testing.T) {
	b := newBench(t)
	for _, r := range b.server.routes {
		if r.pathParameter() == "" {
			continue
		}
		for _, member := range []string{"token", "is_default", "set_as_default", "metadata", "card"} {
			place := (&call{Server: b.server, route: r}).located("body." + member)
			name, inBody := strings.CutPrefix(place, "body.")
			parameter, inPath := strings.CutPrefix(place, "path.")
			if !(inBody && r.shape != nil && r.shape.members[name] != nil || inPath && strings.Contains(r.path+"/", "/:"+parameter+"/")) {
				t.Errorf("%s %s: body.%s is named %s, which is nowhere", r.method, r.path, member, place)
			}
		}
	}
}

func TestTheNameThatTheCallerWroteIsTheOneThatIsNamed(t *testing.T) {
	b := newBench(t)
	for _, row := range []struct{ route, body, found, named string }{
		{"POST /v1/payment-methods", `{"provider_id":"x"}`, "body.token", "body.provider_id"},
		{"POST /v1/payment-methods", `{"token":"x"}`, "body.token", "body.token"},
		{"POST /v1/payment-methods", `{}`, "body.token", "body.token"},
		{"POST /v1/payment-methods", `{"is_default":true}`, "body.set_as_default", "body.is_default"},
		{"PATCH /v1/payment-methods/:id", `{"provider_id":"x"}`, "body.token", "body.provider_id"},
		{"PATCH /v1/payment-methods/:id", `{"is_default":true}`, "body.set_as_default", "body.is_default"},
		{"POST /v1/payment-methods/:id/replace", `{"token":"x"}`, "body.token", "body.token"},
		{"POST /v1/customers/:customer_id/payment-methods", `{"provider_id":"x"}`, "body.token", "body.token"},
		{"POST /v1/customers/:customer_id/payment-methods", `{"provider_id":"x"}`, "body.provider_id", "body.provider_id"},
		{"POST /v1/customers/:customer_id/payment-methods", `{"no.such":1}`, "body.no.such", "body.no.such"},
		{"POST /v1/customers/:customer_id/payment-methods", `{"card":{}}`, "body.card.last4", "body.card.last4"},
		{"POST /v1/payment-methods/:id/default", `{}`, "body", "body"},
		{"POST /v1/payment-methods/:id/default", `{"x":1}`, "body.x", "body.x"},
		{"DELETE /v1/payment-methods/:id", ``, "query.promote", "query.promote"},
	} {
		c := &call{Server: b.server}
		for _, r := range b.server.routes {
			if r.method+" "+r.path == row.route {
				c.route = r
			}
		}
		if row.body != "" {
			var err error
			if c.body, err = parseStrict([]byte(row.body)); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.located(row.found); got != row.named {
			t.Errorf("%s with %s: %s is named %s, want %s", row.route, row.body, row.found, got, row.named)
		}
	}
}

func TestAFaultIsNamedOnce(t *testing.T) {
	b := newBench(t)
	for _, row := range []struct{ method, target, body, want string }{
		{"POST", "/v1/api-keys", `{"scopes":[{"a":1},["b"],"history.read","history.read"]}`, "body.scopes[0] body.scopes[1] body.scopes[3]"},
		{"PATCH", "/v1/organization", `{"expiry_windows_days":[0,0,7,7]}`, "body.expiry_windows_days[0] body.expiry_windows_days[1] body.expiry_windows_days[3]"},
		{"PATCH", "/v1/organization", `{"no such name":1,"nor this one":2}`, "body"},
		{"POST", "/v1/setup-intents", `{"customer_id":"cus_1","metadata":{"\n":"","\t":""}}`, "body.metadata"},
	} {
		a := b.do(row.method, row.target, row.body)
		b.refused(422, "validation.failed", a)
		if got := placesOf(t, a); got != row.want {
			t.Errorf("%s %s: faults at %s, want %s", row.target, row.body, got, row.want)
		}
	}
}
