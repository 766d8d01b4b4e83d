package api

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pmledger/pmledger/domain"
)

// The calls of a payment method's life after its attach.

func verificationOperations() map[string]operation {
	method := reflect.TypeFor[PaymentMethod]()
	asked := []domain.Code{
		domain.CodeMethodNotFound, domain.CodeMethodDetached, domain.CodeMethodNotActive, domain.CodeGatewayDeclined, domain.CodeGatewayUnavailable,
	}
	answered := []domain.Code{
		domain.CodeMethodNotFound, domain.CodeMethodDetached, domain.CodeVerificationMismatch, domain.CodeVerificationExpired,
		domain.CodeVerificationExhausted, domain.CodeVerificationNotPending, domain.CodeGatewayDeclined, domain.CodeGatewayUnavailable,
	}
	return map[string]operation{
		"POST /v1/payment-methods/:id/verify": {
			id: "verifyPaymentMethod", tag: "verification", summary: "Verify a payment method",
			description: "A card by an authorization of nothing or of one unit, which is reversed; a bank account by a login or by micro-deposits. " +
				"200 when it is verified or has nothing to verify, 202 while that is under way. A repeat with the same Idempotency-Key tells what became of it.",
			body: reflect.TypeFor[EmptyRequest](), bodyOptional: true, answer: method, statuses: []int{200, 202}, refusals: asked,
		},
		"POST /v1/payment-methods/:id/verify/confirm": {
			id: "confirmVerification", tag: "verification", summary: "Name the micro-deposits that arrived",
			description: "Three attempts with amounts, ten with a descriptor code, within ten days.",
			body:        reflect.TypeFor[ConfirmRequest](), answer: method, statuses: []int{200}, refusals: answered,
		},
		"POST /v1/payment-methods/:id/verify/resend": {
			id: "resendMicroDeposits", tag: "verification", summary: "Send the micro-deposits again", description: "Twice at most.",
			body: reflect.TypeFor[EmptyRequest](), bodyOptional: true, answer: method, statuses: []int{200}, refusals: answered,
		},
		"POST /v1/payment-methods/:id/replace": {
			id: "replacePaymentMethod", tag: "payment methods", summary: "Put another in its place",
			description: "With token: another instrument under the same id. With with: another payment method takes over uses and default, and this one is " +
				"detached, in one commit. The answer is the payment method in the path.",
			body: reflect.TypeFor[ReplaceRequest](), answer: method, statuses: []int{200}, refusals: append(asked, domain.CodeMethodDuplicate),
		},
		"POST /v1/payment-methods/:id/declines": {
			id: "reportDecline", tag: "payment methods", summary: "Report a declined transaction",
			description: "May apply what the account updater announced, or block the payment method; see code.",
			body:        reflect.TypeFor[DeclineRequest](), answer: method, statuses: []int{200},
			refusals: []domain.Code{domain.CodeMethodNotFound, domain.CodeMethodDetached},
		},
		"POST /v1/customers/:customer_id/payment-methods/raw-card": {
			id: "attachRawCard", tag: "payment methods", summary: "Attach a card by its number",
			description: "Off unless the server was started with --raw-cards, and then only with a gateway that takes card numbers: this puts the server in " +
				"scope of PCI DSS. The number goes to the gateway and nowhere else. A body may have 4095 bytes, without escapes in its strings.",
			body: reflect.TypeFor[RawCardRequest](), answer: method, statuses: []int{201, 200},
			refusals: append([]domain.Code{domain.CodeRawCardDataDisabled}, attachRefusals...),
		},
	}
}

// clientSideText describes the calls that a buyer's page makes.
const clientSideText = "With an API key, or from a page of any origin with the header Setup-Intent-Secret alone; OPTIONS answers what a browser asks first (CORS)."

