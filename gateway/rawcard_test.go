package gateway_test

import (
	"strings"
	"testing"

	"github.com/pmledger/pmledger/gateway"
)

func TestWhatCannotBeACardIsDeclinedWithoutRepeatingIt(t *testing.T) {
	card := func(number, code string, month, year int) gateway.RawCard {
		return gateway.RawCard{Number: []byte(number), SecurityCode: []byte(code), ExpMonth: month, ExpYear: year}
	}
	for _, c := range []gateway.RawCard{
		card("4242424242424242", "", 1, 2030), card("378282246310005", "1234", 12, 9999), card("4000000000006", "123", 6, 2000),
		card("6304000000000000000", "", 6, 2030),
	} {
		if err := c.Check(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []gateway.RawCard{
		card("", "", 1, 2030), card("424242424242", "", 1, 2030), card("42424242424242424242", "", 1, 2030),
		card("4242424242424241", "", 1, 2030), card("4242 4242 4242 42", "", 1, 2030), card("4242424242424242&a=b", "", 1, 2030),
		card("4242424242424242", "12", 1, 2030), card("4242424242424242", "12345", 1, 2030), card("4242424242424242", "1&3", 1, 2030),
		card("4242424242424242", "", 0, 2030), card("4242424242424242", "", 13, 2030), card("4242424242424242", "", 1, 30),
	} {
		err := c.Check()
		if gateway.KindOf(err) != gateway.Declined {
			t.Errorf("%+v: %v, want declined", c, err)
		}
		if err != nil && len(c.Number) > 0 && strings.Contains(err.Error(), string(c.Number)) {
			t.Errorf("the error repeats the number: %v", err)
		}
	}
}
