package domain

import (
	"fmt"
	"maps"
)

// asked stands for a reference that the gateway has not given yet.
const asked = "asked"

// leftOpen: what was begun at the gateway either succeeds, or is on the list of
// what is left open there until the gateway was told, once.
func (h *history) leftOpen(e Event) {
	l := &h.lives
	version := uint64(len(h.records) + 1)
	ends := func(subject string, unanswered bool) {
		if begun := l.begun[subject]; begun != "" && (begun != asked || unanswered) {
			l.left[fmt.Sprintf("%s@%d", subject, version)] = begun
		}
		delete(l.begun, subject)
	}
	begins := func(subject, reference string) {
		if l.begun[subject] = reference; reference == "" {
			delete(l.begun, subject)
		}
	}
	told := func(subject string, since uint64) {
		name := fmt.Sprintf("%s@%d", subject, since)
		if l.left[name] == "" {
			h.t.Fatalf("the gateway is told of %s, which is not left open", name)
		}
		delete(l.left, name)
	}
	switch e := e.(type) {
	case VerificationRequested:
		begins(string(e.MethodID), asked)
	case VerificationStarted:
		begins(string(e.MethodID), e.Reference)
	case MethodVerified:
		delete(l.begun, string(e.MethodID))
	case VerificationEnded:
		ends(string(e.MethodID), e.Cause == CauseUnreachable)
	case MethodDetached:
		ends(string(e.MethodID), true)
	case MethodReplaced:
		ends(string(e.MethodID), true)
	case MethodUpdated:
		if e.VerificationDropped {
			ends(string(e.MethodID), true)
		}
	case GatewayCanceled:
		told(string(e.MethodID), e.Since)
	default:
		h.setupLeftOpen(e, begins, ends, told)
	}
}

func (h *history) setupLeftOpen(e Event, begins func(subject, reference string), ends func(subject string, unanswered bool), told func(subject string, since uint64)) {
	l := &h.lives
	switch e := e.(type) {
	case SetupIntentProcessing:
		if l.begun[string(e.SetupIntentID)] == "" {
			begins(string(e.SetupIntentID), asked)
		}
	case SetupIntentNeedsAction:
		begins(string(e.SetupIntentID), e.Reference)
	case SetupIntentSucceeded:
		delete(l.begun, string(e.SetupIntentID))
	case SetupIntentFailed:
		ends(string(e.SetupIntentID), e.Error.Code == CodeGatewayUnavailable)
	case SetupIntentCanceled:
		ends(string(e.SetupIntentID), true)
	case SetupGatewayCanceled:
		told(string(e.SetupIntentID), e.Since)
	}
}

// shownLeft: the state lists what the events left open, and nothing else.
func (h *history) shownLeft() {
	shown := map[string]string{}
	list := func(subject string, open []LeftOpen) {
		for _, l := range open {
			if (l.Reference == "") != (l.Asked > 0) || l.Provider == "" || l.Token == "" {
				h.t.Fatalf("%s: nobody can find %+v at a gateway", subject, l)
			}
			if l.Reference == "" {
				l.Reference = asked
			}
			shown[fmt.Sprintf("%s@%d", subject, l.Since)] = l.Reference
		}
	}
	for id, m := range h.state.Methods {
		list(string(id), m.LeftOpen)
	}
	for id, s := range h.state.SetupIntents {
		list(string(id), s.LeftOpen)
	}
	if !maps.Equal(shown, h.lives.left) {
		h.t.Fatalf("left open at the gateway is %v, by the events %v", shown, h.lives.left)
	}
}

// canceling draws that the gateway was told of something, mostly of what is open.
func (w *world) canceling() Command {
	cmd := RecordGatewayCancel{Failure: w.one("failure", "", "no answer")}
	var open []LeftOpen
	if w.flag("of a method") {
		cmd.MethodID = w.id()
		if m := w.state().Methods[cmd.MethodID]; m != nil {
			open = m.LeftOpen
		}
	} else {
		cmd.SetupIntentID = w.intent()
		if s := w.state().SetupIntents[cmd.SetupIntentID]; s != nil {
			open = s.LeftOpen
		}
	}
	if len(open) > 0 {
		cmd.Since = open[w.pick("which open", len(open))].Since
	}
	return cmd
}
