package projections_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

var (
	someOrganizations = []string{"acme", "acme-2", "b"}
	someCustomers     = []string{"cus_1", "cus_2", "a.b@c:d", ""}
	someTypes         = domain.Types
)

// world is a ledger that lives through random commands.
type world struct {
	*ledger
	methods []owned // every method that was ever attached
	keys    []ownedKey
	intents []ownedIntent
}

type owned struct {
	organization, customer string
	id                     domain.MethodID
}

type ownedKey struct{ organization, id string }

func (o owned) stream() string { return domain.CustomerStream(o.organization, o.customer, o.id) }

// live runs n random commands; refusals are part of life.
func (w *world) live(rt *rapid.T, n int) {
	for range n {
		w.now = w.now.Add(time.Duration(rapid.IntRange(0, 1).Draw(rt, "milliseconds")) * time.Millisecond)
		stream, cmd := w.command(rt)
		_, err := w.try(stream, cmd)
		if refusal := (*domain.Error)(nil); err != nil && !errors.As(err, &refusal) {
			rt.Fatalf("%s on %s: %v", cmd.CommandName(), stream, err)
		}
	}
}

func (w *world) command(rt *rapid.T) (string, domain.Command) {
	kind := rapid.IntRange(0, 19).Draw(rt, "kind")
	if kind > 11 && len(w.methods) > 0 {
		return w.lifeCommand(rt)
	}
	if kind == 0 {
		return w.keyCommand(rt)
	}
	if kind < 5 || len(w.methods) == 0 {
		return w.attachAny(rt)
	}
	m := w.methods[rapid.IntRange(0, len(w.methods)-1).Draw(rt, "method")]
	switch kind {
	case 5, 6, 7:
		return m.stream(), w.update(rt, m.id)
	case 8, 9:
		return m.stream(), domain.SetDefault{MethodID: m.id}
	default:
		cmd := domain.DetachMethod{MethodID: m.id}
		if rapid.Bool().Draw(rt, "promote") {
			cmd.Promote = rapid.SampledFrom(w.methods).Draw(rt, "promoted").id
		}
		return m.stream(), cmd
	}
}

func (w *world) keyCommand(rt *rapid.T) (string, domain.Command) {
	if len(w.keys) > 0 && rapid.Bool().Draw(rt, "revoke") {
		key := rapid.SampledFrom(w.keys).Draw(rt, "key")
		return domain.OrganizationStream(key.organization), domain.RevokeKey{KeyID: key.id}
	}
	key := ownedKey{rapid.SampledFrom(someOrganizations).Draw(rt, "organization"), fmt.Sprintf("key%d", len(w.keys))}
	w.keys = append(w.keys, key)
	return domain.OrganizationStream(key.organization), domain.CreateKey{
		Mode: domain.ModeTest, Key: domain.APIKey{ID: key.id, MAC: "00", Scopes: []string{"keys.admin"}},
	}
}

func (w *world) attachAny(rt *rapid.T) (string, domain.Command) {
	o := owned{
		rapid.SampledFrom(someOrganizations).Draw(rt, "organization"),
		rapid.SampledFrom(someCustomers).Draw(rt, "customer"), w.methodID(),
	}
	w.methods = append(w.methods, o)
	typ := rapid.SampledFrom(someTypes).Draw(rt, "type")
	cmd := domain.AttachMethod{
		MethodID: o.id, Type: typ, Facts: factsOf(typ), FactsFrom: rapid.SampledFrom([]string{"gateway", "caller"}).Draw(rt, "from"),
		Provider: rapid.SampledFrom([]string{"sandbox", "stripe"}).Draw(rt, "provider"), ProviderID: "tok_" + few(rt, "token"),
		ExternalID: few(rt, "external id"), Paused: rapid.IntRange(0, 5).Draw(rt, "paused") == 0, SetAsDefault: rapid.Bool().Draw(rt, "default"),
		Personal: domain.Personal{Metadata: map[string]string{"<k>": few(rt, "value")}}, Policy: policy(),
	}
	cmd.Facts.Fingerprint = few(rt, "fingerprint")
	cmd.Policy.DuplicatePolicy = domain.DuplicateAllow
	if rapid.IntRange(0, 3).Draw(rt, "strict") == 0 {
		cmd.Policy.DuplicatePolicy = domain.DuplicateReject
	}
	if cmd.Facts.Card != nil {
		late := w.now.AddDate(0, rapid.IntRange(-2, 4).Draw(rt, "months"), 0)
		cmd.Facts.Card.ExpMonth, cmd.Facts.Card.ExpYear = int(late.Month()), late.Year()
	}
	switch rapid.IntRange(0, 9).Draw(rt, "pending") {
	case 0:
		cmd.Unsynced, cmd.Facts = true, domain.Facts{Type: typ}
	case 1:
		cmd.Approval = &domain.Approval{
			SetupIntentID: w.intentOf(o).id, RedirectURL: "https://shop.example", Reference: "ref",
			NextAction: domain.NextAction{Type: domain.ActionRedirect, RedirectURL: "https://bank.example/<", RedirectTarget: "any"},
		}
	}
	if typ == domain.TypePaypal || typ == domain.TypeOther {
		cmd.Personal.Email = "jane@example.com"
	}
	if typ == domain.TypeBankAccount || typ == domain.TypeTwint {
		cmd.Personal.Holder = "Jane \"J\" Doe"
	}
	return o.stream(), cmd
}

