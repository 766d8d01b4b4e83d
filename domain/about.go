package domain

// MethodsOf names the methods that an event is about, the one it is shown under first.
func MethodsOf(e Event) []MethodID {
	var ids []MethodID
	first, second := methodsOf(e)
	if first != "" {
		ids = append(ids, first)
	}
	if second != "" {
		ids = append(ids, second)
	}
	return ids
}

// methodsOf is MethodsOf without an allocation; "" stands for none.
func methodsOf(e Event) (first, second MethodID) {
	switch e := e.(type) {
	case DefaultChanged:
		return e.To, e.From
	case SubscriptionUpdated:
		return e.Taken, e.Released
	default:
		return methodOf(e), ""
	}
}

// methodOf names the one method that an event is about, or "".
func methodOf(e Event) MethodID {
	switch e := e.(type) {
	case MethodAttached:
		return e.MethodID
	case MethodUpdated:
		return e.MethodID
	case MethodPaused:
		return e.MethodID
	case MethodResumed:
		return e.MethodID
	case MethodExpiring:
		return e.MethodID
	case MethodExpired:
		return e.MethodID
	case DuplicateDetected:
		return e.MethodID
	case MethodDetached:
		return e.MethodID
	case SubscriptionDeleted:
		return e.Released
	case SetupIntentCreated:
		return e.MethodID
	case SetupIntentNeedsAction:
		return e.MethodID
	case SetupIntentSucceeded:
		return e.MethodID
	default:
		return instrumentOf(e)
	}
}

// instrumentOf names the method whose instrument, evidence or mandate an event is about.
func instrumentOf(e Event) MethodID {
	switch e := e.(type) {
	case VerificationRequested:
		return e.MethodID
	case VerificationStarted:
		return e.MethodID
	case VerificationAttemptFailed:
		return e.MethodID
	case VerificationEnded:
		return e.MethodID
	case MethodVerified:
		return e.MethodID
	case MethodSynced:
		return e.MethodID
	case MethodActivated:
		return e.MethodID
	case MethodFailed:
		return e.MethodID
	case MethodBlocked:
		return e.MethodID
	case MandateUpdated:
		return e.MethodID
	case MandateExpiring:
		return e.MethodID
	case GatewayDetached:
		return e.MethodID
	case GatewayDetachFailed:
		return e.MethodID
	case GatewayCanceled:
		return e.MethodID
	case ReplacementAvailable:
		return e.MethodID
	case MethodReplacedByUpdater:
		return e.MethodID
	case MethodReplaced:
		return e.MethodID
	case MethodDeclined:
		return e.MethodID
	default:
		return ""
	}
}

// SetupIntentOf names the setup intent that an event is about, or "".
func SetupIntentOf(e Event) SetupIntentID {
	switch e := e.(type) {
	case SetupIntentCreated:
		return e.SetupIntentID
	case SetupIntentProcessing:
		return e.SetupIntentID
	case SetupIntentNeedsAction:
		return e.SetupIntentID
	case SetupIntentSucceeded:
		return e.SetupIntentID
	case SetupIntentFailed:
		return e.SetupIntentID
	case SetupIntentCanceled:
		return e.SetupIntentID
	case SetupGatewayCanceled:
		return e.SetupIntentID
	default:
		return ""
	}
}
