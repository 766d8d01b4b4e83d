package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/gateway"
)

// attachment is a request to attach on its way to the command.
type attachment struct {
	AttachFields
	call     *call
	customer string
	token    string
	provider string
	gateway  gateway.Gateway
	imported bool // the facts are the caller's

	card        *gateway.RawCard // instead of a token
	unsupported bool             // the gateway does not take it
}

// attachMethod answers POST /v1/customers/{customer_id}/payment-methods.
func attachMethod(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	body, err := bind[AttachRequest](c)
	if err != nil {
		return err
	}
	return c.attach(&attachment{AttachFields: body.AttachFields, customer: c.params[0], token: body.Token})
}

// attachAnywhere answers POST /v1/payment-methods.
func attachAnywhere(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	body, err := bind[AttachAnywhereRequest](c)
	if err != nil {
		return err
	}
	a := &attachment{AttachFields: body.AttachFields, customer: body.CustomerID.or("")}
	if a.customer == "." || a.customer == ".." {
		c.add("body.customer_id", "must not be . or ..")
	}
	switch {
	case body.Token != nil && body.ProviderID != nil:
		c.add("body.provider_id", "is another name of token: give one of them")
	case body.Token == nil && body.ProviderID == nil:
		c.add("body.token", "is required")
	case body.Token != nil:
		a.token = *body.Token
	default:
		a.token = *body.ProviderID
	}
	if body.SetAsDefault != nil && body.IsDefault != nil {
		c.add("body.is_default", "is another name of set_as_default: give one of them")
	}
	if body.IsDefault != nil {
		a.SetAsDefault = body.IsDefault
	}
	return c.attach(a)
}

// attach answers with the attached payment method, or with the existing one when
// the organization's duplicate policy says so.
func (c *call) attach(a *attachment) error {
	a.call = c
	if err := a.check(); err != nil {
		return err
	}
	id := domain.MethodID("")
	if a.customer == "" {
		id = domain.NewMethodID(c.NewID())
		if c.key != "" {
			id = c.Secrets.derivedMethodID(c.who.organization, c.key)
		}
	}
	stream := a.stream(id)
	result, err := c.execute(stream, func(ctx context.Context) (domain.Command, error) {
		return a.command(ctx, stream, id)
	})
	if err != nil {
		return err
	}
	status, id := attached(result)
	if status == http.StatusCreated {
		c.answer.Header()["Location"] = []string{"/v1/payment-methods/" + string(id)}
	}
	return c.written(status, result, id)
}

// stream is where the customer's payment methods stand, or that of a method
// without a customer.
func (a *attachment) stream(id domain.MethodID) string {
	return domain.CustomerStream(a.call.who.organization, a.customer, id)
}

// attached reads the outcome from the command's own records, so that a repeat has
// the same one.
func attached(result eventstore.Result) (status int, id domain.MethodID) {
	for _, e := range result.Events {
		switch e := e.(type) {
		case domain.MethodAttached:
			return http.StatusCreated, e.MethodID
		case domain.DuplicateDetected:
			return http.StatusOK, e.MethodID
		}
	}
	return http.StatusOK, ""
}

// check finds what a shape cannot see: faults that concern several members, the
// server's gateways, or the organization.
func (a *attachment) check() error {
	c := a.call
	var forbidden error
	a.provider, a.gateway, forbidden = c.gatewayOf(a.Provider)
	if a.customer == "" && a.SetAsDefault != nil && *a.SetAsDefault {
		c.add("body.set_as_default", "needs a customer")
	}
	a.Card.dropEmpty(a.Type != domain.TypeCard)
	a.BankAccount.dropEmpty(a.Type != domain.TypeBankAccount)
	a.Wallet.dropEmpty(a.Type != domain.TypeWallet)
	a.imported = a.Card.Value != nil || a.BankAccount.Value != nil || a.Wallet.Value != nil ||
		a.Fingerprint.Value != nil || a.Country.Value != nil
	if a.imported {
		if !c.who.has(ScopeMethodsImport) {
			return lacksScope(ScopeMethodsImport)
		}
		a.checkFacts()
	}
	if err := c.checkRedirect(a.RedirectURL); err != nil {
		return err
	}
	if err := c.checked(); err != nil {
		return err
	}
	return forbidden
}