// few draws one of few texts, so that they meet, or none.
func few(rt *rapid.T, label string) string {
	return rapid.SampledFrom([]string{"", "a", "ab", "é\u2028<"}).Draw(rt, label)
}

func factsOf(typ domain.Type) domain.Facts {
	f := domain.Facts{Type: typ, Method: string(typ), Country: "US"}
	switch typ {
	case domain.TypeCard:
		f.Card = &domain.Card{Brand: "visa", AdditionalBrands: []string{"cartes_bancaires"}, Last4: "4242", ExpMonth: 12, ExpYear: 2034, Country: "FR", Funding: "credit"}
	case domain.TypeBankAccount:
		f.BankAccount = &domain.BankAccount{BankName: "STRIPE TEST BANK", Last4: "6789", Routing: "110000000", HolderType: "individual", AccountType: "checking", Country: "US", Currency: "usd"}
		f.Currency = "usd"
	case domain.TypeDirectDebit:
		f.Mandate = &domain.Mandate{Reference: "MND-1", Scheme: "sepa", Status: "active", AcceptedAt: epoch}
		f.Method = "sepa"
	case domain.TypePaypal:
		f.Wallet = &domain.Wallet{Kind: "paypal"}
	case domain.TypeWallet:
		f.Wallet = &domain.Wallet{Kind: "apple_pay"}
	}
	return f
}

func (w *world) update(rt *rapid.T, id domain.MethodID) domain.UpdateMethod {
	cmd := domain.UpdateMethod{MethodID: id}
	text := func(name string) *string {
		if !rapid.Bool().Draw(rt, name) {
			return nil
		}
		s := few(rt, name)
		return &s
	}
	cmd.ExternalID = text("external id")
	if rapid.IntRange(0, 3).Draw(rt, "moved") == 0 {
		s := rapid.SampledFrom([]string{"sandbox", "stripe"}).Draw(rt, "provider")
		token := "tok_" + few(rt, "token")
		cmd.Provider, cmd.ProviderID = &s, &token
	}
	if rapid.Bool().Draw(rt, "address") {
		cmd.BillingAddress = &domain.Address{City: few(rt, "city"), Name: few(rt, "name")}
	}
	if rapid.Bool().Draw(rt, "metadata") {
		cmd.Metadata = map[string]*string{"<k>": text("value"), "other": text("other")}
	}
	if rapid.Bool().Draw(rt, "status") {
		s := rapid.SampledFrom([]domain.Status{domain.StatusPaused, domain.StatusActive}).Draw(rt, "to")
		cmd.Status = &s
	}
	if rapid.IntRange(0, 3).Draw(rt, "switch default") == 0 {
		on := rapid.Bool().Draw(rt, "on")
		cmd.IsDefault = &on
	}
	return cmd
}

// step is a record of the log with the states around it.
type step struct {
	record        eventstore.Record
	event         domain.Event
	meta          eventstore.Metadata
	before, after map[domain.MethodID]*domain.Method // of the whole customer

	intentsBefore, intentsAfter map[domain.SetupIntentID]*domain.SetupIntent
}

// methods are what the record is found under; that of a setup intent under what it
// has become.
func (s step) methods() []domain.MethodID {
	ids := domain.MethodsOf(s.event)
	if i := s.intentsAfter[domain.SetupIntentOf(s.event)]; len(ids) == 0 && i != nil && i.MethodID != "" {
		ids = []domain.MethodID{i.MethodID}
	}
	return ids
}

// replay folds the whole log anew.
func (l *ledger) replay() ([]step, map[string]domain.State, error) {
	head, err := l.store.Head(context.Background())
	if err != nil || head == 0 {
		return nil, nil, err
	}
	states := map[string]domain.State{}
	var steps []step
	for batch, err := range l.store.Follow(context.Background(), 0) {
		if err != nil {
			return nil, nil, err
		}
		for _, r := range batch {
			e, meta, err := eventstore.DecodeRecord(r)
			if err != nil {
				return nil, nil, err
			}
			state, ok := states[r.Stream]
			if !ok {
				state = domain.NewState(r.Stream)
			}
			next := state.Clone()
			next.Evolve(e, meta.Time)
			states[r.Stream] = next
			steps = append(steps, step{
				record: r, event: e, meta: meta, before: methodsIn(state), after: methodsIn(next),
				intentsBefore: intentsIn(state), intentsAfter: intentsIn(next),
			})
		}
		if steps[len(steps)-1].record.Position == head {
			break
		}
	}
	return steps, states, nil
}

func methodsIn(s domain.State) map[domain.MethodID]*domain.Method {
	if c, ok := s.(*domain.Customer); ok {
		return c.Methods
	}
	return nil
}

func intentsIn(s domain.State) map[domain.SetupIntentID]*domain.SetupIntent {
	if c, ok := s.(*domain.Customer); ok {
		return c.SetupIntents
	}
	return nil
}

// newestFirst lists all methods of an organization in the order of lists.
func newestFirst(states map[string]domain.State, organization string) []*domain.Method {
	var all []*domain.Method
	for _, s := range states {
		for _, m := range methodsIn(s) {
			if m.Organization == organization {
				all = append(all, m)
			}
		}
	}
	slices.SortFunc(all, func(a, b *domain.Method) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		if a.ID > b.ID {
			return -1
		}
		return 1
	})
	return all
}

// object reads JSON into plain values.
func object(data []byte) (map[string]any, error) {
	var out map[string]any
	err := json.Unmarshal(data, &out)
	return out, err
}
