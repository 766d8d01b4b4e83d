package projections

import (
	"time"

	"github.com/pmledger/pmledger/domain"
)

// publication is a public event about to be rendered.
type publication struct {
	change   Change
	message  *Message
	subject  domain.MethodID
	previous *domain.Method // before the record; nil when it was just attached
	object   *domain.Method // after the record; nil when there is none to show

	// Of an event about a setup intent, in place of a method.
	intentBefore, intent *domain.SetupIntent
}

// appendBody writes the event's body: what goes over NATS and what the API answers.
func (p publication) appendBody(b []byte) []byte {
	m := p.message
	o := begin(b)
	o.text("id", m.EventID())
	o.text("object", "event")
	o.text("type", m.Type)
	o.time("created_at", m.Time)
	o.text("organization_id", m.Organization)
	o.textOrNull("customer_id", m.Customer)
	o.textOrNull("payment_method_id", string(p.subject))
	o.number("sequence", m.OrgSeq)
	o.number("version", p.change.Record.Version)
	o.key("data")
	o.b = p.appendData(o.b)
	o.textOrNull("actor", p.change.Meta.Actor)
	o.textOrNull("reason", p.change.Meta.Reason)
	return o.end()
}

func (p publication) appendData(b []byte) []byte {
	if p.intent != nil {
		return p.appendIntentData(b)
	}
	o := begin(b)
	o.key("object")
	if p.object == nil {
		o.b = append(o.b, "null"...)
	} else {
		o.b = appendMethod(o.b, p.object, toConsumer)
	}
	var shown, personal []string
	if p.previous != nil && p.object != nil {
		shown, personal = changes(p.previous, p.object)
	}
	o.key("previous_attributes")
	o.b = appendPrevious(o.b, p.previous, shown)
	if len(personal) > 0 {
		o.texts("changed_personal", personal)
	}
	writeDetails(&o, p.change.Event, p.message.Time)
	return o.end()
}

func (p publication) appendIntentData(b []byte) []byte {
	o := begin(b)
	o.key("object")
	o.b = appendSetupIntent(o.b, p.intent, "", toConsumer)
	o.key("previous_attributes")
	if p.intentBefore == nil {
		o.b = append(o.b, "{}"...)
	} else {
		previous := beginOnly(o.b, intentChanges(p.intentBefore, p.intent))
		writeIntentMembers(&previous, p.intentBefore, "", toConsumer)
		o.b = previous.end()
	}
	return o.end()
}

// appendPrevious writes the named members as they were.
func appendPrevious(b []byte, previous *domain.Method, names []string) []byte {
	if len(names) == 0 {
		return append(b, "{}"...)
	}
	o := beginOnly(b, names)
	writeMembers(&o, previous, toConsumer)
	return o.end()
}

// writeDetails writes what an event says beyond the state it leads to.
func writeDetails(o *object, e domain.Event, at time.Time) {
	switch e := e.(type) {
	case domain.DefaultChanged:
		o.textOrNull("from", string(e.From))
		o.textOrNull("to", string(e.To))
		o.text("cause", string(e.Cause))
	case domain.DuplicateDetected:
		o.text("policy", string(e.Policy))
		o.text("provider", e.Provider)
		o.text("provider_id", e.ProviderID)
	case domain.MethodExpiring:
		o.time("expires_at", e.ExpiresAt)
		o.number("window_days", uint64(e.Window))
		o.number("days_left", daysLeft(e.ExpiresAt, at))
	case domain.MethodExpired:
		o.time("expires_at", e.ExpiresAt)
	case domain.MandateExpiring:
		o.time("expires_at", e.ExpiresAt)
		o.number("days_left", daysLeft(e.ExpiresAt, at))
	case domain.MethodReplacedByUpdater:
		o.text("cause", string(e.Cause))
	case domain.MethodFailed:
		o.text("reason", e.Reason)
	case domain.MethodBlocked:
		o.text("reason", e.Reason)
	case domain.GatewayDetachFailed:
		o.text("reason", e.Reason)
	default:
		writeVerificationDetails(o, e)
	}
}

func writeVerificationDetails(o *object, e domain.Event) {
	switch e := e.(type) {
	case domain.VerificationStarted:
		o.text("kind", string(e.Kind))
		if e.Kind == domain.EvidenceCardAuth {
			o.number("amount", uint64(max(e.Amount, 0)))
		} else {
			o.null("amount")
		}
		o.textOrNull("currency", e.Currency)
		o.textOrNull("microdeposit_type", string(e.Named))
		o.textOrNull("arrival_date", e.ArrivalDate)
		o.time("expires_at", e.ExpiresAt)
		o.number("resend", uint64(e.Resend))
	case domain.VerificationAttemptFailed:
		o.text("named", string(e.Named))
		o.number("attempts_remaining", uint64(max(e.AttemptsRemaining, 0)))
	case domain.VerificationEnded:
		o.text("cause", string(e.Cause))
	case domain.MethodVerified:
		o.text("kind", string(e.Kind))
	}
}

// daysLeft counts the days of 24 hours until the expiry, a begun one as whole.
func daysLeft(expiresAt, at time.Time) uint64 {
	const day = 24 * time.Hour
	left := expiresAt.Sub(at)
	if left <= 0 {
		return 0
	}
	return uint64((left + day - 1) / day)
}
