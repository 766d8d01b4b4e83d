package simulation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/gateway"
)

// theOrganizations live in different time zones; the last one has a test clock.
var (
	theOrganizations = []string{"acme", "globex", "trial"}
	theCustomers     = []string{"cus_1", "cus_2", "a.b@c:d"}
)

// theNumber is a card number that must not be found anywhere.
const theNumber = "4242424242424242"

// command makes a request about a customer's stream.
type command func(ctx context.Context, p *process, id string, policy domain.Policy) (domain.Command, error)

func always(c domain.Command) command {
	return func(context.Context, *process, string, domain.Policy) (domain.Command, error) { return c, nil }
}

func (w *world) ask() *request {
	if w.chance(0.1) {
		return w.askOrganization(one(w, append(theOrganizations, "trial")...))
	}
	customer := one(w, theCustomers...)
	if w.chance(0.05) {
		customer = ""
	}
	return w.askAbout(one(w, theOrganizations...), customer)
}

func (w *world) askAbout(organization, customer string) *request {
	r := &request{organization: organization, customer: customer, key: w.key()}
	id := domain.NewMethodID(w.id()) // of what is attached without a customer
	r.stream = domain.CustomerStream(organization, customer, id)
	state, known := w.audit.states[r.stream].(*domain.Customer)
	if !known || len(state.Methods) == 0 || w.chance(0.2) || customer == "" {
		r.prepare = w.attach(customer, id)
		return r
	}
	m := w.method(state)
	about := []func() command{
		func() command { return w.update(state, m) },
		func() command { return always(domain.SetDefault{MethodID: m.ID}) },
		func() command { return w.detach(state, m) },
		func() command { return always(domain.VerifyMethod{MethodID: m.ID}) },
		func() command { return w.use(state) },
		func() command { return w.tell(m) },
		func() command { return w.createIntent() },
		func() command { return w.replace(state, m) },
	}
	if waiting := w.waiting(r.stream, state); len(waiting) > 0 && w.chance(0.5) {
		about = waiting
	}
	r.prepare = about[w.rng.IntN(len(about))]()
	return r
}

// waiting are commands that something waits for.
func (w *world) waiting(stream string, c *domain.Customer) (about []func() command) {
	for _, m := range sorted(c.Methods) {
		v := m.Verification
		switch {
		case !m.Attached():
		case v.Status == domain.VerificationPending && v.Kind == domain.EvidenceMicroDeposits:
			about = append(about, func() command { return w.deposits(stream, m.ID) })
		case m.Type == domain.TypeBankAccount && v.Status == domain.Unverified:
			about = append(about, func() command { return always(domain.VerifyMethod{MethodID: m.ID}) })
		}
	}
	for _, s := range sorted(c.SetupIntents) {
		if s.Open() {
			about = append(about, func() command { return w.intent(s) })
		}
	}
	return about
}

// key is a new idempotency key, or none.
func (w *world) key() string {
	if w.chance(0.3) {
		return ""
	}
	w.keys++
	return fmt.Sprintf("key %d", w.keys)
}

// sorted lists what a map holds, in the order of its keys.
func sorted[K ~string, V any](m map[K]V) []V {
	var all []V
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[k])
	}
	return all
}

func (w *world) method(c *domain.Customer) *domain.Method { return one(w, sorted(c.Methods)...) }

// token is one of the sandbox's: a card that expires within some months, or anything else.
func (w *world) token() string {
	if w.chance(0.5) {
		at := w.now.AddDate(0, w.rng.IntN(14)-1, 0)
		return fmt.Sprintf("%s_exp_%d_%02d_fp_%s%s", one(w, "tok_visa", "tok_mastercard", "tok_amex"), at.Year(), at.Month(),
			one(w, "a", "b", "c", "d"), one(w, "", "", "", "", "_3ds", "_updates", "_verify_fails", "_lost", "_recovers"))
	}
	return one(w, "tok_visa", "tok_discover_declined", "ba_us", "ba_us_fp_x", "ba_us_instant", "sepa_de", "paypal_demo", "wallet_apple_pay", "tok_twint", "tok_unknown", "ba_us", "ba_us_fp_y")
}

