package api

import (
	"testing"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore/memory"
	"github.com/pmledger/pmledger/eventstore/storetest"
)

// What the ledger would refuse anyway is not asked of the gateway.
func TestDepositsAreNotSentMoreOftenThanTheLedgerAllows(t *testing.T) {
	b := newBench(t)
	id := idIn(b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"bank_account","token":"ba_us"}`)).body)
	b.want(202, b.do("POST", "/v1/payment-methods/"+id+"/verify", ""))
	resend := "/v1/payment-methods/" + id + "/verify/resend"
	for range domain.MaxResends {
		b.want(200, b.do("POST", resend, ""))
	}
	before := len(b.sandbox.Effects())
	b.refused(409, "verification.attempts_exhausted", b.do("POST", resend, ""))
	b.want(200, b.do("POST", "/v1/payment-methods/"+id+"/verify/confirm", `{"amounts":[32,45]}`))
	b.refused(409, "verification.not_pending", b.do("POST", "/v1/payment-methods/"+id+"/verify/confirm", `{"amounts":[32,45]}`))
	if after := len(b.sandbox.Effects()); after != before+1 {
		t.Errorf("%d questions to the gateway, want the one that was confirmed", after-before)
	}
}

// An attach that got as far as the provider and no further is repeated with the
// same key: the way back that the provider remembers is the one that is recorded.
func TestARepeatOfALostApprovalKeepsItsWayBack(t *testing.T) {
	store := &storetest.Faulty{Store: memory.New()}
	b := newBenchOn(t, store)
	const body = `{"type":"card","token":"tok_visa_3ds"}`
	store.Plan(storetest.NotApplied)
	b.refused(503, "store.unavailable", b.do("POST", "/v1/customers/cus_1/payment-methods", body, "Idempotency-Key: k"))
	attached := b.intent(b.do("POST", "/v1/customers/cus_1/payment-methods", body, "Idempotency-Key: k"))
	b.want(200, b.as("", "GET", attached.back(), ""))
	if m := b.intent(b.do("GET", "/v1/payment-methods/"+attached.ID, "")); m.Status != "active" {
		t.Errorf("%+v", m)
	}
}
