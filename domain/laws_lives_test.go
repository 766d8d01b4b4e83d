package domain

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"
)

// lives is what the laws remember of a history: kept from its events alone, by
// other means than the state under test.
type lives struct {
	detached  map[MethodID]bool
	expiry    map[MethodID]string // of which the notices below were
	said      map[MethodID][]int  // days before, in this expiry; 0 for expired
	asked     map[MethodID]bool   // a verification was, and did not end
	started   map[MethodID]Evidence
	proved    map[MethodID]Evidence
	attempts  map[string]int // of a method, with what was named
	names     map[string]SubscriptionUpdated
	over      map[SetupIntentID]bool
	gatewayOn map[MethodID]bool // the gateway's word on a detach was heard
	begun     map[string]string // at the gateway, by subject: its reference
	left      map[string]string // open at the gateway, by "subject@version": its reference
}

func newHistory(t *rapid.T) *history {
	return &history{t: t, state: NewState("customer-acme+cus_1").(*Customer), lives: lives{
		detached: map[MethodID]bool{}, expiry: map[MethodID]string{}, said: map[MethodID][]int{}, asked: map[MethodID]bool{},
		started: map[MethodID]Evidence{}, proved: map[MethodID]Evidence{}, attempts: map[string]int{}, names: map[string]SubscriptionUpdated{},
		over: map[SetupIntentID]bool{}, gatewayOn: map[MethodID]bool{}, begun: map[string]string{}, left: map[string]string{},
	}}
}

// terminal is I2: nothing happens after the end, but the gateway's letting go, once.
func (h *history) terminal(e Event) {
	letsGo := false
	switch e := e.(type) {
	case GatewayDetached, GatewayDetachFailed:
		letsGo = true
	case GatewayCanceled, SetupGatewayCanceled:
		return // may come after the end; see leftOpen
	case SetupIntentSucceeded:
		h.lives.ends(h, e.SetupIntentID)
	case SetupIntentCanceled:
		h.lives.ends(h, e.SetupIntentID)
	default:
		if id := SetupIntentOf(e); h.lives.over[id] {
			h.t.Fatalf("%s is about %s, which is over", e.StoredName(), id)
		}
	}
	for _, id := range MethodsOf(e) {
		if h.lives.detached[id] != letsGo || letsGo && h.lives.gatewayOn[id] {
			h.t.Fatalf("%s is about %s; detached: %v", e.StoredName(), id, h.lives.detached[id])
		}
		h.lives.gatewayOn[id] = letsGo
	}
	if e, ok := e.(MethodDetached); ok {
		h.lives.detached[e.MethodID] = true
	}
}

func (l *lives) ends(h *history, id SetupIntentID) {
	if l.over[id] {
		h.t.Fatalf("%s is over twice", id)
	}
	l.over[id] = true
}

// notices is I11: of one expiry each window is told once, the end once, and no
// window after the end; another expiry starts afresh.
func (h *history) notices(e Event) {
	l := &h.lives
	rearm := func(id MethodID, expiry string) {
		if l.expiry[id] != expiry {
			l.expiry[id], l.said[id] = expiry, nil
		}
	}
	switch e := e.(type) {
	case MethodAttached:
		rearm(e.MethodID, e.ExpiresAt.String())
	case MethodSynced:
		rearm(e.MethodID, e.ExpiresAt.String())
	case MethodReplaced:
		rearm(e.MethodID, e.ExpiresAt.String())
	case MethodReplacedByUpdater:
		rearm(e.MethodID, e.ExpiresAt.String())
	case MethodExpiring:
		h.speaks(e.MethodID, e.ExpiresAt.String(), e.Served...)
		if e.Window != slices.Min(e.Served) {
			h.t.Fatalf("the notice for the windows %v of %s speaks of %d", e.Served, e.MethodID, e.Window)
		}
	case MethodExpired:
		h.speaks(e.MethodID, e.ExpiresAt.String(), 0)
	}
}

func (h *history) speaks(id MethodID, expiry string, days ...int) {
	l := &h.lives
	if status := h.state.Methods[id].Status; status != StatusActive && status != StatusPaused {
		h.t.Fatalf("%s is %s, and its expiry is spoken of", id, status)
	}
	if l.expiry[id] != expiry {
		h.t.Fatalf("a notice speaks of the expiry %s of %s, which is %s", expiry, id, l.expiry[id])
	}
	for _, d := range days {
		if slices.Contains(l.said[id], d) || slices.Contains(l.said[id], 0) {
			h.t.Fatalf("of %s, %d days before %s, is spoken after %v", id, d, expiry, l.said[id])
		}
	}
	l.said[id] = append(l.said[id], days...)
}

// told: a window is answered for by its own notice, or by a narrower one.
func (l *lives) told(id MethodID, days int) bool {
	return slices.ContainsFunc(l.said[id], func(d int) bool { return d <= days })
}