func setupIntentOperations() map[string]operation {
	intent := reflect.TypeFor[SetupIntent]()
	refusals := []domain.Code{domain.CodeSetupIntentNotFound, domain.CodeSetupIntentState}
	return map[string]operation{
		"POST /v1/setup-intents": {
			id: "createSetupIntent", tag: "setup intents", summary: "Begin collecting a payment method",
			description: "Give the client_secret to the buyer's page, which confirms with the token it gets from the gateway's own library.",
			body:        reflect.TypeFor[SetupIntentRequest](), answer: intent, statuses: []int{201},
		},
		"GET /v1/setup-intents/:id": {
			id: "getSetupIntent", tag: "setup intents", summary: "Get a setup intent", conditional: "If-None-Match",
			description: clientSideText,
			answer:      intent, statuses: []int{200, 304}, refusals: refusals[:1],
		},
		"POST /v1/setup-intents/:id/confirm": {
			id: "confirmSetupIntent", tag: "setup intents", summary: "Confirm with a token",
			description: clientSideText + " The payment method is attached in the commit in which " +
				"the setup intent succeeds.",
			body: reflect.TypeFor[ConfirmSetupRequest](), bodyOptional: true, answer: intent, statuses: []int{200}, refusals: refusals,
		},
		"POST /v1/setup-intents/:id/cancel": {
			id: "cancelSetupIntent", tag: "setup intents", summary: "Cancel a setup intent",
			body: reflect.TypeFor[CancelSetupRequest](), bodyOptional: true, answer: intent, statuses: []int{200}, refusals: refusals,
		},
		"GET /v1/setup-intents/:id/return": {
			id: "returnFromApproval", tag: "setup intents", summary: "The buyer's way back from an approval",
			description: "The gateway sends the buyer here; it works once. 303 to redirect_url.",
			parameters:  []parameter{{"state", &huma.Schema{Type: huma.TypeString}, "Made by the server; part of the address that the gateway was given"}},
			media:       "text/plain", statuses: []int{303, 200},
			refusals: []domain.Code{
				domain.CodeValidationFailed, domain.CodePANDetected, domain.CodeSetupIntentNotFound, codePositionNotReached, domain.CodeStoreUnavailable,
				domain.CodeConflict, domain.CodeStorageFull,
			},
		},
	}
}

func subscriptionOperations() map[string]operation {
	subscription := reflect.TypeFor[Subscription]()
	return map[string]operation{
		"PUT /v1/subscriptions/:id": {
			id: "putSubscription", tag: "subscriptions", summary: "Say which payment method a subscription uses",
			description: "While its status is active, trialing or past_due, the payment method cannot be detached. The customer is fixed by the first call.",
			body:        reflect.TypeFor[SubscriptionRequest](), answer: subscription, statuses: []int{200},
			refusals: []domain.Code{domain.CodeSubscriptionMismatch, domain.CodeMethodDetached},
		},
		"GET /v1/subscriptions/:id": {
			id: "getSubscription", tag: "subscriptions", summary: "Get a subscription",
			answer: subscription, statuses: []int{200}, refusals: []domain.Code{domain.CodeSubscriptionNotFound},
		},
		"DELETE /v1/subscriptions/:id": {
			id: "deleteSubscription", tag: "subscriptions", summary: "Forget a subscription",
			description: "It uses nothing any more. Its customer stays fixed.",
			statuses:    []int{204}, refusals: []domain.Code{domain.CodeSubscriptionNotFound},
		},
		"GET /v1/test-clock": {
			id: "getTestClock", tag: "organization", summary: "Get the organization's time", description: "Test organizations only.",
			answer: reflect.TypeFor[TestClock](), statuses: []int{200},
		},
		"POST /v1/test-clock": {
			id: "setTestClock", tag: "organization", summary: "Set the organization's time",
			description: "Test organizations only. The clock stands still until it is set again, and never goes back. What is due by then happens now.",
			body:        reflect.TypeFor[TestClockRequest](), answer: reflect.TypeFor[TestClock](), statuses: []int{200},
		},
		"POST /v1/gateways/:name/:organization/webhooks": {
			id: "takeWebhook", tag: "gateways", summary: "Take a webhook of a gateway",
			description: "Signed by the gateway with the secret that is configured for this pair; there is no API key. Each event of the gateway has one effect, " +
				"and one about something unknown is ignored.",
			answer: reflect.TypeFor[WebhookAnswer](), statuses: []int{200},
			refusals: []domain.Code{
				domain.CodeValidationFailed, domain.CodePANDetected, codeBodyMalformed, codeBodyTooLarge, codeUnauthorized, codeRateLimited,
				codePositionNotReached, domain.CodeStoreUnavailable, domain.CodeConflict, domain.CodeStorageFull,
			},
		},
	}
}
