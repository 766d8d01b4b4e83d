package domain

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func attachedAs(id MethodID) MethodAttached {
	return MethodAttached{MethodID: id, Organization: "acme", Customer: "cus_1", Status: StatusActive}
}

// brokenPromises are histories, what cannot follow them, and the promise it breaks.
// The stream is that of a customer where none is named.
type brokenPromises map[string]struct {
	stream  string
	history []Event
	next    Event
	promise string
}

func (rows brokenPromises) check(t *testing.T) {
	t.Helper()
	for name, row := range rows {
		stream := row.stream
		if stream == "" {
			stream = "customer-acme+cus_1"
		}
		s := NewState(stream)
		for _, e := range row.history {
			if err := Contradiction(s, e); err != nil {
				t.Fatalf("%s: the history is broken already: %v", name, err)
			}
			s.Evolve(e, time.Unix(1, 0))
		}
		var broken *BrokenHistoryError
		if err := Contradiction(s, row.next); !errors.As(err, &broken) || broken.Promise != row.promise {
			t.Errorf("%s: %v, want a broken promise: %s", name, err, row.promise)
		} else if !strings.Contains(broken.Error(), row.next.StoredName()) || !strings.Contains(broken.Error(), row.promise) {
			t.Errorf("%s: the error %q does not name the event and the promise", name, broken)
		}
	}
}

func TestAHistoryThatBreaksAPromiseAboutAMethodIsNamed(t *testing.T) {
	a, b := attachedAs("pm_a"), attachedAs("pm_b")
	toA := DefaultChanged{To: "pm_a"}
	gone := []Event{a, MethodDetached{MethodID: "pm_a"}}
	foreign := attachedAs("pm_a")
	foreign.Organization = "umbrella"
	stray := attachedAs("pm_a")
	stray.Customer = "cus_2"
	brokenPromises{
		"attached twice":            {"", []Event{a}, a, promiseAttachedOnce},
		"attached after its end":    {"", gone, a, promiseAttachedOnce},
		"of another organization":   {"", nil, foreign, promiseOwnStream},
		"of another customer":       {"", nil, stray, promiseOwnStream},
		"without an id":             {"", nil, attachedAs(""), promiseKnown},
		"update of the unknown":     {"", []Event{a}, MethodUpdated{MethodID: "pm_b"}, promiseKnown},
		"pause of the unknown":      {"", nil, MethodPaused{MethodID: "pm_a"}, promiseKnown},
		"detach of the unknown":     {"", nil, MethodDetached{MethodID: "pm_a"}, promiseKnown},
		"duplicate of the unknown":  {"", nil, DuplicateDetected{MethodID: "pm_a"}, promiseKnown},
		"default to the unknown":    {"", []Event{a}, DefaultChanged{To: "pm_b"}, promiseKnown},
		"update after the end":      {"", gone, MethodUpdated{MethodID: "pm_a"}, promiseTerminal},
		"pause after the end":       {"", gone, MethodPaused{MethodID: "pm_a"}, promiseTerminal},
		"resume after the end":      {"", gone, MethodResumed{MethodID: "pm_a"}, promiseTerminal},
		"expiring after the end":    {"", gone, MethodExpiring{MethodID: "pm_a"}, promiseTerminal},
		"expired after the end":     {"", gone, MethodExpired{MethodID: "pm_a"}, promiseTerminal},
		"detached after the end":    {"", gone, MethodDetached{MethodID: "pm_a"}, promiseTerminal},
		"duplicate of the detached": {"", gone, DuplicateDetected{MethodID: "pm_a"}, promiseTerminal},
		"default to the detached":   {"", gone, toA, promiseTerminal},
		"second default":            {"", []Event{a, b, toA}, DefaultChanged{To: "pm_b"}, promiseOneDefault},
		"default from another":      {"", []Event{a, b, toA}, DefaultChanged{From: "pm_b", To: "pm_a"}, promiseOneDefault},
		"default taken from nobody": {"", []Event{a}, DefaultChanged{From: "pm_a"}, promiseOneDefault},
		"default that is no change": {"", []Event{a, toA}, DefaultChanged{From: "pm_a", To: "pm_a"}, promiseOneDefault},
		"canceled, and not open":    {"", []Event{a}, GatewayCanceled{MethodID: "pm_a", Since: 1}, promiseCanceled},
		"canceled of the unknown":   {"", nil, GatewayCanceled{MethodID: "pm_a", Since: 1}, promiseKnown},
		"canceled of no intent":     {"", nil, SetupGatewayCanceled{SetupIntentID: "seti_1", Since: 1}, promiseIntentKnown},
		"default detached":          {"", []Event{a, toA}, MethodDetached{MethodID: "pm_a"}, promiseDefaultStays},
	}.check(t)
}

