package api

import (
	"reflect"

	"github.com/pmledger/pmledger/domain"
)

// operation is what a call takes and gives: the text of the OpenAPI document, and
// what requests are checked against.
type operation struct {
	id           string
	tag          string
	summary      string
	description  string
	parameters   []parameter  // of the query
	body         reflect.Type // nil: the call takes none, or one that is somebody else's
	bodyOptional bool
	answer       reflect.Type // of the first status; nil: not JSON
	media        string       // of the body with status 200, when it is not answer
	statuses     []int        // successes; the first is the usual one
	refusals     []domain.Code
	conditional  string // header: If-Match or If-None-Match
	minimal      bool   // Prefer: return=minimal
}

// operations are the calls by method and path.
func operations() map[string]operation {
	all := map[string]operation{}
	for _, part := range []map[string]operation{
		attachOperations(), methodOperations(), verificationOperations(), setupIntentOperations(), subscriptionOperations(), eventOperations(),
		organizationOperations(), operatingOperations(),
	} {
		for name, o := range part {
			all[name] = o
		}
	}
	return all
}

var attachRefusals = []domain.Code{
	domain.CodeGatewayDeclined, domain.CodeMethodDuplicate, domain.CodeMethodNotActive, domain.CodeTooManyMethods, domain.CodeGatewayUnavailable,
}

func attachOperations() map[string]operation {
	return map[string]operation{
		"POST /v1/customers/:customer_id/payment-methods": {
			id: "attachPaymentMethod", tag: "payment methods", summary: "Attach a payment method to a customer",
			description: "Attaches the instrument behind a gateway's token; with status pending when the gateway does not answer in time (it is asked " +
				"again), or when the buyer has to approve first (next_action says where). 201 with the new payment method; 200 with the existing one when the " +
				"customer has the same instrument already and the organization's duplicate_policy is return_existing (of the rest of the body only " +
				"set_as_default is then honoured). The answer is durable: it is given after the event is on disk.",
			body: reflect.TypeFor[AttachRequest](), answer: reflect.TypeFor[PaymentMethod](), statuses: []int{201, 200}, refusals: attachRefusals,
		},
		"POST /v1/payment-methods": {
			id: "attachPaymentMethodAnywhere", tag: "payment methods", summary: "Attach a payment method",
			description: "The same with customer_id in the body. Without a customer_id the payment method stands alone, for good.",
			body:        reflect.TypeFor[AttachAnywhereRequest](), answer: reflect.TypeFor[PaymentMethod](), statuses: []int{201, 200}, refusals: attachRefusals,
		},
	}
}

func methodOperations() map[string]operation {
	changes := []domain.Code{domain.CodeMethodNotFound, domain.CodeMethodDetached, domain.CodeMethodNotActive, domain.CodePreconditionFailed}
	method, methods := reflect.TypeFor[PaymentMethod](), reflect.TypeFor[PaymentMethodList]()
	return map[string]operation{
		"GET /v1/customers/:customer_id/payment-methods": {
			id: "listCustomerPaymentMethods", tag: "payment methods", summary: "List a customer's payment methods",
			description: "Newest first. A page may be shorter than limit and yet have a next_cursor.",
			parameters:  parameters(pageParameters, []parameter{customerFilter}, methodFilters, []parameter{asOfParameter}),
			answer:      methods, statuses: []int{200}, refusals: []domain.Code{codeCursorInvalid},
		},
		"GET /v1/payment-methods": {
			id: "listPaymentMethods", tag: "payment methods", summary: "List the organization's payment methods",
			description: "Newest first. A page may be shorter than limit and yet have a next_cursor. as_of needs a customer_id.",
			parameters:  parameters(pageParameters, []parameter{customerFilter}, methodFilters, []parameter{asOfParameter}),
			answer:      methods, statuses: []int{200}, refusals: []domain.Code{codeCursorInvalid},
		},
		"GET /v1/payment-methods/:id": {
			id: "getPaymentMethod", tag: "payment methods", summary: "Get a payment method", parameters: []parameter{asOfParameter},
			description: "A detached one is still found here.", conditional: "If-None-Match",
			answer: method, statuses: []int{200, 304}, refusals: []domain.Code{domain.CodeMethodNotFound},
		},
		"PATCH /v1/payment-methods/:id": {
			id: "updatePaymentMethod", tag: "payment methods", summary: "Change a payment method",
			description: "What is left out stays; null clears.", conditional: "If-Match",
			body: reflect.TypeFor[UpdateRequest](), answer: method, statuses: []int{200}, refusals: changes,
		},
		"DELETE /v1/payment-methods/:id": {
			id: "detachPaymentMethod", tag: "payment methods", summary: "Detach a payment method",
			description: "For good. Detaching a detached one answers 200 again and changes nothing.", conditional: "If-Match", minimal: true,
			parameters: []parameter{{"promote", methodIDSchema(), "Id of the payment method that becomes the default in the same commit"}},
			answer:     method, statuses: []int{200, 204},
			refusals: []domain.Code{domain.CodeMethodNotFound, domain.CodeMethodInUse, domain.CodeMethodNotActive, domain.CodePreconditionFailed},
		},
		"POST /v1/payment-methods/:id/default": {
			id: "setDefaultPaymentMethod", tag: "payment methods", summary: "Make it the customer's default", conditional: "If-Match",
			description: "The default before it is none any more, in the same commit.",
			body:        reflect.TypeFor[EmptyRequest](), bodyOptional: true, answer: method, statuses: []int{200}, refusals: changes,
		},
		"GET /v1/customers/:customer_id/default-payment-method": {
			id: "getDefaultPaymentMethod", tag: "payment methods", summary: "Get a customer's default", parameters: []parameter{asOfParameter},
			description: "payment_method.not_found when the customer has none.", conditional: "If-None-Match",
			answer: method, statuses: []int{200, 304}, refusals: []domain.Code{domain.CodeMethodNotFound},
		},
	}
}

