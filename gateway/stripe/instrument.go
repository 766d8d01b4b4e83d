package stripe

import (
	"strings"
	"time"

	stripego "github.com/stripe/stripe-go/v82"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

// instrumentOf is what may be shown of a PaymentMethod.
func instrumentOf(pm *stripego.PaymentMethod) (gateway.Instrument, error) {
	i := gateway.Instrument{}
	if pm.BillingDetails != nil {
		i.Holder = pm.BillingDetails.Name
		if pm.BillingDetails.Address != nil {
			i.Country = pm.BillingDetails.Address.Country
		}
	}
	switch {
	case pm.Card != nil:
		cardFacts(&i, pm.Card)
	case pm.USBankAccount != nil:
		bankFacts(&i, pm.USBankAccount)
	case debitFacts(&i, pm):
	case pm.Paypal != nil:
		i.Type, i.Method, i.Wallet, i.Email = domain.TypePaypal, "paypal", &domain.Wallet{Kind: "paypal"}, pm.Paypal.PayerEmail
		i.Country = pm.Paypal.Country
	case pm.Link != nil:
		i.Type, i.Method, i.Wallet, i.Email = domain.TypeWallet, "link", &domain.Wallet{Kind: "link"}, pm.Link.Email
	case pm.Type == stripego.PaymentMethodTypeTWINT:
		i.Type, i.Method, i.Country, i.Currency = domain.TypeTwint, "twint", "CH", "chf"
	case pm.Type == "" || pm.Type == stripego.PaymentMethodTypeCardPresent || pm.Type == stripego.PaymentMethodTypeInteracPresent:
		return gateway.Instrument{}, &gateway.Error{
			Kind: gateway.Unsupported, Message: "the ledger cannot hold a payment method of this type",
		}
	default:
		i.Type, i.Method = domain.TypeOther, string(pm.Type)
	}
	return i, nil
}

// cardFacts: a card that came through a wallet is a wallet, and keeps the card's
// facts: it expires like one.
func cardFacts(i *gateway.Instrument, c *stripego.PaymentMethodCard) {
	i.Type, i.Method, i.Fingerprint, i.Country = domain.TypeCard, "card", c.Fingerprint, c.Country
	i.Card = &domain.Card{
		Brand: strings.ToLower(string(c.Brand)), Last4: c.Last4, ExpMonth: int(c.ExpMonth), ExpYear: int(c.ExpYear),
		Country: c.Country, Funding: string(c.Funding),
	}
	if c.Networks != nil {
		for _, n := range c.Networks.Available {
			if brand := strings.ToLower(string(n)); brand != i.Card.Brand {
				i.Card.AdditionalBrands = append(i.Card.AdditionalBrands, brand)
			}
		}
	}
	if c.Wallet != nil && c.Wallet.Type != "" {
		i.Type, i.Method = domain.TypeWallet, string(c.Wallet.Type)
		i.Wallet = &domain.Wallet{Kind: i.Method}
	}
}

func bankFacts(i *gateway.Instrument, b *stripego.PaymentMethodUSBankAccount) {
	i.Type, i.Method, i.Fingerprint, i.Country, i.Currency = domain.TypeBankAccount, "ach", b.Fingerprint, "US", "usd"
	i.BankAccount = &domain.BankAccount{
		BankName: b.BankName, Last4: b.Last4, Routing: b.RoutingNumber, HolderType: string(b.AccountHolderType),
		AccountType: string(b.AccountType), Country: "US", Currency: "usd", Status: "active",
	}
	if b.StatusDetails != nil && b.StatusDetails.Blocked != nil {
		i.BankAccount.Status = "blocked"
	}
}

// debitFacts tells whether pm is a direct debit. Its mandate is not known before
// it is set up.
func debitFacts(i *gateway.Instrument, pm *stripego.PaymentMethod) bool {
	b := &domain.BankAccount{Status: "active"}
	switch {
	case pm.SEPADebit != nil:
		d := pm.SEPADebit
		i.Method, i.Fingerprint, b.Last4, b.Routing, b.Country, b.Currency = "sepa", d.Fingerprint, d.Last4, d.BankCode, d.Country, "eur"
	case pm.BACSDebit != nil:
		d := pm.BACSDebit
		i.Method, i.Fingerprint, b.Last4, b.Routing, b.Country, b.Currency = "bacs", d.Fingerprint, d.Last4, d.SortCode, "GB", "gbp"
	case pm.AUBECSDebit != nil:
		d := pm.AUBECSDebit
		i.Method, i.Fingerprint, b.Last4, b.Routing, b.Country, b.Currency = "becs", d.Fingerprint, d.Last4, d.BSBNumber, "AU", "aud"
	case pm.ACSSDebit != nil:
		d := pm.ACSSDebit
		i.Method, i.Fingerprint, b.Last4, b.Routing, b.Country, b.Currency = "acss", d.Fingerprint, d.Last4, d.TransitNumber, "CA", "cad"
		b.BankName = d.BankName
	default:
		return false
	}
	i.Type, i.BankAccount, i.Country, i.Currency = domain.TypeDirectDebit, b, b.Country, b.Currency
	return true
}

// mandateOf is what may be shown of a mandate, or nil for a kind that the ledger
// does not follow: cards have mandates too.
func mandateOf(m *stripego.Mandate) *domain.Mandate {
	if m == nil || m.PaymentMethodDetails == nil {
		return nil
	}
	d := m.PaymentMethodDetails
	mandate := &domain.Mandate{Reference: m.ID, Status: string(m.Status)}
	switch {
	case d.SEPADebit != nil:
		mandate.Scheme = "sepa"
		if d.SEPADebit.Reference != "" {
			mandate.Reference = d.SEPADebit.Reference
		}
	case d.BACSDebit != nil:
		mandate.Scheme = "bacs"
		if d.BACSDebit.Reference != "" {
			mandate.Reference = d.BACSDebit.Reference
		}
	case d.AUBECSDebit != nil:
		mandate.Scheme = "becs"
	case d.USBankAccount != nil:
		mandate.Scheme = "ach"
	case d.ACSSDebit != nil:
		mandate.Scheme = "acss"
	default:
		return nil
	}
	if m.CustomerAcceptance != nil && m.CustomerAcceptance.AcceptedAt > 0 {
		mandate.AcceptedAt = time.Unix(m.CustomerAcceptance.AcceptedAt, 0).UTC()
	}
	return mandate
}
