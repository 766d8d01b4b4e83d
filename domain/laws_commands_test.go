package domain

import (
	"time"

	"pgregory.net/rapid"
)

func (w *world) intent() SetupIntentID {
	return SetupIntentID(w.one("intent", "seti_0", "seti_1", "seti_2", "seti_3"))
}

// older is by how much a version that comes with an answer lags behind, if it does.
func (w *world) older() uint64 { return uint64(max(0, w.pick("older", 6)-4)) }

func (w *world) action() NextAction {
	return NextAction{Type: ActionRedirect, RedirectURL: "https://bank.example/" + w.one("step", "1", "2")}
}

func (w *world) approval() *Approval {
	return &Approval{SetupIntentID: w.intent(), NextAction: w.action(), Reference: "set"}
}

func (w *world) token() string { return w.one("token", "tok", "tok", "tok_2") }

func (w *world) cause() VerificationCause {
	return rapid.SampledFrom([]VerificationCause{CauseDeclined, CauseUnsupported, CauseUnreachable}).Draw(w.t, "cause")
}

// verifying draws what has to do with evidence. Versions and references are those
// of the state or near them, so that late answers are drawn as well.
func (w *world) verifying(id MethodID) Command {
	var v Verification
	if m := w.state().Methods[id]; m != nil {
		v = m.Verification
	}
	reference := v.Reference
	if w.pick("stale", 5) == 0 {
		reference = w.one("reference", "", "v1", "v2")
	}
	named := rapid.SampledFrom([]Named{NamedAmounts, NamedDescriptor}).Draw(w.t, "named")
	switch w.pick("verifying", 9) {
	case 0, 1:
		return VerifyMethod{MethodID: id}
	case 2, 3:
		return w.verified(RecordVerification{MethodID: id, Asked: v.Asked - min(v.Asked, w.older()), Named: named, Reference: reference})
	case 4:
		cmd := RecordVerification{MethodID: id, Done: w.flag("done"), Reference: reference}
		if !cmd.Done {
			cmd.Failed = w.cause()
		}
		return cmd
	case 5:
		return ResendDeposits{MethodID: id, Resent: reference, Reference: w.one("sent", "v1", "v2"), Named: named}
	case 6:
		return ExpireVerification{MethodID: id}
	default:
		return ConfirmVerification{MethodID: id, Reference: reference, Named: named, Matches: w.pick("matches", 4) == 0}
	}
}

func (w *world) verified(cmd RecordVerification) RecordVerification {
	switch w.pick("answer", 4) {
	case 0:
		cmd.Failed = w.cause()
	case 1:
		cmd.Kind, cmd.Done = EvidenceCardAuth, true
	default:
		cmd.Kind = EvidenceMicroDeposits
	}
	return cmd
}

// gatewayTells draws what gateways answer or tell by themselves.
func (w *world) gatewayTells(id MethodID) Command {
	switch w.pick("gateway tells", 6) {
	case 0, 1:
		cmd := SyncMethod{MethodID: id, Provider: "sandbox", ProviderID: w.token(), Facts: w.facts(), News: w.news(), Policy: w.policy()}
		if w.pick("approval needed", 4) == 0 {
			cmd.Approval = w.approval()
		}
		return cmd
	case 2:
		return FailMethod{MethodID: id, Reason: "unknown"}
	case 3:
		mandate := Mandate{Reference: w.one("mandate", "R1", "R2"), Scheme: w.one("scheme", "sepa", "bacs"), Status: w.one("state", "active", "inactive")}
		if w.flag("dated") {
			mandate.AcceptedAt = w.now.AddDate(-2, -10, 0)
		}
		return UpdateMandate{MethodID: id, Mandate: mandate}
	case 4:
		return ReportTokenGone{MethodID: id}
	default:
		return RecordGatewayDetach{MethodID: id, Failure: w.one("failure", "", "no answer")}
	}
}

func (w *world) replacing(id MethodID) Command {
	switch w.pick("replacing", 5) {
	case 0, 1:
		r := Replacement{Card: *w.card(), ProviderID: w.one("new token", "", "tok", "tok_2"), Fingerprint: w.one("new fingerprint", "", "x", "w")}
		return ReportReplacement{MethodID: id, Replacement: r, Policy: w.policy()}
	case 2:
		code := w.one("code", "expired_payment_method", "unknown_payment_method", "lost_card", "insufficient_funds")
		return ReportDecline{MethodID: id, Code: code, Policy: w.policy()}
	case 3:
		return ReplaceInstrument{MethodID: id, Provider: "sandbox", ProviderID: w.token(), Facts: w.facts(), News: w.news(), Policy: w.policy()}
	default:
		return ReplaceWith{MethodID: id, With: w.id()}
	}
}