// evidence is I12: verified only by the kind of evidence that was begun for it,
// after a bounded number of attempts.
func (h *history) evidence(e Event) {
	l := &h.lives
	instrument := func(id MethodID, v Verification) {
		l.asked[id], l.started[id], l.proved[id] = false, "", ""
		if v.Status == Verified {
			l.proved[id] = v.Kind
		}
	}
	switch e := e.(type) {
	case MethodAttached:
		instrument(e.MethodID, e.Verification)
	case MethodSynced:
		instrument(e.MethodID, e.Verification)
	case MethodReplaced:
		instrument(e.MethodID, e.Verification)
	case VerificationRequested:
		l.asked[e.MethodID], l.started[e.MethodID] = true, ""
		l.attempts[string(e.MethodID)+string(NamedAmounts)], l.attempts[string(e.MethodID)+string(NamedDescriptor)] = 0, 0
	case VerificationStarted:
		if !l.asked[e.MethodID] {
			h.t.Fatalf("nobody asked for the verification of %s", e.MethodID)
		}
		l.started[e.MethodID] = e.Kind
	case VerificationAttemptFailed:
		key := string(e.MethodID) + string(e.Named)
		l.attempts[key]++
		if most := map[Named]int{NamedAmounts: 3, NamedDescriptor: 10}[e.Named]; l.attempts[key]+e.AttemptsRemaining != most || e.AttemptsRemaining < 0 {
			h.t.Fatalf("attempt %d at the %s of %s leaves %d", l.attempts[key], e.Named, e.MethodID, e.AttemptsRemaining)
		}
	case VerificationEnded:
		l.asked[e.MethodID] = false
	case MethodUpdated:
		if e.VerificationDropped {
			l.asked[e.MethodID] = false
		}
	case MethodVerified:
		if !l.asked[e.MethodID] || e.Kind == "" || l.started[e.MethodID] != e.Kind {
			h.t.Fatalf("%s is verified by %q; what was begun is %q", e.MethodID, e.Kind, l.started[e.MethodID])
		}
		l.asked[e.MethodID], l.proved[e.MethodID] = false, e.Kind
	}
}

// nothingWaits: of a detached method nothing is pending.
func (h *history) nothingWaits() {
	for id, m := range h.state.Methods {
		if !m.Attached() && (m.Verification.Status == VerificationPending || m.Replacement != nil || m.NextAction != nil || m.SetupIntent != "") {
			h.t.Fatalf("%s is detached, and yet waits: %+v", id, m)
		}
	}
}

// tokens: a verification is pending for the token it was asked for, and no other.
func (h *history) tokens(e Event) {
	updated, ok := e.(MethodUpdated)
	if !ok || updated.Provider == nil && updated.ProviderID == nil {
		return
	}
	if v := h.state.Methods[updated.MethodID].Verification; v.Status == VerificationPending {
		h.t.Fatalf("%s has another token, and its verification goes on: %+v", updated.MethodID, v)
	}
}

func (h *history) verifiedByEvidence() {
	for id, m := range h.state.Methods {
		if verified := m.Verification.Status == Verified; verified && (h.lives.proved[id] == "" || m.Verification.Kind != h.lives.proved[id] || m.Verification.VerifiedAt.IsZero()) {
			h.t.Fatalf("%s says it is verified by %q at %s; the evidence is %q", id, m.Verification.Kind, m.Verification.VerifiedAt, h.lives.proved[id])
		}
	}
}

func (h *history) uses(e Event) {
	switch e := e.(type) {
	case SubscriptionUpdated:
		h.lives.names[e.Subscription] = e
	case SubscriptionDeleted:
		delete(h.lives.names, e.Subscription)
	}
}

// users are the subscriptions that use the method, by what was said of them.
func (l *lives) users(id MethodID) []string {
	var users []string
	for subscription, s := range l.names {
		if s.MethodID == id && (s.Status == "active" || s.Status == "trialing" || s.Status == "past_due") {
			users = append(users, subscription)
		}
	}
	slices.Sort(users)
	return users
}

func (h *history) shownUses() {
	for id, m := range h.state.Methods {
		if users := h.lives.users(id); !slices.Equal(users, m.InUseBy) {
			h.t.Fatalf("%s is used by %v and says %v", id, users, m.InUseBy)
		}
		if !m.Attached() && len(m.InUseBy) > 0 {
			h.t.Fatalf("%s is detached and used by %v", id, m.InUseBy)
		}
	}
}

// inUse is I13: a detach is refused with in_use just when the method is in use.
func (h *history) inUse(cmd Command, refusal error) {
	detach, ok := cmd.(DetachMethod)
	if !ok || refusal != nil && CodeOf(refusal) != CodeMethodInUse {
		return
	}
	users := h.lives.users(detach.MethodID)
	if refused := refusal != nil; refused != (len(users) > 0) {
		h.t.Fatalf("%s is used by %v; detaching it is refused: %v", detach.MethodID, users, refusal)
	}
}

// approvals: a pending method and the intent it waits for know of each other, and
// are done together.
func (h *history) approvals() {
	for id, m := range h.state.Methods {
		if m.SetupIntent == "" {
			continue
		}
		if s := h.state.SetupIntents[m.SetupIntent]; m.Status != StatusPending || s == nil || !s.Open() || s.MethodID != id {
			h.t.Fatalf("%s (%s) waits for %s, which is %+v", id, m.Status, m.SetupIntent, s)
		}
	}
	for id, s := range h.state.SetupIntents {
		if !s.Open() || s.MethodID == "" {
			continue
		}
		if m := h.state.Methods[s.MethodID]; m == nil || m.Status != StatusPending || m.SetupIntent != id {
			h.t.Fatalf("%s (%s) has the method %s, which is %s", id, s.Status, s.MethodID, fmt.Sprintf("%+v", m))
		}
	}
}