// attach attaches what a token stands for; at times without waiting for the
// provider, or a card by its number.
func (w *world) attach(customer string, alone domain.MethodID) command {
	token, paused, isDefault, unsynced, number := w.token(), w.chance(0.1), w.chance(0.3) && customer != "", w.chance(0.2), w.chance(0.05)
	value := one(w, "1", "2")
	return func(ctx context.Context, p *process, id string, policy domain.Policy) (domain.Command, error) {
		cmd := domain.AttachMethod{
			MethodID: alone, Provider: "sandbox", ProviderID: token, Paused: paused, SetAsDefault: isDefault, Policy: policy,
			FactsFrom: "gateway", Personal: domain.Personal{Metadata: map[string]string{"k": value}},
		}
		if customer != "" {
			cmd.MethodID = domain.NewMethodID(p.id())
		}
		_, organization, _ := domain.StreamOwner(p.serves.stream)
		req := gateway.Request{Organization: organization, Customer: customer, Token: token, IdempotencyKey: gatewayKey(p.serves.stream, id)}
		var i gateway.Instrument
		var err error
		if number {
			card := gateway.RawCard{Number: []byte(theNumber), ExpMonth: int(w.now.Month()), ExpYear: w.now.Year() + 1}
			cmd.ProviderID, i, err = door{p}.Tokenize(ctx, req, card)
		} else {
			i, err = door{p}.Lookup(ctx, req)
		}
		if kind := gateway.KindOf(err); err != nil && (number || kind != gateway.Unavailable && kind != gateway.UnknownOutcome) {
			return nil, gateway.Refusal(err)
		}
		cmd.Type, cmd.Facts, cmd.News = i.Type, i.Facts, i.News
		cmd.Personal.Holder, cmd.Personal.Email = i.Holder, i.Email
		if err != nil || unsynced || i.NeedsApproval {
			cmd.Unsynced, cmd.News = true, nil
			if cmd.Type == "" {
				cmd.Type = domain.TypeCard
			}
			cmd.Facts = domain.Facts{Type: cmd.Type}
		}
		return cmd, nil
	}
}

// gatewayKey is the idempotency key of what a command asks the gateway.
func gatewayKey(stream, id string) string { return domain.EventID(eventstore.EventID(stream, id, 0)) }

func (w *world) update(c *domain.Customer, m *domain.Method) command {
	value, status, on := one(w, "1", "2", "3"), one(w, domain.StatusActive, domain.StatusPaused), w.chance(0.5)
	cmd := domain.UpdateMethod{MethodID: m.ID}
	switch w.rng.IntN(4) {
	case 0:
		cmd.Status = &status
	case 1:
		cmd.IsDefault = &on
	case 2:
		cmd.IfVersion = domain.Versions{c.Version}
		cmd.ExternalID = &value
	default:
		cmd.Metadata = map[string]*string{"k": &value, one(w, "a", "b"): nil}
	}
	return always(cmd)
}

func (w *world) detach(c *domain.Customer, m *domain.Method) command {
	cmd := domain.DetachMethod{MethodID: m.ID}
	if w.chance(0.3) {
		cmd.Promote = w.method(c).ID
	}
	return always(cmd)
}

func (w *world) use(c *domain.Customer) command {
	cmd := domain.SetSubscription{Subscription: "sub_" + c.ID, Status: one(w, "active", "active", "canceled")}
	switch w.rng.IntN(4) {
	case 0:
		return always(domain.DeleteSubscription{Subscription: cmd.Subscription})
	case 1:
	default:
		cmd.MethodID = w.method(c).ID
	}
	return always(cmd)
}

// tell is what providers and billing systems report.
func (w *world) tell(m *domain.Method) command {
	at := w.now.AddDate(0, w.rng.IntN(12), 0)
	card := domain.Card{Brand: "visa", Last4: "1881", ExpMonth: int(at.Month()), ExpYear: at.Year()}
	code, same := one(w, "expired_payment_method", "unknown_payment_method", "insufficient_funds"), w.chance(0.5)
	mandate := domain.Mandate{Reference: "MND-2", Scheme: "bacs", Status: "active", AcceptedAt: w.now.Truncate(time.Millisecond), ExpiresAt: at.Truncate(time.Millisecond)}
	if same && m.Card != nil {
		card = *m.Card
		card.ExpMonth, card.ExpYear = int(at.Month()), at.Year()
	}
	which := w.rng.IntN(3)
	return func(_ context.Context, _ *process, _ string, policy domain.Policy) (domain.Command, error) {
		switch which {
		case 0:
			return domain.ReportDecline{MethodID: m.ID, Code: code, Policy: policy}, nil
		case 1:
			return domain.UpdateMandate{MethodID: m.ID, Mandate: mandate}, nil
		default:
			return domain.ReportReplacement{MethodID: m.ID, Replacement: domain.Replacement{Card: card}, Policy: policy}, nil
		}
	}
}

// replace puts another method, or another instrument, in a method's place.
func (w *world) replace(c *domain.Customer, m *domain.Method) command {
	if w.chance(0.5) {
		return always(domain.ReplaceWith{MethodID: m.ID, With: w.method(c).ID})
	}
	token := w.token()
	return func(ctx context.Context, p *process, id string, policy domain.Policy) (domain.Command, error) {
		i, err := door{p}.Lookup(ctx, gateway.Request{Organization: m.Organization, Customer: m.Customer, Token: token, IdempotencyKey: gatewayKey(p.serves.stream, id)})
		if err != nil {
			return nil, gateway.Refusal(err)
		}
		return domain.ReplaceInstrument{
			MethodID: m.ID, Provider: "sandbox", ProviderID: token, Facts: i.Facts, News: i.News, Policy: policy,
			Personal: domain.Personal{Holder: i.Holder, Email: i.Email},
		}, nil
	}
}

