package domain

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"
)

// world draws commands on one customer from so few ids, fingerprints and months
// that they meet each other.
type world struct {
	t     *rapid.T
	now   time.Time
	state func() *Customer
}

// pass lets time pass: often some days, at times years.
func (w *world) pass() {
	days := w.pick("days", 5)
	if w.pick("leap", 16) == 0 {
		days = rapid.IntRange(0, 4*365).Draw(w.t, "many days")
	}
	hours := w.pick("hours", 24)
	w.now = w.now.Add(time.Duration(days*24+hours) * time.Hour)
}

// pick draws a number below n, each about as often as the other: bit by bit, since
// the numbers that rapid draws are mostly small ones.
func (w *world) pick(name string, n int) int { return even(w.t, name, n) }

func even(t *rapid.T, name string, n int) int {
	const bits = 8
	number := 0
	for range bits {
		number <<= 1
		if rapid.Bool().Draw(t, name) {
			number++
		}
	}
	return number * n >> bits
}

func (w *world) flag(name string) bool { return rapid.Bool().Draw(w.t, name) }

func (w *world) one(name string, of ...string) string { return of[w.pick(name, len(of))] }

func (w *world) id() MethodID {
	return MethodID(fmt.Sprintf("pm_%d", w.pick("id", 6)))
}

func (w *world) versions() Versions {
	if w.pick("if match", 4) > 0 {
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

// command draws any command: often one that something in the state waits for,
// else one about anything, which as a rule comes at the wrong time.
func (w *world) command() Command {
	if waited := w.waited(); len(waited) > 0 && w.pick("waited for", 3) > 0 {
		return waited[w.pick("which", len(waited))]()
	}
	switch w.pick("about", 11) {
	case 0, 1:
		return w.attach(w.id())
	case 2:
		return w.ask(w.id())
	case 3:
		return w.use()
	case 4:
		return w.verifying(w.id())
	case 5:
		return w.gatewayTells(w.id())
	case 6:
		return w.replacing(w.id())
	case 7:
		return w.setup(w.intent())
	case 8:
		return w.canceling()
	default:
		return MarkExpiry{MethodID: w.id(), Policy: w.policy()}
	}
}

// waited are the commands that something in the state waits for.
func (w *world) waited() []func() Command {
	var waited []func() Command
	state := w.state()
	for _, id := range slices.Sorted(maps.Keys(state.Methods)) {
		switch m := state.Methods[id]; {
		case !m.Attached() && m.GatewayDetach == "", m.Status == StatusPending && m.SetupIntent == "":
			waited = append(waited, func() Command { return w.gatewayTells(id) })
		case m.Attached() && m.Verification.Status != Verified && m.Verification.Status != VerificationNotNeeded:
			waited = append(waited, func() Command { return w.verifying(id) })
		case m.Replacement != nil:
			waited = append(waited, func() Command { return w.replacing(id) })
		}
	}
	for _, id := range slices.Sorted(maps.Keys(state.SetupIntents)) {
		if state.SetupIntents[id].Open() {
			waited = append(waited, func() Command { return w.setup(id) })
		}
	}
	return waited
}

// facts are of a card that expires soon, of an account with a mandate, or of a wallet.
func (w *world) facts() Facts {
	fingerprint := w.one("fingerprint", "", "x", "y", "z")
	switch w.pick("instrument", 8) {
	case 0:
		mandate := &Mandate{Reference: "R1", Scheme: "sepa", Status: "active"}
		return Facts{Type: TypeBankAccount, Method: "ach", BankAccount: &BankAccount{Last4: "6789"}, Fingerprint: fingerprint, Mandate: mandate}
	case 1:
		return Facts{Type: TypePaypal, Method: "paypal", Wallet: &Wallet{Kind: "paypal"}, Fingerprint: fingerprint}
	default:
		return Facts{Type: TypeCard, Method: "card", Card: w.card(), Fingerprint: fingerprint}
	}
}

func (w *world) card() *Card {
	at := time.Date(w.now.Year(), w.now.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, w.pick("months left", 5)-1, 0)
	return &Card{Brand: "visa", Last4: w.one("last4", "4242", "1111"), ExpMonth: int(at.Month()), ExpYear: at.Year()}
}

func (w *world) news() *Replacement {
	if w.pick("news", 3) > 0 {
		return nil
	}
	return &Replacement{Card: *w.card(), ProviderID: w.one("new token", "", "tok", "tok_2"), Fingerprint: w.one("new fingerprint", "", "x", "w")}
}

func (w *world) attach(id MethodID) AttachMethod {
	facts := w.facts()
	cmd := AttachMethod{
		MethodID: id, Type: facts.Type, Provider: "sandbox", ProviderID: "tok", Facts: facts, FactsFrom: "gateway",
		Paused: w.flag("paused"), SetAsDefault: w.flag("set as default"), Policy: w.policy(), News: w.news(),
		Personal: Personal{Metadata: map[string]string{"a": "1"}},
	}
	switch w.pick("pending", 5) {
	case 0:
		cmd.Unsynced, cmd.Facts, cmd.News = true, Facts{Type: facts.Type, Method: facts.Method}, nil
	case 1:
		cmd.Approval = w.approval()
	}
	return cmd
}

// ask draws what a caller asks of a method.
func (w *world) ask(id MethodID) Command {
	switch w.pick("asks", 4) {
	case 0:
		return SetDefault{MethodID: id, IfVersion: w.versions()}
	case 1:
		cmd := DetachMethod{MethodID: id, IfVersion: w.versions()}
		if w.flag("promote") {
			cmd.Promote = w.id()
		}
		return cmd
	default:
		cmd := UpdateMethod{MethodID: id, IfVersion: w.versions()}
		if w.flag("new metadata") {
			value := w.one("value", "1", "2")
			cmd.Metadata = map[string]*string{"a": &value, "b": nil}
		}
		if w.pick("new token", 4) == 0 {
			token := w.token()
			cmd.ProviderID = &token
		}
		if w.flag("new status") {
			status := rapid.SampledFrom([]Status{StatusActive, StatusPaused}).Draw(w.t, "status")
			cmd.Status = &status
		}
		if w.flag("new default") {
			on := w.flag("is default")
			cmd.IsDefault = &on
		}
		return cmd
	}
}

func (w *world) use() Command {
	subscription := w.one("subscription", "sub_0", "sub_1", "sub_2")
	if w.pick("delete", 5) == 0 {
		return DeleteSubscription{Subscription: subscription}
	}
	cmd := SetSubscription{Subscription: subscription, Status: w.one("subscription status", "active", "trialing", "past_due", "paused", "canceled")}
	if w.pick("names a method", 6) > 0 {
		cmd.MethodID = w.id()
	}
	return cmd
}
