package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/pmledger/pmledger/domain"
)

// The token of a raw card is made of what the sandbox keeps of the card and a seal,
// an HMAC under Key. So every server with this Key knows the card, whichever of them
// took its number, as they all would at a provider. Nothing in it may not be shown.
//
//	id 8, fingerprint 16, brand 1, last four digits 4, expiry year 2 and month 1,
//	country 2, funding 1, flags 1, seal 16 bytes
const (
	sealedSize = 8 + 16 + 1 + 4 + 2 + 1 + 2 + 1 + 1
	sealSize   = 16
)

// The codes of brands and funding in tokens are their places here: add at the end.
var (
	sealedBrands  = []string{"unknown", "visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay"}
	sealedFunding = []string{"credit", "debit", "prepaid"}
)

// Flags in tokens.
const (
	flagApproval = 1 << iota
	flagVerifyFails
	flagUpdates
)

// sealed is the token of a card. The same id and card give the same token.
func (g *Gateway) sealed(id [8]byte, c *storedCard) string {
	b := append(make([]byte, 0, sealedSize+sealSize), id[:]...)
	fingerprint, _ := hex.DecodeString(c.Fingerprint) // it is ours
	b = append(b, fingerprint...)
	b = append(b, byte(slices.Index(sealedBrands, c.Card.Brand)))
	b = append(b, c.Card.Last4...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(c.Card.ExpYear)), byte(c.Card.ExpMonth))
	b = append(b, c.Card.Country...)
	b = append(b, byte(slices.Index(sealedFunding, c.Card.Funding)))
	flags := byte(0)
	for flag, set := range map[byte]bool{flagApproval: c.Approval, flagVerifyFails: c.VerifyFails, flagUpdates: c.Updates} {
		if set {
			flags |= flag
		}
	}
	b = append(b, flags)
	return cardTokens + letters(append(b, g.seal(b)...))
}

func (g *Gateway) seal(b []byte) []byte {
	h := hmac.New(sha256.New, g.Key)
	h.Write([]byte("pmledger sandbox token\n"))
	h.Write(b)
	return h.Sum(nil)[:sealSize]
}

// unsealed is the card of a token that a server with this Key has made.
func (g *Gateway) unsealed(token string) (*storedCard, bool) {
	b, ok := fromLetters(strings.TrimPrefix(token, cardTokens))
	if !ok || len(g.Key) == 0 || len(b) != sealedSize+sealSize || !hmac.Equal(b[sealedSize:], g.seal(b[:sealedSize])) {
		return nil, false
	}
	take := func(n int) []byte {
		part := b[:n]
		b = b[n:]
		return part
	}
	take(8)
	c := &storedCard{Token: token, Fingerprint: hex.EncodeToString(take(16))}
	c.Card = domain.Card{
		Brand: sealedBrands[take(1)[0]], Last4: string(take(4)), ExpYear: int(binary.BigEndian.Uint16(take(2))),
		ExpMonth: int(take(1)[0]), Country: string(take(2)), Funding: sealedFunding[take(1)[0]],
	}
	flags := take(1)[0]
	c.Approval, c.VerifyFails, c.Updates = flags&flagApproval != 0, flags&flagVerifyFails != 0, flags&flagUpdates != 0
	return c, true
}

// letters writes bytes as the letters a to p, two each: digits could look like a
// card number by chance.
func letters(b []byte) string {
	text := make([]byte, 0, 2*len(b))
	for _, c := range b {
		text = append(text, 'a'+c>>4, 'a'+c&15)
	}
	return string(text)
}

func fromLetters(text string) ([]byte, bool) {
	b := make([]byte, len(text)/2)
	for i := range len(text) {
		if text[i] < 'a' || text[i] > 'p' {
			return nil, false
		}
		b[i/2] = b[i/2]<<4 | (text[i] - 'a')
	}
	return b, len(text)%2 == 0
}