// deposits names what arrived on an account, rightly or not, or asks for more.
func (w *world) deposits(stream string, method domain.MethodID) command {
	named := one(w, gateway.Deposits{Amounts: []int{32, 45}}, gateway.Deposits{Amounts: []int{1, 2}}, gateway.Deposits{DescriptorCode: "SM11AA"}, gateway.Deposits{DescriptorCode: "SM22BB"})
	again := w.chance(0.2)
	return func(ctx context.Context, p *process, id string, _ domain.Policy) (domain.Command, error) {
		_, now, err := p.policy(ctx, p.serves.organization)
		if err != nil {
			return nil, err
		}
		m, err := p.sees.AwaitsDeposits(method, now)
		if err != nil {
			return nil, err
		}
		req := gateway.Request{Organization: m.Organization, Customer: m.Customer, Token: m.ProviderID, IdempotencyKey: gatewayKey(stream, id)}
		if again {
			sent, err := door{p}.Resend(ctx, req, m.Verification.Reference)
			return domain.ResendDeposits{
				MethodID: m.ID, Resent: m.Verification.Reference, Named: sent.Named, ArrivalDate: sent.ArrivalDate, Reference: sent.Reference,
			}, gateway.Refusal(err)
		}
		cmd := domain.ConfirmVerification{MethodID: m.ID, Reference: m.Verification.Reference, Named: domain.NamedAmounts}
		if named.DescriptorCode != "" {
			cmd.Named = domain.NamedDescriptor
		}
		matches, err := door{p}.Confirm(ctx, req, m.Verification.Reference, named)
		cmd.Matches = matches
		return cmd, gateway.Refusal(err)
	}
}

func (w *world) createIntent() command {
	token, confirm, isDefault := w.token(), w.chance(0.7), w.chance(0.3)
	return func(_ context.Context, p *process, _ string, _ domain.Policy) (domain.Command, error) {
		return domain.CreateSetupIntent{
			SetupIntentID: domain.NewSetupIntentID(p.id()), Usage: "off_session", Provider: "sandbox", Token: token, Confirm: confirm, SetAsDefault: isDefault,
		}, nil
	}
}

func (w *world) intent(s *domain.SetupIntent) command {
	switch w.rng.IntN(4) {
	case 0:
		return always(domain.CancelSetupIntent{SetupIntentID: s.ID, Reason: domain.CancelDuplicate})
	case 1:
		return always(domain.ConfirmSetupIntent{SetupIntentID: s.ID, Token: w.token()})
	default:
		return always(domain.ApproveSetupIntent{SetupIntentID: s.ID, Version: s.Version})
	}
}

func (w *world) askOrganization(organization string) *request {
	if w.chance(0.1) {
		return &request{
			organization: organization, key: w.key(), stream: domain.SubscriptionStream(organization, one(w, "sub_1", "sub_2")),
			prepare: always(domain.ClaimSubscription{Customer: one(w, theCustomers...)}),
		}
	}
	r := &request{organization: organization, key: w.key(), stream: domain.OrganizationStream(organization)}
	state, _ := w.audit.states[r.stream].(*domain.Organization)
	switch {
	case state == nil || w.chance(0.2):
		w.keys++
		r.prepare = always(domain.CreateKey{Mode: domain.ModeTest, Key: domain.APIKey{ID: fmt.Sprintf("key%d", w.keys), MAC: "00", Scopes: []string{"keys.admin"}}})
	case w.chance(0.2):
		r.prepare = always(domain.RevokeKey{KeyID: one(w, sorted(state.Keys)...).ID})
	case organization == "trial" && w.chance(0.7):
		to := state.Clock
		if to.IsZero() {
			to = w.now
		}
		r.prepare = always(domain.SetTestClock{Now: to.Add(time.Duration(w.rng.IntN(60*24)) * time.Hour).Truncate(time.Millisecond)})
	default:
		defaults, duplicates := one(w, domain.DefaultFirst, domain.DefaultExplicit, domain.DefaultLatest), one(w, domain.DuplicateReturnExisting, domain.DuplicateReject, domain.DuplicateAllow)
		zone := one(w, "UTC", "Pacific/Auckland", "America/New_York")
		r.prepare = always(domain.UpdateSettings{
			DefaultPolicy: &defaults, DuplicatePolicy: &duplicates, TimeZone: &zone, ExpiryWindowsDays: one(w, []int{30, 7, 1}, []int{60, 14}, []int{7}),
		})
	}
	return r
}
