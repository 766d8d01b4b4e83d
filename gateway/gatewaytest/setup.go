package gatewaytest

import (
	"reflect"
	"testing"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

const returnURL = "https://shop.example/return?state=abc"

func setupIsReady(t *testing.T, p Provider, tokens Tokens) {
	answer, err := p.Gateway.Setup(t.Context(), request(tokens.Card), gateway.Setup{Usage: "off_session", ReturnURL: returnURL})
	if err != nil || answer.NextAction != nil || answer.Reference == "" {
		t.Fatalf("got %+v, %v; want a card that is ready, with a reference", answer, err)
	}
	if want := lookup(t, p.Gateway, tokens.Card); !reflect.DeepEqual(answer.Instrument, want) {
		t.Errorf("set up %+v, looked up %+v", answer.Instrument, want)
	}
	wantEffects(t, p, tokens.Card, 1)
}

func setupAwaitsApproval(t *testing.T, p Provider, tokens Tokens) {
	first, err := p.Gateway.Setup(t.Context(), request(tokens.Approval), gateway.Setup{Usage: "off_session", ReturnURL: returnURL})
	if err != nil || first.NextAction == nil || first.Reference == "" {
		t.Fatalf("got %+v, %v; want something for the buyer to do, with a reference", first, err)
	}
	todo := first.NextAction
	if todo.Type != domain.ActionRedirect || todo.RedirectURL == "" || todo.RedirectTarget != "any" && todo.RedirectTarget != "new_window" {
		t.Errorf("the buyer is to do %+v, want a redirect", todo)
	}
	if first.Instrument.Type != "" {
		t.Errorf("an instrument came before the approval: %+v", first.Instrument)
	}
	if p.Approve != nil {
		p.Approve(tokens.Approval)
	}
	back := gateway.Setup{Usage: "off_session", ReturnURL: returnURL, Approved: true, Reference: first.Reference}
	// With the same key: coming back is a call of another kind.
	ready, err := p.Gateway.Setup(t.Context(), request(tokens.Approval), back)
	if err != nil || ready.NextAction != nil {
		t.Fatalf("after the approval: %+v, %v; want a card that is ready", ready, err)
	}
	checkCard(t, ready.Instrument)
	if ready.Instrument.NeedsApproval {
		t.Error("the approved card needs approval")
	}
	again, err := p.Gateway.Setup(t.Context(), request(tokens.Approval), back)
	if err != nil || !reflect.DeepEqual(again, ready) {
		t.Errorf("coming back once more: %+v, %v; want %+v", again, err, ready)
	}
	back.Reference = "seti_elsewhere"
	_, err = p.Gateway.Setup(t.Context(), keyed(tokens.Approval, "from-elsewhere"), back)
	wantKind(t, "coming back from elsewhere", err, gateway.UnknownToken)
}

func detachIsForgiving(t *testing.T, p Provider, tokens Tokens) {
	for _, row := range []struct{ token, key string }{
		{tokens.Card, "once"}, {tokens.Card, "once"}, {tokens.Card, "twice"}, {tokens.Unknown, "never known"},
	} {
		if err := p.Gateway.Detach(t.Context(), keyed(row.token, row.key)); err != nil {
			t.Errorf("%s: %v", row.key, err)
		}
	}
	if p.Effects(tokens.Card) == 0 {
		t.Error("nothing was detached")
	}
	wantEffects(t, p, tokens.Unknown, 0)
	wantKind(t, "out of reach", p.Gateway.Detach(t.Context(), keyed(tokens.Unavailable, "away")), gateway.Unavailable)
}
