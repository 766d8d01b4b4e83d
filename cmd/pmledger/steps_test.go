package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// step is a request that asks something of a gateway.
type step struct{ name, method, path, body string }

// TestTortureWorkAtTheGatewayEndsOnce kills the server at any moment of an attach
// that has to be synced, a verification, a confirmed setup intent, a raw card and
// a detach. After the restart each comes to its end, with one effect at the
// gateway. The long form (make torture) is 100 kills.
func TestTortureWorkAtTheGatewayEndsOnce(t *testing.T) {
	rounds := 6
	if os.Getenv("PMLEDGER_TORTURE") == "long" {
		rounds = 100
	} else if testing.Short() {
		t.Skip("a torture takes its time")
	}
	dir, answered := t.TempDir(), 0
	for round := range rounds {
		customer := fmt.Sprintf("cus_%d", round)
		s := serve(t, dir, "--raw-cards")
		card := s.attach(customer, "tok_visa")["id"].(string)
		gone := s.attach(customer, "tok_mastercard")["id"].(string)
		intent := s.call(http.StatusCreated, http.MethodPost, "/v1/setup-intents", fmt.Sprintf(`{"customer_id":%q}`, customer)).json(t)["id"].(string)
		steps := []step{
			{"sync", http.MethodPost, "/v1/customers/" + customer + "/payment-methods", `{"type":"card","token":"tok_discover_recovers"}`},
			{"verify", http.MethodPost, "/v1/payment-methods/" + card + "/verify", ""},
			{"setup", http.MethodPost, "/v1/setup-intents/" + intent + "/confirm", `{"token":"tok_amex"}`},
			{"raw", http.MethodPost, "/v1/customers/" + customer + "/payment-methods/raw-card", `{"number":"5200828282828210","expiration_date":"12/34"}`},
			{"detach", http.MethodDelete, "/v1/payment-methods/" + gone, ""},
		}
		answered += killedAmong(s, round, steps)
		s = serve(t, dir, "--raw-cards")
		for _, a := range send(s, round, steps) {
			if a.status < 200 || a.status > 202 {
				t.Fatalf("round %d: a repeat was answered %d: %s", round, a.status, a.body)
			}
		}
		checkEnded(t, s, customer, card, intent)
		s.await("the gateway has let go", func() bool { return effects(t, dir)["detach"] == round+1 })
		s.kill()
	}
	counts := effects(t, dir)
	for _, op := range []string{"verify", "setup", "tokenize", "detach"} {
		if counts[op] != rounds {
			t.Errorf("%d effects of %s at the gateway, want %d", counts[op], op, rounds)
		}
	}
	t.Logf("%d kills, %d of %d requests answered before one; effects at the gateway %v, each once", rounds, answered, 5*rounds, counts)
}

// killedAmong sends the steps at once and kills the server meanwhile. It returns
// how many were answered before.
func killedAmong(s *instance, round int, steps []step) int {
	answers := make(chan []answer)
	go func() { answers <- send(s, round, steps) }()
	time.Sleep(time.Duration(rand.IntN(12_000)) * time.Microsecond)
	s.kill()
	n := 0
	for _, a := range <-answers {
		if a.status != 0 {
			n++
		}
	}
	return n
}

// send makes all requests at once, each under the same key every time. An answer
// that did not come is empty.
func send(s *instance, round int, steps []step) []answer {
	answers := make([]answer, len(steps))
	var wg sync.WaitGroup
	for i, step := range steps {
		wg.Go(func() {
			answers[i], _ = s.try(http.DefaultClient, step.method, step.path, step.body, "Idempotency-Key", fmt.Sprint(step.name, "-", round))
		})
	}
	wg.Wait()
	return answers
}

// checkEnded waits for the end of all five and counts what came of them.
func checkEnded(t *testing.T, s *instance, customer, card, intent string) {
	t.Helper()
	s.await("the setup intent has succeeded", func() bool {
		return s.get("/v1/setup-intents/" + intent).json(t)["status"] == "succeeded"
	})
	s.await("the card is verified", func() bool {
		return s.get("/v1/payment-methods/" + card).json(t)["verified"] == true
	})
	var methods []any
	s.await("nothing is pending", func() bool {
		methods = s.get("/v1/customers/" + customer + "/payment-methods?include_removed=true").json(t)["data"].([]any)
		for _, m := range methods {
			if m.(map[string]any)["status"] == "pending" {
				return false
			}
		}
		return true
	})
	if len(methods) != 5 {
		t.Errorf("%s has %d methods, want 5: %v", customer, len(methods), methods)
	}
	counts := map[string]int{}
	for _, e := range s.get("/v1/events?limit=100&customer_id=" + customer).json(t)["data"].([]any) {
		counts[e.(map[string]any)["type"].(string)]++
	}
	for event, want := range map[string]int{
		"customer.payment_method_attached": 5, "customer.payment_method_detached": 1, "payment_method.verified": 1,
		"payment_method.provider_synced": 1, "setup_intent.succeeded": 1,
	} {
		if counts[event] != want {
			t.Errorf("%s: %d of %s, want %d", customer, counts[event], event, want)
		}
	}
}

// effects counts what the sandbox's file says was done at the gateway, by kind.
// Two effects under one idempotency key are an error.
func effects(t *testing.T, dir string) map[string]int {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "sandbox", "sandbox.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	counts, seen := map[string]int{}, map[[2]string]bool{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct {
			Op, Key string
			Repeat  bool
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Op == "" || line.Repeat {
			continue // the end of a file that is being written, or no effect
		}
		if key := [2]string{line.Op, line.Key}; seen[key] {
			t.Errorf("two effects of %s under the key %s", line.Op, line.Key)
		} else {
			seen[key] = true
		}
		counts[line.Op]++
	}
	return counts
}
