package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore/disk"
	"github.com/pmledger/pmledger/eventstore/torture"
)

// step is a request that asks something of a gateway.
type step struct{ name, method, path, body string }

// life is one round: a customer, and what is asked of its methods at once.
type life struct {
	round                            int
	customer, card, intent, canceled string
	steps                            []step
}

// TestTortureWorkAtTheGatewayEndsOnce kills the server at any moment of an attach
// that has to be synced, a verification, a confirmed setup intent, a raw card, a
// detach, another one whose verification is to be canceled, and a setup intent that
// is canceled. What one server leaves the next goes on with, until it is killed
// too. At last each comes to its end, with one effect at the gateway.
func TestTortureWorkAtTheGatewayEndsOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("a torture takes its time")
	}
	rounds := torture.Size(8, 16, 100)
	dir, answered := t.TempDir(), 0
	var lives []life
	for round := range rounds {
		s := serve(t, dir, "--raw-cards")
		repeated(t, s, lives)
		l := begin(t, s, round)
		answered += killedAmong(s, l)
		lives = append(lives, l)
	}
	s := serve(t, dir, "--raw-cards")
	repeated(t, s, lives)
	for _, l := range lives {
		checkEnded(t, s, l)
	}
	want := map[string]int{"verify": 2 * rounds, "setup": 2 * rounds, "tokenize": rounds, "detach": 2 * rounds, "cancel": 2 * rounds}
	var counts map[string]int
	s.await("the gateway has let go of all", func() bool {
		counts = effects(t, dir)
		return counts["detach"] >= want["detach"] && counts["cancel"] >= want["cancel"]
	})
	s.await("its answers are stored", func() bool {
		return strings.Contains(fetch(t, s.admin), "\npmledger_gateway_work{provider=\"sandbox\"} 0\n")
	})
	s.kill()
	if counts = effects(t, dir); !maps.Equal(counts, want) {
		t.Errorf("effects at the gateway %v, want %v", counts, want)
	}
	checkTold(t, dir, rounds)
	torture.Add(t, torture.Report{Campaign: "kill -9 between steps at a gateway", Counts: []torture.Figure{
		torture.Count(rounds, "kills"), torture.Count(len(lives[0].steps)*rounds, "requests"), torture.Count(answered, "answered before a kill"),
		torture.Count(9*rounds, "effects at the gateway"),
	}})
}

// begin makes what the steps of a round are about. No two customers share a token
// that is let go of.
func begin(t *testing.T, s *instance, round int) life {
	t.Helper()
	l := life{round: round, customer: fmt.Sprintf("cus_%d", round)}
	post := func(status int, path, body string) string {
		return s.call(status, http.MethodPost, path, body).json(t)["id"].(string)
	}
	l.card = s.attach(l.customer, "tok_visa")["id"].(string)
	gone := s.attach(l.customer, fmt.Sprint("tok_mastercard_fp_", round))["id"].(string)
	bank := post(http.StatusCreated, "/v1/customers/"+l.customer+"/payment-methods", fmt.Sprintf(`{"type":"bank_account","token":"ba_us_fp_%d"}`, round))
	post(http.StatusAccepted, "/v1/payment-methods/"+bank+"/verify", "")
	l.intent = post(http.StatusCreated, "/v1/setup-intents", fmt.Sprintf(`{"customer_id":%q}`, l.customer))
	l.canceled = post(http.StatusCreated, "/v1/setup-intents", fmt.Sprintf(`{"customer_id":%q,"token":"tok_visa_3ds","confirm":true}`, l.customer))
	l.steps = []step{
		{"sync", http.MethodPost, "/v1/customers/" + l.customer + "/payment-methods", `{"type":"card","token":"tok_discover_recovers"}`},
		{"verify", http.MethodPost, "/v1/payment-methods/" + l.card + "/verify", ""},
		{"setup", http.MethodPost, "/v1/setup-intents/" + l.intent + "/confirm", `{"token":"tok_amex"}`},
		{"raw", http.MethodPost, "/v1/customers/" + l.customer + "/payment-methods/raw-card", `{"number":"5200828282828210","expiration_date":"12/34"}`},
		{"detach", http.MethodDelete, "/v1/payment-methods/" + gone, ""},
		{"give up", http.MethodDelete, "/v1/payment-methods/" + bank, ""},
		{"cancel", http.MethodPost, "/v1/setup-intents/" + l.canceled + "/cancel", ""},
	}
	return l
}

