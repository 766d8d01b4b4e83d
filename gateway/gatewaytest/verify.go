package gatewaytest

import (
	"reflect"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

// verify looks the token up, as the ledger does, and verifies it.
func verify(t *testing.T, p Provider, req gateway.Request) (gateway.Verification, error) {
	t.Helper()
	return p.Gateway.Verify(t.Context(), req, lookup(t, p.Gateway, req.Token))
}

func mustVerify(t *testing.T, p Provider, req gateway.Request) gateway.Verification {
	t.Helper()
	v, err := verify(t, p, req)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return v
}

func cardsAreVerified(t *testing.T, p Provider, tokens Tokens) {
	v := mustVerify(t, p, request(tokens.Card))
	if v.Kind != domain.EvidenceCardAuth || !v.Done {
		t.Errorf("kind %q, done %v; want a card authorization that is done", v.Kind, v.Done)
	}
	if v.Amount < 0 || v.Amount > 0 && len(v.Currency) != 3 {
		t.Errorf("amount %d of currency %q", v.Amount, v.Currency)
	}
	if v.Reference == "" {
		t.Error("the verification has no name at the provider")
	}
	wantEffects(t, p, tokens.Card, 1)
}

func failedVerifications(t *testing.T, p Provider, tokens Tokens) {
	for range 2 {
		v, err := verify(t, p, request(tokens.VerifyFails))
		wantKind(t, "verify", err, gateway.Declined)
		if v != (gateway.Verification{}) {
			t.Errorf("a verification came with the error: %+v", v)
		}
	}
}

func unverifiable(t *testing.T, p Provider, tokens Tokens) {
	need(t, tokens.NoVerify)
	_, err := verify(t, p, request(tokens.NoVerify))
	wantKind(t, "verify", err, gateway.Unsupported)
	_, err = p.Gateway.Resend(t.Context(), request(tokens.NoVerify), "reference")
	if kind := gateway.KindOf(err); err == nil || kind != gateway.Unsupported && kind != gateway.UnknownToken {
		t.Errorf("resend: error %v, want one that is unsupported or of an unknown token", err)
	}
	wantEffects(t, p, tokens.NoVerify, 0)
}

func instantBanks(t *testing.T, p Provider, tokens Tokens) {
	v := mustVerify(t, p, request(tokens.InstantBank))
	if v.Kind != domain.EvidenceBankLogin || !v.Done || v.Reference == "" {
		t.Errorf("got %+v, want a bank login that is done", v)
	}
}

// depositsSent begins a verification by micro-deposits.
func depositsSent(t *testing.T, p Provider, token string) gateway.Verification {
	t.Helper()
	v := mustVerify(t, p, keyed(token, "begin"))
	checkDeposits(t, v)
	return v
}

func checkDeposits(t *testing.T, v gateway.Verification) {
	t.Helper()
	if v.Kind != domain.EvidenceMicroDeposits || v.Done || v.Reference == "" {
		t.Fatalf("got %+v, want micro-deposits that are on their way", v)
	}
	if v.Named != domain.NamedAmounts && v.Named != domain.NamedDescriptor {
		t.Errorf("the holder is to name %q", v.Named)
	}
	if _, err := time.Parse(time.DateOnly, v.ArrivalDate); err != nil {
		t.Errorf("arrival date %q, want YYYY-MM-DD", v.ArrivalDate)
	}
}

func depositsAreConfirmed(t *testing.T, p Provider, tokens Tokens) {
	v := depositsSent(t, p, tokens.Bank)
	for _, row := range []struct {
		key   string
		named gateway.Deposits
		want  bool
	}{
		{"no amounts at all", gateway.Deposits{Amounts: []int{}}, false},
		{"one of two", gateway.Deposits{Amounts: tokens.Amounts[:1]}, false},
		{"wrong amounts", gateway.Deposits{Amounts: []int{98, 99}}, false},
		{"wrong code", gateway.Deposits{DescriptorCode: "SMZZZZ"}, false},
		{"right amounts", gateway.Deposits{Amounts: tokens.Amounts}, true},
	} {
		matches, err := p.Gateway.Confirm(t.Context(), keyed(tokens.Bank, row.key), v.Reference, row.named)
		if err != nil || matches != row.want {
			t.Errorf("%s: matches %v, error %v; want %v", row.key, matches, err, row.want)
		}
	}
	if _, err := p.Gateway.Confirm(t.Context(), keyed(tokens.Bank, "elsewhere"), "seti_elsewhere", gateway.Deposits{Amounts: tokens.Amounts}); gateway.KindOf(err) != gateway.UnknownToken {
		t.Errorf("confirming a verification that does not exist: %v", err)
	}
}

func depositsAreResent(t *testing.T, p Provider, tokens Tokens) {
	v := depositsSent(t, p, tokens.Bank)
	before := p.Effects(tokens.Bank)
	again, err := p.Gateway.Resend(t.Context(), keyed(tokens.Bank, "again"), v.Reference)
	if err != nil {
		t.Fatalf("resend: %v", err)
	}
	checkDeposits(t, again)
	repeated, err := p.Gateway.Resend(t.Context(), keyed(tokens.Bank, "again"), v.Reference)
	if err != nil || !reflect.DeepEqual(repeated, again) {
		t.Errorf("the repeat: %+v, %v; want %+v", repeated, err, again)
	}
	if p.Effects(tokens.Bank) == before {
		t.Error("nothing was sent again")
	}
	matches, err := p.Gateway.Confirm(t.Context(), keyed(tokens.Bank, "code"), again.Reference, gateway.Deposits{DescriptorCode: tokens.Code})
	if err != nil || !matches {
		t.Errorf("the code: matches %v, error %v", matches, err)
	}
}
