package domain

import (
	"fmt"
	"strings"
	"time"
)

// describeLifecycle writes an event between attach and detach as a scenario names it.
func describeLifecycle(e Event) string {
	switch e := e.(type) {
	case VerificationRequested:
		return fmt.Sprintf("verification of %s requested", e.MethodID)
	case VerificationStarted:
		return fmt.Sprintf("verification of %s started by %s", e.MethodID, e.Kind) + tail(
			said("amount", e.Amount), said("named", e.Named), said("until", e.ExpiresAt), said("ref", e.Reference), said("resend", e.Resend))
	case VerificationAttemptFailed:
		return fmt.Sprintf("attempt on %s failed: %s, %d left", e.MethodID, e.Named, e.AttemptsRemaining)
	case VerificationEnded:
		return fmt.Sprintf("verification of %s failed: %s", e.MethodID, e.Cause)
	case MethodVerified:
		return fmt.Sprintf("verified %s by %s", e.MethodID, e.Kind)
	case MethodSynced:
		return fmt.Sprintf("synced %s %s %s", e.MethodID, e.Facts.Method, e.Verification.Status) +
			tail(said("until", e.ExpiresAt), said("holder", e.Personal.Holder))
	case MethodActivated:
		return "activated " + string(e.MethodID)
	case MethodFailed:
		return fmt.Sprintf("failed %s: %s", e.MethodID, e.Reason)
	case MethodBlocked:
		return fmt.Sprintf("blocked %s: %s", e.MethodID, e.Reason)
	case MandateUpdated:
		return fmt.Sprintf("mandate of %s is %s", e.MethodID, describeMandate(e.Mandate))
	case MandateExpiring:
		return fmt.Sprintf("mandate of %s lapses %s", e.MethodID, e.ExpiresAt.Format(time.RFC3339))
	case GatewayDetached:
		return fmt.Sprintf("gateway let go of %s", e.MethodID)
	case GatewayDetachFailed:
		return fmt.Sprintf("gateway did not let go of %s: %s", e.MethodID, e.Reason)
	case GatewayCanceled:
		return fmt.Sprintf("gateway told of %s since %d", e.MethodID, e.Since) + tail(said("failure", e.Failure))
	default:
		return describeAround(e)
	}
}

// describeAround writes an event about replacements, uses and setup intents.
func describeAround(e Event) string {
	switch e := e.(type) {
	case ReplacementAvailable:
		return fmt.Sprintf("replacement for %s available: %s", e.MethodID, describeReplacement(e.Replacement))
	case MethodReplacedByUpdater:
		return fmt.Sprintf("updated automatically %s: %s (%s)", e.MethodID, describeReplacement(e.Replacement), e.Cause) + tail(said("until", e.ExpiresAt))
	case MethodReplaced:
		return fmt.Sprintf("replaced %s: %s %s %s", e.MethodID, e.ProviderID, e.Facts.Method, e.Verification.Status) + tail(said("until", e.ExpiresAt))
	case MethodDeclined:
		return fmt.Sprintf("declined %s: %s", e.MethodID, e.Code)
	case SubscriptionUpdated:
		return fmt.Sprintf("subscription %s is %s on %s", e.Subscription, e.Status, orNone(e.MethodID)) + tail(said("takes", e.Taken), said("releases", e.Released))
	case SubscriptionDeleted:
		return "subscription " + e.Subscription + " deleted" + tail(said("releases", e.Released))
	case SubscriptionClaimed:
		return fmt.Sprintf("subscription %s claimed for %s", e.Subscription, e.Customer)
	case SetupIntentCreated:
		words := fmt.Sprintf("intent %s created", e.SetupIntentID) + tail(said("type", e.Type), said("token", e.Token), said("for", e.MethodID))
		return words + " until " + e.ExpiresAt.Format(time.RFC3339)
	case SetupIntentProcessing:
		words := fmt.Sprintf("intent %s processing %s", e.SetupIntentID, e.Token)
		if e.Approved {
			words += " approved"
		}
		return words
	case SetupIntentNeedsAction:
		return fmt.Sprintf("intent %s needs %s", e.SetupIntentID, e.NextAction.RedirectURL) + tail(said("for", e.MethodID))
	case SetupIntentSucceeded:
		return fmt.Sprintf("intent %s succeeded with %s", e.SetupIntentID, e.MethodID)
	case SetupIntentFailed:
		return fmt.Sprintf("intent %s failed: %s: %s", e.SetupIntentID, e.Error.Code, e.Error.Message)
	case SetupIntentCanceled:
		return fmt.Sprintf("intent %s canceled: %s", e.SetupIntentID, e.Reason)
	case SetupGatewayCanceled:
		return fmt.Sprintf("gateway told of intent %s since %d", e.SetupIntentID, e.Since) + tail(said("failure", e.Failure))
	case TestClockSet:
		return "clock " + e.Now.Format(time.RFC3339)
	default:
		return e.StoredName()
	}
}