func (w *world) setup(id SetupIntentID) Command {
	var version uint64
	if s := w.state().SetupIntents[id]; s != nil {
		version = s.Version - min(s.Version, w.older())
	}
	switch w.pick("setup", 10) {
	case 0, 1:
		return CreateSetupIntent{
			SetupIntentID: id, Type: rapid.SampledFrom([]Type{"", TypeCard}).Draw(w.t, "type"), Provider: "sandbox", Token: w.token(),
			Confirm: w.flag("confirm"), SetAsDefault: w.flag("set as default"),
		}
	case 2:
		return ConfirmSetupIntent{SetupIntentID: id, Token: w.token()}
	case 3, 4:
		return ApproveSetupIntent{SetupIntentID: id, Version: version}
	case 5:
		return CancelSetupIntent{SetupIntentID: id, Reason: CancelRequested}
	case 6:
		return ExpireSetupIntent{SetupIntentID: id}
	default:
		cmd := ResolveSetupIntent{SetupIntentID: id, Version: version}
		switch w.pick("outcome", 4) {
		case 0:
			code := rapid.SampledFrom([]Code{CodeGatewayDeclined, CodeGatewayUnavailable}).Draw(w.t, "code")
			cmd.Failure = &SetupError{Code: code, Message: "declined"}
		case 1:
			action := w.action()
			cmd.NextAction, cmd.Reference = &action, "set"
		default:
			attach := w.attach(w.id())
			cmd.Attach = &attach
		}
		return cmd
	}
}

// repeatable are the commands that ask for a state of things, or bring word of
// one: when it is so, asking or telling again changes nothing. The others make
// something new each time, or are refused when it is done.
func repeatable(cmd Command) bool {
	switch cmd.(type) {
	case SetDefault, UpdateMethod, DetachMethod, VerifyMethod, RecordVerification, ExpireVerification, SyncMethod, FailMethod, ReportTokenGone, UpdateMandate,
		RecordGatewayDetach, RecordGatewayCancel, MarkExpiry, ReportReplacement, ResolveSetupIntent, ExpireSetupIntent, SetSubscription:
		return true
	default:
		return false
	}
}

// clockCatchesUp lets the clock look at every method once more; after that it has
// nothing left to say, and nothing was missed.
func (h *history) clockCatchesUp(now time.Time) {
	policy := Policy{Settings: DefaultSettings(), Location: time.UTC, MaxMethods: 4}
	for id := range h.state.Methods {
		h.execute(MarkExpiry{MethodID: id, Policy: policy}, now)
	}
	for id, m := range h.state.Methods {
		if due, ok := m.ExpiryDue(policy.ExpiryWindowsDays); ok && !due.After(now) {
			h.t.Fatalf("at %s the clock has looked at %s, and yet something is due since %s", now, id, due)
		}
		h.dueIsWhenItSpeaks(id, policy)
		if m.Status != StatusActive && m.Status != StatusPaused || m.ExpiresAt.IsZero() {
			continue
		}
		if !now.Before(m.ExpiresAt) {
			h.t.Fatalf("%s is %s at %s; it expired at %s", id, m.Status, now, m.ExpiresAt)
		}
		for _, days := range policy.ExpiryWindowsDays {
			if !now.Before(WindowStart(m.ExpiresAt, days)) && !h.lives.told(id, days) {
				h.t.Fatalf("the window of %d days of %s, which expires at %s, was missed at %s", days, id, m.ExpiresAt, now)
			}
		}
	}
}

// dueIsWhenItSpeaks: the clock has nothing to say of a method an instant before
// the one that ExpiryDue tells, and something at it.
func (h *history) dueIsWhenItSpeaks(id MethodID, policy Policy) {
	says := func(at time.Time) bool {
		events, err := h.state.Decide(MarkExpiry{MethodID: id, Policy: policy}, at)
		if err != nil {
			h.t.Fatal(err)
		}
		return len(events) > 0
	}
	due, ok := h.state.Methods[id].ExpiryDue(policy.ExpiryWindowsDays)
	if !ok {
		if says(time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)) {
			h.t.Fatalf("nothing will ever be due of %s, and yet the clock speaks", id)
		}
		return
	}
	if says(due.Add(-time.Millisecond)) || !says(due) {
		h.t.Fatalf("%s is due on %s; the clock speaks before: %v, then: %v", id, due, says(due.Add(-time.Millisecond)), says(due))
	}
}
