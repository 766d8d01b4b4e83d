package sandbox

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

// cardTokens is how the tokens of raw cards begin.
const cardTokens = "tok_card_"

func isCardToken(text string) bool { return strings.HasPrefix(text, cardTokens) }

// storedCard is what the sandbox keeps of a raw card.
type storedCard struct {
	Token       string      `json:"token"`
	Fingerprint string      `json:"fingerprint"`
	Card        domain.Card `json:"card"`
	Approval    bool        `json:"approval,omitempty"`
	VerifyFails bool        `json:"verify_fails,omitempty"`
	Updates     bool        `json:"updates,omitempty"`
}

func (c *storedCard) token() token {
	return token{isCard: true, stored: c, behaviour: behaviour{approval: c.Approval, verifyFails: c.VerifyFails, updates: c.Updates}}
}

func (c *storedCard) instrument() gateway.Instrument {
	held := c.Card
	return gateway.Instrument{Facts: domain.Facts{
		Type: domain.TypeCard, Method: "card", Country: held.Country, Card: &held, Fingerprint: c.Fingerprint,
	}}
}

// special are the numbers that the sandbox treats in their own way. Any other
// number that passes the Luhn check is a credit card of the United States.
var special = map[string]func(*storedCard, *behaviour){
	"4000000000000002": func(_ *storedCard, b *behaviour) { b.declined = true },
	"4000000000000119": func(_ *storedCard, b *behaviour) { b.unavailable = true },
	"4000000000009995": func(_ *storedCard, b *behaviour) { b.lost = true },
	"4000000000000341": func(c *storedCard, _ *behaviour) { c.VerifyFails = true },
	"4000002500003155": func(c *storedCard, _ *behaviour) { c.Approval = true },
	"4000002760003184": func(c *storedCard, _ *behaviour) { c.Approval, c.VerifyFails, c.Card.Country = true, true, "DE" },
	"4000000000000069": func(c *storedCard, _ *behaviour) { c.Updates = true },
	"4000000760000002": func(c *storedCard, _ *behaviour) { c.Card.Country = "BR" },
	"4000003920000003": func(c *storedCard, _ *behaviour) { c.Card.Country = "JP" },
	"4000056655665556": func(c *storedCard, _ *behaviour) { c.Card.Funding = "debit" },
	"5200828282828210": func(c *storedCard, _ *behaviour) { c.Card.Funding = "debit" },
	"5105105105105100": func(c *storedCard, _ *behaviour) { c.Card.Funding = "prepaid" },
}

// Tokenize keeps what may be shown of a card, a fingerprint that is an HMAC of
// its number under Key, and nothing else of the number; the security code is
// looked at and dropped. A number that fails the Luhn check is Declined.
func (g *Gateway) Tokenize(ctx context.Context, req gateway.Request, raw gateway.RawCard) (string, gateway.Instrument, error) {
	if ctx.Err() != nil {
		return "", gateway.Instrument{}, gateway.Stopped(ctx)
	}
	if len(g.Key) == 0 {
		return "", gateway.Instrument{}, &gateway.Error{Kind: gateway.Unsupported, Message: "this sandbox does not take card numbers"}
	}
	if err := raw.Check(); err != nil {
		return "", gateway.Instrument{}, err
	}
	stored, behaves := g.stored(raw)
	switch {
	case behaves.declined:
		return "", gateway.Instrument{}, &gateway.Error{Kind: gateway.Declined, Message: "the payment provider declined this card"}
	case behaves.unavailable:
		return "", gateway.Instrument{}, outOfReach()
	}
	c := g.call(opTokenize, req, token{behaviour: *behaves}, g.mac("request", fmt.Appendf(nil, "%d-%d", raw.ExpYear, raw.ExpMonth), raw.Number))
	c.card = stored
	kept, err := perform(&g.state, c, func() (*storedCard, error) {
		stored.Token = g.freshToken(req, raw.Number, stored)
		return stored, nil
	})
	if err != nil {
		return "", gateway.Instrument{}, err
	}
	return kept.Token, kept.token().instrument(), nil
}

// freshToken makes a token that no card of the state has. The state is locked.
func (g *Gateway) freshToken(req gateway.Request, number []byte, c *storedCard) string {
	for n := 0; ; n++ {
		of := fmt.Appendf(nil, "%q %q %q %d", req.Organization, req.Customer, req.IdempotencyKey, n)
		var id [8]byte
		copy(id[:], g.digest("token", of, number))
		if text := g.sealed(id, c); g.state.cards[text] == nil && !g.state.gone[text] {
			return text
		}
	}
}

// stored is what is kept of raw, without a token.
func (g *Gateway) stored(raw gateway.RawCard) (*storedCard, *behaviour) {
	c := &storedCard{
		Fingerprint: g.mac("fingerprint", nil, raw.Number)[:32],
		Card: domain.Card{
			Brand: brandOf(raw.Number), Last4: string(raw.Number[len(raw.Number)-4:]),
			ExpMonth: raw.ExpMonth, ExpYear: raw.ExpYear, Country: "US", Funding: "credit",
		},
	}
	var b behaviour
	if treat, ok := special[string(raw.Number)]; ok { // the conversion is for the index alone and makes no copy
		treat(c, &b)
	}
	return c, &b
}

// mac is a keyed digest of a number; for says of what, so that one cannot be
// taken for another.
func (g *Gateway) mac(of string, context, number []byte) string {
	return hex.EncodeToString(g.digest(of, context, number))
}

func (g *Gateway) digest(of string, context, number []byte) []byte {
	h := hmac.New(sha256.New, g.Key)
	fmt.Fprintf(h, "pmledger sandbox %s\n%q\n", of, context)
	h.Write(number)
	return h.Sum(nil)
}

// networks are the prefixes of the card networks, from and to inclusive, the
// narrower before the wider that hold them.
var networks = []struct {
	digits   int
	from, to int
	brand    string
}{
	{6, 622126, 622925, "discover"}, {4, 6011, 6011, "discover"}, {3, 644, 649, "discover"}, {2, 65, 65, "discover"},
	{4, 2221, 2720, "mastercard"}, {2, 51, 55, "mastercard"}, {1, 4, 4, "visa"}, {2, 34, 34, "amex"}, {2, 37, 37, "amex"},
	{3, 300, 305, "diners"}, {2, 36, 36, "diners"}, {2, 38, 39, "diners"}, {4, 3528, 3589, "jcb"},
	{2, 62, 62, "unionpay"}, {2, 81, 81, "unionpay"},
}

// brandOf is the network of a number of at least 13 digits.
func brandOf(number []byte) string {
	for _, n := range networks {
		prefix := 0
		for _, c := range number[:n.digits] {
			prefix = prefix*10 + int(c-'0')
		}
		if prefix >= n.from && prefix <= n.to {
			return n.brand
		}
	}
	return "unknown"
}
