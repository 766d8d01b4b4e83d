package domain

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// snapshot writes all of a state, to see whether it changed.
func snapshot(s State) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestHistoriesOfAnyCommandsKeepTheLaws(t *testing.T) {
	histories := rapid.MakeCheck(func(t *rapid.T) {
		h := newHistory(t)
		w := &world{t: t, now: time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC), state: func() *Customer { return h.state }}
		for range even(t, "commands", 200) + 1 {
			w.pass()
			h.execute(w.command(), w.now)
		}
		h.clockCatchesUp(w.now)
		h.checkPrefixes()
	})
	for i := range 6 { // a few hundred histories reach the rarer turns
		t.Run(fmt.Sprintf("hundred %d", i+1), histories)
	}
}

// history is a stream as it grows, with what its laws need to remember.
type history struct {
	t        *rapid.T
	state    *Customer
	records  []stored
	prefixes []State // after each record
	shown    []string
	lives    lives
}

type stored struct {
	name string
	data []byte
	at   time.Time
}

func (h *history) execute(cmd Command, now time.Time) {
	before := snapshot(h.state)
	events, err := h.state.Decide(cmd, now)
	h.inUse(cmd, err)
	again, errAgain := h.state.Decide(cmd, now)
	if !reflect.DeepEqual(events, again) || fmt.Sprint(err) != fmt.Sprint(errAgain) {
		h.t.Fatalf("%s is decided as %v (%v), then as %v (%v)", cmd.CommandName(), events, err, again, errAgain)
	}
	if after := snapshot(h.state); after != before {
		h.t.Fatalf("deciding %s changed the state from %s to %s", cmd.CommandName(), before, after)
	}
	if err != nil {
		if len(events) > 0 || CodeOf(err) == CodeInternal {
			h.t.Fatalf("refused with %v and %d events", err, len(events))
		}
		return
	}
	h.state = h.state.Clone().(*Customer)
	for _, e := range events {
		h.append(e, now)
	}
	h.approvals()
	if len(events) > 0 && repeatable(cmd) {
		h.repeat(cmd, now)
	}
	if n := h.state.Attached(); n > 4 {
		h.t.Fatalf("%d methods are attached; 4 are allowed", n)
	}
}

// repeat: what a command asked for is so afterwards; without an expected version
// asking again changes nothing.
func (h *history) repeat(cmd Command, now time.Time) {
	switch c := cmd.(type) {
	case SetDefault:
		c.IfVersion = nil
		cmd = c
	case UpdateMethod:
		c.IfVersion = nil
		cmd = c
	}
	if events, err := h.state.Decide(cmd, now); err != nil || len(events) > 0 {
		h.t.Fatalf("%s, repeated, leads to %v, %v", cmd.CommandName(), events, err)
	}
}

func (h *history) append(e Event, now time.Time) {
	if err := Contradiction(h.state, e); err != nil {
		h.t.Fatalf("a decided event: %v", err)
	}
	h.terminal(e)
	h.leftOpen(e)
	h.notices(e)
	h.evidence(e)
	h.uses(e)
	name, data, err := Encode(e)
	if err != nil {
		h.t.Fatal(err)
	}
	h.records = append(h.records, stored{name, data, now})
	h.state.Evolve(e, now)
	h.tokens(e)
	h.nothingWaits()
	h.oneDefault()
	h.versions(e)
	h.shownUses()
	h.shownLeft()
	h.verifiedByEvidence()
	prefix := h.state.Clone()
	h.prefixes, h.shown = append(h.prefixes, prefix), append(h.shown, snapshot(prefix))
}

// oneDefault is I1, at this prefix.
func (h *history) oneDefault() {
	defaults := 0
	for id, m := range h.state.Methods {
		if m.IsDefault {
			defaults++
			if id != h.state.Default || !m.Attached() {
				h.t.Fatalf("%s (%s) says it is the default, which is %q", id, m.Status, h.state.Default)
			}
		}
	}
	if defaults > 1 || (defaults == 1) != (h.state.Default != "") {
		h.t.Fatalf("%d defaults, and the customer's is %q", defaults, h.state.Default)
	}
}

// versions is I3 for what is shown: the state counts records, and a method shows
// the count at its last change.
func (h *history) versions(last Event) {
	if h.state.Version != uint64(len(h.records)) {
		h.t.Fatalf("version %d after %d records", h.state.Version, len(h.records))
	}
	unchanged := false
	switch last.(type) {
	case DuplicateDetected, MethodDeclined, MandateExpiring, GatewayDetached, GatewayDetachFailed, GatewayCanceled, SetupIntentCreated, SetupIntentSucceeded:
		unchanged = true
	}
	for _, id := range MethodsOf(last) {
		if m := h.state.Methods[id]; (m.Version == h.state.Version) == unchanged {
			h.t.Fatalf("%s is at version %d after %s at %d", id, m.Version, last.StoredName(), h.state.Version)
		}
	}
}

// checkPrefixes is I8: the state at every prefix is the fold of the records as
// they are stored, and no earlier state was touched by what came later.
func (h *history) checkPrefixes() {
	s := NewState("customer-acme+cus_1")
	for i, r := range h.records {
		e, err := Decode(r.name, Schema, r.data)
		if err != nil {
			h.t.Fatal(err)
		}
		s.Evolve(e, r.at)
		if got := snapshot(h.prefixes[i]); got != h.shown[i] {
			h.t.Fatalf("the state after record %d was changed later, from %s to %s", i+1, h.shown[i], got)
		}
		if got := snapshot(s); got != h.shown[i] {
			h.t.Fatalf("the fold of %d stored records is %s, was %s", i+1, got, h.shown[i])
		}
	}
}

func TestNoOrderOfEventsMakesTheFoldPanic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		states := []State{NewState("customer-acme+cus_1"), NewState("organization-acme"), NewState("subscription-acme+sub_1"), NewState(LedgerStream)}
		for i := range rapid.IntRange(1, 12).Draw(t, "events") {
			e := randomEvent().Draw(t, "event")
			if i == 0 {
				e = MethodAttached{MethodID: "pm_0", Organization: "acme", Customer: "cus_1", Status: StatusActive}
			}
			for _, s := range states {
				if err := Contradiction(s, e); err != nil && err.Error() == "" {
					t.Fatal("a contradiction without a text")
				}
				s.Evolve(e, time.Unix(int64(i), 0))
			}
		}
		for _, m := range states[0].(*Customer).Methods {
			if m == nil {
				t.Fatal("a method that was never attached is in the state")
			}
		}
	})
}