// checkFacts: facts must be those of the type they come with.
func (a *attachment) checkFacts() {
	for _, f := range []struct {
		name  string
		given bool
		empty bool
		types []domain.Type
		must  []domain.Type
	}{
		{"card", a.Card.Value != nil, a.Card.empty(), []domain.Type{domain.TypeCard, domain.TypeWallet}, []domain.Type{domain.TypeCard}},
		{"bank_account", a.BankAccount.Value != nil, a.BankAccount.empty(), []domain.Type{domain.TypeBankAccount, domain.TypeDirectDebit}, []domain.Type{domain.TypeBankAccount}},
		{"wallet", a.Wallet.Value != nil, a.Wallet.empty(), []domain.Type{domain.TypeWallet, domain.TypePaypal}, []domain.Type{domain.TypeWallet}},
	} {
		switch {
		case f.empty:
			a.call.add("body."+f.name, "must not be empty: these are the facts of a "+string(a.Type))
		case f.given && !slices.Contains(f.types, a.Type):
			a.call.add("body."+f.name, "does not go with the type "+string(a.Type))
		case !f.given && slices.Contains(f.must, a.Type):
			a.call.add("body."+f.name, "is required when the facts of a "+string(a.Type)+" come from the caller")
		}
	}
}

// command looks up what the token stands for and makes the command. It is called
// once at most, and not for a repeat: so the provider is not asked twice.
func (a *attachment) command(ctx context.Context, stream string, id domain.MethodID) (domain.Command, error) {
	c := a.call
	policy, err := c.policy(ctx)
	if err != nil {
		return nil, err
	}
	if id == "" {
		id = domain.NewMethodID(c.NewID())
	}
	cmd := domain.AttachMethod{
		MethodID: id, Type: a.Type, Provider: a.provider, ProviderID: a.token, ExternalID: a.ExternalID.or(""),
		Paused: a.Status != nil && *a.Status == domain.StatusPaused, SetAsDefault: a.SetAsDefault != nil && *a.SetAsDefault,
		Personal: domain.Personal{BillingAddress: addressOf(a.Billing.Value), Metadata: metadataOf(a.Metadata.Value)},
		Policy:   policy,
	}
	if a.imported {
		cmd.Facts, cmd.FactsFrom = a.facts(), "caller"
		cmd.Personal.Holder, cmd.Personal.Email = a.BankAccount.or(BankAccountFacts{}).holder(), textOf(a.Wallet.or(WalletFacts{}).Email)
		return cmd, nil
	}
	request, err := c.asking(stream, a.customer, a.token)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, gatewayTimeout)
	defer cancel()
	cmd.FactsFrom = "gateway"
	if a.card != nil {
		err = a.tokenize(ctx, &cmd, request)
	} else {
		err = a.ask(ctx, &cmd, request)
	}
	return cmd, err
}

// facts are the display facts on the caller's word.
func (a *attachment) facts() domain.Facts {
	facts := domain.Facts{Type: a.Type, Method: string(a.Type), Fingerprint: a.Fingerprint.or(""), Country: a.Country.or("")}
	if card := a.Card.Value; card != nil {
		facts.Card = &domain.Card{
			Brand: strings.ToLower(card.Brand), AdditionalBrands: card.AdditionalBrands, Last4: card.Last4,
			ExpMonth: card.ExpMonth, ExpYear: card.ExpYear, Country: textOf(card.Country), Funding: textOf(card.Funding),
		}
		facts.Country = firstOf(facts.Country, facts.Card.Country)
	}
	if account := a.BankAccount.Value; account != nil {
		facts.BankAccount = &domain.BankAccount{
			BankName: textOf(account.BankName), Last4: account.Last4, Routing: textOf(account.Routing), HolderType: textOf(account.HolderType),
			AccountType: textOf(account.AccountType), Country: textOf(account.Country), Currency: strings.ToLower(textOf(account.Currency)), Status: textOf(account.Status),
		}
		facts.Country, facts.Currency = firstOf(facts.Country, facts.BankAccount.Country), facts.BankAccount.Currency
	}
	if wallet := a.Wallet.Value; wallet != nil {
		facts.Wallet, facts.Method = &domain.Wallet{Kind: wallet.Kind}, wallet.Kind
	}
	return facts
}

func (b BankAccountFacts) holder() string { return textOf(b.Holder) }

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
