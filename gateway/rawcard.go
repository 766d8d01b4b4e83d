package gateway

import (
	"bytes"

	"github.com/pmledger/pmledger/domain"
)

// Check refuses, as Declined, what cannot be a card: before a provider is asked,
// and without repeating what it refuses.
func (c RawCard) Check() error {
	wrong := ""
	switch {
	case len(c.Number) < 13 || len(c.Number) > 19 || !decimal(c.Number):
		wrong = "the card number must have 13 to 19 digits"
	case !domain.Luhn(c.Number):
		wrong = "the card number is not valid"
	case c.ExpMonth < 1 || c.ExpMonth > 12 || c.ExpYear < 2000 || c.ExpYear > 9999:
		wrong = "the card's expiry is not valid"
	case len(c.SecurityCode) != 0 && (len(c.SecurityCode) < 3 || len(c.SecurityCode) > 4 || !decimal(c.SecurityCode)):
		wrong = "the security code must have 3 or 4 digits"
	default:
		return nil
	}
	return &Error{Kind: Declined, Message: wrong}
}

func decimal(b []byte) bool { return len(bytes.Trim(b, "0123456789")) == 0 }
