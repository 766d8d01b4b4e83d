package sandbox

import (
	"testing"

	"github.com/pmledger/pmledger/gateway"
)

func TestACanceledVerificationStaysCanceledAfterARestart(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	g := opened(t, dir, 0)
	canceled, err := g.Verify(ctx, req("ba_us", "v"), gateway.Instrument{})
	if err != nil {
		t.Fatal(err)
	}
	left, err := g.Verify(ctx, req("ba_us", "w"), gateway.Instrument{})
	if err != nil || left.Reference == canceled.Reference {
		t.Fatalf("two verifications have the references %q and %q: %v", canceled.Reference, left.Reference, err)
	}
	if err := g.Cancel(ctx, req("ba_us", "c"), canceled.Reference); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	h := opened(t, dir, 0)
	right := gateway.Deposits{Amounts: []int{32, 45}}
	if ok, err := h.Confirm(ctx, req("ba_us", "1"), canceled.Reference, right); ok || gateway.KindOf(err) != gateway.Declined {
		t.Errorf("confirming the canceled one: %v, %v", ok, err)
	}
	if _, err := h.Resend(ctx, req("ba_us", "2"), canceled.Reference); gateway.KindOf(err) != gateway.Declined {
		t.Errorf("sending its deposits again: %v", err)
	}
	if ok, err := h.Confirm(ctx, req("ba_us", "3"), left.Reference, right); !ok || err != nil {
		t.Errorf("confirming the other: %v, %v", ok, err)
	}
	last := h.Effects()
	if e := last[2]; e.Op != "cancel" || e.Token != "ba_us" || e.Key != "c" || len(last) != 4 {
		t.Errorf("the effects are %v", last)
	}
	for range 2 {
		if err := h.Cancel(ctx, req("ba_us", "late"), left.Reference); err != nil || len(h.Effects()) != 4 {
			t.Errorf("canceling what was confirmed: %v, %d effects", err, len(h.Effects()))
		}
	}
	foreign := req("ba_us", "foreign")
	foreign.Customer = "cus_2"
	other, err := h.Verify(ctx, foreign, gateway.Instrument{})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Cancel(ctx, req("ba_us", "not mine"), other.Reference); err != nil || len(h.Effects()) != 5 {
		t.Errorf("another customer's: %v, %d effects", err, len(h.Effects()))
	}
}