// repeated sends the steps of the last round again, which the kill may have cut off.
func repeated(t *testing.T, s *instance, lives []life) {
	t.Helper()
	if len(lives) == 0 {
		return
	}
	l := lives[len(lives)-1]
	for i, a := range send(s, l) {
		if a.status < 200 || a.status > 202 {
			t.Fatalf("round %d: the repeat of %s was answered %d: %s", l.round, l.steps[i].name, a.status, a.body)
		}
	}
}

// killedAmong sends the steps of a round at once and kills the server: meanwhile, or
// in every other round when all is answered and the rest is done without a request.
// It returns how many were answered before.
func killedAmong(s *instance, l life) int {
	answers := make(chan []answer, 1)
	go func() { answers <- send(s, l) }()
	moment := time.Duration(rand.IntN(1+rand.IntN(12_000))) * time.Microsecond // rather sooner than later
	if l.round%2 == 1 {
		all := <-answers
		answers <- all
		moment /= 2
	}
	time.Sleep(moment)
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
func send(s *instance, l life) []answer {
	answers := make([]answer, len(l.steps))
	var wg sync.WaitGroup
	for i, step := range l.steps {
		wg.Go(func() {
			answers[i], _ = s.try(http.DefaultClient, step.method, step.path, step.body, "Idempotency-Key", fmt.Sprint(step.name, "-", l.round))
		})
	}
	wg.Wait()
	return answers
}

// checkEnded waits for the end of all and counts what came of them.
func checkEnded(t *testing.T, s *instance, l life) {
	t.Helper()
	s.await("the setup intent has succeeded", func() bool {
		return s.get("/v1/setup-intents/" + l.intent).json(t)["status"] == "succeeded"
	})
	s.await("the card is verified", func() bool {
		return s.get("/v1/payment-methods/" + l.card).json(t)["verified"] == true
	})
	if status := s.get("/v1/setup-intents/" + l.canceled).json(t)["status"]; status != "canceled" {
		t.Errorf("%s: the canceled setup intent is %v", l.customer, status)
	}
	var methods []any
	s.await("nothing is pending", func() bool {
		methods = s.get("/v1/customers/" + l.customer + "/payment-methods?include_removed=true").json(t)["data"].([]any)
		for _, m := range methods {
			if m.(map[string]any)["status"] == "pending" {
				return false
			}
		}
		return true
	})
	if len(methods) != 6 {
		t.Errorf("%s has %d methods, want 6: %v", l.customer, len(methods), methods)
	}
	counts := map[string]int{}
	for _, e := range s.get("/v1/events?limit=100&customer_id=" + l.customer).json(t)["data"].([]any) {
		counts[e.(map[string]any)["type"].(string)]++
	}
	for event, want := range map[string]int{
		"customer.payment_method_attached": 6, "customer.payment_method_detached": 2, "payment_method.verified": 1,
		"payment_method.provider_synced": 1, "setup_intent.succeeded": 1, "setup_intent.canceled": 1,
	} {
		if counts[event] != want {
			t.Errorf("%s: %d of %s, want %d", l.customer, counts[event], event, want)
		}
	}
}

// checkTold counts, in the log, what the gateway was told without an event of its own.
func checkTold(t *testing.T, dir string, rounds int) {
	t.Helper()
	store, err := disk.Open(filepath.Join(dir, "log"), disk.Options{MinFree: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	head, err := store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for batch, err := range store.Follow(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range batch {
			counts[r.Type]++
		}
		if batch[len(batch)-1].Position >= head {
			break
		}
	}
	for name, want := range map[string]int{
		"payment_method.gateway_detached": 2 * rounds, "payment_method.gateway_detach_failed": 0,
		"payment_method.gateway_canceled": rounds, "setup_intent.gateway_canceled": rounds,
	} {
		if counts[name] != want {
			t.Errorf("%d records of %s, want %d", counts[name], name, want)
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
