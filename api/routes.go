package api

import (
	"net/http"
)

// route is a row of the table below, with what the book knows about the call.
type route struct {
	method string
	path   string // as Echo writes it and, with braces, as the OpenAPI document does
	scope  string // scopePublic for none; "" is no route at all
	handle func(*call) error

	// ownBody: the handler reads the body itself, before anything else can.
	ownBody bool
	// polled: machines ask all the time, so that no line of log tells of a refusal.
	polled bool
	// clientSide: the client secret of the setup intent in the path allows the
	// call too, from any web page.
	clientSide bool

	operation
	shape    *shape // of the body; nil: the call takes none
	observed *routeMetrics
}

// label is the method as logs show it: one of ours, or nothing a caller made up.
func (r *route) label(method string) string {
	switch {
	case r.method != "":
		return r.method
	case method == http.MethodGet || method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch ||
		method == http.MethodDelete || method == http.MethodHead || method == http.MethodOptions:
		return method
	default:
		return "other"
	}
}

// routes is every call there is, in the order of the documentation. HEAD goes with
// GET. A row without a scope does not start.
func routes(metrics bool) []*route {
	rows := []*route{
		{method: "POST", path: "/v1/customers/:customer_id/payment-methods", scope: ScopeMethodsWrite, handle: attachMethod},
		{method: "POST", path: "/v1/payment-methods", scope: ScopeMethodsWrite, handle: attachAnywhere},
		{method: "GET", path: "/v1/customers/:customer_id/payment-methods", scope: ScopeMethodsRead, handle: listOfCustomer},
		{method: "GET", path: "/v1/payment-methods", scope: ScopeMethodsRead, handle: listMethods},
		{method: "GET", path: "/v1/payment-methods/:id", scope: ScopeMethodsRead, handle: getMethod},
		{method: "PATCH", path: "/v1/payment-methods/:id", scope: ScopeMethodsWrite, handle: updateMethod},
		{method: "DELETE", path: "/v1/payment-methods/:id", scope: ScopeMethodsWrite, handle: detachMethod},
		{method: "POST", path: "/v1/payment-methods/:id/default", scope: ScopeMethodsWrite, handle: setDefault},
		{method: "POST", path: "/v1/payment-methods/:id/verify", scope: ScopeMethodsWrite, handle: verifyMethod},
		{method: "POST", path: "/v1/payment-methods/:id/verify/confirm", scope: ScopeMethodsWrite, handle: confirmVerification},
		{method: "POST", path: "/v1/payment-methods/:id/verify/resend", scope: ScopeMethodsWrite, handle: resendDeposits},
		{method: "POST", path: "/v1/payment-methods/:id/replace", scope: ScopeMethodsWrite, handle: replaceMethod},
		{method: "POST", path: "/v1/payment-methods/:id/declines", scope: ScopeMethodsWrite, handle: reportDecline},
		{method: "POST", path: "/v1/customers/:customer_id/payment-methods/raw-card", scope: ScopeMethodsRaw, handle: attachRawCard, ownBody: true},
		{method: "POST", path: "/v1/setup-intents", scope: ScopeSetupIntentsWrite, handle: createSetupIntent},
		{method: "GET", path: "/v1/setup-intents/:id", scope: ScopeSetupIntentsRead, handle: getSetupIntent, clientSide: true},
		{method: "POST", path: "/v1/setup-intents/:id/confirm", scope: ScopeSetupIntentsWrite, handle: confirmSetupIntent, clientSide: true},
		{method: "POST", path: "/v1/setup-intents/:id/cancel", scope: ScopeSetupIntentsWrite, handle: cancelSetupIntent},
		{method: "GET", path: "/v1/setup-intents/:id/return", scope: scopePublic, handle: returnFromApproval},
		{method: "PUT", path: "/v1/subscriptions/:id", scope: ScopeSubscriptionsWrite, handle: putSubscription},
		{method: "GET", path: "/v1/subscriptions/:id", scope: ScopeSubscriptionsRead, handle: getSubscription},
		{method: "DELETE", path: "/v1/subscriptions/:id", scope: ScopeSubscriptionsWrite, handle: deleteSubscription},
		{method: "GET", path: "/v1/payment-methods/:id/history", scope: ScopeHistoryRead, handle: methodHistory},
		{method: "GET", path: "/v1/events", scope: ScopeHistoryRead, handle: listEvents},
		{method: "GET", path: "/v1/events/:id", scope: ScopeHistoryRead, handle: getEvent},
		{method: "GET", path: "/v1/customers/:customer_id/default-payment-method", scope: ScopeMethodsRead, handle: getDefault},
		{method: "GET", path: "/v1/organization", scope: ScopeOrganizationRead, handle: getOrganization},
		{method: "PATCH", path: "/v1/organization", scope: ScopeOrganizationWrite, handle: updateOrganization},
		{method: "GET", path: "/v1/test-clock", scope: ScopeOrganizationRead, handle: getTestClock},
		{method: "POST", path: "/v1/test-clock", scope: ScopeOrganizationWrite, handle: setTestClock},
		{method: "POST", path: "/v1/api-keys", scope: ScopeKeysAdmin, handle: createKey},
		{method: "GET", path: "/v1/api-keys", scope: ScopeKeysAdmin, handle: listKeys},
		{method: "DELETE", path: "/v1/api-keys/:id", scope: ScopeKeysAdmin, handle: revokeKey},
		{method: "POST", path: "/v1/gateways/:name/:organization/webhooks", scope: scopePublic, handle: takeWebhook, ownBody: true},
		{method: "GET", path: "/healthz", scope: scopePublic, handle: health, polled: true},
		{method: "GET", path: "/readyz", scope: scopePublic, handle: ready, polled: true},
		{method: "GET", path: "/openapi.json", scope: scopePublic, handle: openAPI},
		{method: "GET", path: "/docs", scope: scopePublic, handle: docs},
	}
	if metrics {
		rows = append(rows, &route{method: "GET", path: "/metrics", scope: scopePublic, handle: scrape, polled: true})
	}
	return rows
}