func TestAHistoryThatBreaksAPromiseAboutAUseAVerificationOrAnIntentIsNamed(t *testing.T) {
	a := attachedAs("pm_a")
	gone := []Event{a, MethodDetached{MethodID: "pm_a"}}
	uses := SubscriptionUpdated{Subscription: "s", Status: "active", MethodID: "pm_a", Taken: "pm_a"}
	asked := VerificationRequested{MethodID: "pm_a"}
	begun := VerificationStarted{MethodID: "pm_a", Kind: EvidenceMicroDeposits}
	wrong := VerificationAttemptFailed{MethodID: "pm_a", Named: NamedAmounts}
	intent, over := SetupIntentCreated{SetupIntentID: "seti_1"}, SetupIntentCanceled{SetupIntentID: "seti_1"}
	claim := SubscriptionClaimed{Subscription: "s", Customer: "cus_1"}
	brokenPromises{
		"detached while in use":       {"", []Event{a, uses}, MethodDetached{MethodID: "pm_a"}, promiseUsedStays},
		"use of the unknown":          {"", nil, uses, promiseKnown},
		"name of the unknown":         {"", nil, SubscriptionUpdated{Subscription: "s", Status: "canceled", MethodID: "pm_a"}, promiseKnown},
		"use after the end":           {"", gone, uses, promiseTerminal},
		"use that was not taken":      {"", []Event{a}, SubscriptionUpdated{Subscription: "s", Status: "active", MethodID: "pm_a"}, promiseUses},
		"use taken twice":             {"", []Event{a, uses}, uses, promiseUses},
		"release of what is not used": {"", []Event{a, uses}, SubscriptionDeleted{Subscription: "s"}, promiseUses},
		"deleted without being there": {"", []Event{a}, SubscriptionDeleted{Subscription: "s"}, promiseUses},
		"verified without a request":  {"", []Event{a}, MethodVerified{MethodID: "pm_a", Kind: EvidenceCardAuth}, promiseEvidence},
		"verified before it began":    {"", []Event{a, asked}, MethodVerified{MethodID: "pm_a", Kind: EvidenceCardAuth}, promiseEvidence},
		"verified without evidence":   {"", []Event{a, asked}, MethodVerified{MethodID: "pm_a"}, promiseEvidence},
		"verified by other evidence":  {"", []Event{a, asked, begun}, MethodVerified{MethodID: "pm_a", Kind: EvidenceCardAuth}, promiseEvidence},
		"begun without a request":     {"", []Event{a}, begun, promiseEvidence},
		"failed without a request":    {"", []Event{a}, VerificationEnded{MethodID: "pm_a", Cause: CauseDeclined}, promiseEvidence},
		"attempt before it began":     {"", []Event{a, asked}, wrong, promiseEvidence},
		"a fourth attempt":            {"", []Event{a, asked, begun, wrong, wrong, wrong}, wrong, promiseEvidence},
		"verified after the end":      {"", gone, MethodVerified{MethodID: "pm_a", Kind: EvidenceCardAuth}, promiseTerminal},
		"blocked after the end":       {"", gone, MethodBlocked{MethodID: "pm_a"}, promiseTerminal},
		"let go before the end":       {"", []Event{a}, GatewayDetached{MethodID: "pm_a"}, promiseLetGo},
		"let go twice":                {"", append(gone, GatewayDetachFailed{MethodID: "pm_a"}), GatewayDetached{MethodID: "pm_a"}, promiseLetGo},
		"let go of the unknown":       {"", nil, GatewayDetachFailed{MethodID: "pm_a"}, promiseKnown},
		"intent twice":                {"", []Event{intent}, intent, promiseIntentOnce},
		"intent for the unknown":      {"", nil, SetupIntentCreated{SetupIntentID: "seti_1", MethodID: "pm_a"}, promiseKnown},
		"unknown intent":              {"", nil, SetupIntentFailed{SetupIntentID: "seti_1"}, promiseIntentKnown},
		"intent after success":        {"", []Event{a, intent, SetupIntentSucceeded{SetupIntentID: "seti_1", MethodID: "pm_a"}}, over, promiseIntentOver},
		"intent after its end":        {"", []Event{intent, over}, SetupIntentProcessing{SetupIntentID: "seti_1"}, promiseIntentOver},
		"claim among customers":       {"", nil, SubscriptionClaimed{Subscription: "s"}, promiseOwnStream},
		"claimed twice":               {"subscription-acme+s", []Event{claim}, claim, promiseClaimOnce},
		"claim of another":            {"subscription-acme+t", nil, claim, promiseClaimOnce},
		"method among claims":         {"subscription-acme+s", nil, a, promiseOwnStream},
		"clock that goes back":        {"organization-acme", []Event{TestClockSet{Now: time.Unix(9, 0)}}, TestClockSet{Now: time.Unix(8, 0)}, promiseClockForward},
	}.check(t)
}

