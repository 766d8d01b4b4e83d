package projections

import (
	"encoding/json"

	"github.com/pmledger/pmledger/domain"
)

func writeReplacement(o *object, r *domain.Replacement) {
	if !o.key("replacement") {
		return
	}
	inner := begin(o.b)
	inner.boolean("pending", r != nil)
	if r == nil {
		inner.null("available_at")
	} else {
		inner.time("available_at", r.AvailableAt)
	}
	o.b = inner.end()
}

// writeNextAction writes what the customer has to do. Whoever holds the address
// of an approval, or what the provider's SDK needs, can act for the customer: so
// in events both are null.
func writeNextAction(o *object, a *domain.NextAction, to audience) {
	if a == nil {
		o.null("next_action")
		return
	}
	if !o.key("next_action") {
		return
	}
	inner := begin(o.b)
	inner.text("type", string(a.Type))
	if a.Type == domain.ActionRedirect {
		inner.key("redirect")
		redirect := begin(inner.b)
		redirect.personal("url", a.RedirectURL, to)
		redirect.textOrNull("target", a.RedirectTarget)
		inner.b = redirect.end()
	} else {
		inner.null("redirect")
	}
	if a.Type == domain.ActionMicroDeposits {
		inner.key("verify_with_microdeposits")
		deposits := begin(inner.b)
		deposits.textOrNull("arrival_date", a.ArrivalDate)
		deposits.textOrNull("microdeposit_type", string(a.MicroDepositType))
		inner.b = deposits.end()
	} else {
		inner.null("verify_with_microdeposits")
	}
	writeSDKData(&inner, a, to)
	o.b = inner.end()
}

// writeSDKData passes the provider's JSON on; what is not JSON becomes a string.
func writeSDKData(o *object, a *domain.NextAction, to audience) {
	switch {
	case a.SDKData == "" || to == toConsumer:
		o.null("use_provider_sdk")
	case json.Valid([]byte(a.SDKData)):
		o.raw("use_provider_sdk", a.SDKData)
	default:
		o.text("use_provider_sdk", a.SDKData)
	}
}

// sameNextAction compares what events show of next actions.
func sameNextAction(a, b *domain.NextAction) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Type == b.Type && a.RedirectTarget == b.RedirectTarget && a.ArrivalDate == b.ArrivalDate &&
		a.MicroDepositType == b.MicroDepositType
}
