package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

// TestAServerWhoseViewsLagTakesItselfAwayAndComesBack lets the store answer
// everything but those who follow it.
func TestAServerWhoseViewsLagTakesItselfAwayAndComesBack(t *testing.T) {
	r := newReplicas(t, 2)
	r.args = append(r.args, "--max-lag", "1s", "--wait-timeout", "200ms")
	all := r.startAll()
	key := all[0].call(http.StatusCreated, http.MethodPost, "/v1/api-keys", `{"scopes":["payment-methods.read"]}`).json(t)
	withKey := func() int {
		a, err := all[1].try(r.client, http.MethodGet, "/v1/payment-methods", "", "Authorization", "Bearer "+key["key"].(string))
		if err != nil {
			t.Fatal(err)
		}
		return a.status
	}
	if got := withKey(); got != http.StatusOK {
		t.Fatalf("the key answers %d", got)
	}

	r.store.FailEvery(kurrenttest.Subscribe, kurrenttest.Hang(), 1)
	r.store.DropSubscriptions()
	a := all[0].call(http.StatusCreated, http.MethodPost, "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"tok_visa"}`)
	for _, s := range all {
		s.await("it is not ready, for its views alone", func() bool {
			resp, err := s.try(r.client, http.MethodGet, "/readyz", "")
			return err == nil && resp.status == http.StatusServiceUnavailable &&
				strings.Contains(string(resp.body), `"name":"views","ok":false`) && strings.Contains(string(resp.body), `"name":"store","ok":true`)
		})
		got := s.call(http.StatusServiceUnavailable, http.MethodGet, a.header.Get("Location"), "")
		if got.json(t)["code"] != "position.not_reached" {
			t.Errorf("a method that its views do not know: %s", got.body)
		}
	}
	all[0].call(http.StatusOK, http.MethodDelete, "/v1/api-keys/"+key["id"].(string), "")
	began := time.Now()
	all[1].await("the key is revoked there too", func() bool { return withKey() == http.StatusUnauthorized })
	if took := time.Since(began); took > time.Second {
		t.Errorf("the key worked for %s more, longer than --max-lag", took)
	}

	r.store.Heal()
	for _, s := range all {
		s.await("it is ready again", func() bool { return s.status("/readyz") == http.StatusOK })
		s.get(a.header.Get("Location"))
		if behind := s.gauge("pmledger_views_behind_seconds"); behind > 1 {
			t.Errorf("the views are %v s behind", behind)
		}
	}
}

// TestOneIdempotencyKeyOnTwoServersAtOnceHasOneEffect sends each request to both.
func TestOneIdempotencyKeyOnTwoServersAtOnceHasOneEffect(t *testing.T) {
	r := newReplicas(t, 2)
	all := r.startAll()
	for round := range 25 {
		answers := make(chan answer, len(all))
		for _, s := range all {
			go func() {
				a, err := s.try(r.client, http.MethodPost, fmt.Sprintf("/v1/customers/cus_%d/payment-methods", round%5),
					fmt.Sprintf(`{"type":"card","token":"tok_visa_fp_%d"}`, round), "Idempotency-Key", fmt.Sprint(round))
				if err != nil {
					t.Error(err)
				}
				answers <- a
			}()
		}
		a, b := <-answers, <-answers
		if a.status != http.StatusCreated || string(a.body) != string(b.body) || a.header.Get("Ledger-Position") != b.header.Get("Ledger-Position") {
			t.Errorf("round %d:\n%d %s %s\n%d %s %s", round, a.status, a.header.Get("Ledger-Position"), a.body, b.status, b.header.Get("Ledger-Position"), b.body)
		}
		if first := a.header.Get("Idempotency-Replayed") == "true"; first == (b.header.Get("Idempotency-Replayed") == "true") {
			t.Errorf("round %d: not one of the two answers is a repeat", round)
		}
	}
	checkOneLedger(t, r, nil)
}
