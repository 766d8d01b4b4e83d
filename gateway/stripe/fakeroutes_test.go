package stripe_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// route answers one call. The answer is written down while the state is locked: what
// it shows may change right after, and a repeat gets what was said the first time.
func (f *fake) route(r *http.Request, params url.Values) (int, json.RawMessage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	status, shown := f.handle(r, params)
	text, err := json.Marshal(shown)
	if err != nil {
		panic(err)
	}
	return status, text
}

func (f *fake) handle(r *http.Request, params url.Values) (int, object) {
	call := r.Method + " " + r.URL.Path
	if f.fail[call] > 0 {
		f.fail[call]--
		return 500, failure("api_error", "", "")
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	switch {
	case call == "GET /v1/customers/search":
		return 200, f.search(params.Get("query"))
	case call == "POST /v1/customers":
		c := object{"id": fmt.Sprintf("cus_made%d", len(f.customers)+1), "object": "customer", "created": 1700000000 + len(f.customers),
			"metadata": object{"pmledger_organization": params.Get("metadata[pmledger_organization]"), "pmledger_customer": params.Get("metadata[pmledger_customer]")}}
		f.customers = append(f.customers, c)
		return 200, c
	case call == "POST /v1/payment_methods":
		return f.tokenize(params)
	case parts[0] == "payment_methods":
		return f.method(parts[1], len(parts) > 2)
	case call == "POST /v1/setup_intents":
		return f.create(params)
	case call == "GET /v1/setup_intents":
		var data []object
		for _, i := range f.intents {
			if i["payment_method"] == params.Get("payment_method") {
				data = append(data, i)
			}
		}
		return 200, object{"object": "list", "data": data, "has_more": false}
	case parts[0] == "setup_intents":
		return f.onIntent(parts, params)
	}
	return 404, failure("invalid_request_error", "", "")
}

func (f *fake) search(query string) object {
	data := []object{}
	for _, c := range f.customers {
		m := c["metadata"].(object)
		if !f.unindexed && query == fmt.Sprintf("metadata['pmledger_organization']:'%s' AND metadata['pmledger_customer']:'%s'", m["pmledger_organization"], m["pmledger_customer"]) {
			data = append(data, c)
		}
	}
	return object{"object": "search_result", "data": data, "has_more": false}
}

func (f *fake) tokenize(params url.Values) (int, object) {
	number := params.Get("card[number]")
	if number == "4000000000000002" {
		return 402, failure("card_error", "card_declined", "")
	}
	if number == "4111111111111111" {
		return 402, failure("invalid_request_error", "", "")
	}
	id := fmt.Sprintf("pm_raw%d", len(f.methods))
	var month, year int
	fmt.Sscan(params.Get("card[exp_month]"), &month)
	fmt.Sscan(params.Get("card[exp_year]"), &year)
	f.methods[id] = cardMethod(id, number[len(number)-4:], month, year)
	f.methods[id]["customer"] = nil
	f.effects[id]++
	return 200, maps.Clone(f.methods[id])
}

func (f *fake) method(id string, detach bool) (int, object) {
	m := f.methods[id]
	switch {
	case m == nil:
		return 404, failure("invalid_request_error", "resource_missing", "payment_method")
	case !detach:
		return 200, maps.Clone(m)
	case m["customer"] == nil:
		return 400, failure("invalid_request_error", "", "")
	}
	m["customer"] = nil
	f.effects[id]++
	return 200, maps.Clone(m)
}

// create makes an intent and confirms it.
func (f *fake) create(params url.Values) (int, object) {
	token := params.Get("payment_method")
	m := f.methods[token]
	verifies := params.Get("metadata[pmledger_purpose]") == "verify"
	switch {
	case m == nil:
		return 400, failure("invalid_request_error", "resource_missing", "payment_method")
	case params.Get("customer") == "cus_00000000000000":
		return 400, failure("invalid_request_error", "resource_missing", "customer")
	case params.Get("confirm") != "true" || params.Get("payment_method_types[0]") != m["type"]:
		return 400, failure("invalid_request_error", "parameter_missing", "confirm")
	case m["type"] != "card" && params.Get("mandate_data[customer_acceptance][type]") == "":
		return 400, failure("invalid_request_error", "parameter_missing", "mandate_data")
	case m["customer"] != nil && params.Get("customer") != m["customer"]:
		return 400, failure("invalid_request_error", "", "customer")
	case token == "pm_declined" || token == "pm_verify_fails" && verifies:
		declined := failure("card_error", "card_declined", "")
		declined["error"].(object)["decline_code"] = "insufficient_funds"
		return 402, declined
	}
	intent := object{"id": fmt.Sprintf("seti_%d", len(f.intents)+1), "object": "setup_intent", "status": "succeeded", "payment_method": token,
		"client_secret": "seti_secret_canary", "customer": params.Get("customer"), "usage": params.Get("usage"),
		"payment_method_types": []any{m["type"]}, "next_action": nil, "last_setup_error": nil, "mandate": nil,
		"metadata": object{"pmledger_purpose": params.Get("metadata[pmledger_purpose]"), "pmledger_request": params.Get("metadata[pmledger_request]")}}
	f.effects[token]++
	switch {
	case token == "pm_3ds" && params.Get("return_url") == "":
		intent["status"], intent["next_action"] = "requires_action", object{"type": "use_stripe_sdk", "use_stripe_sdk": object{"secret": "seti_secret_canary"}}
	case token == "pm_3ds":
		intent["status"], intent["next_action"] = "requires_action", object{"type": "redirect_to_url",
			"redirect_to_url": object{"url": "https://hooks.stripe.com/3ds", "return_url": params.Get("return_url")}}
	case strings.HasPrefix(token, "pm_bank") && token != "pm_bank_instant":
		intent["status"], intent["next_action"] = "requires_action", object{"type": "verify_with_microdeposits",
			"verify_with_microdeposits": object{"arrival_date": 1767225600, "microdeposit_type": map[bool]string{true: "descriptor_code", false: "amounts"}[token == "pm_bank_code"]}}
	case token == "pm_processing" || token == "pm_stuck":
		intent["status"] = "processing"
	case m["type"] == "sepa_debit":
		intent["mandate"] = object{"id": "mandate_1", "object": "mandate", "status": "active", "type": "multi_use", "payment_method": token,
			"customer_acceptance": object{"accepted_at": 1767225600, "type": "offline"}, "payment_method_details": object{"type": "sepa_debit",
				"sepa_debit": object{"reference": "REF123"}}}
	}
	if customer := params.Get("customer"); customer != "" && intent["status"] == "succeeded" {
		m["customer"] = customer
	}
	f.intents[intent["id"].(string)] = intent
	return 200, f.expanded(intent)
}

// expanded is an intent with its payment method in full.
func (f *fake) expanded(intent object) object {
	e := maps.Clone(intent)
	e["payment_method"] = maps.Clone(f.methods[intent["payment_method"].(string)])
	return e
}

func (f *fake) onIntent(parts []string, params url.Values) (int, object) {
	intent := f.intents[parts[1]]
	if intent == nil {
		return 404, failure("invalid_request_error", "resource_missing", "intent")
	}
	token := intent["payment_method"].(string)
	waits := intent["status"] == "requires_action"
	switch {
	case len(parts) == 2:
		if token == "pm_processing" || f.done[token] {
			intent["status"], intent["next_action"] = "succeeded", nil
		}
		return 200, f.expanded(intent)
	case parts[2] == "confirm":
		intent["status"] = "succeeded"
		f.effects[token]++
		return 200, intent
	case !waits:
		return 400, failure("invalid_request_error", "setup_intent_unexpected_state", "")
	case parts[2] == "cancel":
		intent["status"], intent["next_action"], intent["cancellation_reason"] = "canceled", nil, params.Get("cancellation_reason")
		f.effects[token]++
		return 200, intent
	}
	f.attempts++
	f.effects[token]++
	switch {
	case f.attempts > 20:
		return 400, failure("invalid_request_error", "payment_method_microdeposit_verification_attempts_exceeded", "")
	case params.Get("descriptor_code") != "" && params.Get("descriptor_code") != "SM11AA":
		return 400, failure("invalid_request_error", "payment_method_microdeposit_verification_descriptor_code_mismatch", "")
	case params.Get("descriptor_code") == "" && (params.Get("amounts[0]") != "32" || params.Get("amounts[1]") != "45"):
		return 400, failure("invalid_request_error", "payment_method_microdeposit_verification_amounts_mismatch", "")
	}
	intent["status"], intent["next_action"] = "succeeded", nil
	return 200, maps.Clone(intent)
}
