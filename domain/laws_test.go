package domain

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world draws commands on one customer from so few ids, fingerprints and months
// that they meet each other.
type world struct {
	t   *rapid.T
	now time.Time
}

func (w *world) id() MethodID {
	return MethodID(fmt.Sprintf("pm_%d", rapid.IntRange(0, 5).Draw(w.t, "id")))
}

func (w *world) versions() Versions {
	if rapid.IntRange(0, 3).Draw(w.t, "if match") > 0 {
		return nil
	}
	return Versions{rapid.Uint64Range(1, 12).Draw(w.t, "version")}
}

func (w *world) policy() Policy {
	s := DefaultSettings()
	s.DefaultPolicy = rapid.SampledFrom([]DefaultPolicy{DefaultFirst, DefaultExplicit, DefaultLatest}).Draw(w.t, "default policy")
	s.DuplicatePolicy = rapid.SampledFrom([]DuplicatePolicy{DuplicateReturnExisting, DuplicateReject, DuplicateAllow}).Draw(w.t, "duplicate policy")
	return Policy{Settings: s, Location: time.UTC, MaxMethods: 4}
}

func (w *world) command() Command {
	flag := func(name string) bool { return rapid.Bool().Draw(w.t, name) }
	switch rapid.IntRange(0, 5).Draw(w.t, "command") {
	case 0, 1:
		at := w.now.AddDate(0, rapid.IntRange(-1, 2).Draw(w.t, "months left"), 0)
		facts := Facts{
			Type: TypeCard, Method: "card", Card: &Card{Brand: "visa", Last4: "4242", ExpMonth: int(at.Month()), ExpYear: at.Year()},
			Fingerprint: rapid.SampledFrom([]string{"", "x", "y", "z"}).Draw(w.t, "fingerprint"),
		}
		return AttachMethod{
			MethodID: w.id(), Type: TypeCard, Provider: "sandbox", ProviderID: "tok", Facts: facts, FactsFrom: "gateway",
			Paused: flag("paused"), SetAsDefault: flag("set as default"), Policy: w.policy(),
			Personal: Personal{Metadata: map[string]string{"a": "1"}},
		}
	case 2:
		return SetDefault{MethodID: w.id(), IfVersion: w.versions()}
	case 3:
		cmd := DetachMethod{MethodID: w.id(), IfVersion: w.versions()}
		if flag("promote") {
			cmd.Promote = w.id()
		}
		return cmd
	default:
		cmd := UpdateMethod{MethodID: w.id(), IfVersion: w.versions()}
		if flag("new metadata") {
			value := rapid.SampledFrom([]string{"1", "2"}).Draw(w.t, "value")
			cmd.Metadata = map[string]*string{"a": &value, "b": nil}
		}
		if flag("new status") {
			status := rapid.SampledFrom([]Status{StatusActive, StatusPaused}).Draw(w.t, "status")
			cmd.Status = &status
		}
		if flag("new default") {
			on := flag("is default")
			cmd.IsDefault = &on
		}
		return cmd
	}
}

// snapshot writes all of a state, to see whether it changed.
func snapshot(s State) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestHistoriesOfAnyCommandsKeepTheLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, now: time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC)}
		h := &history{t: t, state: NewState("customer-acme+cus_1").(*Customer), detached: map[MethodID]bool{}, said: map[string]bool{}}
		for range rapid.IntRange(1, 20).Draw(t, "commands") {
			w.now = w.now.Add(time.Duration(rapid.IntRange(0, 20*24).Draw(t, "hours")) * time.Hour)
			h.execute(w.command(), w.now)
		}
		h.checkPrefixes()
	})
}

// history is a stream as it grows, with what its laws need to remember.
type history struct {
	t        *rapid.T
	state    *Customer
	records  []stored
	prefixes []State // after each record
	shown    []string
	detached map[MethodID]bool
	said     map[string]bool
}

type stored struct {
	name string
	data []byte
	at   time.Time
}

func (h *history) execute(cmd Command, now time.Time) {
	before := snapshot(h.state)
	events, err := h.state.Decide(cmd, now)
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
	if _, attach := cmd.(AttachMethod); !attach && len(events) > 0 {
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
	for _, id := range MethodsOf(e) {
		if h.detached[id] {
			h.t.Fatalf("%s is about %s, which is detached", e.StoredName(), id)
		}
	}
	switch e := e.(type) {
	case MethodDetached:
		h.detached[e.MethodID] = true
	case MethodExpiring:
		for _, days := range e.Served {
			h.once(fmt.Sprintf("%s expires in %d", e.MethodID, days))
		}
	case MethodExpired:
		h.once(fmt.Sprintf("%s expired", e.MethodID))
	}
	name, data, err := Encode(e)
	if err != nil {
		h.t.Fatal(err)
	}
	h.records = append(h.records, stored{name, data, now})
	h.state.Evolve(e, now)
	h.oneDefault()
	h.versions(e)
	prefix := h.state.Clone()
	h.prefixes, h.shown = append(h.prefixes, prefix), append(h.shown, snapshot(prefix))
}

func (h *history) once(notice string) {
	if h.said[notice] {
		h.t.Fatalf("%s is said twice", notice)
	}
	h.said[notice] = true
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
	_, unchanged := last.(DuplicateDetected)
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
		states := []State{NewState("customer-acme+cus_1"), NewState("organization-acme"), NewState(LedgerStream)}
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
