package domain

import "slices"

// A verification or a setup can end here and stay open at the gateway: its time is
// over, nobody wants it any more, the method left. Then the gateway is told, as
// often as it takes.

// LeftOpen is something that was begun at a gateway and that nobody waits for any
// more.
type LeftOpen struct {
	Provider  string `json:"provider"`
	Token     string `json:"token"`
	Reference string `json:"reference,omitempty"` // the gateway's; "" when its answer never came
	// Asked is the version of the stream with the question that was never answered;
	// 0 when there is a reference.
	Asked uint64 `json:"asked,omitempty"`
	Since uint64 `json:"since"` // version of the stream with the event that left it open: its name
}

// GatewayCanceled: the gateway was told that nobody goes on with a verification;
// or, with a failure, it could not be told and is not told any more. Since names
// what was left open. Never published.
type GatewayCanceled struct {
	MethodID MethodID `json:"payment_method_id"`
	Since    uint64   `json:"since"`
	Failure  string   `json:"failure,omitempty"`
}

// SetupGatewayCanceled is the same of what a setup intent left open. Never
// published.
type SetupGatewayCanceled struct {
	SetupIntentID SetupIntentID `json:"setup_intent_id"`
	Since         uint64        `json:"since"`
	Failure       string        `json:"failure,omitempty"`
}

// The names in the log.
func (GatewayCanceled) StoredName() string      { return "payment_method.gateway_canceled" }
func (SetupGatewayCanceled) StoredName() string { return "setup_intent.gateway_canceled" }

func (GatewayCanceled) event()      {}
func (SetupGatewayCanceled) event() {}

// RecordGatewayCancel says how telling the gateway ended, for a method or for a
// setup intent: one of the ids is "". Failure "" is success.
type RecordGatewayCancel struct {
	MethodID      MethodID
	SetupIntentID SetupIntentID
	Since         uint64
	Failure       string
}

// CommandName is the command's name in records and logs.
func (RecordGatewayCancel) CommandName() string { return "record_gateway_cancel" }

// recordGatewayCancel: the first word counts.
func (c *Customer) recordGatewayCancel(cmd RecordGatewayCancel) ([]Event, error) {
	if m := c.Methods[cmd.MethodID]; m != nil && isLeft(m.LeftOpen, cmd.Since) {
		return []Event{GatewayCanceled{MethodID: m.ID, Since: cmd.Since, Failure: cmd.Failure}}, nil
	}
	if s := c.SetupIntents[cmd.SetupIntentID]; s != nil && isLeft(s.LeftOpen, cmd.Since) {
		return []Event{SetupGatewayCanceled{SetupIntentID: s.ID, Since: cmd.Since, Failure: cmd.Failure}}, nil
	}
	return nil, nil
}

func isLeft(open []LeftOpen, since uint64) bool {
	return slices.ContainsFunc(open, func(l LeftOpen) bool { return l.Since == since })
}

// withLeft and withoutLeft return another list: the one that was shown stays as it is.
func withLeft(open []LeftOpen, l LeftOpen) []LeftOpen { return append(slices.Clone(open), l) }

func withoutLeft(open []LeftOpen, since uint64) []LeftOpen {
	rest := slices.DeleteFunc(slices.Clone(open), func(l LeftOpen) bool { return l.Since == since })
	if len(rest) == 0 {
		return nil
	}
	return rest
}

// evolveLeftOpen notes what the event leaves open at the gateway, given the method
// before it.
func (m *Method) evolveLeftOpen(before *Method, e Event, version uint64) {
	unanswered := false
	switch e := e.(type) {
	case GatewayCanceled:
		m.LeftOpen = withoutLeft(m.LeftOpen, e.Since)
		return
	case VerificationEnded:
		unanswered = e.Cause == CauseUnreachable
	case MethodDetached, MethodReplaced:
		unanswered = true
	case MethodUpdated:
		if !e.VerificationDropped {
			return
		}
		unanswered = true
	default:
		return
	}
	v := before.Verification
	left := LeftOpen{Provider: before.Provider, Token: before.ProviderID, Reference: v.Reference, Since: version}
	switch {
	case v.Status != VerificationPending:
		return
	case v.Reference == "" && v.Kind == "" && unanswered:
		left.Asked = v.Asked
	case v.Reference == "":
		return
	}
	m.LeftOpen = withLeft(m.LeftOpen, left)
}

// leave notes what the end of an attempt, or of the intent, leaves open at the
// gateway, given the intent before it.
func (s *SetupIntent) leave(before *SetupIntent, e Event, version uint64) {
	left := LeftOpen{Provider: before.Provider, Token: before.Token, Reference: before.Reference, Since: version}
	if left.Reference == "" {
		failed, answered := e.(SetupIntentFailed)
		if before.Status != SetupProcessing || answered && failed.Error.Code != CodeGatewayUnavailable {
			return
		}
		left.Asked = before.Version
	}
	s.LeftOpen = withLeft(s.LeftOpen, left)
}