func eventOperations() map[string]operation {
	return map[string]operation{
		"GET /v1/payment-methods/:id/history": {
			id: "getPaymentMethodHistory", tag: "history", summary: "What happened to a payment method", parameters: pageParameters,
			description: "Oldest first. A change of the default stands in the history of both.",
			answer:      reflect.TypeFor[EventList](), statuses: []int{200}, refusals: []domain.Code{domain.CodeMethodNotFound, codeCursorInvalid},
		},
		"GET /v1/events": {
			id: "listEvents", tag: "history", summary: "What happened in the organization", description: "Newest first.",
			parameters: parameters(pageParameters, []parameter{customerFilter,
				{"payment_method_id", methodIDSchema(), "About this payment method only"}, {"type", patternSchema(eventTypeForm.String()), "Of this type only"}}),
			answer: reflect.TypeFor[EventList](), statuses: []int{200}, refusals: []domain.Code{codeCursorInvalid},
		},
		"GET /v1/events/:id": {
			id: "getEvent", tag: "history", summary: "Get an event", description: "The same bytes as the message on NATS.",
			answer: reflect.TypeFor[Event](), statuses: []int{200}, refusals: []domain.Code{domain.CodeEventNotFound},
		},
	}
}

func organizationOperations() map[string]operation {
	return map[string]operation{
		"GET /v1/organization": {
			id: "getOrganization", tag: "organization", summary: "Get the organization's settings",
			answer: reflect.TypeFor[Organization](), statuses: []int{200},
		},
		"PATCH /v1/organization": {
			id: "updateOrganization", tag: "organization", summary: "Change the organization's settings",
			description: "What is left out stays. A change affects later events only.",
			body:        reflect.TypeFor[OrganizationRequest](), answer: reflect.TypeFor[Organization](), statuses: []int{200},
		},
		"POST /v1/api-keys": {
			id: "createAPIKey", tag: "API keys", summary: "Issue an API key",
			description: "The text of the key is in this answer and nowhere else. Only scopes that the asking key has can be given.",
			body:        reflect.TypeFor[KeyRequest](), answer: reflect.TypeFor[IssuedKey](), statuses: []int{201},
		},
		"GET /v1/api-keys": {
			id: "listAPIKeys", tag: "API keys", summary: "List the API keys", description: "Newest first, revoked ones included.",
			parameters: pageParameters, answer: reflect.TypeFor[APIKeyList](), statuses: []int{200}, refusals: []domain.Code{codeCursorInvalid},
		},
		"DELETE /v1/api-keys/:id": {
			id: "revokeAPIKey", tag: "API keys", summary: "Revoke an API key", description: "At once and for good.",
			answer: reflect.TypeFor[APIKey](), statuses: []int{200}, refusals: []domain.Code{domain.CodeKeyNotFound},
		},
	}
}

func operatingOperations() map[string]operation {
	return map[string]operation{
		"GET /healthz":      {id: "health", tag: "operating", summary: "Whether the process answers", answer: reflect.TypeFor[healthy](), statuses: []int{200}},
		"GET /readyz":       {id: "readiness", tag: "operating", summary: "Whether requests can be answered well", answer: reflect.TypeFor[readiness](), statuses: []int{200, 503}},
		"GET /metrics":      {id: "metrics", tag: "operating", summary: "Metrics for Prometheus", media: "text/plain", statuses: []int{200}},
		"GET /openapi.json": {id: "openapi", tag: "operating", summary: "This document", media: "application/json", statuses: []int{200}},
		"GET /docs":         {id: "docs", tag: "operating", summary: "This document as a page", media: "text/html", statuses: []int{200}},
	}
}