func TestAHistoryThatBreaksAPromiseAboutAnOrganizationIsNamed(t *testing.T) {
	a := attachedAs("pm_a")
	key := KeyCreated{Key: APIKey{ID: "k1"}}
	brokenPromises{
		"key among customers":  {"", nil, key, promiseOwnStream},
		"method among keys":    {"organization-acme", nil, a, promiseOwnStream},
		"another organization": {"organization-acme", nil, OrganizationCreated{Organization: "umbrella", Mode: ModeTest}, promiseOwnStream},
		"mode twice":           {"organization-acme", []Event{OrganizationCreated{Organization: "acme", Mode: ModeTest}}, OrganizationCreated{Organization: "acme", Mode: ModeLive}, promiseModeOnce},
		"key twice":            {"organization-acme", []Event{key}, key, promiseKeyIssuedOnce},
		"revoked before":       {"organization-acme", nil, KeyRevoked{KeyID: "k1"}, promiseKeyRevoked},
		"revoked twice":        {"organization-acme", []Event{key, KeyRevoked{KeyID: "k1"}}, KeyRevoked{KeyID: "k1"}, promiseKeyRevoked},
	}.check(t)
}

func TestWhatCannotContradictIsFine(t *testing.T) {
	s := NewState(LedgerStream)
	for _, e := range []Event{LedgerCreated{LedgerID: "x"}, CommandAccepted{Command: "set_default"}} {
		if err := Contradiction(s, e); err != nil {
			t.Error(err)
		}
	}
	if err := Contradiction(NewState("organization-acme"), CommandAccepted{}); err != nil {
		t.Error(err)
	}
}

