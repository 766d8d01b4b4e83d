package gatewaytest

import (
	"sync"
	"testing"

	"github.com/pmledger/pmledger/gateway"
)

// setUp begins a setup that awaits its buyer, and returns how the buyer comes back.
func setUp(t *testing.T, p Provider, token, key string) (back func() error, ref string) {
	t.Helper()
	a, err := p.Gateway.Setup(t.Context(), keyed(token, key), gateway.Setup{Usage: "off_session", ReturnURL: returnURL})
	if err != nil || a.NextAction == nil {
		t.Fatalf("got %+v, %v; want something for the buyer to do", a, err)
	}
	return func() error {
		_, err := p.Gateway.Setup(t.Context(), keyed(token, key+", back"), gateway.Setup{
			Usage: "off_session", ReturnURL: returnURL, Approved: true, Reference: a.Reference,
		})
		return err
	}, a.Reference
}

// confirm names the right deposits.
func confirm(t *testing.T, p Provider, tokens Tokens, key, ref string) (bool, error) {
	return p.Gateway.Confirm(t.Context(), keyed(tokens.Bank, key), ref, gateway.Deposits{Amounts: tokens.Amounts})
}

func beginningsAreCanceled(t *testing.T, p Provider, tokens Tokens) {
	for name, row := range map[string]struct{ known, unknown bool }{
		"by its reference": {known: true}, "by the key of the call that began it": {unknown: true}, "by both": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			cancel := func(token, key, ref string) {
				t.Helper()
				if row.known {
					if err := p.Gateway.Cancel(t.Context(), keyed(token, key+", cancel"), ref); err != nil {
						t.Errorf("cancel: %v", err)
					}
				}
				if row.unknown {
					if err := p.Gateway.Cancel(t.Context(), keyed(token, key), ""); err != nil {
						t.Errorf("cancel: %v", err)
					}
				}
			}
			v := mustVerify(t, p, keyed(tokens.Bank, name))
			checkDeposits(t, v)
			before := p.Effects(tokens.Bank)
			cancel(tokens.Bank, name, v.Reference)
			wantEffects(t, p, tokens.Bank, before+1)
			ok, err := confirm(t, p, tokens, name+", late", v.Reference)
			if wantKind(t, "confirm after the cancel", err, gateway.Declined); ok {
				t.Error("the deposits are confirmed after they were canceled")
			}
			back, ref := setUp(t, p, tokens.Approval, name+", setup")
			before = p.Effects(tokens.Approval)
			cancel(tokens.Approval, name+", setup", ref)
			wantEffects(t, p, tokens.Approval, before+1)
			wantKind(t, "coming back after the cancel", back(), gateway.Declined)

			// Another one is not touched.
			again := mustVerify(t, p, keyed(tokens.Bank, name+", again"))
			if ok, err := confirm(t, p, tokens, name+", again", again.Reference); !ok || err != nil {
				t.Errorf("the next verification: %v, %v", ok, err)
			}
		})
	}
}

func endsStay(t *testing.T, p Provider, tokens Tokens) {
	v := depositsSent(t, p, tokens.Bank)
	if ok, err := confirm(t, p, tokens, "right", v.Reference); !ok || err != nil {
		t.Fatalf("confirm: %v, %v", ok, err)
	}
	ready, err := p.Gateway.Setup(t.Context(), keyed(tokens.Card, "ready"), gateway.Setup{Usage: "off_session", ReturnURL: returnURL})
	if err != nil || ready.NextAction != nil {
		t.Fatalf("setup: %+v, %v", ready, err)
	}
	bank, card := p.Effects(tokens.Bank), p.Effects(tokens.Card)
	for token, ref := range map[string]string{tokens.Bank: v.Reference, tokens.Card: ready.Reference} {
		for range 2 {
			if err := p.Gateway.Cancel(t.Context(), keyed(token, "too late"), ref); err != nil {
				t.Errorf("cancel: %v", err)
			}
		}
	}
	wantEffects(t, p, tokens.Bank, bank)
	wantEffects(t, p, tokens.Card, card)
}

func cancelIsForgiving(t *testing.T, p Provider, tokens Tokens) {
	for _, row := range []struct{ token, ref string }{
		{tokens.Bank, "seti_elsewhere"}, {tokens.Bank, "../" + tokens.Bank}, {tokens.Bank, ""},
		{tokens.Unknown, "seti_elsewhere"}, {tokens.Unknown, ""}, {tokens.Declined, ""},
	} {
		if err := p.Gateway.Cancel(t.Context(), keyed(row.token, "never begun"), row.ref); err != nil {
			t.Errorf("%s %s: %v", row.token, row.ref, err)
		}
		wantEffects(t, p, row.token, 0)
	}
	wantKind(t, "out of reach", p.Gateway.Cancel(t.Context(), keyed(tokens.Unavailable, "away"), ""), gateway.Unavailable)
}

// confirmMeetsCancel: whichever comes first counts for both.
func confirmMeetsCancel(t *testing.T, p Provider, tokens Tokens) {
	for _, key := range []string{"1", "2", "3", "4", "5", "6", "7", "8"} {
		v := mustVerify(t, p, keyed(tokens.Bank, key))
		var matched bool
		var refused error
		var both sync.WaitGroup
		both.Go(func() { matched, refused = confirm(t, p, tokens, "confirm "+key, v.Reference) })
		both.Go(func() {
			if err := p.Gateway.Cancel(t.Context(), keyed(tokens.Bank, "cancel "+key), v.Reference); err != nil {
				t.Errorf("cancel: %v", err)
			}
		})
		both.Wait()
		if matched == (refused != nil) || refused != nil && gateway.KindOf(refused) != gateway.Declined {
			t.Errorf("confirm: %v, %v", matched, refused)
		}
		before := p.Effects(tokens.Bank)
		if err := p.Gateway.Cancel(t.Context(), keyed(tokens.Bank, "again "+key), v.Reference); err != nil {
			t.Errorf("cancel again: %v", err)
		}
		wantEffects(t, p, tokens.Bank, before)
	}
}
