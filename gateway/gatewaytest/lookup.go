package gatewaytest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

func lookupTellsFacts(t *testing.T, p Provider, tokens Tokens) {
	checkCard(t, lookup(t, p.Gateway, tokens.Card))
}

func checkCard(t *testing.T, i gateway.Instrument) {
	t.Helper()
	if i.Type != domain.TypeCard || i.Card == nil || i.Method == "" {
		t.Fatalf("type %q, method %q, card %v; want a card", i.Type, i.Method, i.Card)
	}
	c := i.Card
	if c.Brand == "" || c.Brand != strings.ToLower(c.Brand) {
		t.Errorf("brand %q, want lower case", c.Brand)
	}
	if len(c.Last4) != 4 || strings.Trim(c.Last4, "0123456789") != "" {
		t.Errorf("last4 %q, want four digits", c.Last4)
	}
	if c.ExpMonth < 1 || c.ExpMonth > 12 || c.ExpYear < 2000 || c.ExpYear > 9999 {
		t.Errorf("expiry %d/%d, want a month of 1..12 and a year of four digits", c.ExpMonth, c.ExpYear)
	}
	if domain.ContainsPAN(fmt.Sprintf("%+v %+v", i, *c)) {
		t.Error("a card number is among the facts")
	}
}

func lookupRepeats(t *testing.T, p Provider, tokens Tokens) {
	first := lookup(t, p.Gateway, tokens.Card)
	if again := lookup(t, p.Gateway, tokens.Card); !reflect.DeepEqual(first, again) {
		t.Errorf("first %+v, then %+v", first, again)
	}
	wantEffects(t, p, tokens.Card, 0)
}

func answersAreNotShared(t *testing.T, p Provider, tokens Tokens) {
	first := lookup(t, p.Gateway, tokens.Card)
	want := *first.Card
	first.Card.Last4, first.Card.ExpYear = "0000", 1999
	if got := *lookup(t, p.Gateway, tokens.Card).Card; !reflect.DeepEqual(got, want) {
		t.Errorf("after the caller changed its copy: %+v, want %+v", got, want)
	}
	setUp := func() gateway.SetupAnswer {
		a, err := p.Gateway.Setup(t.Context(), request(tokens.Card), gateway.Setup{Usage: "off_session"})
		if err != nil {
			t.Fatalf("setup: %v", err)
		}
		return a
	}
	setUp().Instrument.Card.Last4 = "0000"
	if got := *setUp().Instrument.Card; !reflect.DeepEqual(got, want) {
		t.Errorf("after the caller changed its copy of a remembered answer: %+v, want %+v", got, want)
	}
}

func fingerprintsDiffer(t *testing.T, p Provider, tokens Tokens) {
	one, other := lookup(t, p.Gateway, tokens.Card).Fingerprint, lookup(t, p.Gateway, tokens.OtherCard).Fingerprint
	if one == "" || one == other {
		t.Errorf("fingerprints %q and %q, want two", one, other)
	}
}

func newsIsAnotherCard(t *testing.T, p Provider, tokens Tokens) {
	need(t, tokens.News)
	i := lookup(t, p.Gateway, tokens.News)
	if i.News == nil {
		t.Fatal("a lookup brings no news")
	}
	checkCard(t, gateway.Instrument{Facts: domain.Facts{Type: domain.TypeCard, Method: i.Method, Card: &i.News.Card}})
	if reflect.DeepEqual(i.News.Card, *i.Card) {
		t.Errorf("the news is the card itself: %+v", i.News.Card)
	}
	if i.News.Fingerprint == i.Fingerprint {
		t.Error("another number has the fingerprint of the old one")
	}
}