func TestLookingForContradictionsAllocatesNothing(t *testing.T) {
	s := NewState("customer-acme+cus_1")
	s.Evolve(attachedAs("pm_a"), time.Time{})
	next := []Event{
		attachedAs("pm_b"), MethodUpdated{MethodID: "pm_a"}, DefaultChanged{To: "pm_a"}, MethodDetached{MethodID: "pm_a"},
		SubscriptionUpdated{Subscription: "s", Status: "active", MethodID: "pm_a", Taken: "pm_a"}, SetupIntentCreated{SetupIntentID: "seti_1", MethodID: "pm_a"},
		VerificationRequested{MethodID: "pm_a"}, MethodReplaced{MethodID: "pm_a"},
	}
	if n := testing.AllocsPerRun(100, func() {
		for _, e := range next {
			if Contradiction(s, e) != nil {
				t.Fatal("there is none")
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestACloneEvolvesAlone(t *testing.T) {
	for stream, events := range map[string][]Event{
		"customer-acme+cus_1": {
			attachedAs("pm_b"), DefaultChanged{To: "pm_a"}, MethodPaused{MethodID: "pm_a"}, MethodExpiring{MethodID: "pm_a", Served: []int{7}},
			MethodUpdated{MethodID: "pm_a", Personal: Personal{Metadata: map[string]string{"k": "v"}}}, DefaultChanged{From: "pm_a"},
			SetupIntentCreated{SetupIntentID: "seti_1"}, SetupIntentCanceled{SetupIntentID: "seti_0"},
			SubscriptionUpdated{Subscription: "sub_1", Status: "active", MethodID: "pm_b", Taken: "pm_b"}, SubscriptionDeleted{Subscription: "sub_0", Released: "pm_a"},
			VerificationRequested{MethodID: "pm_a"}, ReplacementAvailable{MethodID: "pm_a"}, MethodDetached{MethodID: "pm_a"},
		},
		"organization-acme": {
			KeyCreated{Key: APIKey{ID: "k2"}}, KeyRevoked{KeyID: "k1"}, OrganizationUpdated{Settings: Settings{ExpiryWindowsDays: []int{9}}},
		},
	} {
		s := NewState(stream)
		for _, e := range []Event{
			attachedAs("pm_a"), MethodExpiring{MethodID: "pm_a", Served: []int{30}}, SetupIntentCreated{SetupIntentID: "seti_0"},
			SubscriptionUpdated{Subscription: "sub_0", Status: "active", MethodID: "pm_a", Taken: "pm_a"}, KeyCreated{Key: APIKey{ID: "k1"}},
		} {
			if Contradiction(s, e) == nil {
				s.Evolve(e, time.Time{})
			}
		}
		for _, days := range []int{14, 10} { // so that the slice of windows has room to share
			if e := (MethodExpiring{MethodID: "pm_a", Served: []int{days}}); Contradiction(s, e) == nil {
				s.Evolve(e, time.Time{})
			}
		}
		before := snapshot(s)
		one, two := s.Clone(), s.Clone()
		untouched := snapshot(two)
		for _, e := range events {
			if err := Contradiction(one, e); err != nil {
				t.Fatal(err)
			}
			one.Evolve(e, time.Unix(9, 0))
		}
		evolved := snapshot(one)
		if e := (MethodExpiring{MethodID: "pm_a", Served: []int{1}}); Contradiction(two, e) == nil {
			two.Evolve(e, time.Time{})
			two, untouched = s.Clone(), before
		}
		if got := snapshot(one); got != evolved {
			t.Errorf("%s: a clone became %s when another evolved, was %s", stream, got, evolved)
		}
		if evolved == before {
			t.Errorf("%s: the clone did not evolve", stream)
		}
		if got := snapshot(s); got != before {
			t.Errorf("%s: the original became %s, was %s", stream, got, before)
		}
		if got := snapshot(two); got != untouched {
			t.Errorf("%s: the other clone became %s, was %s", stream, got, untouched)
		}
	}
}

func BenchmarkContradiction(b *testing.B) {
	s := NewState("customer-acme+cus_1")
	s.Evolve(attachedAs("pm_a"), time.Time{})
	var e Event = MethodUpdated{MethodID: "pm_a"}
	b.ReportAllocs()
	for b.Loop() {
		if Contradiction(s, e) != nil {
			b.Fatal("there is none")
		}
	}
}
