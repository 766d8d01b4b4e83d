// Package sandbox is a gateway without a provider: its answers follow from the
// token alone. The same token gives the same answer today, tomorrow, on every
// machine, without a network. It is for test organizations.
//
// A token is a base (tok_visa, ba_us, sepa_de, …) and suffixes in any order,
// each at most once:
//
//	_debit _prepaid      funding of a card, credit otherwise
//	_exp_2026_12         expiry of a card (year, month), December 2034 otherwise
//	_fp_<x>              another instrument of the same look; x is letters and digits
//	_3ds                 the buyer must approve
//	_declined            the provider refuses
//	_unavailable         the provider cannot be reached
//	_verify_fails        verifying it fails
//	_updates             the account updater has news of it
package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

// Gateway answers from the token alone. The zero value is ready.
type Gateway struct{}

var _ gateway.Gateway = Gateway{}

// Lookup answers as the token says. An unknown token is told which ones exist.
func (Gateway) Lookup(ctx context.Context, req gateway.Request) (gateway.Instrument, error) {
	if ctx.Err() != nil {
		return gateway.Instrument{}, gateway.Stopped(ctx)
	}
	t, err := parse(req.Token)
	if err != nil {
		return gateway.Instrument{}, err
	}
	switch {
	case t.unavailable:
		return gateway.Instrument{}, &gateway.Error{Kind: gateway.Unavailable, Message: "the payment provider cannot be reached; try again later"}
	case t.declined:
		return gateway.Instrument{}, &gateway.Error{Kind: gateway.Declined, Message: "the payment provider declined this payment method"}
	}
	return t.instrument(), nil
}

// instrument makes the answer anew, so that no caller can change another's.
func (t token) instrument() gateway.Instrument {
	i := bases[t.base].instrument()
	i.Fingerprint = t.fingerprint()
	i.NeedsApproval = t.approval
	if i.Card != nil {
		i.Card.Funding, i.Card.ExpYear, i.Card.ExpMonth = t.funding, t.expYear, t.expMonth
	}
	if i.Mandate != nil {
		i.Mandate.Reference = "SANDBOX-" + strings.ToUpper(i.Fingerprint[:8])
	}
	return i
}

// fingerprint names the instrument: base, funding, expiry and _fp_ in one order,
// however the token was spelt. What only steers the sandbox's behaviour is left
// out: a card that will be declined tomorrow is the same card. Funding and expiry
// are part of it so that tok_visa and tok_visa_debit are two cards.
func (t token) fingerprint() string {
	sum := sha256.Sum256([]byte("pmledger sandbox instrument\n" + t.canonical()))
	return hex.EncodeToString(sum[:16])
}

// bases are the tokens without suffixes, in the order of the documentation, each
// with what is behind it.
var bases = [...]struct {
	token      string
	instrument func() gateway.Instrument
}{
	{"tok_visa", func() gateway.Instrument { return card("visa", "4242") }},
	{"tok_mastercard", func() gateway.Instrument { return card("mastercard", "4444") }},
	{"tok_amex", func() gateway.Instrument { return card("amex", "0005") }},
	{"tok_discover", func() gateway.Instrument { return card("discover", "1117") }},
	{"tok_twint", twint},
	{"ba_us", bankAccount},
	{"ba_us_instant", bankAccount},
	{"sepa_de", directDebit},
	{"paypal_demo", paypal},
	{"wallet_apple_pay", func() gateway.Instrument { return wallet("apple_pay") }},
	{"wallet_google_pay", func() gateway.Instrument { return wallet("google_pay") }},
}

func card(brand, last4 string) gateway.Instrument {
	return gateway.Instrument{Facts: domain.Facts{
		Type: domain.TypeCard, Method: "card", Country: "US",
		Card: &domain.Card{Brand: brand, Last4: last4, Country: "US"},
	}}
}

func twint() gateway.Instrument {
	return gateway.Instrument{Facts: domain.Facts{Type: domain.TypeTwint, Method: "twint", Country: "CH", Currency: "chf"}}
}

func bankAccount() gateway.Instrument {
	return gateway.Instrument{
		Holder: "Sandbox Holder",
		Facts: domain.Facts{
			Type: domain.TypeBankAccount, Method: "ach", Country: "US", Currency: "usd",
			BankAccount: &domain.BankAccount{
				BankName: "Sandbox Bank", Last4: "6789", Routing: "110000000", HolderType: "individual",
				AccountType: "checking", Country: "US", Currency: "usd", Status: "active",
			},
		},
	}
}

func directDebit() gateway.Instrument {
	return gateway.Instrument{
		Holder: "Sandbox Holder",
		Facts: domain.Facts{
			Type: domain.TypeDirectDebit, Method: "sepa", Country: "DE", Currency: "eur",
			BankAccount: &domain.BankAccount{
				BankName: "Sandbox Bank", Last4: "3000", HolderType: "individual", Country: "DE", Currency: "eur", Status: "active",
			},
			Mandate: &domain.Mandate{Scheme: "sepa", Status: "active"},
		},
	}
}

func paypal() gateway.Instrument {
	return gateway.Instrument{
		Email: "buyer@sandbox.example",
		Facts: domain.Facts{Type: domain.TypePaypal, Method: "paypal", Country: "US", Wallet: &domain.Wallet{Kind: "paypal"}},
	}
}

func wallet(kind string) gateway.Instrument {
	return gateway.Instrument{Facts: domain.Facts{Type: domain.TypeWallet, Method: kind, Country: "US", Wallet: &domain.Wallet{Kind: kind}}}
}