// said is " name value", or nothing for what is not said.
func said[V comparable](name string, value V) string {
	var zero V
	if value == zero {
		return ""
	}
	if at, ok := any(value).(time.Time); ok {
		return " " + name + " " + at.Format(time.RFC3339)
	}
	return fmt.Sprintf(" %s %v", name, value)
}

func tail(words ...string) string { return strings.Join(words, "") }

func describeReplacement(r Replacement) string {
	return fmt.Sprintf("%s %02d/%d", r.Card.Last4, r.Card.ExpMonth, r.Card.ExpYear) + tail(said("token", r.ProviderID), said("fp", r.Fingerprint))
}

func describeMandate(m Mandate) string {
	return fmt.Sprintf("%s %s %s from %s", m.Reference, m.Scheme, m.Status, m.AcceptedAt.Format(time.RFC3339)) + tail(said("to", m.ExpiresAt))
}

// describeLife is what happened to a method since its attach, where anything did.
func describeLife(m *Method) []string {
	var words []string
	add := func(format string, when bool, args ...any) {
		if when {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	v := m.Verification
	add("by %s", v.Kind != "" && v.Kind != EvidenceWallet, v.Kind)
	add("error=%s", v.LastError != "", v.LastError)
	add("reason=%q", m.StatusReason != "", m.StatusReason)
	if m.NextAction != nil {
		add("next=%s", true, m.NextAction.Type)
		add("named=%s", m.NextAction.MicroDepositType != "", m.NextAction.MicroDepositType)
		add("at=%s", m.NextAction.RedirectURL != "", m.NextAction.RedirectURL)
	}
	if r := m.Replacement; r != nil {
		add("replacement=%s", true, r.Card.Last4)
	}
	if !m.LastReplacedAt.IsZero() {
		add("replaced %s", true, m.LastReplacedAt.Format(time.RFC3339))
		add("token=%s", true, m.ProviderID)
		add("last4=%s", m.Card != nil, m.last4())
	}
	add("waits for %s", m.SetupIntent != "", m.SetupIntent)
	add("holder=%s", m.Personal.Holder != "", m.Personal.Holder)
	add("used by %s", len(m.InUseBy) > 0, strings.Join(m.InUseBy, ","))
	add("gateway detach %s", m.GatewayDetach != "", m.GatewayDetach)
	return append(words, describeLeft(m.LeftOpen)...)
}

// describeLeft writes what is open at the gateway: its reference, or the version of
// the question that was not answered, and the version that left it.
func describeLeft(open []LeftOpen) (words []string) {
	for _, l := range open {
		name := l.Reference
		if name == "" {
			name = fmt.Sprint("asked-", l.Asked)
		}
		words = append(words, fmt.Sprintf("left=%s@%d", name, l.Since))
	}
	return words
}

func (m *Method) last4() string {
	text, _ := m.Label()
	return text
}

func describeIntent(s *SetupIntent) string {
	words := fmt.Sprintf("%s version %d", s.Status, s.Version) + tail(said("token", s.Token), said("method", s.MethodID), said("reason", s.CancelReason))
	if s.NextAction != nil {
		words += " next=" + s.NextAction.RedirectURL
	}
	if s.LastError != nil {
		words += " error=" + string(s.LastError.Code)
	}
	for _, left := range describeLeft(s.LeftOpen) {
		words += " " + left
	}
	return words
}
